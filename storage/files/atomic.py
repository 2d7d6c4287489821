"""Atomic file writes, and the temporary files of killed writers.

A file is written under a temporary name in its folder, synced, and renamed. The name identifies the writing process:

    .tmp-<machine>-<pid>-<start time>-<random><ending>

so that another process can check whether the writer still runs (`processes.is_gone_mark`). The state of a writer in
another container or on another machine is unknown; its file is never removed automatically. It counts as a leftover
once unchanged for an hour, as does a file with a name of another form (releases before 0.2).
"""

from __future__ import annotations

import errno
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto
from pathlib import Path

from storage.files.processes import is_gone_mark, is_mark_of_here, process_mark

PREFIX = ".tmp-"
# No writer pauses for so long: a shard of the slowest hosts is written in one go when its pictures are there.
_LEFT_AFTER_S = 3600
# What file systems without hard links answer.
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
_OTHERS, _GROUP = 0o007, 0o2070


class Writer(Enum):
    """What is known of the process that writes a temporary file."""

    RUNS = auto()
    GONE = auto()
    UNKNOWN = auto()


@contextmanager
def whole_file(path: Path, *, once: bool = False, sweeps: bool = True) -> Iterator[Path]:
    """Give a temporary file to fill; when the block ends well, it is synced and becomes `path` in one step.

    Its ending is that of `path`. Folders that are missing are made (`make_folder`). If the folder is closed to others,
    so is the file, whatever the umask.

    Args:
        once: do not replace an existing file. Of several concurrent writers the first one wins.
        sweeps: first remove the temporary files of killed writers in the folder.

    Raises:
        FileExistsError: with `once`, something is there.
        OSError: the file cannot be written.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        yield path  # a device or a pipe, such as /dev/stdout, must not be replaced
        return
    with temporary_file(path, sweeps=sweeps) as temporary:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        if once:
            _link(temporary, path)
        else:
            temporary.replace(path)


@contextmanager
def temporary_file(path: Path, *, sweeps: bool = True) -> Iterator[Path]:
    """The temporary file of `whole_file`, empty; it is removed after the block unless renamed."""
    make_folder(path.parent)
    if sweeps:
        sweep(path.parent)
    temporary = path.with_name(f"{PREFIX}{process_mark() or 'unknown'}-{uuid.uuid4().hex}{path.suffix}")
    try:
        _make_empty(temporary)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make a folder and those above it. Below a folder that is closed to others they are as open as that one."""
    if path.is_dir():
        return
    make_folder(path.parent)
    above = path.parent.stat().st_mode
    path.mkdir(exist_ok=True, mode=0o777 if above & _OTHERS else 0o700)
    if not above & _OTHERS and above & _GROUP:
        path.chmod(0o700 | above & _GROUP)


def sweep(folder: Path) -> None:
    """Remove the temporary files in a folder whose writers were processes of this machine and have ended."""
    for path in folder.glob(f"{PREFIX}*"):
        if writer_of(path) is Writer.GONE:
            path.unlink(missing_ok=True)


def unfinished(folder: Path) -> Iterator[Path]:
    """All temporary files in a folder and below it; links to folders are not followed."""
    for place, _, names in os.walk(folder):
        yield from (Path(place) / name for name in names if name.startswith(PREFIX))


def is_left(path: Path) -> bool:
    """Whether the writer of a temporary file has ended, or is unknown and has not written for an hour."""
    writer = writer_of(path)
    if writer is not Writer.UNKNOWN:
        return writer is Writer.GONE
    with suppress(FileNotFoundError):
        return time.time() - path.lstat().st_mtime > _LEFT_AFTER_S
    return False


def writer_of(path: Path) -> Writer:
    """What is known of the writer of a temporary file, from its name."""
    mark = path.name.removeprefix(PREFIX).rpartition("-")[0]
    if not is_mark_of_here(mark):
        return Writer.UNKNOWN
    return Writer.GONE if is_gone_mark(mark) else Writer.RUNS


def _make_empty(temporary: Path) -> None:
    above = temporary.parent.stat().st_mode
    is_closed = not above & _OTHERS
    handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600 if is_closed else 0o666)
    try:
        if is_closed and above & _GROUP:
            os.fchmod(handle, 0o600 | above & 0o060)
    finally:
        os.close(handle)


def _link(temporary: Path, target: Path) -> None:
    """Give a finished file its name unless it is taken; without hard links, by a prior check."""
    try:
        os.link(temporary, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if target.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
        temporary.replace(target)
