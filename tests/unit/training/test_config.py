"""The pipeline.config: read, parsed and patched as a message."""

import msgspec
import pytest

from negset_api import names
from negset_api.errors import InvalidInput
from negset_api.spec import CocoSource, HardNegativeMining, NegativeDatasetSpec, Output, PipelineConfig, Selection, Source, Training
from negset_jobs.adapters.access import Access
from negset_jobs.training import config as configs
from negset_jobs.training import families, linter

PRESETS = (
    "ssd-mobilenet-v2-320",
    "ssd-mobilenet-v2-fpnlite-320",
    "ssd-mobilenet-v2-tiny-96",
    "ssd-resnet50-fpn-640",
    "faster-rcnn-resnet50-640",
    "efficientdet-d0-512",
    "centernet-resnet50-v1-fpn-512",
)
DATA = configs.Data(
    classes=("disc", "ring"),
    label_map="s3://bucket/label_map.pbtxt",
    train=(configs.InputFile(path="s3://bucket/p.tfrecord", weight=70), configs.InputFile(path="s3://bucket/n.tfrecord", weight=30)),
    held_out=("s3://bucket/h.tfrecord",),
)


def training(**fields):
    """A training of one round, unless `hard_negative_mining` says otherwise.

    So the steps of the round are those of the whole schedule.
    """
    fields.setdefault("pipeline_config", PipelineConfig(preset="ssd-mobilenet-v2-tiny-96"))
    return Training(**{"steps": 100, "hard_negative_mining": HardNegativeMining(rounds=1), **fields})


def spec(chosen):
    return NegativeDatasetSpec(
        source=Source(coco=CocoSource(annotations="a.json")),
        exclude_classes=("disc",),
        selection=Selection(count=1),
        output=Output(url="out"),
        training=chosen,
    )


def prepared(**fields):
    return configs.prepare(training(**fields), Access())


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_that_the_spec_names_comes_with_negset(preset):
    config = prepared(pipeline_config=PipelineConfig(preset=preset))
    assert config.train_config.num_steps == 100
    assert configs.parse(configs.render(config), "rendered") == config


def test_the_spec_names_every_preset():
    (enum,) = (kind for kind in PipelineConfig.__annotations__.values() if "tiny" in str(kind))
    assert all(repr(preset) in str(enum) or f'"{preset}"' in str(enum) for preset in PRESETS)
    with pytest.raises(InvalidInput, match=r"expected one of centernet-resnet50-v1-fpn-512, .*, got 'yolo'"):
        configs.preset("yolo")


def test_classes_files_and_shares_are_patched_and_the_rest_of_the_readers_stays():
    before = prepared()
    before.train_input_reader.num_readers = 7
    after = configs.patch_data(before, DATA)
    assert after.model.ssd.num_classes == 2
    assert list(after.train_input_reader.tf_record_input_reader.input_path) == ["s3://bucket/p.tfrecord", "s3://bucket/n.tfrecord"]
    assert list(after.train_input_reader.sample_from_datasets_weights) == [70, 30]
    assert after.train_input_reader.num_readers == 7
    assert after.eval_input_reader[0].label_map_path == after.train_input_reader.label_map_path == "s3://bucket/label_map.pbtxt"
    assert list(after.eval_input_reader[0].tf_record_input_reader.input_path) == ["s3://bucket/h.tfrecord"]
    assert before.model.ssd.num_classes == 1
    assert not before.train_input_reader.label_map_path


@pytest.mark.parametrize(
    ("steps", "total", "warm_up"),
    [
        pytest.param(500, 500, 25, id="as many steps as the preset has leave the schedule unchanged"),
        pytest.param(5000, 5000, 250, id="ten times the steps stretch the warm-up too"),
        pytest.param(50, 50, 2, id="a tenth of the steps shrinks the warm-up too"),
        pytest.param(1, 1, 0, id="a single step has no warm-up"),
    ],
)
def test_the_learning_rate_ends_with_the_training(steps, total, warm_up):
    schedule = prepared(steps=steps).train_config.optimizer.adam_optimizer.learning_rate.cosine_decay_learning_rate
    assert (schedule.total_steps, schedule.warmup_steps) == (total, warm_up)
    assert schedule.learning_rate_base == pytest.approx(0.005)


