"""The pending links of a run by the slices of hosts that they need (`storage.leases.host_slices`)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from storage.leases.slice_rules import NUM_SLICES
from storage.tables.take import take
from tasks.fetch.ledger import host_of
from tasks.links.line_ids import words_and_codes
from tasks.web.slice_of_host import slice_of

Mask = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
# The number of a link in the table, as an additional column.
ROW = "row"


class LinksBySlice:
    """Which links are left, and which of them a run that holds some slices can request.

    A link needs the slice of its own host, and of the hosts that its redirects turned out to lead to.

    Args:
        pending: the links, with key, url and unit.
        host: the host that all of them are requested from; empty: their own.
    """

    def __init__(self, pending: pa.Table, host: str = "") -> None:
        self._pending = pending.append_column(ROW, pa.array(np.arange(len(pending))))
        self._units = pending["unit"].to_numpy()
        self._slices = np.full(len(pending), slice_of(host)) if host else slices_of(pending["url"])
        self._is_done = np.zeros(len(pending), dtype=bool)
        # Few: the other slices of links whose redirects crossed into them.
        self._crossings: dict[int, int] = {}
        self.recount()

    @property
    def num_left(self) -> int:
        """The number of links that are not known to be done."""
        return int((~self._is_done).sum())

    @property
    def wants(self) -> int:
        """The slices that the links left need."""
        wants = _to_set(np.flatnonzero(self._counts > 0))
        for row, slices in self._crossings.items():
            wants |= 0 if self._is_done[row] else slices
        return wants

    def num_ready(self, held: int) -> int:
        """About how many links left can be requested with the slices of `held`."""
        blocked = sum(not self._is_done[row] and bool(slices & ~held) for row, slices in self._crossings.items())
        return max(int(self._counts[_to_mask(held)].sum()) - blocked, 0)

    def ready(self, of: int, held: int) -> dict[int, Ints]:
        """The rows of the links left whose own host is in a slice of `of`, and that need no slice besides `held`, by
        unit.
        """
        if not self._counts[_to_mask(of)].any():
            return {}
        is_ready = ~self._is_done & _to_mask(of)[self._slices]
        for row, slices in self._crossings.items():
            is_ready[row] &= not slices & ~held
        rows = np.flatnonzero(is_ready)
        rows = rows[np.argsort(self._units[rows], kind="stable")]
        units, starts = np.unique(self._units[rows], return_index=True)
        return dict(zip(units.tolist(), np.split(rows, starts[1:]), strict=True)) if len(rows) else {}

    def table(self, rows: Ints) -> pa.Table:
        """Links with their columns, and their row; of a unit, since its links lie together."""
        first, last = int(rows[0]), int(rows[-1])
        # Rows of the whole table would put all of its chunks into one array.
        return take(self._pending.slice(first, last + 1 - first), rows - first)

    def asked(self, row: int) -> None:
        """A link has been requested; `finish` follows."""
        if self._is_open[row]:
            self._is_open[row] = False
            self._counts[self._slices[row]] -= 1

    def cross(self, row: int, host: str) -> None:
        """A link needs a further host."""
        self._crossings[row] = self._crossings.get(row, 0) | 1 << slice_of(host)

    def finish(self, links: pa.Table, left: pa.Table) -> None:
        """Links of `table` are done, by this run or another, but for `left`."""
        done = np.setdiff1d(links[ROW].to_numpy(), left[ROW].to_numpy(), assume_unique=True)
        self._is_done[done] = True
        closed = done[self._is_open[done]]
        self._is_open[closed] = False
        self._counts -= np.bincount(self._slices[closed], minlength=NUM_SLICES)

    def recount(self) -> None:
        """Count the links left anew, also those that were requested and not committed; call this when none is being
        requested.
        """
        self._is_open = ~self._is_done
        self._counts: Ints = np.bincount(self._slices[self._is_open], minlength=NUM_SLICES)


def slices_of(urls: pa.ChunkedArray) -> Ints:
    """The slice of each URL's host; [n]. Each distinct host is hashed once."""
    hosts, codes = words_and_codes(host_of(urls))
    slices: Ints = np.array([slice_of(host) for host in hosts.to_pylist()], dtype=np.int64)
    rows: Ints = slices[codes]
    return rows


def _to_set(slices: Ints) -> int:
    return sum(1 << int(one) for one in slices)


def _to_mask(slices: int) -> Mask:
    """Whether each slice is in the set; [NUM_SLICES]."""
    return np.array([slices >> one & 1 for one in range(NUM_SLICES)], dtype=bool)
