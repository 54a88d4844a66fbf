from __future__ import annotations

import io
import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from negset_jobs.formats.json_arrays import read_arrays
from negset_jobs.formats.json_reading import Reading
from negset_jobs.formats.json_window import BrokenJson, WrongShape

BLOCK = 32  # far smaller than an element, so that every element crosses the edge of a block


class Item(msgspec.Struct):
    id: int


def arrays(text: bytes, *, kinds=None, block: int = BLOCK) -> dict[str, list]:
    found: dict[str, list] = {}
    for key, items in read_arrays(io.BytesIO(text), {key: Reading(kind) for key, kind in (kinds or {"items": Item}).items()}, block=block):
        found.setdefault(key, []).extend(items)
    return found


# Text that misleads a search for braces, brackets, quotes and commas without parsing.
misleading = st.text(alphabet='{}[],":\\ \nab\u00e9\U0001f600', max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | misleading,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(misleading, inner, max_size=4),
    max_leaves=4,
)
items = st.lists(
    st.builds(lambda number, extra: {**extra, "id": number}, st.integers(-(2**70), 2**70), st.dictionaries(misleading, values, max_size=4)),
    max_size=8,
)
documents = st.tuples(st.dictionaries(misleading, values, max_size=4), items, st.dictionaries(misleading, values, max_size=3)).map(
    lambda parts: {**parts[0], "items": parts[1], **parts[2]}
)
styles = st.sampled_from(
    [{}, {"indent": 1}, {"indent": "\t\r\n"}, {"separators": (",", ":")}, {"separators": (" , ", " : ")}, {"ensure_ascii": False}]
)


@settings(max_examples=100, deadline=None)
@given(document=documents, style=styles, block=st.integers(1, 200))
def test_the_elements_are_those_that_the_standard_library_reads(document, style, block):
    text = json.dumps(document, **style).encode("utf-8", "surrogatepass")
    assert [item.id for item in arrays(text, block=block)["items"]] == [item["id"] for item in json.loads(text)["items"]]


@settings(max_examples=100, deadline=None)
@given(document=documents, block=st.integers(1, 200), data=st.data())
def test_a_file_cut_short_anywhere_is_broken(document, block, data):
    text = json.dumps(document).encode()
    cut = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(BrokenJson):
        arrays(text[:cut], block=block)


@settings(max_examples=100, deadline=None)
@given(document=documents, block=st.integers(1, 200), data=st.data())
def test_a_file_with_one_wrong_character_is_read_or_refused_but_never_misread(document, block, data):
    text = bytearray(json.dumps(document).encode())
    text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.sampled_from(b'{}[],":x0 '))
    try:
        found = arrays(bytes(text), block=block)
    except (BrokenJson, WrongShape):
        return
    # The standard library accepts the same texts, except for keys that occur twice.
    assert [item.id for item in found.get("items", [])] == [item["id"] for item in json.loads(text).get("items", [])]


def test_a_block_far_larger_than_the_file_gives_the_same():
    text = json.dumps({"items": [{"id": number, "x": [{"a": 1}, {"b": "},{"}]} for number in range(100)]}).encode()
    assert arrays(text, block=1 << 20) == arrays(text)


def test_elements_come_in_runs_and_are_not_held_back():
    text = json.dumps({"items": [{"id": number} for number in range(10_000)]}).encode()
    runs = [len(run) for _, run in read_arrays(io.BytesIO(text), {"items": Reading(Item)}, block=1000)]
    assert sum(runs) == 10_000
    assert max(runs) < 200


def test_an_empty_array_is_seen():
    assert arrays(b'{"items": [ ], "other": 1}') == {"items": []}


def test_several_arrays_come_in_any_order_with_their_own_types():
    class Named(msgspec.Struct):
        name: str

    text = b'\xef\xbb\xbf {"names": [{"name": "a"}], "x": {"y": [1]}, "items": [{"id": 1}]} \n'
    assert arrays(text, kinds={"items": Item, "names": Named}) == {"names": [Named("a")], "items": [Item(1)]}


BROKEN = {
    "an empty file": (b"", 0),
    "only white space": (b"  \n", 0),
    "a web page": (b"<html>", None),
    "a comma too many at the end of an array": (b'{"items": [{"id": 1}, ]}', 22),
    "a comma too many at the end of the object": (b'{"items": [{"id": 1}],}', 22),
    "a missing comma": (b'{"items": [{"id": 1} {"id": 2}]}', 21),
    "a missing colon": (b'{"items" [{"id": 1}]}', 9),
    "a key without quotes": (b"{items: []}", 1),
    "brackets that do not match": (b'{"items": [{"id": 1]}', 19),
    "text after the end": (b'{"items": []} x', 14),
    "rubbish in an object that nobody asked for": (b'{"info": {"a": x}, "items": []}', 15),
    "a file that ends within a string": (b'{"items": [{"id": 1, "name": "ab', 32),
}


