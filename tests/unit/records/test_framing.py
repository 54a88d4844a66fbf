import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from negset_api.errors import WorkFailed
from negset_jobs.records.framing import OVERHEAD, read_records, unframe, write_record

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


def test_a_stream_may_hand_over_less_than_asked_for():
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
