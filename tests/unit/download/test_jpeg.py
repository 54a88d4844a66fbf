"""The structure of a JPEG: what libjpeg refuses is refused, and what it takes is taken."""

import pytest
from tests.image_server import jpeg

from negset_api.values import Outcome
from negset_jobs.download.failure import Failed
from negset_jobs.download.jpeg import MOST_SCANS, inspect

SIZE = (40, 30)
GREY = jpeg(1, size=SIZE, mode="L")
COLOUR = jpeg(1, size=SIZE)
PROGRESSIVE = jpeg(1, size=SIZE, progressive=True)
RESTARTS = jpeg(1, size=SIZE, restart_marker_blocks=1)
SOF, DHT, EOI, SOS, DQT, DRI = 0xC0, 0xC4, 0xD9, 0xDA, 0xDB, 0xDD


def segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2) + content


def segments(data: bytes, wanted: int) -> list[tuple[int, int]]:
    """Return the places of the segments before the first image data, with that marker."""
    found, at, marker = [], 2, 0
    while marker != SOS:
        marker, end = data[at + 1], at + 2 + int.from_bytes(data[at + 2 : at + 4])
        if marker == wanted:
            found.append((at, end))
        at = end
    return found


def without(data: bytes, marker: int, index: int = 0) -> bytes:
    start, end = segments(data, marker)[index]
    return data[:start] + data[end:]


def changed(data: bytes, marker: int, offset: int, value: int) -> bytes:
    """Return the JPEG with another byte in the content of its first such segment."""
    at = segments(data, marker)[0][0] + 4 + offset
    return data[:at] + bytes((value,)) + data[at + 1 :]


def before(data: bytes, marker: int, inserted: bytes) -> bytes:
    at = segments(data, marker)[0][0]
    return data[:at] + inserted + data[at:]


def at_end(data: bytes, inserted: bytes) -> bytes:
    assert data.endswith(b"\xff\xd9")
    return data[:-2] + inserted + data[-2:]


def scan_of(data: bytes) -> bytes:
    """Return the first scan with its data."""
    start = segments(data, SOS)[0][0]
    return data[start:-2]


