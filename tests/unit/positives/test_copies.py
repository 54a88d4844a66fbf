"""What follows from copies among the positives."""

import pytest

from negset_api.values import Box, ImageResult, Outcome, PlannedImage, ShardResult
from negset_jobs.positives.copies import FoundCopies, stored_digest, was_searched, with_copies, without_copies

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


def results(stored):
    """Return the shard with these images, by id, with the bytes that the letter stands for."""
    ended = tuple(
        ImageResult(image_id=number, outcome=Outcome.STORED if sha256 else Outcome.TIMEOUT, input_digest="", sha256=sha256)
        for number, sha256 in stored.items()
    )
    return [ShardResult(name="train", split="train", input_digest="", file="f", sha256="", bytes=1, results=ended)]


BEFORE = {1: "a", 2: "b", 3: ""}

SEARCHED = {
    "the images that were compared": (BEFORE, (), True),
    "another image": ({**BEFORE, 3: "c"}, (), False),
    "an image with the bytes of one that was compared": ({**BEFORE, 3: "a"}, (), False),
    "such an image, and the copies are known": ({**BEFORE, 3: "a"}, (("1", "3"),), True),
    "such an image, and other copies are known": ({**BEFORE, 3: "a"}, (("1", "2"),), False),
    "fewer, since an image has the objects of its copy": ({1: "a", 2: "b"}, (("1", "3"),), True),
}


@pytest.mark.parametrize(("stored", "exact", "expected"), SEARCHED.values(), ids=SEARCHED)
def test_the_copies_are_known_among(stored, exact, expected):
    known = FoundCopies(exact=exact, searched=stored_digest(results(BEFORE)))
    assert was_searched(results(stored), known) is expected
