"""Facts about the lake, the disks and the clocks, for `lake_checks`. Nothing is left on a disk or in a bucket."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.compute as pc

from flows.service.password import prefect_home
from storage.errors import FacemillError
from storage.files.free_room import existing, free_room
from storage.files.lake import Lake
from storage.files.stored_files import stored_files
from storage.files.stores import split_scheme, store_time
from storage.records import ATTEMPTS
from storage.tables.parquet import read_if_there
from tasks.fetch.ledger import image_stems

# Seconds to wait for a store that does not answer.
_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Disk:
    """The free room of the file system of a folder, existing or not."""

    of: str
    folder: str
    free_bytes: int
    free_files: int | None


@dataclass(frozen=True, slots=True)
class LakeFound:
    """The lake: whether it exists, and why it cannot be read or written (empty: it can).

    Attributes:
        can_tell_writes: writing was tried; not in a bucket, where it would leave an object for a moment.
        file_lag_s: how much later than this machine's clock the file system dates a new file; None if not tried.
        store_lag_s: likewise the clock of a store.
        newest_row: the newest attempt in the newest index of each source.
    """

    url: str
    exists: bool = False
    error: str = ""
    write_error: str = ""
    can_tell_writes: bool = False
    file_lag_s: float | None = None
    store_lag_s: float | None = None
    newest_row: datetime | None = None


def disks(url: str, environment: Mapping[str, str]) -> list[Disk]:
    """The disks of the lake, or of this machine's work folder for a lake in a bucket, and of Prefect's database."""
    home = prefect_home(environment)
    if split_scheme(url)[0] in {"", "file"}:
        first = _disk("the lake", Path(url.removeprefix("file://")).expanduser().absolute())
    else:
        first = _disk("the work folder", Path(environment.get("XDG_CACHE_HOME") or "~/.cache").expanduser())
    return [one for one in (first, _disk("Prefect", home)) if one is not None]


def look_at_lake(url: str) -> LakeFound:
    """Open a lake, read its newest rows, and try to write. A store that does not answer costs seconds."""
    lag_s = None
    try:
        if split_scheme(url)[0] in {"s3", "s3a"}:
            lag_s = (store_time(url, _WITHIN_S) - datetime.now(UTC)).total_seconds()
        lake = Lake(url)
        exists = lake.exists(lake.format_file)
        newest = _newest_row(lake) if exists and lake.is_local else None
    except FacemillError as error:
        return LakeFound(url, error=str(error), store_lag_s=lag_s)
    if not lake.is_local:
        return LakeFound(url, exists, store_lag_s=lag_s)
    write_error, file_lag_s = _try_to_write(existing(Path(lake.root)))
    return LakeFound(url, exists, "", write_error, can_tell_writes=True, file_lag_s=file_lag_s, newest_row=newest)


def _newest_row(lake: Lake) -> datetime | None:
    """The time of the newest attempt in the newest index of each source: one small table a source."""
    found: list[datetime] = []
    for source in lake.names("images"):
        indexes = {f"{lake.images(source, stem)}.parquet" for stem in image_stems(lake, source)}
        written = [(one.modified, one.path) for one in stored_files(lake, lake.images(source)) if one.path in indexes]
        if written:
            rows = read_if_there(lake, max(written)[1], ATTEMPTS, ["fetched_at"])
            newest = None if rows is None else pc.max(rows["fetched_at"]).as_py()
            found += [newest] if newest else []
    return max(found, default=None)


def _try_to_write(folder: Path) -> tuple[str, float | None]:
    """Why no file can be written in a folder, or how far its clock is ahead. The file has no name on most disks."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"facemill doctor")
            file.flush()
            return "", os.fstat(file.fileno()).st_mtime - time.time()
    except OSError as error:
        return f"{folder}: {error.strerror}", None


def _disk(of: str, folder: Path) -> Disk | None:
    room = free_room(folder)
    return Disk(of, str(folder), room.free_bytes, room.free_files) if room else None
