"""Which leases belong to runs that are going on, and which to runs that have ended.

A process of this machine is known to run or to have ended. One of another machine or container is watched: it renews
its lease three times in `good_for_s`, so a lease that stays unchanged for that long has lost its run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from storage.files.lake import Lake
from storage.files.processes import is_running
from storage.leases.leases import Held, held, parse_lease

_LOOK_EVERY_S = 2.0
# A lease that claims to be good for longer is watched for this long only, and then counts as held.
_LONGEST_S = 600.0


@dataclass(frozen=True, slots=True)
class Holders:
    """The leases of a lake, by whether their runs are going on."""

    running: tuple[Held, ...] = ()
    gone: tuple[Held, ...] = ()


def holders(lake: Lake, *, watches: bool = True, sleep: Callable[[float], None] = time.sleep) -> Holders:
    """Tell the leases of running runs from those of ended ones.

    Args:
        watches: wait for the next renewal of each lease of another machine, or for the time of one to pass; else these
            count as running.
        sleep: waits for so many seconds.
    """
    leases = held(lake)
    gone = {one.path for one in leases if one.is_dead}
    contents = {one.path: _content(lake, one.path) for one in leases if watches and not one.is_dead}
    # A lease that has been given back since is not watched: its run was going on.
    watched = {path: content for path, content in contents.items() if content is not None and not _is_here(content)}
    waited_s = 0.0
    while watched and waited_s < _LONGEST_S:
        sleep(_LOOK_EVERY_S)
        waited_s += _LOOK_EVERY_S
        watched = {path: before for path, before in watched.items() if _content(lake, path) == before}
        expired = {path for path, content in watched.items() if waited_s >= _good_for_s(content)}
        gone |= expired
        watched = {path: content for path, content in watched.items() if path not in expired}
    return Holders(
        running=tuple(one for one in leases if one.path not in gone),
        gone=tuple(one for one in leases if one.path in gone),
    )


def _content(lake: Lake, path: str) -> bytes | None:
    with suppress(FileNotFoundError):
        return lake.read(path)
    return None


def _is_here(content: bytes) -> bool:
    return is_running(str(parse_lease(content).get("process", "")))


def _good_for_s(content: bytes) -> float:
    value: Any = parse_lease(content).get("good_for_s")
    return float(value) if isinstance(value, int | float) else _LONGEST_S
