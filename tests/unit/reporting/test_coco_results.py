"""All detections in COCO's formats, as pycocotools reads them."""

import contextlib
import io
import json

import pytest
from tests.unit.reporting.models import box, drawn, model

from negset_jobs.reporting.coco_results import HeldOutImage, images, instances, numbered, results
from negset_jobs.training.measuring import average_precision


@pytest.fixture(scope="module")
def held_out():
    return drawn(8, negatives=30, positives=25, misplaced=0.03)


def test_pycocotools_loads_them_and_measures_the_same(held_out, tmp_path):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    judged = model(held_out)
    negatives = {name: HeldOutImage(int(name), f"{name}.jpg", 640, 480) for name in judged.negative_ids}
    listed = images(judged, negatives)
    ids = numbered(listed)
    (tmp_path / "heldout.json").write_bytes(instances(judged, listed, ids))
    (tmp_path / "detections.json").write_bytes(results(judged, listed, ids))
    with contextlib.redirect_stdout(io.StringIO()):
        annotated = COCO(str(tmp_path / "heldout.json"))
        found = annotated.loadRes(str(tmp_path / "detections.json"))
        evaluation = COCOeval(annotated, found, "bbox")
        # False positives on negatives lower AP, so it is compared on the positives, which it was
        # measured on.
        evaluation.params.imgIds = [image["id"] for image in annotated.dataset["images"] if not image["negative"]]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    expected, _ = average_precision(held_out.truths, held_out.positives)
    assert evaluation.stats[0] == pytest.approx(expected, abs=2e-3)
    everything = sum(len(image.detections) for image in (*held_out.positives, *held_out.negatives))
    assert len(found.anns) == everything
    assert {category["name"]: category["id"] for category in annotated.dataset["categories"]} == {"disc": 1}


def test_boxes_of_negatives_are_in_the_pixels_of_their_image(held_out):
    judged = model(held_out)
    negatives = {name: HeldOutImage(int(name), "", 640, 480) for name in judged.negative_ids}
    listed = images(judged, negatives)
    lines = json.loads(results(judged, listed, numbered(listed)))
    first = next(image for image in held_out.negatives if image.detections)
    line = next(each for each in lines if each["image_id"] == int(first.image_id))
    best = first.detections[0]
    assert line["bbox"] == pytest.approx([best.xmin * 640, best.ymin * 480, 128, 96], abs=0.02)
    assert line["score"] == pytest.approx(best.score, abs=1e-5)


IDS = {
    "integers are kept": ([17, "4", 0], [17, 4, 0]),
    "a file name gets a number above all": ([17, "a.jpg", 3], [17, 18, 3]),
    "an id that is taken gets one too": ([17, 17, 17], [17, 18, 19]),
    "leading zeros make a name": (["007", 7], [8, 7]),
    "there is none": ([], []),
}


@pytest.mark.parametrize(("given", "expected"), IDS.values(), ids=IDS)
def test_ids(given, expected):
    assert list(numbered([HeldOutImage(each, "", 1, 1) for each in given])) == expected


def test_a_difficult_object_counts_neither_way(held_out):
    import msgspec

    truths = (msgspec.structs.replace(held_out.truths[0], objects=(box(0, 0, difficult=True),)), *held_out.truths[1:])
    judged = model(msgspec.structs.replace(held_out, truths=truths, negatives=()))
    listed = images(judged, {})
    assert json.loads(instances(judged, listed, numbered(listed)))["annotations"][0]["iscrowd"] == 1