def test_one_schedule_spans_the_steps_of_all_rounds_and_a_round_stops_after_its_own():
    config = prepared(steps=500, hard_negative_mining=HardNegativeMining(rounds=3))
    schedule = config.train_config.optimizer.adam_optimizer.learning_rate.cosine_decay_learning_rate
    assert (schedule.total_steps, schedule.warmup_steps) == (1500, 75)
    first = configs.patch_steps(config, 500)
    assert (first.train_config.num_steps, config.train_config.num_steps) == (500, 1500)
    assert first.train_config.optimizer == config.train_config.optimizer


def test_manual_and_exponential_schedules_are_scaled_by_the_configurations_own_steps():
    text = configs.preset("ssd-mobilenet-v2-tiny-96").decode()
    config = configs.parse(text.encode(), "preset")
    rate = config.train_config.optimizer.adam_optimizer.learning_rate
    rate.manual_step_learning_rate.initial_learning_rate = 0.1
    for step in (100, 101, 400):
        rate.manual_step_learning_rate.schedule.add(step=step, learning_rate=0.01)
    scaled = configs.patch_training(config, training(steps=50)).train_config.optimizer.adam_optimizer.learning_rate
    assert [entry.step for entry in scaled.manual_step_learning_rate.schedule] == [10, 11, 40], "the steps stay strictly increasing"
    rate.exponential_decay_learning_rate.decay_steps = 200
    scaled = configs.patch_training(config, training(steps=1000)).train_config.optimizer.adam_optimizer.learning_rate
    assert scaled.exponential_decay_learning_rate.decay_steps == 400


def test_the_miner_is_set_from_the_spec():
    miner = prepared(
        hard_negative_mining=HardNegativeMining(negatives_per_positive=5, min_negatives_per_image=9)
    ).model.ssd.loss.hard_example_miner
    assert (miner.max_negatives_per_positive, miner.min_negatives_per_image, miner.num_hard_examples) == (5, 9, 0)


@pytest.mark.parametrize("preset", ["ssd-resnet50-fpn-640", "ssd-mobilenet-v2-fpnlite-320"])
def test_a_focal_model_gets_no_miner(preset):
    assert not prepared(pipeline_config=PipelineConfig(preset=preset)).model.ssd.loss.HasField("hard_example_miner")


def test_batch_size_is_the_configurations_unless_the_spec_says_otherwise():
    assert prepared().train_config.batch_size == 8
    assert prepared(batch_size=6).train_config.batch_size == 6


def test_augmentations_stay_as_they_are():
    before = configs.parse(configs.preset("ssd-mobilenet-v2-320"), "preset")
    after = prepared(pipeline_config=PipelineConfig(preset="ssd-mobilenet-v2-320"))
    assert list(after.train_config.data_augmentation_options) == list(before.train_config.data_augmentation_options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            b"model {\n  ssd {\n    num_clases: 3\n  }\n}",
            "line 3, column 5: Ssd has no such field; did you mean num_classes",
            id="a misspelt field is named with its place",
        ),
        pytest.param(b"model { ssd { num_classes: many } }", "line 1, column 28", id="a word for a number is refused with its place"),
        pytest.param(b"model {", "line 1", id="a file that ends too early is refused"),
        pytest.param(b"\xff\x01", "bytes that are not UTF-8", id="a binary file is refused"),
        pytest.param("model { }".encode("utf-16"), "got UTF-16 or a binary file; save it as UTF-8", id="UTF-16 is named"),
        pytest.param("model { }".encode("utf-16-le"), "got UTF-16 or a binary file", id="UTF-16 without a mark is named"),
        pytest.param(b"{'json': true}", "not a pipeline.config", id="JSON is refused"),
        pytest.param(b"", "expected a model of the kind ssd, faster_rcnn, center_net, got none", id="an empty file is refused"),
    ],
)
def test_a_broken_file_is_one_clear_error(tmp_path, text, message):
    path = tmp_path / "pipeline.config"
    path.write_bytes(text)
    with pytest.raises(InvalidInput, match=message) as caught:
        prepared(pipeline_config=PipelineConfig(url=str(path)))
    assert "spec.training.pipelineConfig" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InvalidInput, match=r"spec\.training\.pipelineConfig\.url.*does not exist"):
        prepared(pipeline_config=PipelineConfig(url=str(tmp_path / "missing.config")))


