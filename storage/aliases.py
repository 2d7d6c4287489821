"""The aliases `champion` and `candidate` of model versions, with their history.

    models/<name>/aliases/<when>-<writer>.json    one event a file, never rewritten

The last event of an alias determines its version. Concurrent writers write separate files, so no event is lost.
"""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from storage.errors import UsageError
from storage.json_shapes import FIGURE, FLAG, INTERVAL, TEXT, Kind, Shape, require
from storage.lake import Lake
from storage.names import NAME, VERSIONED, Form

_TIME = "%Y%m%dT%H%M%S.%fZ"


class Alias(StrEnum):
    """A movable name for a version: the one in use, and the one that may replace it."""

    CHAMPION = "champion"
    CANDIDATE = "candidate"


@dataclass(frozen=True)
class AliasEvent:
    """An alias was assigned to a version.

    Attributes:
        action: "train", "promote" or "rollback".
        version: the version the alias points to from now on.
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


_EVENT: Shape = {
    "alias": Form("champion|candidate", "champion or candidate"),
    "action": Form("train|promote|rollback", "train, promote or rollback"),
    "version": NAME,
    "over?": NAME,
    "by": TEXT,
    "why?": TEXT,
    "forced?": FLAG,
    "figures?": {
        "test": VERSIONED,
        "first?": VERSIONED,
        "second?": VERSIONED,
        "auc": {"first": FIGURE, "second": FIGURE, "difference": FIGURE, "interval?": INTERVAL},
    },
    "at": Kind(_is_time, "a time with its zone, ISO 8601, of the years 1970 to 2999"),
}


def alias_history(lake: Lake, model: str) -> list[AliasEvent]:
    """All events of a model, oldest first.

    Raises:
        LakeError: one of them is damaged.
    """
    folder = lake.aliases(model)
    return [read_event(lake, f"{folder}/{name}") for name in lake.names(folder)]


def read_event(lake: Lake, path: str) -> AliasEvent:
    """One event, by the path of its file.

    Raises:
        LakeError: it is damaged.
    """
    value = lake.read_json(path)
    require(value, _EVENT, f"{lake.url}/{path}")
    told = {name: value[name] for name in AliasEvent.__dataclass_fields__ if value.get(name) is not None}
    return AliasEvent(**{"over": None, **told})


def aliases(lake: Lake, model: str) -> dict[str, str]:
    """The current version of each alias that has been assigned."""
    return {event.alias: event.version for event in alias_history(lake, model)}


def record_alias(lake: Lake, model: str, event: AliasEvent) -> AliasEvent:
    """Write an event. Its time is now, or just after the last event if this machine's clock is behind."""
    now = datetime.now(UTC)
    if history := alias_history(lake, model):
        now = max(now, datetime.fromisoformat(history[-1].at) + timedelta(microseconds=1))
    event = AliasEvent(**{**asdict(event), "at": now.isoformat(timespec="microseconds")})
    name = f"{now.strftime(_TIME)}-{uuid.uuid4().hex[:6]}"
    lake.write_json(f"{lake.aliases(model)}/{name}.json", asdict(event))
    return event


def nominate(lake: Lake, model: str, version: str, by: str) -> None:
    """Make a newly trained version the candidate; a version that has had an alias is left as it is."""
    history = alias_history(lake, model)
    if any(event.version == version for event in history):
        return
    over = aliases(lake, model).get(Alias.CANDIDATE)
    record_alias(lake, model, AliasEvent(Alias.CANDIDATE.value, "train", version, over, by))


def roll_back(lake: Lake, model: str, by: str, why: str) -> AliasEvent:
    """Return to the previous champion; a second call returns to the one before that.

    Raises:
        UsageError: there was none.
    """
    reign = _champions(alias_history(lake, model))
    if len(reign) < 2:
        now = f"{model}@{reign[0]} is its first" if reign else "none yet; `facemill models promote` sets one"
        raise UsageError(f"{model} has no earlier champion to return to: {now}")
    event = AliasEvent(Alias.CHAMPION.value, "rollback", version=reign[-2], over=reign[-1], by=by, why=why)
    return record_alias(lake, model, event)


def _champions(history: list[AliasEvent]) -> list[str]:
    """The champions in order, without those rolled back; the last is the current one."""
    reign: list[str] = []
    for event in history:
        if event.alias != Alias.CHAMPION:
            continue
        if event.action == "rollback":
            while reign and reign[-1] != event.version:
                reign.pop()
        if not reign or reign[-1] != event.version:
            reign.append(event.version)
    return reign