REFUSED = {
    "no quantisation table": (without(COLOUR, DQT), "without a quantisation table"),
    "a frame that refers to a quantisation table that is not there": (changed(GREY, SOF, 8, 3), "without a quantisation table"),
    "a quantisation table that is too short": (before(GREY, SOF, segment(DQT, bytes(50))), "wrong length"),
    "a quantisation table with the number 4": (before(GREY, SOF, segment(DQT, b"\x04" + bytes(64))), "number that does not exist"),
    "a progressive JPEG without its Huffman tables": (without(PROGRESSIVE, DHT), "no usable Huffman table"),
    "a scan that refers to a Huffman table that is not there": (changed(GREY, SOS, 2, 0x33), "no usable Huffman table"),
    "a Huffman table with impossible codes": (changed(GREY, DHT, 1, 3), "Huffman"),
    "a Huffman table that is longer than its segment": (changed(GREY, DHT, 16, 200), "Huffman table has a wrong length"),
    "a Huffman table with the number 4": (changed(GREY, DHT, 0, 4), "number that does not exist"),
    "a DC table with a symbol above 15": (changed(GREY, DHT, 17, 200), "no usable Huffman table"),
    "a scan of a component that is not in the frame": (changed(GREY, SOS, 1, 9), "component that does not exist"),
    "a scan of no component": (changed(GREY, SOS, 0, 0), "scan header has a wrong length"),
    "two frames": (before(GREY, SOS, GREY[slice(*segments(GREY, SOF)[0])]), "two frame headers"),
    "a frame of another length": (changed(GREY, SOF, 5, 3), "frame header has a wrong length"),
    "sampling factors of zero": (changed(GREY, SOF, 7, 0x10), "sampling factors do not exist"),
    "sampling factors of 3 and 2": (changed(changed(COLOUR, SOF, 7, 0x31), SOF, 10, 0x21), "fractions of each other"),
    "more blocks than a unit may have": (changed(changed(COLOUR, SOF, 7, 0x44), SOF, 10, 0x11), "too many blocks"),
    "a side beyond libjpeg's limit": (changed(changed(GREY, SOF, 3, 0xFF), SOF, 4, 0xFF), "more than 65500 pixels"),
    "a restart interval of another length": (before(GREY, SOS, segment(DRI, b"\0\0\1")), "restart interval"),
    "a table of no length": (before(GREY, SOS, b"\xff\xc4\0\0"), "no length"),
    "a marker that does not exist before the data": (before(GREY, SOS, b"\xff\x4e\0\2"), "unknown marker"),
    "a marker that does not exist in the data": (at_end(GREY, b"\xff\x4e"), "unknown marker"),
    "a marker of another kind of JPEG in the data": (at_end(COLOUR, b"\xff\xf7\0\2"), "unknown marker"),
    "another image in the data": (at_end(GREY, b"\xff\xd8"), "begins again"),
    "two scans where the first has everything": (at_end(COLOUR, scan_of(COLOUR)), "another scan after its last"),
    "a progressive scan of no coefficients": (at_end(PROGRESSIVE, segment(SOS, b"\1\1\0\x09\5\0")), "impossible progressive scan"),
    "a progressive scan that refines by two bits": (at_end(PROGRESSIVE, segment(SOS, b"\1\1\0\1\5\x31")), "impossible progressive scan"),
    "more scans than any encoder writes": (
        at_end(PROGRESSIVE, segment(SOS, b"\1\1\0\1\5\0") * MOST_SCANS),
        "more scans than any encoder writes",
    ),
    "an arithmetic table that is impossible": (before(GREY, SOS, segment(0xCC, b"\0\x01")), "arithmetic tables are impossible"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_libjpeg_refuses_is_undecodable(name):
    data, detail = REFUSED[name]
    with pytest.raises(Failed, match=detail) as raised:
        inspect(data)
    assert raised.value.outcome is Outcome.UNDECODABLE


TAKEN = {
    "damaged data": GREY[:-30] + bytes(28) + GREY[-2:],
    "no data at all": GREY[: segments(GREY, SOS)[0][1]] + b"\xff\xd9",
    "restart markers": RESTARTS,
    "restart markers out of order": RESTARTS.replace(b"\xff\xd1", b"\xff\xd5"),
    "restart markers where none are expected": at_end(GREY, b"\xff\xd3\xff\xd0"),
    "the end marker twice": GREY + b"\xff\xd9",
    "trash after the end": GREY + bytes(range(256)),
    "bytes between two segments": before(GREY, SOS, b"trash"),
    "a comment after the data": at_end(GREY, segment(0xFE, b"comment")),
    "a table after the data": at_end(GREY, GREY[slice(*segments(GREY, DQT)[0])]),
    "a number of lines after the data": at_end(GREY, segment(0xDC, b"\0\x1e")),
    "a broken table that no scan uses": before(GREY, SOS, segment(DHT, b"\3\3" + bytes(15) + b"abc")),
    "frames of a video, without Huffman tables": without(without(GREY, DHT), DHT),
    "one id for all components": COLOUR.replace(
        b"\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01", b"\x03\x01\x22\x00\x01\x11\x01\x01\x11\x01"
    ).replace(b"\x03\x01\x00\x02\x11\x03\x11", b"\x03\x01\x00\x01\x11\x01\x11"),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_libjpeg_takes_is_taken(name):
    assert inspect(TAKEN[name])[:2] == SIZE


def test_a_segment_beyond_the_end_of_the_file_makes_it_truncated():
    for data in (at_end(GREY, b"\xff\xe3\xff\x00"), before(GREY, SOS, b"\xff\xe3\xff\x00")):
        with pytest.raises(Failed) as raised:
            inspect(data)
        assert raised.value.outcome is Outcome.TRUNCATED
