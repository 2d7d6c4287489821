"""What the last day's samples of the service say: how long the disk lasts, and whether the retry backlog grows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

HOUR_S, DAY_S = 3600.0, 86_400.0
# A rate needs some time to be one: a night's work is not a day's rate, and one shard is none at all.
_LEAST_S = 6 * HOUR_S
WINDOW_S = DAY_S


class Sample(NamedTuple):
    """A look at the service: seconds on a clock that only goes forward, free bytes of the disk, links due for retry.

    Either number is None if it is not known.
    """

    at_s: float
    free_bytes: int | None
    due: int | None


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The limits at which people are told.

    Attributes:
        disk_days: days that the disk must last at the rate of the last day.
        backlog: links by which the backlog may grow within a day.
    """

    disk_days: float = 7.0
    backlog: int = 10_000


class DiskTrend(NamedTuple):
    """How long a disk lasts, by the hours that were looked at."""

    free_bytes: int
    days: float
    hours: float


class BacklogTrend(NamedTuple):
    """By how many links the backlog is longer than it was at the least."""

    due: int
    grown: int
    hours: float


def within_window(samples: Sequence[Sample]) -> list[Sample]:
    """The samples of the last day."""
    return [one for one in samples if one.at_s >= samples[-1].at_s - WINDOW_S]


def disk_trend(samples: Sequence[Sample]) -> DiskTrend | None:
    """How long the disk lasts; None if it does not fill, or was not looked at for long enough."""
    known = [(one.at_s, one.free_bytes) for one in samples if one.free_bytes is not None]
    if not known:
        return None
    (first_s, first_bytes), (last_s, last_bytes) = known[0], known[-1]
    seconds, used = last_s - first_s, first_bytes - last_bytes
    if seconds < _LEAST_S or used <= 0:
        return None
    return DiskTrend(last_bytes, last_bytes / used * seconds / DAY_S, seconds / HOUR_S)


def backlog_trend(samples: Sequence[Sample]) -> BacklogTrend | None:
    """The growth of the backlog to its largest value, which is the last; None if it was larger before."""
    known = [(one.at_s, one.due) for one in samples if one.due is not None]
    if not known or known[-1][1] < max(due for _, due in known):
        return None
    least = min(due for _, due in known)
    return BacklogTrend(known[-1][1], known[-1][1] - least, (known[-1][0] - known[0][0]) / HOUR_S)
