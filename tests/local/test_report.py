"""The report of a real revision.

Its images are downloaded over HTTP, recorded by workers, and read from their records.
"""

import contextlib
import io
import json
import shutil

import msgspec
import numpy as np
import pytest
from PIL import Image
from tests.progress import Silent
from tests.unit.reporting.models import trained

from negset_api import names, validation
from negset_api.errors import WorkFailed
from negset_api.values import Detection, LossPoint, Mining, Positives, Records, Report, Round, ScoredImage, decode, encode
from negset_jobs import pipeline
from negset_jobs.adapters import work
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.store import Store
from negset_jobs.demo import dataset, manifest, server
from negset_jobs.reporting.gather import gather
from negset_jobs.reporting.stage import report_stage
from negset_jobs.selection import annotated
from negset_jobs.training import detections, heldout

LOOPBACK = Access(allowed_networks=("127.0.0.1/32",))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Everything before training, for a small demo."""
    folder = tmp_path_factory.mktemp("report")
    with server.serve(str(folder / "source")) as url:
        dataset.make(str(folder / "source"), base_url=url, with_object=24, without_object=60)
        document = manifest.manifest(url, str(folder / "output"), count=50)
        document["spec"]["download"] = {"maxFailedPercent": 50}
        prepared = pipeline.prepare(validation.parse(document), LOOPBACK)
        with work.session(2):
            pipeline.data(prepared, Silent())
    return prepared


@pytest.fixture
def run(made, tmp_path):
    """A copy that a test may change."""
    shutil.copytree(made.store.local_root, tmp_path / "revision")
    return msgspec.structs.replace(made, store=Store(str(tmp_path / "revision")))


def stored_ids(run, split):
    """The stored images of a split by id, from the records themselves."""
    from tests.reading import as_image

    from negset_jobs.formats.tfrecord import read_records

    records = decode(run.store.read(names.RECORDS), Records)
    found = []
    for key in records.files.get(split, ()):
        with run.store.reading(key) as stream:
            found += [as_image(payload) for _, payload in read_records(stream)]
    return dict(found)


def scored(image_id, score, box=None):
    ymin, xmin, ymax, xmax = box or (0.2, 0.2, 0.6, 0.6)
    found = Detection(ymin=ymin, xmin=xmin, ymax=ymax, xmax=xmax, score=float(np.float32(score)), class_name="disc")
    return ScoredImage(image_id=image_id, detections=(found,))


def store_round(run, number, firing, **fields):
    """A round whose model finds every held-out object, and fires on the named held-out negatives.

    Each has its given box, or a box anywhere.
    """
    truths = tuple(
        truth for truth, _ in heldout.images(run.store, decode(run.store.read(names.POSITIVES), Positives).files[names.HELD_OUT])
    )
    positives = tuple(
        ScoredImage(
            image_id=truth.image_id,
            detections=tuple(
                Detection(ymin=box.ymin, xmin=box.xmin, ymax=box.ymax, xmax=box.xmax, score=0.5, class_name="disc") for box in truth.counted
            ),
        )
        for truth in truths
    )
    negatives = tuple(
        scored(name, 0.75, firing[name]) if name in firing else scored(name, 0.125) for name in sorted(stored_ids(run, names.HELD_OUT))
    )
    held_out = detections.HeldOut(truths=truths, positives=positives, negatives=negatives)
    losses = tuple(LossPoint(step=step, total=3.0, classification=2.0, localization=1.0, learning_rate=0.01) for step in range(10))
    value = trained(number, held_out, losses=losses, **fields)
    run.store.write(value.detections, detections.encode(held_out))
    run.store.write(names.round_marker(number, value.arm), encode(value))
    return value


def store_everything(run):
    """Two rounds with a mining between them and the arms of the demo, as training writes them.

    Training without negatives fires on most of the held-out negatives.
    """
    held_out, trained_on = sorted(stored_ids(run, names.HELD_OUT)), sorted(stored_ids(run, names.TRAIN))
    store_round(run, 1, dict.fromkeys(held_out[:5]))
    store_round(run, 2, dict.fromkeys(held_out[:1]), negatives=33)
    store_round(run, 2, dict.fromkeys(held_out[:4]), arm="RandomNegatives", negatives=33)
    store_round(run, 2, dict.fromkeys(held_out[:12]), arm="NoNegatives", steps=1000)
    mining = Mining(
        number=1,
        input_digest="mining",
        threshold=0.5,
        floor=0.05,
        pool=20,
        trained_on=len(trained_on),
        fooled=4,
        hard=(),
        hard_images=3,
        added=3,
        random=(),
        negatives=(),
        negative_images=len(trained_on),
        review=(scored(trained_on[0], 0.95),),
        scores="training/round-1/scores.parquet",
        hardest=tuple(scored(name, 0.8) for name in trained_on[1:4]),
    )
    run.store.write(names.mining_marker(1), encode(mining))
    return held_out, trained_on


def test_the_data_alone_gives_a_report_whose_marker_comes_last(run):
    untrained = msgspec.structs.replace(run.dataset, spec=msgspec.structs.replace(run.dataset.spec, training=None, positives=None))
    run.store.remove([names.POSITIVES])
    value = report_stage(run.store, untrained, Silent())
    records = decode(run.store.read(names.RECORDS), Records)
    assert decode(run.store.read(names.REPORT), Report) == value
    assert (value.planned, value.stored, value.outcomes) == (50, records.stored, records.outcomes)
    assert json.loads(run.store.read(names.REPORT))["rounds"] == []
    page = run.store.read(names.REPORT_PAGE).decode()
    assert f"{records.stored} images without disc are stored" in page
    assert page.count("data:image/jpeg") == 24


def test_failures_of_the_real_download_are_counted_and_exemplified(run):
    facts = gather(run.store, run.dataset)
    assert sum(facts.records.outcomes.values()) == facts.plan.planned
    named = {str(failure.result.outcome) for failure in facts.failures}
    assert named == set(facts.records.outcomes) - {"stored"}
    assert all(failure.result.detail for failure in facts.failures)


def test_every_shown_image_is_the_one_that_its_id_names(run):
    """Each negative is drawn differently, so equal bytes mean that the right record was read."""
    facts = gather(run.store, run.dataset)
    truth = stored_ids(run, names.TRAIN) | stored_ids(run, names.HELD_OUT)
    truth |= stored_ids(run, names.POOL)
    assert len(facts.shown) == 24
    for name in facts.shown:
        assert facts.encoded_images[name].encoded == truth[name]
        assert str(facts.planned[name].image_id) == name
    assert len(facts.objects) == 6
    assert all(box.class_name == "disc" for example in facts.objects for box in example.boxes)


def test_rounds_arms_minings_and_galleries_come_from_what_the_stages_wrote(run):
    held_out, trained_on = store_everything(run)
    report = report_stage(run.store, run.dataset, Silent())
    total = len(held_out)
    assert [(each.round, each.false_positives_per_image, each.hard_negatives) for each in report.rounds] == [
        (1, pytest.approx(5 / total), 0),
        (2, pytest.approx(1 / total), 3),
    ]
    assert [(each.name, each.steps, each.negatives, each.false_positives) for each in report.comparisons] == [
        ("Mined", 1000, 33, 1),
        ("RandomNegatives", 1000, 33, 4),
        ("NoNegatives", 1000, 0, 12),
    ]
    assert report.review == (trained_on[0],)
    page = run.store.read(names.REPORT_PAGE).decode()
    assert "Mined negatives cut false positives per held-out negative from" in page
    # 24 chosen, the worst: 12 and 1, 3 hard, 1 for review, 6 objects
    assert page.count("data:image/jpeg") == 47
    first = run.store.read(names.REPORT_PAGE), run.store.read(names.REPORT)
    run.store.remove([names.REPORT])
    report_stage(run.store, run.dataset, Silent())
    assert (run.store.read(names.REPORT_PAGE), run.store.read(names.REPORT)) == first


def test_every_detection_is_there_for_pycocotools(run):
    from pycocotools.coco import COCO

    held_out, _ = store_everything(run)
    report = report_stage(run.store, run.dataset, Silent())
    with contextlib.redirect_stdout(io.StringIO()):
        annotated = COCO(run.store.location(report.held_out))
        found = {each.name: annotated.loadRes(run.store.location(each.detections)) for each in report.comparisons}
    source = json.loads(run.store.read(names.PLAN))["imageIds"]
    negatives = [image for image in annotated.dataset["images"] if image["negative"]]
    assert {image["id"] for image in negatives} == {int(name) for name in held_out} <= set(source)
    sizes = {str(image["id"]): (image["width"], image["height"]) for image in negatives}
    with Image.open(io.BytesIO(stored_ids(run, names.HELD_OUT)[held_out[0]])) as drawn:
        assert sizes[held_out[0]] == drawn.size
    firing = [each for each in found["Mined"].anns.values() if each["image_id"] == int(held_out[0])]
    width, height = sizes[held_out[0]]
    assert firing[0]["bbox"] == pytest.approx([0.2 * width, 0.2 * height, 0.4 * width, 0.4 * height], abs=0.01)


def test_what_a_false_positive_lies_on_is_known_from_the_plan(run):
    """A false positive is put on a shape that the annotations name, and one beside all of them."""
    objects = annotated.decode(run.store.read(names.HELD_OUT_OBJECTS))
    assert objects.keys() >= stored_ids(run, names.HELD_OUT).keys()
    shown = {name: boxes[0] for name, boxes in objects.items() if boxes and name in stored_ids(run, names.HELD_OUT)}
    on, beside = sorted(shown)[:2]
    box = shown[on]
    store_everything(run)
    firing = {on: (box.ymin, box.xmin, box.ymax, box.xmax), beside: (0.0, 0.0, 0.01, 0.01)}
    store_round(run, 2, firing)
    report = report_stage(run.store, run.dataset, Silent())
    assert report.comparisons[0].false_positives_on == {box.class_name: 1, "": 1}
    assert f"on {box.class_name} and 50\xa0% on nothing annotated" in run.store.read(names.REPORT_PAGE).decode()


def test_tables_of_different_images_are_not_compared(run):
    store_everything(run)
    value = decode(run.store.read(names.round_marker(1)), Round)
    table = detections.decode(run.store.read(value.detections))
    run.store.write(value.detections, detections.encode(msgspec.structs.replace(table, negatives=table.negatives[1:])))
    with pytest.raises(WorkFailed, match=r"expected the held-out images of .*round-1/detections\.parquet, found others; train again"):
        report_stage(run.store, run.dataset, Silent())


def test_a_damaged_record_stops_the_report_instead_of_showing_the_wrong_image(run):
    for key in run.store.keys(names.RECORDS_FOLDER):
        run.store.write(key, bytes(len(run.store.read(key))))
    with pytest.raises(WorkFailed):
        report_stage(run.store, run.dataset, Silent())
    assert not run.store.exists(names.REPORT)
