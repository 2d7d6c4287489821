"""The events of names that stand for versions: aliases of models, tags of datasets.

    <folder>/<when>-<writer>.json    one event a file, never rewritten

The last event of a name determines its version. Concurrent writers write separate files, so no event is lost.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from storage.errors import VersionPruned, if_there
from storage.files.lake import Lake
from storage.text.json_shapes import Kind, Shape, require

_TIME = "%Y%m%dT%H%M%S.%fZ"
# The action of an event after which its name stands for no version.
REMOVED = "untag"


@dataclass(frozen=True)
class AliasEvent:
    """A name was assigned to a version, or removed from it.

    Attributes:
        alias: the name.
        action: of models "train", "promote" or "rollback"; of datasets "tag" or "untag".
        version: the version the name points to from now on; the one it pointed to, if it was removed.
        over: the version it pointed to before; None for the first.
        by: the user who did it.
        why: the user's reason.
        forced: it was done although the comparison failed.
        figures: the metrics of the comparison; empty if none was made.
        at: when, UTC, ISO 8601.
    """

    alias: str
    action: str
    version: str
    over: str | None
    by: str
    why: str = ""
    forced: bool = False
    figures: dict[str, Any] | None = None
    at: str = ""


def _is_time(value: Any) -> bool:
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return False
    # In the first and the last year nothing can be added or moved to another zone.
    return time.tzinfo is not None and 1970 <= time.year < 3000


EVENT_TIME = Kind(_is_time, "a time with its zone, ISO 8601, of the years 1970 to 2999")


def read_events(lake: Lake, folder: str, shape: Shape) -> list[AliasEvent]:
    """All events in a folder, oldest first.

    Raises:
        LakeError: one of them is damaged.
    """
    # One may have been taken back since they were listed.
    found = (if_there(partial(read_event, lake, f"{folder}/{name}", shape)) for name in lake.names(folder))
    return [event for event in found if event]


def read_event(lake: Lake, path: str, shape: Shape) -> AliasEvent:
    """One event, by the path of its file.

    Raises:
        LakeError: it is damaged.
    """
    value = lake.read_json(path)
    require(value, shape, f"{lake.url}/{path}")
    told = {name: value[name] for name in AliasEvent.__dataclass_fields__ if value.get(name) is not None}
    return AliasEvent(**{"over": None, **told})


def current(events: Iterable[AliasEvent]) -> dict[str, str]:
    """The version of each name after these events, oldest first."""
    found: dict[str, str] = {}
    for event in events:
        if event.action == REMOVED:
            found.pop(event.alias, None)
        else:
            found[event.alias] = event.version
    return found


def keep_event() -> None:
    """The `confirm` of an event that is never taken back."""


def record_event(
    lake: Lake, folder: str, event: AliasEvent, shape: Shape, confirm: Callable[[], None] = keep_event
) -> AliasEvent:
    """Write an event. Its time is now, or just after the last event if this machine's clock is behind.

    Args:
        confirm: called once the event is written; what it raises takes the event back. A prune that has marked the
            version before it could see the event is seen here, and one that marks it later sees the event.
    """
    now = datetime.now(UTC)
    if history := read_events(lake, folder, shape):
        now = max(now, datetime.fromisoformat(history[-1].at) + timedelta(microseconds=1))
    event = AliasEvent(**{**asdict(event), "at": now.isoformat(timespec="microseconds")})
    path = f"{folder}/{now.strftime(_TIME)}-{uuid.uuid4().hex[:6]}.json"
    lake.write_json(path, asdict(event))
    try:
        confirm()
    except VersionPruned:
        lake.remove(path)
        raise
    return event