def test_a_config_map_is_read_where_it_is_mounted_and_refused_on_a_laptop(tmp_path, monkeypatch):
    mounted = tmp_path / "pipeline.config"
    mounted.write_bytes(configs.preset("ssd-mobilenet-v2-tiny-96"))
    monkeypatch.setenv(names.PIPELINE_CONFIG_VARIABLE, str(mounted))
    assert prepared(pipeline_config=PipelineConfig(config_map="mine")).model.ssd.num_classes == 1
    monkeypatch.delenv(names.PIPELINE_CONFIG_VARIABLE)
    with pytest.raises(InvalidInput, match="configMap: a ConfigMap is available on a cluster only"):
        prepared(pipeline_config=PipelineConfig(config_map="mine"))


def test_a_byte_order_mark_which_windows_editors_write_is_ignored(tmp_path):
    path = tmp_path / "pipeline.config"
    path.write_bytes(b"\xef\xbb\xbf" + configs.preset("ssd-mobilenet-v2-tiny-96"))
    assert prepared(pipeline_config=PipelineConfig(url=str(path))) == prepared()


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(("most", "fed"), [(0, None), (5, None), (312, 312)])
def test_every_object_of_the_fullest_image_is_fed_and_may_be_detected(preset, most, fed):
    before = prepared(pipeline_config=PipelineConfig(preset=preset))
    after = configs.patch_data(before, msgspec.structs.replace(DATA, most_boxes=most))
    assert after.train_input_reader.max_number_of_boxes == (fed or before.train_input_reader.max_number_of_boxes)
    for _, suppression in families.suppressions(after):
        assert suppression.max_total_detections >= suppression.max_detections_per_class >= most
    if preset.startswith("centernet"):
        assert after.model.center_net.object_center_params.max_box_predictions == (fed or 100)
    assert families.most_detections(after) >= max(100, most)
    linter.check_model(after)


def test_half_precision_is_for_tpus_as_in_the_apis_own_loop():
    config = configs.parse(configs.preset("ssd-mobilenet-v2-tiny-96"), "preset")
    config.train_config.use_bfloat16 = True
    assert not configs.patch_training(config, training()).train_config.use_bfloat16


def test_the_check_warns_of_settings_that_have_no_effect(tmp_path, caplog):
    config = configs.parse(configs.preset("ssd-mobilenet-v2-tiny-96"), "preset")
    config.train_config.optimizer.use_moving_average = True
    path = tmp_path / "pipeline.config"
    path.write_bytes(configs.render(config))
    configs.check(spec(training(pipeline_config=PipelineConfig(url=str(path)))), Access())
    assert [(record.levelname, "use_moving_average" in record.getMessage()) for record in caplog.records] == [("WARNING", True)]


def test_patching_leaves_its_inputs_unchanged():
    spec = training()
    config = configs.parse(configs.preset("ssd-mobilenet-v2-tiny-96"), "preset")
    untouched = configs.render(config)
    configs.patch_data(configs.patch_training(config, spec), DATA)
    assert configs.render(config) == untouched
    assert msgspec.structs.asdict(spec) == msgspec.structs.asdict(training())


def test_moving_averages_which_are_the_apis_default_are_switched_off():
    config = configs.parse(configs.preset("ssd-mobilenet-v2-tiny-96"), "preset")
    config.train_config.optimizer.ClearField("use_moving_average")
    assert config.train_config.optimizer.use_moving_average
    assert not configs.patch_training(config, training()).train_config.optimizer.use_moving_average
