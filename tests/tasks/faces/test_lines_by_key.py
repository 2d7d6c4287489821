"""A shard finds the lines of its pictures, and no others, in the order of the list."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pytest

from storage.records import LINK_LINES
from tasks.faces.lines_by_key import LinesByKey


def key(number: int) -> bytes:
    return hashlib.blake2b(str(number).encode(), digest_size=16).digest()


def lines_of(keys: list[bytes]) -> pa.Table:
    """A line a key; its number is its place."""
    rows = [dict.fromkeys(LINK_LINES.names) | {"key": one, "line": at} for at, one in enumerate(keys)]
    return pa.Table.from_pylist(rows, LINK_LINES)


def scanned(keys: list[bytes], wanted: list[bytes]) -> list[int]:
    return [at for at, one in enumerate(keys) if one in wanted]


@pytest.mark.parametrize("seed", range(5))
def test_the_lines_found_are_those_that_a_scan_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    keys = [key(int(number)) for number in rng.integers(0, 40, 100)]
    lines = LinesByKey(lines_of(keys))
    for num in (0, 1, 7, 60):
        wanted = [key(int(number)) for number in rng.integers(0, 80, num)]
        assert lines.of(wanted)["line"].to_pylist() == scanned(keys, wanted)


def test_keys_that_share_their_first_half_are_told_apart() -> None:
    keys = [bytes(8) + bytes([number]) * 8 for number in (3, 1, 2, 1)]
    assert LinesByKey(lines_of(keys)).of([keys[1]])["line"].to_pylist() == [1, 3]


def test_lines_in_chunks_and_slices_are_found_too() -> None:
    keys = [key(number) for number in range(20)]
    table = lines_of(keys)
    chunked = pa.concat_tables([table.slice(3, 5), table.slice(0, 3), table.slice(8)])
    assert LinesByKey(chunked).of(keys[2:9])["line"].to_pylist() == [3, 4, 5, 6, 7, 2, 8]


def test_no_lines_hold_none() -> None:
    assert len(LinesByKey(lines_of([])).of([key(1)])) == 0
