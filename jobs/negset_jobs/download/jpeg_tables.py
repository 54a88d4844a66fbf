"""Check the tables in a JPEG's segments: ITU-T T.81, annex B.2.4, as libjpeg reads them."""

from __future__ import annotations

import functools
import operator
from typing import Final

from negset_api.values import Outcome
from negset_jobs.download.failure import Failed

COEFFICIENTS: Final = 64
"""The coefficients of a block, and the values of a quantisation table."""

_TABLES: Final = 4  # of each kind
_CONDITIONED: Final = 16  # tables of each kind for arithmetic coding
_LENGTHS: Final = 16  # the lengths of codes, in bits
_CODES: Final = 1 << _LENGTHS
_SHARES: Final = tuple(_CODES >> length for length in range(1, _LENGTHS + 1))
_MOST_SYMBOLS: Final = 256
_DC_SYMBOLS: Final = 15
_KEPT: Final = 256  # segments whose results are kept: many files have the same tables


@functools.lru_cache(_KEPT)
def quantisation(content: bytes) -> frozenset[int]:
    """Return the numbers of the quantisation tables in a segment. Raises `Failed`."""
    numbers: set[int] = set()
    at = 0
    while at < len(content):
        wide, number = divmod(content[at], 16)
        require(number < _TABLES, "with a quantisation table of a number that does not exist")
        numbers.add(number)
        at += 1 + COEFFICIENTS * (2 if wide else 1)
    require(at == len(content), "whose quantisation tables have a wrong length")
    return frozenset(numbers)


@functools.lru_cache(_KEPT)
def huffman(content: bytes) -> tuple[tuple[tuple[int, int], bool], ...]:
    """Return whether each Huffman table in a segment can be used, by class and number.

    Class 0 is DC, class 1 is AC. A table that cannot be used is no error until a scan needs it.
    Raises `Failed`.
    """
    tables: dict[tuple[int, int], bool] = {}
    at = 0
    while len(content) - at > _LENGTHS:
        kind, number = divmod(content[at], 16)
        at += 1 + _LENGTHS
        counts = content[at - _LENGTHS : at]
        symbols = content[at : at + sum(counts)]
        require(len(symbols) == sum(counts) <= _MOST_SYMBOLS, "whose Huffman table has a wrong length")
        require(kind in (0, 1) and number < _TABLES, "with a Huffman table of a number that does not exist")
        tables[kind, number] = _is_code(counts) and (kind == 1 or max(symbols, default=0) <= _DC_SYMBOLS)
        at += len(symbols)
    require(at == len(content), "whose Huffman tables have a wrong length")
    return tuple(tables.items())


def check_conditioning(content: bytes) -> None:
    """Check the tables of arithmetic coding. libjpeg reads them in any JPEG. Raises `Failed`."""
    numbers, values = content[::2], content[1::2]
    require(len(numbers) == len(values) and max(numbers, default=0) < 2 * _CONDITIONED, "whose arithmetic tables do not exist")
    dc = (value for number, value in zip(numbers, values, strict=True) if number < _CONDITIONED)
    require(all(value & 15 <= value >> 4 for value in dc), "whose arithmetic tables are impossible")


def _is_code(counts: bytes) -> bool:
    """Return True if codes exist, `counts` of each length: none may have only ones.

    A code of n bits takes 2**(16 - n) of the 2**16 codes of 16 bits. One of the longest length must
    be left.
    """
    taken: int = sum(map(operator.mul, counts, _SHARES))
    return taken <= _CODES - (_CODES >> len(counts.rstrip(b"\0")))


def require(fine: bool, what: str) -> None:
    """Raise `Failed` with the outcome undecodable unless `fine`."""
    if not fine:
        raise undecodable(what)


def undecodable(what: str) -> Failed:
    return Failed(Outcome.UNDECODABLE, f"a JPEG {what}")
