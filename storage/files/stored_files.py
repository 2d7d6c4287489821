"""The files of a lake with their sizes and ages, in a folder or a bucket."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from storage.files.lake import Lake
from storage.files.stores import asking

_WORK = "work"


class StoredFile(NamedTuple):
    """A file of a lake: its path, its length, and when it was last written, UTC."""

    path: str
    num_bytes: int
    modified: datetime


def stored_files(lake: Lake, folder: str = "") -> list[StoredFile]:
    """Every file in a folder of a lake and below it, sorted by path; temporary files too.

    Links are not followed. Of a lake in a bucket the folder `work` is the one of this machine.
    """
    if lake.is_local:
        return sorted(_walked(lake.local_folder(folder), folder))
    found = list(_in_bucket(lake, folder))
    if folder in {"", _WORK} or folder.startswith(f"{_WORK}/"):
        below = folder.removeprefix(_WORK).lstrip("/")
        found += _walked(lake.work_folder / below, f"{_WORK}/{below}".rstrip("/"))
    return sorted(found)


def _walked(place: Path, folder: str) -> Iterator[StoredFile]:
    before = f"{folder}/" if folder else ""
    for above, _, names in os.walk(place):
        for name in names:
            path = Path(above, name)
            with suppress(FileNotFoundError):  # removed meanwhile
                facts = path.lstat()
                modified = datetime.fromtimestamp(facts.st_mtime, UTC)
                yield StoredFile(before + path.relative_to(place).as_posix(), facts.st_size, modified)


def _in_bucket(lake: Lake, folder: str) -> Iterator[StoredFile]:
    with asking(f"{lake.url}/{folder}"):
        found = lake.fs.find(lake.full(folder), detail=True)
    for path, facts in found.items():
        if not path.endswith("/"):
            yield StoredFile(
                path.lstrip("/").removeprefix(f"{lake.root.lstrip('/')}/"), facts["size"], _modified(facts)
            )


def _modified(facts: dict[str, Any]) -> datetime:
    """When a file of a store was written; each store has its own name for it."""
    for name in ("LastModified", "mtime", "updated", "last_modified", "created"):
        if isinstance(value := facts.get(name), datetime):
            return value if value.tzinfo else value.replace(tzinfo=UTC)
    return datetime.now(UTC)
