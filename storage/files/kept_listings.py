"""Listings of folders, each asked for once while a step looks at many of them.

In a bucket a listing takes a request for each thousand files, and the steps of a command ask for that of the images
again and again. Other runs add files meanwhile, and two listings of a folder would give a step two states of the lake.
For the length of a block each folder is listed once: what this process writes or removes meanwhile is seen, what others
write is seen after the block. So a block never waits for another run.

This is harmless where a step computes from what it saw at its start. It is not where runs agree with each other by the
files that they find, and where a file forbids something: leases and takedowns are asked for each time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# By name the state of each file in a folder, and an empty one of each folder.
Listing = dict[str, str]

_NEVER_KEPT = ("leases", "takedowns")


class KeptListings:
    """The listings of one lake that are kept; none outside a block. May be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, Listing] = {}
        self._num_blocks = self._num_changes = 0

    @property
    def are_kept(self) -> bool:
        """Whether this is in a block."""
        return self._num_blocks > 0

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep listings for the block. A block in a block is a part of it."""
        with self._lock:
            self._num_blocks += 1
        try:
            yield
        finally:
            with self._lock:
                self._num_blocks -= 1
                if not self._num_blocks:
                    self._kept.clear()

    def of(self, folder: str, ask: Callable[[], Listing]) -> Listing:
        """The listing of a folder, kept or asked for now."""
        with self._lock:
            before, kept = self._num_changes, self._kept.get(folder)
        if kept is not None:
            return kept
        found = ask()
        with self._lock:
            # What was written while the store answered may be missing in its answer.
            if self._num_blocks and self._num_changes == before and not folder.startswith(_NEVER_KEPT):
                self._kept[folder] = found
        return found

    def forget(self, path: str) -> None:
        """Forget the listings that a change of a file, or of a folder, may have changed: of those above and below."""
        with self._lock:
            self._num_changes += 1
            changed = [one for one in self._kept if _is_in(path, one) or _is_in(one, path)]
            for folder in changed:
                del self._kept[folder]


def _is_in(path: str, folder: str) -> bool:
    return not folder or path == folder or path.startswith(f"{folder}/")
