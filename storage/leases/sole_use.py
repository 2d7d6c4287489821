"""A run that has the lake to itself: a purge, a repair.

    leases/sole/lake/<purge or repair>.<generation>.json

It writes its lease first, and looks for those of other runs then. They write theirs first too, and look for this one
then (`leases`): whoever comes second sees the other. A run that goes on is refused; runs that start meanwhile wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from storage.errors import LakeInUse
from storage.files.lake import Lake
from storage.leases.lease_holders import holders
from storage.leases.leases import LAKE, SOLE, Held, alone

_NAMED = 3


@contextmanager
def sole_use(
    lake: Lake, what: str, *, good_for_s: float, sleep: Callable[[float], None] = time.sleep
) -> Iterator[None]:
    """Have the lake to itself for the block. A second run of the same kind waits for the first.

    Args:
        what: `purge` or `repair`.
        good_for_s: as for `leases.Leases`.
        sleep: waits for so many seconds, while leases of other machines are watched.

    Raises:
        LakeInUse: other runs are going on. Those that have ended do not count.
    """
    with alone(lake, SOLE, LAKE, what, good_for_s=good_for_s) as mine:
        others = [one for one in holders(lake, sleep=sleep).running if one.path != mine.path]
        if others:
            raise LakeInUse(_refusal(lake, what, others))
        yield


def _refusal(lake: Lake, what: str, others: list[Held]) -> str:
    named = "; ".join(f"{one.stage} {one.of} {one.unit} on {one.host} since {one.since}" for one in others[:_NAMED])
    more = f"; and {len(others) - _NAMED:,} more" if len(others) > _NAMED else ""
    return (
        f"no {what} of {lake.url}: {len(others):,} leases of other runs are held ({named}{more}); "
        "let these runs end or stop them, then run the same command again"
    )
