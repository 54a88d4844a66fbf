"""The measures, against cases worked out by hand."""

import pytest

from negset_api.values import Box, Detection, ScoredImage
from negset_jobs.training.measuring import (
    Truth,
    average_precision,
    corners,
    false_positives_per_image,
    iou,
    matched_scores,
    measure,
    threshold_at_recall,
)

A = (0.0, 0.0, 0.4, 0.4)
B = (0.5, 0.5, 0.9, 0.9)
NEAR_A = (0.0, 0.0, 0.4, 0.3)  # overlaps A by 0.75
FAR = (0.0, 0.3, 0.4, 0.7)  # overlaps A by 1/7


def box(at, name="disc", **flags):
    return Box(ymin=at[0], xmin=at[1], ymax=at[2], xmax=at[3], class_name=name, **flags)


def found(at, score, name="disc"):
    return Detection(ymin=at[0], xmin=at[1], ymax=at[2], xmax=at[3], score=score, class_name=name)


def truth(*objects):
    return Truth(image_id="a", width=100, height=100, objects=objects)


def image(*detections):
    return ScoredImage(image_id="a", detections=detections)


@pytest.mark.parametrize(
    ("objects", "detections", "scores"),
    [
        pytest.param([box(A)], [found(A, 0.9)], [0.9], id="a detection on the object finds it"),
        pytest.param([box(A)], [found(NEAR_A, 0.9)], [0.9], id="an overlap of three quarters is enough"),
        pytest.param([box(A)], [found(FAR, 0.9)], [], id="an overlap of a seventh is not"),
        pytest.param([box(A)], [found(A, 0.9), found(A, 0.8)], [0.9], id="an object is found once"),
        pytest.param([box(A)], [found(A, 0.7), found(NEAR_A, 0.9)], [0.9], id="the better score chooses first, although it overlaps less"),
        pytest.param([box(A), box(B)], [found(B, 0.6), found(A, 0.4)], [0.6, 0.4], id="each object is found by its own detection"),
        pytest.param([box(A)], [found(A, 0.9, "ring")], [], id="another class does not find it"),
        pytest.param(
            [box(A), box(A, "ring")],
            [found(A, 0.9, "ring"), found(A, 0.8)],
            [0.9, 0.8],
            id="two classes in one place are found by their own",
        ),
        pytest.param([box(A, crowd=True)], [found(A, 0.9)], [], id="a crowd region is not there to be found"),
        pytest.param(
            [box(A, difficult=True), box(B)], [found(A, 0.9), found(B, 0.3)], [0.3], id="a difficult object is not there to be found"
        ),
        pytest.param([], [found(A, 0.9)], [], id="an image without objects has nothing to find"),
        pytest.param([box(A)], [], [], id="no detection finds nothing"),
    ],
)
def test_matching(objects, detections, scores):
    assert matched_scores(truth(*objects), image(*detections)) == scores


@pytest.mark.parametrize(
    ("scores", "objects", "recall", "expected"),
    [
        pytest.param([0.9, 0.8, 0.7, 0.6, 0.5], 5, 0.8, (0.6, 0.8), id="four of five objects are found down to the fourth score"),
        pytest.param([0.9, 0.8, 0.7, 0.6, 0.5], 5, 0.81, (0.5, 1.0), id="a little more than four of five takes all five"),
        pytest.param([0.9, 0.6, 0.6, 0.6], 4, 0.5, (0.6, 1.0), id="equal scores are found together"),
        pytest.param([0.5, 0.9], 10, 0.8, (0.5, 0.2), id="out of reach, the best recall there is"),
        pytest.param([0.9, 0.8], 2, 0.01, (0.9, 0.5), id="a tiny recall takes the best score"),
        pytest.param([], 5, 0.8, (0.0, 0.0), id="nothing found counts every detection on a negative"),
        pytest.param([], 0, 0.8, (0.0, 0.0), id="no objects, no recall"),
    ],
)
def test_the_threshold_at_a_recall(scores, objects, recall, expected):
    assert threshold_at_recall(scores, objects, recall) == expected