@pytest.mark.parametrize(("text", "offset"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_text_is_refused_with_the_byte_where_it_shows(text, offset):
    with pytest.raises((BrokenJson, WrongShape)) as caught:
        arrays(text)
    if offset is not None:
        assert isinstance(caught.value, BrokenJson)
        assert caught.value.offset == offset


def test_the_offset_counts_from_the_start_of_the_file_not_of_the_block():
    text = b'{"items": [' + b'{"id": 1}, ' * 1000 + b'{"id": }]}'
    with pytest.raises(BrokenJson) as caught:
        arrays(text)
    assert caught.value.offset == text.index(b'{"id": }') + len(b'{"id": ')


SHAPES = {
    "an array at the top": (b'[{"items": []}]', "expected a JSON object at the top, found an array"),
    "a string at the top": (b'"items"', "expected a JSON object at the top, found a string"),
    "an object in place of the array": (b'{"items": {"id": 1}}', "items: expected an array, found an object"),
    "null in place of the array": (b'{"items": null}', "items: expected an array, found null"),
    "the array twice": (b'{"items": [], "items": []}', "expected one key 'items' at the top, found a second one"),
    "an element of another type": (b'{"items": [{"id": 1}, {"id": 2}, 3]}', "items[2]: expected `object`, got `int`"),
    "a field of another type": (b'{"items": [{"id": 1}, {"id": "2"}]}', "items[1].id: expected `int`, got `str`"),
    "a field that is missing": (b'{"items": [{"id": 1}, {"ID": 2}]}', "items[1]: object missing required field `id`"),
}


@pytest.mark.parametrize(("text", "message"), SHAPES.values(), ids=SHAPES.keys())
def test_another_shape_is_refused_with_its_place(text, message):
    with pytest.raises(WrongShape) as caught:
        arrays(text, block=1)
    assert str(caught.value) == message


def test_the_index_of_a_wrong_element_counts_from_the_start_of_the_array():
    text = json.dumps({"items": [{"id": number} for number in range(1000)] + [{"id": None}]}).encode()
    with pytest.raises(WrongShape, match=r"^items\[1000\]\.id: expected `int`, got `null`$"):
        arrays(text)


def test_what_json_dump_writes_by_default_is_read():
    document = {
        "score": float("nan"),
        "items": [{"id": 1, "area": float("nan")}, {"id": 2, "area": [float("inf"), -float("inf")], "name": "NaN, Infinity\\"}],
    }
    assert arrays(json.dumps(document).encode()) == {"items": [Item(1), Item(2)]}


def test_text_that_only_looks_like_no_number_stays():
    class Named(msgspec.Struct):
        name: str

    names = ["NaN", 'say "Infinity", then {"a": NaN}', "\\ud83d", "\U0001f600"]
    text = json.dumps({"x": float("nan"), "items": [{"area": float("nan"), "name": name} for name in names]}).encode()
    for block in (16, 64, 4096):
        assert [item.name for item in arrays(text, kinds={"items": Named}, block=block)["items"]] == names


@pytest.mark.parametrize("word", ["NaN", "-NaN", "nan", "-nan", "Infinity", "-Infinity", "inf", "-inf", "infinity"])
def test_a_word_for_no_number_is_read_and_words_of_json_stay(word):
    text = b'{"info": null, "items": [{"area": %b, "x": [null, false, true], "id": 1}]}' % word.encode()
    assert arrays(text) == {"items": [Item(1)]}


def test_numbers_that_are_too_large_and_null_entries_are_passed_over():
    class Written(msgspec.Struct):
        id: object = None

    kinds = {"items": Reading(Item, Written)}
    text = b'{"items": [{"id": 1e999}, null, {"id": 1}]}'
    assert [item.id for _, part in read_arrays(io.BytesIO(text), kinds) for item in part] == [float("inf"), 1]


def test_half_of_a_surrogate_pair_does_not_stop_the_file():
    class Named(msgspec.Struct):
        name: str

    text = json.dumps({"items": [{"name": "a\ud83d"}, {"name": "\U0001f600"}]}).encode()
    assert [item.name for item in arrays(text, kinds={"items": Named})["items"]] == ["a\ufffd", "\U0001f600"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_document_in_another_unicode_encoding_is_read(encoding):
    class Named(msgspec.Struct):
        name: str

    text = json.dumps({"items": [{"name": "Köln"}] * 200}, ensure_ascii=False).encode(encoding)
    assert arrays(text, kinds={"items": Named}, block=64) == {"items": [Named("Köln")] * 200}


def test_only_the_parts_that_need_it_are_decoded_the_tolerant_way():
    class Written(msgspec.Struct):
        id: object = None

    text = b'{"items": [' + b", ".join(b'{"id": %d}' % number for number in range(50)) + b', {"id": "50"}]}'
    found = [item for _, part in read_arrays(io.BytesIO(text), {"items": Reading(Item, Written)}, block=100) for item in part]
    assert [item.id for item in found] == [*range(50), "50"]
    assert isinstance(found[0], Item)
    assert isinstance(found[-1], Written)


def test_an_optional_array_may_be_something_else():
    text = b'{"more": null, "items": [{"id": 1}]}'
    kinds = {"items": Reading(Item), "more": Reading(Item, optional=True)}
    assert list(read_arrays(io.BytesIO(text), kinds)) == [("items", [Item(1)])]
