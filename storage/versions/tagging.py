"""Giving tags to dataset versions, and taking them away."""

from __future__ import annotations

from storage.errors import UsageError
from storage.files.lake import Lake
from storage.files.paths import checked_name
from storage.versions.alias_events import REMOVED, AliasEvent
from storage.versions.datasets import DatasetVersion, versions
from storage.versions.tags import checked_tag, record_tag, tags


def tag_version(version: DatasetVersion, tag: str, *, by: str, why: str = "") -> AliasEvent:
    """Let a tag stand for a version. A tag that stood for another one moves.

    Args:
        by: name of the user.

    Raises:
        UsageError: the tag is reserved, looks like the id of a version, is one, or stands for this version already.
            `VersionPruned`: the version has been pruned.
    """
    lake, dataset = version.lake, version.name
    if any(one.version == checked_tag(tag) for one in versions(lake, dataset)):
        raise UsageError(f"the tag {tag!r} is the id of a version of {dataset}: choose another name")
    over = tags(lake, dataset).get(tag)
    if over == version.version:
        raise UsageError(f"{dataset}@{tag} is {version} already")
    return record_tag(lake, dataset, AliasEvent(tag, "tag", version.version, over, by, why), version.check_not_pruned)


def untag(lake: Lake, dataset: str, tag: str, *, by: str, why: str = "") -> AliasEvent:
    """Remove a tag of a dataset. Its version and the history stay.

    Raises:
        UsageError: the dataset has no such tag; the message lists those it has.
    """
    known = tags(lake, checked_name(dataset))
    if tag not in known:
        raise UsageError(f"{dataset} has no tag {tag!r}; its tags: {', '.join(sorted(known)) or 'none'}")
    return record_tag(lake, dataset, AliasEvent(tag, REMOVED, known[tag], None, by, why))
