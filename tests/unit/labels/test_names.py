"""File names in label datasets."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from negset_api.values import PlannedImage
from negset_jobs.labels import labelled
from negset_jobs.labels.labelled import unique_stems


def stems(*file_names):
    return unique_stems(PlannedImage(image_id=number, url="", file_name=name) for number, name in enumerate(file_names))


NAMES = {
    "a plain name loses its extension": (["000000000790.jpg"], ["000000000790"]),
    "folders become part of the name": (["train2017/000000000790.jpg"], ["train2017_000000000790"]),
    "a dot in a folder is no extension": (["v1.0/a"], ["v1.0_a"]),
    "only the last extension goes": (["a.b.jpg"], ["a.b"]),
    "a name cannot lead out of the folder": (["../../etc/passwd"], ["etc_passwd"]),
    "a hidden file is not hidden": ([".jpg"], ["image"]),
    "spaces and other letters are replaced": (["my häuser 1.jpg"], ["my_h_user_1"]),
    "an empty name is a name": ([""], ["image"]),
    "a long name is cut": (["x" * 300 + ".jpg"], ["x" * 200]),
    "two images of one name are told apart": (["a/1.jpg", "a_1.png", "a 1.gif"], ["a_1", "a_1_2", "a_1_3"]),
    "also where only their case differs": (["IMG.jpg", "img.jpg"], ["IMG", "img_2"]),
    "also where the number is taken": (["a_2.jpg", "a.jpg", "a.png"], ["a_2", "a", "a_3"]),
}


@pytest.mark.parametrize(("file_names", "expected"), NAMES.values(), ids=NAMES)
def test_names(file_names, expected):
    assert stems(*file_names) == expected


FILE_NAMES = st.lists(st.text(alphabet="aA1._/ é\\\n", max_size=6))
SAFE = set(string.ascii_letters + string.digits + "._-")


@given(FILE_NAMES)
def test_names_are_unique_in_any_case_and_safe_everywhere(file_names):
    found = stems(*file_names)
    assert len({stem.lower() for stem in found}) == len(file_names)
    assert all(stem and set(stem) <= SAFE and not stem.startswith(".") for stem in found)


@given(FILE_NAMES, FILE_NAMES)
def test_a_larger_dataset_keeps_the_names_of_the_smaller_one(file_names, more):
    assert stems(*file_names, *more)[: len(file_names)] == stems(*file_names)


def test_names_in_other_alphabets_take_one_step_each(monkeypatch):
    steps = 0

    class Counting(set):
        def __contains__(self, name):
            nonlocal steps
            steps += 1
            return super().__contains__(name)

    monkeypatch.setattr(labelled, "set", Counting, raising=False)
    found = stems(*("日本.jpg" for _ in range(2000)))
    assert found[:2] == ["image", "image_2"]
    assert found[-1] == "image_2000"
    assert steps < 3 * 2000