@pytest.mark.parametrize(
    ("negatives", "threshold", "expected"),
    [
        pytest.param(
            [image(found(A, 0.9), found(B, 0.5)), image()], 0.5, 1.0, id="two detections on two images, one of them at the threshold"
        ),
        pytest.param([image(found(A, 0.9), found(B, 0.5)), image()], 0.51, 0.5, id="below the threshold does not count"),
        pytest.param([image(), image()], 0.0, 0.0, id="no detection is no false positive"),
        pytest.param([], 0.5, 0.0, id="no images"),
    ],
)
def test_false_positives_per_image(negatives, threshold, expected):
    assert false_positives_per_image(negatives, threshold) == expected


def test_overlap_of_boxes():
    values = iou(corners([box(A), box(B)]), corners([box(A), box(NEAR_A), box((0.2, 0.2, 0.2, 0.2))]))
    assert values[0].tolist() == pytest.approx([1.0, 0.75, 0.0])
    assert values[1].tolist() == pytest.approx([0.0, 0.0, 0.0])


def test_average_precision_of_a_perfect_model_is_one():
    assert average_precision([truth(box(A), box(B))], [image(found(A, 0.9), found(B, 0.8))]) == pytest.approx((1.0, 1.0))


def test_average_precision_counts_a_false_detection_that_scores_higher():
    # One object, found by the second best detection: precision 1/2 at every recall.
    precision, precision_50 = average_precision([truth(box(A))], [image(found(B, 0.9), found(A, 0.8))])
    assert (precision, precision_50) == pytest.approx((0.5, 0.5))


def test_average_precision_over_the_overlaps():
    # An overlap of 0.75 is a match at 0.50, 0.55, …, 0.75: six of ten.
    precision, precision_50 = average_precision([truth(box(A))], [image(found(NEAR_A, 0.9))])
    assert (precision, precision_50) == pytest.approx((0.6, 1.0))


def test_average_precision_ignores_crowds_and_difficult_objects():
    truths = [truth(box(A), box(B, crowd=True))]
    assert average_precision(truths, [image(found(B, 0.9), found(A, 0.8))]) == pytest.approx((1.0, 1.0))
    truths = [truth(box(A), box(B, difficult=True))]
    assert average_precision(truths, [image(found(B, 0.9), found(A, 0.8))]) == pytest.approx((1.0, 1.0))


def test_average_precision_where_there_is_nothing_to_measure(capsys):
    assert average_precision([truth(box(A))], [image()]) == (0.0, 0.0)
    assert average_precision([truth()], [image(found(A, 0.9))]) == (0.0, 0.0)
    assert average_precision([], []) == (0.0, 0.0)
    assert average_precision([truth(box(A))], [image(found(A, 0.9))])[1] == pytest.approx(1.0)
    assert capsys.readouterr().out == "", "pycocotools is kept quiet"


def test_a_whole_measurement():
    truths = [truth(box(A)), truth(box(B)), truth(box(A), box(B, difficult=True))]
    positives = [image(found(A, 0.9)), image(found(B, 0.6)), image(found(B, 0.5))]
    negatives = [image(found(A, 0.7), found(B, 0.6)), image(found(A, 0.1)), image(), image()]
    value = measure(truths, positives, negatives, recall=0.6)
    assert (value.threshold, value.recall, value.wanted_recall) == (0.6, pytest.approx(2 / 3), 0.6)
    assert value.false_positives_per_image == 0.5
    assert (value.positives, value.negatives, value.objects) == (3, 4, 3)


def test_a_model_that_finds_nothing_is_not_praised_for_its_silence():
    value = measure([truth(box(A))], [image()], [image(found(A, 0.01))], recall=0.8)
    assert (value.recall, value.threshold, value.false_positives_per_image) == (0.0, 0.0, 1.0)
