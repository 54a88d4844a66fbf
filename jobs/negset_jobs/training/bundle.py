"""The files of a checkpoint of TensorFlow 2, which it calls a tensor bundle. Pure.

A checkpoint `ckpt-7` is a file `ckpt-7.index` and one or more `ckpt-7.data-00000-of-00001`
(https://www.tensorflow.org/guide/checkpoint).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

INDEX: Final = ".index"
STATE: Final = "checkpoint"
"""The file in which TensorFlow notes the newest checkpoint of a folder."""

_NUMBER: Final = re.compile(r"-(\d+)$")
_MOST_SHARDS: Final = 1000


def newest(names: Iterable[str], state: str = "") -> str:
    """Return the prefix of a folder's newest checkpoint, by file names; empty if none.

    `state` is the text of the file in which TensorFlow notes its newest checkpoint.
    """
    prefixes = {name.removesuffix(INDEX) for name in names if name.endswith(INDEX)}
    noted = re.search(r'^model_checkpoint_path: "(?:[^"]*/)?([^"/]+)"', state)
    if noted and noted[1] in prefixes:
        return noted[1]
    return max(prefixes, key=lambda prefix: (int(number[1]) if (number := _NUMBER.search(prefix)) else -1, prefix), default="")


def shards(index: bytes) -> int:
    """Return the number of data files of a checkpoint, read from the start of its index.

    Raises `ValueError` if it is not an index.

    The index is a sorted string table. Its first entry has an empty key and a BundleHeaderProto
    (tensorflow/core/protobuf/tensor_bundle.proto). It begins with the length of the shared and of
    the own part of the key, both 0. Then come the length of the value and the value's first field,
    the number of shards.
    """
    # 0x08 is the tag of field 1, a number.
    if index[:2] != b"\0\0" or len(index) < 5 or index[3] != 0x08:  # noqa: PLR2004
        raise ValueError
    count = shift = 0
    for byte in index[4:14]:
        count |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:  # noqa: PLR2004 (the last byte of a varint)
            break
    if not 1 <= count <= _MOST_SHARDS:
        raise ValueError
    return count


def suffixes(count: int) -> Iterator[str]:
    """Return the endings of the data files' names, after the prefix."""
    return (f".data-{index:05d}-of-{count:05d}" for index in range(count))
