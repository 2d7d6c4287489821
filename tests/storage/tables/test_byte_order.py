from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from storage.tables.byte_order import by_bytes, byte_rows


@pytest.mark.parametrize("size", [8, 16, 32])
@pytest.mark.parametrize("letters", [2, 256])
def test_rows_are_in_the_order_of_their_bytes_equal_ones_in_their_own(size, letters):
    """Of two letters most values start alike."""
    rng = np.random.default_rng(size)
    values = [bytes(row) for row in rng.integers(0, letters, (300, size), dtype=np.uint8)]
    values = [*values, *values[:50], b"\0" * size, b"\xff" * size]
    column = pa.chunked_array([values[:100], values[100:]], pa.binary(size)).slice(7)

    order, starts = by_bytes(column)

    there = column.to_pylist()
    assert order.tolist() == sorted(range(len(there)), key=lambda row: (there[row], row))
    assert [there[row] for row in order[starts]] == sorted(set(there))
    assert byte_rows(column).tobytes() == b"".join(there)


def test_of_no_rows_there_are_none():
    order, starts = by_bytes(pa.chunked_array([], pa.binary(16)))
    assert len(order) == len(starts) == 0
