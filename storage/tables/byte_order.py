"""Rows in the order of a column of keys or digests.

Both are hashes, so that the first 8 bytes of two hardly ever agree: rows are sorted by a number, which takes a fifth of
the memory of a table of hashes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]


def by_bytes(column: pa.ChunkedArray) -> tuple[Ints, Ints]:
    """The rows in the order of a column of bytes of one size, a multiple of 8, without nulls.

    Returns:
        The rows, [n], equal ones in their order; and where in it each distinct value starts.
    """
    words = byte_rows(column).view(">u8")
    first = words[:, 0].astype(np.uint64)
    order = np.argsort(first, kind="stable")
    goes_on = np.flatnonzero(first[order[1:]] == first[order[:-1]]) + 1
    del first
    if (words[order[goes_on]] != words[order[goes_on - 1]]).any():
        order = np.lexsort(words.T[::-1])
        goes_on = np.flatnonzero((words[order[1:]] == words[order[:-1]]).all(axis=1)) + 1
    is_new = np.ones(len(order), bool)
    is_new[goes_on] = False
    return order, np.flatnonzero(is_new)


def byte_rows(column: pa.ChunkedArray) -> npt.NDArray[np.uint8]:
    """The bytes of a column of bytes of one size: [n, size]."""
    array = column.combine_chunks()
    if not len(array):
        return np.empty((0, column.type.byte_width), np.uint8)
    rows = np.frombuffer(array.buffers()[1], np.uint8).reshape(-1, array.type.byte_width)
    return rows[array.offset : array.offset + len(array)]
