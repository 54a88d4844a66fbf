"""The report of a real revision: pictures fetched over HTTP, recorded on Ray, read back from the records that hold them."""

import json
import shutil

import msgspec
import pytest

from negset_api import names, validation
from negset_api.errors import WorkFailed
from negset_api.values import Detection, LossPoint, Measurement, Mining, Records, Report, Round, ScoredImage, decode, encode
from negset_jobs import on_ray, pipeline
from negset_jobs.access import Access
from negset_jobs.demo import dataset, manifest, server
from negset_jobs.progress import Silent
from negset_jobs.reporting.gather import gather
from negset_jobs.reporting.stage import report_stage
from negset_jobs.store import Store

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
        with on_ray.session(2):
            pipeline.data(prepared, Silent())
    return prepared


@pytest.fixture
def run(made, tmp_path):
    """A copy that a test may change."""
    shutil.copytree(made.store.local_root, tmp_path / "revision")
    return msgspec.structs.replace(made, store=Store(str(tmp_path / "revision")))


def stored_ids(run, subset):
    """The ids of stored pictures of a subset, from the records themselves."""
    from negset_jobs.mining.scoring import as_picture
    from negset_jobs.records.framing import read_records

    records = decode(run.store.read(names.RECORDS), Records)
    found = []
    for key in records.files[subset]:
        with run.store.reading(key) as stream:
            found += [as_picture(payload) for _, payload in read_records(stream)]
    return dict(found)


def scored(image_id, score):
    return ScoredImage(image_id=image_id, detections=(Detection(ymin=0.2, xmin=0.2, ymax=0.6, xmax=0.6, score=score, class_name="disc"),))


def a_round(number, false_positives, worst):
    return Round(
        number=number,
        inputs=str(number),
        steps=10,
        seed=0,
        negative_percent=30,
        measured_negative_percent=31.0,
        miner="",
        config=f"training/round-{number}/pipeline.config",
        checkpoint="",
        saved_model="",
        losses=tuple(LossPoint(step=step, total=3.0, classification=2.0 / (step + 1), localization=1.0) for step in range(10)),
        steps_per_second=2.0,
        measurement=Measurement(
            threshold=0.5,
            recall=0.8,
            wanted_recall=0.8,
            false_positives_per_image=false_positives,
            average_precision=0.6,
            average_precision_50=0.9,
            negatives=20,
            positives=10,
            objects=20,
        ),
        worst=tuple(worst),
    )


def test_the_data_alone_gives_a_report_whose_marker_comes_last(run):
    untrained = msgspec.structs.replace(run.dataset, spec=msgspec.structs.replace(run.dataset.spec, training=None, positives=None))
    run.store.remove([names.POSITIVES])
    value = report_stage(run.store, untrained, Silent())
    records = decode(run.store.read(names.RECORDS), Records)
    assert decode(run.store.read(names.REPORT), Report) == value
    assert (value.planned, value.stored, value.outcomes) == (50, records.stored, records.outcomes)
    assert json.loads(run.store.read(names.REPORT))["rounds"] == []
    page = run.store.read(names.REPORT_PAGE).decode()
    assert f"{records.stored} pictures without disc are stored" in page
    assert page.count("data:image/jpeg") == 24


def test_failures_of_the_real_download_are_counted_and_exemplified(run):
    facts = gather(run.store, run.dataset)
    assert sum(facts.records.outcomes.values()) == facts.plan.planned
    named = {str(failure.result.outcome) for failure in facts.failures}
    assert named == set(facts.records.outcomes) - {"stored"}
    assert all(failure.result.detail for failure in facts.failures)


def test_every_shown_picture_is_the_one_that_its_id_names(run):
    """Each negative is drawn differently, so equal bytes mean that the right record was read."""
    facts = gather(run.store, run.dataset)
    truth = stored_ids(run, names.TRAIN) | stored_ids(run, names.HELD_OUT)
    assert len(facts.shown) == 24
    for name in facts.shown:
        assert facts.pictures[name].encoded == truth[name]
        assert str(facts.planned[name].image_id) == name
    assert len(facts.objects) == 6
    assert all(box.class_name == "disc" for example in facts.objects for box in example.boxes)


def test_rounds_minings_and_galleries_come_from_what_the_stages_wrote(run):
    held_out, trained_on = sorted(stored_ids(run, names.HELD_OUT)), sorted(stored_ids(run, names.TRAIN))
    markers = {
        names.round_marker(0): a_round(0, 1.2, [scored(name, 0.9) for name in held_out[:5]]),
        names.round_marker(1): a_round(1, 0.3, [scored(name, 0.7) for name in held_out[:3]]),
        names.round_marker(2): a_round(2, 0.1, [scored(held_out[0], 0.6), scored(held_out[1], 0.3)]),
        names.mining_marker(1): Mining(
            number=1,
            inputs="mining",
            threshold=0.5,
            scored=len(trained_on),
            fooled=4,
            hard=(),
            hard_images=3,
            negatives=(),
            review=(scored(trained_on[0], 0.95),),
            scores="training/round-1/scores.parquet",
            hardest=tuple(scored(name, 0.8) for name in trained_on[1:4]),
        ),
    }
    for key, value in markers.items():
        run.store.write(key, encode(value))
    report = report_stage(run.store, run.dataset, Silent())
    assert [(each.round, each.false_positives_per_image, each.hard_negatives) for each in report.rounds] == [
        (0, 1.2, 0),
        (1, 0.3, 0),
        (2, 0.1, 3),
    ]
    assert report.review == (trained_on[0],)
    page = run.store.read(names.REPORT_PAGE).decode()
    assert "fell from 1.20 to 0.10 per picture" in page
    # 24 chosen, 5 and 1 worst, 3 hard, 1 for review, 6 objects
    assert page.count("data:image/jpeg") == 40
    first = run.store.read(names.REPORT_PAGE), run.store.read(names.REPORT)
    run.store.remove([names.REPORT])
    report_stage(run.store, run.dataset, Silent())
    assert (run.store.read(names.REPORT_PAGE), run.store.read(names.REPORT)) == first


def test_a_damaged_record_stops_the_report_instead_of_showing_the_wrong_picture(run):
    for key in run.store.keys(names.RECORDS_FOLDER):
        run.store.write(key, bytes(len(run.store.read(key))))
    with pytest.raises(WorkFailed):
        report_stage(run.store, run.dataset, Silent())
    assert not run.store.exists(names.REPORT)
