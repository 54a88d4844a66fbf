"""What follows from copies among the positives."""

import pytest

from negset_api.values import Box, PlannedImage
from negset_jobs.positives.copies import FoundCopies, with_copies, without_copies

ALONE = {key: key for key in "abcde"}

JOINED = {
    "none": (FoundCopies(), ["a", "b", "c", "d", "e"]),
    "two with the same bytes": (FoundCopies(exact=(("a", "c"),)), ["ac", "b", "d", "e"]),
    "two that look the same": (FoundCopies(near=(("d", "e"),)), ["a", "b", "c", "de"]),
    "a chain of copies": (FoundCopies(exact=(("a", "b"),), near=(("b", "c"), ("c", "e"))), ["abce", "d"]),
    "copies of which one is not there": (FoundCopies(near=(("a", "x"), ("x", "y"))), ["a", "b", "c", "d", "e"]),
}


@pytest.mark.parametrize(("found", "expected"), JOINED.values(), ids=JOINED)
def test_copies_are_one_family(found, expected):
    families = with_copies(ALONE, found)
    assert sorted("".join(key for key in families if families[key] == family) for family in set(families.values())) == expected


def test_families_by_name_stay_joined():
    families = with_copies({"a": "x", "b": "x", "c": "c", "d": "d"}, FoundCopies(near=(("b", "c"),)))
    assert families["a"] == families["b"] == families["c"] != families["d"]


def image(number, *names):
    boxes = tuple(Box(ymin=0.1 * index, xmin=0, ymax=1, xmax=1, class_name=name) for index, name in enumerate(names))
    return PlannedImage(image_id=number, url=f"http://h.test/{number}.jpg", file_name=f"{number}.jpg", objects=boxes)


def test_images_with_the_same_bytes_are_one_with_the_objects_of_all():
    found = without_copies([image(1, "person"), image(2, "car"), image(3, "person", "car")], FoundCopies(exact=(("1", "3"),)))
    assert [(each.image_id, [box.class_name for box in each.objects]) for each in found] == [(1, ["person", "car"]), (2, ["car"])]


def test_frames_of_a_video_are_split_all_the_same_and_exact_copies_stay_together(caplog):
    frames = {str(number): str(number) for number in range(4)}
    found = with_copies(frames, FoundCopies(exact=(("0", "3"),), near=(("0", "1"), ("1", "2"))))
    assert found["0"] == found["3"]
    assert len(set(found.values())) == 3
    assert "look like each other" in caplog.text
