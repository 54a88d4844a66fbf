"""One value in the spellings of exporters."""

import math

import pytest

from negset_jobs.formats import spelling

NUMBERS = {
    "a number": (7, 7),
    "text": ("30.0000", 30.0),
    "text with spaces": (" 1e2 ", 100.0),
    "a negative number": ("-3", -3.0),
    "empty text": ("", None),
    "text with a unit": ("640px", None),
    "no number": ("nan", None),
    "infinity": (math.inf, None),
    "a flag": (True, None),
    "nothing": (None, None),
    "a list": ([1], None),
    "a number of 5,000 digits": (10**5000, None),
    "other digits than those of JSON": ("٣", None),
}


@pytest.mark.parametrize(("value", "expected"), NUMBERS.values(), ids=NUMBERS)
def test_a_number_is_read_in_its_spellings(value, expected):
    assert spelling.number(value) == expected


IDS = {
    "a number": (7, 7),
    "a number as text": ("7", 7),
    "a number with a point": (7.0, 7),
    "a number with a point as text": ("7.0", 7),
    "zero": ("0", 0),
    "leading zeros stay text": ("007", "007"),
    "text": ("seq0001_d", "seq0001_d"),
    "a digest": ("12345678901234567890abcdef", "12345678901234567890abcdef"),
    "beyond 64 bits": (2**64, str(2**64)),
    "beyond 64 bits as text": (str(2**64), str(2**64)),
    "half a number": (1.5, None),
    "no number": (math.nan, None),
    "a flag": (True, None),
    "blank": (" ", None),
    "nothing": (None, None),
}


@pytest.mark.parametrize(("value", "expected"), IDS.values(), ids=IDS)
def test_an_id_is_the_same_in_its_spellings(value, expected):
    found = spelling.identifier(value)
    assert (found, type(found)) == (expected, type(expected))


FLAGS = {1: True, 0.0: False, "0": False, "1": True, "true": True, "False": False, None: None, "": None, "maybe": None}


@pytest.mark.parametrize(("value", "expected"), FLAGS.items())
def test_a_flag_is_read_in_its_spellings(value, expected):
    assert spelling.flag(value) is expected


FILES = {
    "http://images.cocodataset.org/train2017/000000391895.jpg": "000000391895.jpg",
    "https://example.org/a%20b.jpg?sig=x/y": "a b.jpg",
    "s3://bucket/key.png": "key.png",
    "https://example.org/": "",
    "http://[bad/1.jpg": "",
    "": "",
}


@pytest.mark.parametrize(("url", "name"), FILES.items())
def test_a_file_is_named_by_the_last_part_of_its_url(url, name):
    assert spelling.file_name_of(url) == name
