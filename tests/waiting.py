"""Waiting for another process: only for what has come to stay, and long enough on the slowest machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from storage.files.atomic import PREFIX

# A guard against a hang, not a verdict: the longest wait was 9 s on an idle machine, and 60 s at load 16.
GUARD_S = 600.0


def wait_until(what: str, is_so: Callable[[], bool], within_s: float = GUARD_S, every_s: float = 0.005) -> None:
    """Return once it is so, looking every so many seconds.

    Raises:
        AssertionError: it is not within so many seconds.
    """
    until = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < until, f"{what}: not within {within_s:.0f} s"
        time.sleep(every_s)


def committed(folder: Path, pattern: str) -> list[Path]:
    """The files that match, without those still under a temporary name, which bears the same ending."""
    return [path for path in folder.glob(pattern) if not path.name.startswith(PREFIX)]
