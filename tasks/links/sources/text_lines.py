"""The lines of a block of text: which of them make one row of CSV together, and which have a quote that is not closed.

Quoted cells may contain line ends. A quote that is not closed within 1000 lines and 1 MB invalidates its own line only.
"""

from __future__ import annotations

import csv
import io
import re

import numpy as np
import numpy.typing as npt

from storage.records import Reason
from tasks.links.sources.rows import BadRow, Ints, shown_line

# The limits of a quoted cell; the longest known one has 9 lines.
MAX_ROW_LINES, MAX_ROW_BYTES = 1000, 1_000_000
# Bytes are searched in parts that stay in a cache of the processor.
_PART_BYTES = 1 << 18


class Lines:
    """The lines of a block, some of which are dropped or joined before the split into rows."""

    def __init__(self, block: bytes, first: int) -> None:
        data = block if block.endswith(b"\n") or not block else block + b"\n"
        self.first = first
        self.whole: bytes | None = data
        self.data = np.frombuffer(data, np.uint8)
        self.ends, self.num_quotes = line_ends(self.data)
        self.starts: Ints = np.r_[0, self.ends + 1][: len(self.ends)]
        self.is_kept = np.ones(len(self.ends), bool)
        # Lines that continue in the next one: their ends become blanks.
        self.goes_on = np.zeros(len(self.ends), bool)
        self.num_lines = len(self.ends)

    def empty(self) -> npt.NDArray[np.bool_]:
        """A mask of the empty lines that are not within a cell."""
        inside = np.r_[False, self.goes_on[:-1]] if len(self.goes_on) else self.goes_on
        return np.asarray((self.ends == self.starts) & ~inside & ~self.goes_on)

    def text(self, first: int, last: int) -> bytes:
        """The lines from `first` to `last`."""
        return self.data[self.starts[first] : self.ends[last]].tobytes()

    def join_quoted(self, bad: list[BadRow], *, is_last: bool) -> bytes:
        """Join the lines of one row, drop lines with an unclosed quote; returns those kept for the next block."""
        odd = np.flatnonzero(self.num_quotes % 2)
        at = 0
        while at < len(odd):
            first = int(odd[at])
            last = int(odd[at + 1]) if at + 1 < len(odd) else None
            if last is not None and self._is_near(first, last) and _is_one_row(self.text(first, last)):
                self.goes_on[first:last] = True
                at += 2
            elif last is None and not is_last and self._is_near(first, len(self.ends) - 1):
                return self._hold_back(first)
            else:
                if not _has_quotes_inside_cells(self.text(first, first)):
                    self.is_kept[first] = False
                    why = "a quote is opened and not closed on this line"
                    bad.append((self.first + first, shown_line(self.text(first, first)), Reason.MALFORMED_LINE, why))
                at += 1
        return b""

    def _is_near(self, first: int, last: int) -> bool:
        return last - first < MAX_ROW_LINES and self.ends[last] - self.starts[first] <= MAX_ROW_BYTES

    def _hold_back(self, first: int) -> bytes:
        rest = self.data[self.starts[first] :].tobytes()
        self.whole = None
        self.data = self.data[: self.starts[first]]
        self.ends, self.starts, self.num_lines = self.ends[:first], self.starts[:first], first
        self.is_kept, self.goes_on = self.is_kept[:first], self.goes_on[:first]
        return rest

    def kept(self) -> tuple[bytes, Ints]:
        """The remaining lines, one per row, and their numbers."""
        data = self.data
        if self.goes_on.any():
            self.whole = None
            data = data.copy()
            data[self.ends[self.goes_on]] = 32
        begins = ~np.r_[False, self.goes_on[:-1]] if len(self.goes_on) else self.goes_on
        numbers: Ints = np.flatnonzero(self.is_kept & begins) + self.first
        if self.is_kept.all():
            return data.tobytes() if self.whole is None else self.whole, numbers
        changes = np.flatnonzero(np.diff(np.r_[False, self.is_kept, False].astype(np.int8)))
        ranges = zip(changes[::2], changes[1::2] - 1, strict=True)
        return b"".join(data[self.starts[a] : self.ends[b] + 1].tobytes() for a, b in ranges), numbers


def num_lines(data: bytes) -> int:
    """The number of line ends; `bytes.count` takes four times as long."""
    whole = np.frombuffer(data, np.uint8)
    # In parts that stay in a cache of the processor.
    parts = (whole[at : at + _PART_BYTES] for at in range(0, len(whole), _PART_BYTES))
    return sum(int(np.count_nonzero(part == 10)) for part in parts)


def line_ends(data: npt.NDArray[np.uint8]) -> tuple[Ints, Ints]:
    """The positions of the line ends of whole lines, and the number of quotes in each line."""
    found: list[Ints] = []
    # In parts that stay in a cache of the processor, and in one pass for both bytes.
    for at in range(0, len(data), _PART_BYTES):
        part = data[at : at + _PART_BYTES]
        is_one = part == 10
        is_one |= part == 34
        found.append(np.flatnonzero(is_one) + at)
    places: Ints = np.concatenate(found) if found else np.zeros(0, np.int64)
    ends = np.flatnonzero(data[places] == 10)
    return places[ends], np.diff(ends, prepend=-1) - 1


def _is_one_row(text: bytes) -> bool:
    """Whether lines are one valid row of CSV."""
    try:
        return len(list(csv.reader(io.StringIO(text.decode("latin-1")), strict=True))) == 1
    except csv.Error:
        return False


def _has_quotes_inside_cells(line: bytes) -> bool:
    """Whether a line's quotes belong to its cells, as in `5" tall`: none is at the start of a cell."""
    return not re.search(rb'(?:^|,)"', line)
