"""Find link lines by the key of their picture, without a scan of the whole list for every shard."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from storage.tables.take import take


class LinesByKey:
    """`records.LINK_LINES`, sorted once.

    A scan of VGGFace1's 2.6 million lines for every shard and method was nine tenths of the cost of a crop run with
    nothing to do.
    """

    def __init__(self, lines: pa.Table) -> None:
        starts = _starts(lines["key"].combine_chunks())
        self._order = np.argsort(starts, kind="stable")
        self._starts = starts[self._order]
        self._lines = lines

    def has(self, column: str) -> bool:
        """Whether any line has a value in a column, which older lists may lack."""
        return column in self._lines.column_names and self._lines[column].null_count < len(self._lines)

    def of(self, keys: Sequence[bytes]) -> pa.Table:
        """The lines whose key is one of `keys`, in the order of the list."""
        wanted = pa.array(keys, self._lines.schema.field("key").type)
        starts = np.unique(_starts(wanted))
        first = np.searchsorted(self._starts, starts, "left")
        num = np.searchsorted(self._starts, starts, "right") - first
        # Positions increase by one within a range and jump to the start of the next.
        at = np.arange(num.sum()) + np.repeat(first - np.r_[0, np.cumsum(num)[:-1]], num) if len(num) else first
        lines = take(self._lines, np.sort(self._order[at]))
        return lines.filter(pc.is_in(lines["key"], value_set=wanted))


def _starts(keys: pa.FixedSizeBinaryArray) -> npt.NDArray[np.uint64]:
    """The first 8 of each key's 16 bytes as a number: uint64[n]. Keys are hashes, so hardly two share them."""
    if not len(keys):
        return np.zeros(0, np.uint64)
    words = np.frombuffer(keys.buffers()[1], ">u8").reshape(-1, 2)[keys.offset : keys.offset + len(keys), 0]
    return words.astype(np.uint64)
