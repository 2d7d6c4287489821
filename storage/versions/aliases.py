"""The aliases `champion` and `candidate` of model versions, with their history.

models/<name>/aliases/<when>-<writer>.json    an event (`alias_events`)
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from storage.errors import UsageError, VersionPruned
from storage.files.lake import Lake
from storage.text.json_shapes import FIGURE, FLAG, INTERVAL, TEXT, Shape
from storage.text.names import NAME, VERSIONED, Form
from storage.versions import alias_events
from storage.versions.alias_events import EVENT_TIME, AliasEvent
from storage.versions.tombstones import is_pruned


class Alias(StrEnum):
    """A movable name for a version: the one in use, and the one that may replace it."""

    CHAMPION = "champion"
    CANDIDATE = "candidate"


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
    "at": EVENT_TIME,
}


def alias_history(lake: Lake, model: str) -> list[AliasEvent]:
    """All events of a model, oldest first.

    Raises:
        LakeError: one of them is damaged.
    """
    return alias_events.read_events(lake, lake.aliases(model), _EVENT)


def read_event(lake: Lake, path: str) -> AliasEvent:
    """One event, by the path of its file.

    Raises:
        LakeError: it is damaged.
    """
    return alias_events.read_event(lake, path, _EVENT)


def aliases(lake: Lake, model: str) -> dict[str, str]:
    """The current version of each alias that has been assigned."""
    return alias_events.current(alias_history(lake, model))


def record_alias(
    lake: Lake, model: str, event: AliasEvent, confirm: Callable[[], None] = alias_events.keep_event
) -> AliasEvent:
    """Write an event (`alias_events.record_event`)."""
    return alias_events.record_event(lake, lake.aliases(model), event, _EVENT, confirm)


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
        UsageError: there was none. `VersionPruned`: it was pruned.
    """
    reign = _champions(alias_history(lake, model))
    if len(reign) < 2:
        now = f"{model}@{reign[0]} is its first" if reign else "none yet; `facemill models promote` sets one"
        raise UsageError(f"{model} has no earlier champion to return to: {now}")
    _check_can_return(lake, model, reign[-2])
    event = AliasEvent(Alias.CHAMPION.value, "rollback", version=reign[-2], over=reign[-1], by=by, why=why)
    return record_alias(lake, model, event, lambda: _check_can_return(lake, model, reign[-2]))


def _check_can_return(lake: Lake, model: str, version: str) -> None:
    folder = lake.model(model, version)
    if lake.exists(f"{folder}/manifest.json") and is_pruned(lake, folder):
        raise VersionPruned(
            f"{model} cannot return to {model}@{version}, which was pruned: `facemill models promote` makes another "
            "version the champion"
        )


def previous_champion(lake: Lake, model: str) -> str | None:
    """The version that `roll_back` would return to; None if there is none."""
    reign = _champions(alias_history(lake, model))
    return reign[-2] if len(reign) > 1 else None


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
