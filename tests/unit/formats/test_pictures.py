"""Which names and URLs are those of one picture, or of copies of one."""

import pytest

from negset_jobs.formats.pictures import families, family, original, url_key

RF = "0123456789abcdef0123456789abcdef"

ORIGINALS = {
    "a file": ("a.jpg", "a.jpg"),
    "a copy by Roboflow": (f"a_jpg.rf.{RF}.jpg", "a.jpg"),
    "a copy by Roboflow in a folder": (f"train\\a-b_png.rf.{RF}.jpg", "train/a-b.png"),
    "a copy whose original had no ending": (f"a.rf.{RF}.jpg", "a"),
    "a name that only ends like one": ("a_jpg.jpg", "a_jpg.jpg"),
}


@pytest.mark.parametrize(("name", "expected"), ORIGINALS.values(), ids=ORIGINALS)
def test_the_original_of_a_file(name, expected):
    assert original(name) == expected


FAMILY = {
    "Roboflow": [f"a_jpg.rf.{RF}.jpg", f"a_jpg.rf.{RF[::-1]}.jpg", "a.jpg"],
    "another format": ["a.jpg", "a.png"],
    "augmented": ["x/a.jpg", "x/a_aug_1.jpg", "x/a-augmented.jpg", "x/a_aug12.png"],
    "turned and mirrored": ["a.jpg", "a_flip.jpg", "a_hflip.jpg", "a_rot90.jpg", "a_rotated_180.jpg", "a_hflip_rot90.jpg"],
    "resized": ["a.jpg", "a_resized.jpg", "a_640x480.jpg"],
    "copied by a file manager": ["a.jpg", "a (1).jpg", "a copy.jpg", "a - Copy (2).jpg"],
}


@pytest.mark.parametrize("names", FAMILY.values(), ids=FAMILY)
def test_copies_of_one_image_are_a_family(names):
    assert len(set(map(family, names))) == 1


@pytest.mark.parametrize("names", FAMILY.values(), ids=FAMILY)
def test_families_are_seen_among_many_names(names):
    found = families([*names, "other.jpg"])
    assert len(set(found)) == 2


SERIES = {
    "many crops": [f"street_crop_{number}.jpg" for number in range(900)],
    "files that Windows renamed together": [f"street ({number}).jpg" for number in range(1, 9)],
}


@pytest.mark.parametrize("names", SERIES.values(), ids=SERIES)
def test_a_series_of_images_is_no_family(names):
    assert len(set(families(names))) == len(names)


def test_names_without_families_stay_as_they_are():
    names = [f"{number:012}.jpg" for number in range(100)]
    assert families(names) is names


STRANGERS = {
    "frames of a video": ["frame_1.jpg", "frame_2.jpg"],
    "two folders": ["a/1.jpg", "b/1.jpg"],
    "names of nothing else": ["_flip.jpg", "_aug.jpg"],
    "numbers": ["000000000139.jpg", "000000000285.jpg"],
}


@pytest.mark.parametrize("names", STRANGERS.values(), ids=STRANGERS)
def test_other_images_are_not(names):
    assert len(set(map(family, names))) == len(names)


SAME_URL = {
    "http and https": ("http://h.test/a.jpg", "https://h.test/a.jpg"),
    "a user": ("https://u:p@h.test/a.jpg", "https://h.test/a.jpg"),
    "an encoded space": ("https://h.test/a%20b.jpg", "https://h.test/a b.jpg"),
    "a fragment": ("https://h.test/a.jpg#x", "https://h.test/a.jpg"),
    "another signature": ("https://h.test/a.jpg?Expires=1&Signature=a", "https://h.test/a.jpg?Expires=2&Signature=b"),
    "dots in the path": ("s3://b/x/../a.jpg", "s3://b/a.jpg"),
}


@pytest.mark.parametrize(("url", "other"), SAME_URL.values(), ids=SAME_URL)
def test_spellings_of_one_url(url, other):
    assert url_key(url) == url_key(other)


OTHER_URL = {
    "another query": ("https://h.test/view?id=1", "https://h.test/view?id=2"),
    "another case of the path": ("https://h.test/A.jpg", "https://h.test/a.jpg"),
    "another bucket": ("s3://b/a.jpg", "s3://c/a.jpg"),
}


@pytest.mark.parametrize(("url", "other"), OTHER_URL.values(), ids=OTHER_URL)
def test_other_urls(url, other):
    assert url_key(url) != url_key(other)
