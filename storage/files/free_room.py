"""The free room of file systems."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple


class FreeRoom(NamedTuple):
    """The free room of a file system, for an ordinary user.

    Attributes:
        free_files: files that can still be made; None where the file system makes room for them as needed.
    """

    free_bytes: int
    size_bytes: int
    free_files: int | None


def existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next((one for one in (folder, *folder.parents) if one.is_dir()), Path("/"))


def free_room(folder: Path) -> FreeRoom | None:
    """The free room of the file system of a folder, existing or not; None if it cannot be read."""
    try:
        found = os.statvfs(existing(folder))
    except OSError:
        return None
    free_files = found.f_favail if found.f_files else None
    return FreeRoom(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize, free_files)
