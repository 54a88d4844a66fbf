"""The other annotated objects on the held-out negatives."""

import json

import pytest
from tests.unit.selection.files import coco, read, spec

from negset_api import names
from negset_api.spec import Metadata, NegativeDataset
from negset_api.values import Box
from negset_jobs.adapters.access import Access
from negset_jobs.selection import annotated, stage


def boxed(*bboxes):
    """Two images of 640 x 480: one with a dog for each box, one with a cat without box."""
    document = coco({1: ["dog"] * len(bboxes), 2: ["cat"]})
    for annotation, bbox in zip(document["annotations"], bboxes, strict=False):
        annotation["bbox"] = bbox
    return document


def objects(document, *wanted):
    import io

    from negset_jobs.formats.coco import read_annotations

    stream = io.BytesIO(json.dumps(document).encode())
    return annotated.objects_on(wanted, read_annotations(stream, field="f", url="u", block=512, boxes=True))


DOG = Box(ymin=0.25, xmin=0.1, ymax=0.5, xmax=0.3, class_name="dog")


def test_boxes_are_normalised_and_survive_the_file():
    found = objects(boxed([64, 120, 128, 120]), 1, 2)
    assert found["2"] == ()
    (box,) = annotated.decode(annotated.encode(found))["1"]
    assert (box.class_name, round(box.ymin, 6), round(box.xmin, 6), round(box.ymax, 6), round(box.xmax, 6)) == ("dog", 0.25, 0.1, 0.5, 0.3)


UNUSABLE = {
    "a null": None,
    "a text": "64 120 128 120",
    "three numbers": [1, 2, 3],
    "a number that is null": [1, None, 3, 4],
    "no width": [5, 5, 0, 10],
    "a number no float holds": [5, 5, 1e300, 10],
    "an integer no float holds": [5, 5, 10**400, 10],
    "a list in the list": [[1], 2, 3, 4],
}


@pytest.mark.parametrize("bbox", UNUSABLE.values(), ids=UNUSABLE)
def test_a_box_that_is_none_is_left_out_and_its_neighbour_stays(bbox):
    found = objects(boxed(bbox, [64, 120, 128, 120]), 1)
    assert [box.class_name for box in found["1"]] == ["dog"]


def test_a_file_without_boxes_says_nothing_instead_of_nothing_annotated():
    assert objects(coco({1: ["dog"], 2: []}), 1, 2) == {}


def test_boxes_change_neither_the_plan_nor_its_inputs(tmp_path):
    document = boxed([64, 120, 128, 120], [1, 2, 3, 4])
    assert read(document).digest == read(coco({1: ["dog", "dog"], 2: ["cat"]})).digest


def test_the_plan_comes_with_the_objects_of_the_held_out_images_alone(tmp_path):
    document = coco({number: ["dog"] for number in range(1, 21)})
    for annotation in document["annotations"]:
        annotation["bbox"] = [0, 0, 320, 240]
    (tmp_path / "file.json").write_text(json.dumps(document))
    wanted = spec(count=20, held_out=30)
    source = {"source": {"coco": {"annotations": str(tmp_path / "file.json")}}}
    import msgspec

    wanted = msgspec.convert({**msgspec.to_builtins(wanted), **source}, type(wanted))
    dataset = NegativeDataset(metadata=Metadata(name="x"), spec=wanted)
    plan, found = stage.plan_with_objects(dataset, Access())
    held_out = {str(image.image_id) for shard in plan.shards if shard.split == names.HELD_OUT for image in shard.images}
    assert 0 < len(held_out) < 20
    assert found.keys() == held_out
    assert all(boxes == (Box(ymin=0.0, xmin=0.0, ymax=0.5, xmax=0.5, class_name="dog"),) for boxes in found.values())
    assert stage.plan_stage(dataset, Access()) == plan
