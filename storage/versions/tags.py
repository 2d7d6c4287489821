"""Tags: names that users give to dataset versions, such as `golden`, with their history.

    datasets/<name>/aliases/<when>-<writer>.json    an event (`alias_events`)

`latest` is no tag but computed: the newest version.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from storage.errors import UsageError
from storage.files.lake import Lake
from storage.text.json_shapes import TEXT, Shape
from storage.text.names import NAME, Form
from storage.versions import alias_events
from storage.versions.alias_events import EVENT_TIME, REMOVED, AliasEvent
from storage.versions.aliases import Alias

LATEST = "latest"
# The names of models mean something else, and would be misread.
_RESERVED = (LATEST, *Alias)
_VERSION_ID = re.compile("[0-9a-fA-F]{16}")
_EVENT: Shape = {
    "alias": NAME,
    "action": Form(f"tag|{REMOVED}", f"tag or {REMOVED}"),
    "version": NAME,
    "over?": NAME,
    "by": TEXT,
    "why?": TEXT,
    "at": EVENT_TIME,
}


def checked_tag(name: str) -> str:
    """`name` itself, if it can be a tag.

    Raises:
        UsageError: it is reserved, looks like the id of a version, or has letters that no name may have.
    """
    if name in _RESERVED:
        raise UsageError(f"the tag {name!r} is reserved ({', '.join(_RESERVED)}): choose another name")
    if _VERSION_ID.fullmatch(name):
        raise UsageError(f"the tag {name!r} looks like the id of a version, 16 hex digits: choose another name")
    if not NAME.fits(name):
        raise UsageError(f"the tag {name!r} must be {NAME.words}")
    return name


def tag_history(lake: Lake, dataset: str) -> list[AliasEvent]:
    """All events of the tags of a dataset, oldest first.

    Raises:
        LakeError: one of them is damaged.
    """
    return alias_events.read_events(lake, lake.tags(dataset), _EVENT)


def read_tag_event(lake: Lake, path: str) -> AliasEvent:
    """One event, by the path of its file.

    Raises:
        LakeError: it is damaged.
    """
    return alias_events.read_event(lake, path, _EVENT)


def tags(lake: Lake, dataset: str) -> dict[str, str]:
    """The version of each tag of a dataset."""
    return alias_events.current(tag_history(lake, dataset))


def record_tag(
    lake: Lake, dataset: str, event: AliasEvent, confirm: Callable[[], None] = alias_events.keep_event
) -> AliasEvent:
    """Write an event (`alias_events.record_event`)."""
    return alias_events.record_event(lake, lake.tags(dataset), event, _EVENT, confirm)
