"""Which version of a model is its `champion` and which its `candidate`, and how that came about.

    models/<name>/aliases/<when>-<writer>.json    one event a file, never rewritten

The last event of an alias says which version bears it. Two that write at once write two files, so no event is lost.
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
    """A name for a version that may move: the one in use, and the one that may replace it."""

    CHAMPION = "champion"
    CANDIDATE = "candidate"


@dataclass(frozen=True)
class AliasEvent:
    """An alias came to a version.

    Attributes:
        action: "train", "promote" or "rollback".
        version: the version that bears the alias from here on.
        over: the version that bore it before; None for the first.
        by: the user who did it.
        why: in their words.
        forced: the comparison did not allow it.
        figures: the comparison it rests on; empty where none was made.
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
    folder = f"{lake.model(model)}/aliases"
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
    """The version that bears each alias, of those that were ever given."""
    return {event.alias: event.version for event in alias_history(lake, model)}


def record_alias(lake: Lake, model: str, event: AliasEvent) -> AliasEvent:
    """Write an event; its time is now, or just after the last one's where this machine's clock is behind."""
    now = datetime.now(UTC)
    if history := alias_history(lake, model):
        now = max(now, datetime.fromisoformat(history[-1].at) + timedelta(microseconds=1))
    event = AliasEvent(**{**asdict(event), "at": now.isoformat(timespec="microseconds")})
    name = f"{now.strftime(_TIME)}-{uuid.uuid4().hex[:6]}"
    lake.write_json(f"{lake.model(model)}/aliases/{name}.json", asdict(event))
    return event


def nominate(lake: Lake, model: str, version: str, by: str) -> None:
    """Make a newly trained version the candidate; one that was it before does not come back by being trained again."""
    history = alias_history(lake, model)
    if any(event.version == version for event in history):
        return
    over = aliases(lake, model).get(Alias.CANDIDATE)
    record_alias(lake, model, AliasEvent(Alias.CANDIDATE.value, "train", version, over, by))


def roll_back(lake: Lake, model: str, by: str, why: str) -> AliasEvent:
    """Return to the champion before this one; once more, to the one before that.

    Raises:
        UsageError: there was none.
    """
    reign = _champions(alias_history(lake, model))
    if len(reign) < 2:
        now = f"{model}@{reign[0]} is its first" if reign else "it has none yet; `facemill models promote` makes one"
        raise UsageError(f"{model} has no earlier champion to return to: {now}")
    event = AliasEvent(Alias.CHAMPION.value, "rollback", version=reign[-2], over=reign[-1], by=by, why=why)
    return record_alias(lake, model, event)


def _champions(history: list[AliasEvent]) -> list[str]:
    """The champions in their order, without those that a rollback took back; the last is the one in office."""
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
