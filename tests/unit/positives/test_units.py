"""Boxes in another unit or order are found for the whole source, and right ones never are."""

import random

import pytest

from negset_jobs.positives.units import Layout, Reading, Unit, misread

COCO = Reading(Layout.XYWH, Unit.PIXELS)
VOC = Reading(Layout.XYXY, Unit.PIXELS)
YOLO = Reading(Layout.CENTRE, Unit.FRACTIONS)
RECORDS = Reading(Layout.YXYX, Unit.FRACTIONS)
SCALES = {Unit.FRACTIONS: 1, Unit.PERCENT: 100, Unit.THOUSANDTHS: 1000}


def corners(count, seed):
    """Boxes of a tenth to a third of the image, anywhere: xmin, ymin, xmax, ymax as fractions."""
    draw = random.Random(seed)
    for _ in range(count):
        width, height = draw.uniform(0.1, 0.33), draw.uniform(0.1, 0.33)
        xmin, ymin = draw.uniform(0, 1 - width), draw.uniform(0, 1 - height)
        yield xmin, ymin, xmin + width, ymin + height


def written(reading, size, count=24, seed=0):
    """The boxes as a tool writes them."""
    width, height = size if reading.unit is Unit.PIXELS else (SCALES[reading.unit],) * 2
    for xmin, ymin, xmax, ymax in corners(count, seed):
        left, top, right, bottom = xmin * width, ymin * height, xmax * width, ymax * height
        yield {
            Layout.XYXY: (left, top, right, bottom),
            Layout.YXYX: (top, left, bottom, right),
            Layout.XYWH: (left, top, right - left, bottom - top),
            Layout.CENTRE: ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top),
        }[reading.layout]


def found(given, declared, size=(640, 480), count=24, known=True):
    return misread(list(written(given, size, count)), [size if known else (0, 0)] * count, declared)


MISTAKES = {
    "COCO in fractions": (Reading(Layout.XYWH, Unit.FRACTIONS), COCO, "look like fractions"),
    "COCO with corners in fractions": (Reading(Layout.XYXY, Unit.FRACTIONS), COCO, "look like fractions"),
    "COCO with two corners": (VOC, COCO, "fit it as [xmin, ymin, xmax, ymax] in pixels"),
    "COCO with centres": (Reading(Layout.CENTRE, Unit.PIXELS), COCO, "fit it as [x centre, y centre, width, height] in pixels"),
    "COCO in percents": (Reading(Layout.XYWH, Unit.PERCENT), COCO, "look like [x, y, width, height] in percents"),
    "COCO in thousandths": (Reading(Layout.XYWH, Unit.THOUSANDTHS), COCO, "fit it as [x, y, width, height] in thousandths"),
    "VOC in fractions": (Reading(Layout.XYXY, Unit.FRACTIONS), VOC, "look like fractions"),
    "VOC with a size": (COCO, VOC, "fit it as [x, y, width, height] in pixels"),
    "VOC in percents": (Reading(Layout.XYXY, Unit.PERCENT), VOC, "look like [xmin, ymin, xmax, ymax] in percents"),
    "YOLO with two corners": (Reading(Layout.XYXY, Unit.FRACTIONS), YOLO, "fit it as [xmin, ymin, xmax, ymax] in fractions"),
    "YOLO in percents": (Reading(Layout.CENTRE, Unit.PERCENT), YOLO, "fit"),
    "records in pixels": (Reading(Layout.YXYX, Unit.PIXELS), RECORDS, "fit it as [ymin, xmin, ymax, xmax] in pixels"),
    "records in percents": (Reading(Layout.YXYX, Unit.PERCENT), RECORDS, "fit"),
    "records in thousandths": (Reading(Layout.YXYX, Unit.THOUSANDTHS), RECORDS, "in thousandths"),
}


@pytest.mark.parametrize(("given", "declared", "said"), MISTAKES.values(), ids=MISTAKES)
def test_boxes_of_a_wrong_converter_are_named_with_their_unit_and_number(given, declared, said):
    text = found(given, declared)
    assert said in text
    assert " of 24 boxes " in text
    assert text.endswith(f"expected {declared}")


@pytest.mark.parametrize("side", [3000, 4000])
def test_thousandths_of_large_images_are_found_although_they_fit(side):
    assert "look like [x, y, width, height] in thousandths" in found(Reading(Layout.XYWH, Unit.THOUSANDTHS), COCO, (side, side))


def test_pixels_of_yolo_need_no_size_of_the_image():
    assert "if they are not pixels" in found(Reading(Layout.CENTRE, Unit.PIXELS), YOLO, known=False)
    assert "pixels" not in found(Reading(Layout.XYXY, Unit.FRACTIONS), YOLO, known=False)


def test_boxes_of_an_original_that_was_larger_are_named_with_the_largest_number():
    boxes = list(written(COCO, (1920, 1440)))
    assert "another size" in misread(boxes, [(640, 480)] * len(boxes), COCO)


@pytest.mark.parametrize("declared", [COCO, VOC, YOLO, RECORDS], ids=["COCO", "VOC", "YOLO", "records"])
def test_right_boxes_are_never_taken_for_another_unit(declared):
    draw = random.Random(1)
    for seed in range(1000):
        size, count = (draw.randint(32, 4000), draw.randint(32, 4000)), draw.randint(1, 60)
        assert misread(list(written(declared, size, count, seed)), [size] * count, declared) is None, (seed, size, count)


FEW = {
    "boxes that overhang by some pixels": [(600, 400, 50, 90)] * 20,
    "a few boxes in fractions": [(0.1, 0.2, 0.3, 0.4)] * 4 + [(100, 100, 200, 200)] * 16,
    "a few boxes far outside": [(900, 900, 50, 90)] * 3 + [(100, 100, 200, 200)] * 17,
    "a few small objects in one corner": [(10, 10, 20, 20), (70, 80, 20, 15)] * 3,
    "whole images": [(0, 0, 640, 480)] * 20,
    "empty boxes": [(0, 0, 0, 0)] * 20,
    "nothing": [],
    "no numbers": [(float("nan"),) * 4] * 5,
}


@pytest.mark.parametrize("boxes", FEW.values(), ids=FEW)
def test_slips_and_odd_but_right_boxes_are_left_to_the_single_box(boxes):
    assert misread(boxes, [(640, 480)] * len(boxes), COCO) is None
