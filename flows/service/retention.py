"""How long Prefect's server keeps events and what nobody owns any more.

The server removes these itself, each hour and each day. Old runs are removed by `prune` (`flows.runs.old_runs`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

_EVENTS = "PREFECT_SERVER_EVENTS_RETENTION_PERIOD"
_KINDS = "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED"
_BY_KIND = "PREFECT_SERVER_SERVICES_DB_VACUUM_EVENT_RETENTION_OVERRIDES"
# Prefect's own default.
_LONGEST = timedelta(days=7)
# A running run sends one every 30 s: two thirds of all events. Nobody needs them once it has ended.
_HEARTBEATS = '{"prefect.flow-run.heartbeat": 86400}'


def retention(environment: Mapping[str, str], age: timedelta | None) -> dict[str, str]:
    """Variables that limit the server's events and remove logs and artifacts of removed runs; given ones prevail.

    Args:
        age: of the policy: the age up to which everything is kept; None for no such limit.
    """
    events = min(age or _LONGEST, _LONGEST)
    wanted = {_KINDS: "events,orphans", _EVENTS: f"PT{int(events.total_seconds())}S", _BY_KIND: _HEARTBEATS}
    return {name: environment.get(name, value) for name, value in wanted.items()}
