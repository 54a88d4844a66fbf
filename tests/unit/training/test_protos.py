"""The Object Detection API's messages work with the protobuf that is installed."""

import ast
import glob
import importlib
import os

import pytest
from google.protobuf import text_format

from negset_jobs.training import config, protos

FOLDER = os.path.dirname(protos.pipeline_pb2.__file__)
MODULES = sorted(os.path.basename(path).removesuffix(".py") for path in glob.glob(f"{FOLDER}/*_pb2.py"))


def names_in_source(path):
    """The public names that the generated source assigns: its messages, enums and their values."""
    with open(path, encoding="utf-8") as stream:
        statements = ast.parse(stream.read()).body
    targets = [target for each in statements if isinstance(each, ast.Assign) for target in each.targets]
    return {target.id for target in targets if isinstance(target, ast.Name) and not target.id.startswith("_")}


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_every_name_that_its_source_assigns(module):
    loaded = importlib.import_module(f"object_detection.protos.{module}")
    expected = names_in_source(loaded.__file__)
    assert len(expected) > 1
    assert expected <= vars(loaded).keys()


def test_a_configuration_keeps_messages_lists_oneofs_enums_and_defaults():
    text = """
        model { ssd { num_classes: 3 feature_extractor { type: "ssd_mobilenet_v2_keras" conv_hyperparams { activation: RELU_6 } } } }
        train_config { data_augmentation_options { random_horizontal_flip { } } data_augmentation_options { ssd_random_crop { } } }
    """
    parsed = config.parse(text.encode(), "text")
    again = protos.pipeline_pb2.TrainEvalPipelineConfig.FromString(parsed.SerializeToString())
    assert again == parsed
    assert again.model.WhichOneof("model") == "ssd"
    assert again.model.ssd.feature_extractor.conv_hyperparams.activation == 2  # RELU_6
    assert [each.WhichOneof("preprocessing_step") for each in again.train_config.data_augmentation_options] == [
        "random_horizontal_flip",
        "ssd_random_crop",
    ]
    assert again.train_config.max_number_of_boxes == 100
    assert again.train_input_reader.sample_1_of_n_examples == 1


def test_the_text_of_a_configuration_is_the_same_with_every_protobuf():
    """It is a part of the input digest, which decides whether a finished round is used again."""
    parsed = text_format.Parse(
        'fine_tune_checkpoint: "s3://ü/ckpt" gradient_clipping_by_norm: 0.1 batch_size: 8 bias_grad_multiplier: 1e-08',
        protos.train_pb2.TrainConfig(),
    )
    assert config.render(parsed) == (
        b'batch_size: 8\ngradient_clipping_by_norm: 0.1\nfine_tune_checkpoint: "s3://\\303\\274/ckpt"\nbias_grad_multiplier: 1e-08\n'
    )
