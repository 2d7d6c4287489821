"""Plan a prune of a lake. Nothing is written."""

from __future__ import annotations

from datetime import datetime

from storage.files.lake import Lake
from storage.leases.lease_holders import holders
from tasks.maintenance.prune.decide import Plan, decide
from tasks.maintenance.prune.gather import gather
from tasks.maintenance.prune.policy import Policy


def plan_prune(lake: Lake, policy: Policy, now: datetime, *, watches: bool = True) -> Plan:
    """What a prune would remove, and what it would keep.

    Args:
        now: the time by which ages are counted.
        watches: watch the leases of other machines until it is known whether their runs go on, up to a minute; else
            they count as running.
    """
    return decide(gather(lake, holders(lake, watches=watches)), policy, now)
