import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from negset_api.errors import WorkFailed
from negset_jobs.formats.tfrecord import OVERHEAD, read_records, salvage_records, unframe, write_record

# One record with the payload b"hello", as tf.io.TFRecordWriter writes it.
HELLO = bytes.fromhex("0500000000000000eab2043e68656c6c6fbb1f1c19")


def test_a_record_is_what_tensorflow_writes():
    stream = io.BytesIO()
    assert write_record(stream, b"hello") == len(HELLO)
    assert stream.getvalue() == HELLO


@given(st.lists(st.binary(max_size=300)))
def test_what_is_written_is_read_again_with_its_offsets(payloads):
    stream = io.BytesIO()
    lengths = [write_record(stream, payload) for payload in payloads]
    stream.seek(0)
    assert list(read_records(stream)) == [(sum(lengths[:index]), payload) for index, payload in enumerate(payloads)]
    assert lengths == [len(payload) + OVERHEAD for payload in payloads]


def test_a_stream_may_return_less_than_requested():
    class Trickle(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, 3))

    assert list(read_records(Trickle(HELLO * 2))) == [(0, b"hello"), (len(HELLO), b"hello")]


@pytest.mark.parametrize("kept", range(1, len(HELLO)))
def test_a_file_that_ends_within_a_record_is_refused(kept):
    with pytest.raises(WorkFailed, match=f"ends within the record at byte {len(HELLO)}"):
        list(read_records(io.BytesIO(HELLO + HELLO[:kept])))


@pytest.mark.parametrize("position", range(len(HELLO)))
def test_a_changed_byte_is_noticed_wherever_it_is(position):
    damaged = bytearray(HELLO)
    damaged[position] ^= 1
    with pytest.raises(WorkFailed, match="checksum"):
        list(read_records(io.BytesIO(damaged)))
    with pytest.raises(WorkFailed):
        unframe(bytes(damaged))


def test_one_framed_record_is_one_and_nothing_else():
    assert unframe(HELLO) == b"hello"
    for wrong in (b"", HELLO[:-1], HELLO + b"x", HELLO * 2):
        with pytest.raises(WorkFailed):
            unframe(wrong)


def framed(*payloads):
    stream = io.BytesIO()
    for payload in payloads:
        write_record(stream, payload)
    return stream.getvalue()


PAYLOADS = [bytes([number]) * (100 + number) for number in range(5)]
AT = 2 * OVERHEAD + len(PAYLOADS[0]) + len(PAYLOADS[1])  # where the third begins
DAMAGES = {
    "a changed payload": lambda data: data[: AT + 20] + b"?" + data[AT + 21 :],
    "a changed length": lambda data: data[:AT] + b"\xff" + data[AT + 1 :],
    "a changed checksum of the length": lambda data: data[: AT + 8] + b"?" + data[AT + 9 :],
    "a length of zeros": lambda data: data[:AT] + bytes(12) + data[AT + 12 :],
    "a header that is gone": lambda data: data[:AT] + data[AT + 12 :],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("searched", [7, 64, 1 << 20])
def test_the_records_around_a_damaged_one_are_saved(damage, searched, monkeypatch):
    monkeypatch.setattr("negset_jobs.formats.tfrecord._SEARCHED", searched)
    found = list(salvage_records(io.BytesIO(damage(framed(*PAYLOADS)))))
    assert [record for _, record in found if isinstance(record, bytes)] == [*PAYLOADS[:2], *PAYLOADS[3:]]
    ((offset, error),) = [(offset, record) for offset, record in found if not isinstance(record, bytes)]
    assert offset == AT
    assert f"byte {AT}" in str(error)


def test_a_stretch_that_is_gone_costs_the_records_it_was_in():
    data = framed(*PAYLOADS)
    found = [record for _, record in salvage_records(io.BytesIO(data[: AT + 30] + data[AT + 60 :]))]
    saved = [record for record in found if isinstance(record, bytes)]
    assert saved[:2] == PAYLOADS[:2]
    assert saved[-1] == PAYLOADS[4]


def test_a_torn_file_gives_what_is_whole():
    found = [record for _, record in salvage_records(io.BytesIO(framed(*PAYLOADS)[:-5]))]
    assert found[:4] == PAYLOADS[:4]
    assert len(found) == 5
    assert isinstance(found[4], WorkFailed)


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=6), st.data())
def test_whatever_byte_is_changed_at_most_one_record_is_lost(payloads, data):
    whole = bytearray(framed(*payloads))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    found = [record for _, record in salvage_records(io.BytesIO(bytes(whole)))]
    saved = [record for record in found if isinstance(record, bytes)]
    assert len(saved) == len(payloads) - 1
    assert any(saved == payloads[:index] + payloads[index + 1 :] for index in range(len(payloads)))
