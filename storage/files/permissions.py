"""Folders that are open to one user alone, or to their group where they say so."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from storage.errors import LakeError

_PRIVATE, _FOR_GROUP = 0o700, 0o2770
# What a user sets who shares all files with the group and none with others.
_GROUP_UMASK = 0o007


def make_private(folder: Path) -> None:
    """Make a folder and close it to others; it is open to the group only if the umask is 0007.

    A folder of another user stays as it is.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=_PRIVATE)
    with suppress(PermissionError):
        folder.chmod(_FOR_GROUP if _umask() == _GROUP_UMASK else _PRIVATE)


def cache_folder() -> Path:
    """facemill's folder in the user's cache folder (XDG Base Directory Specification), made and closed to others.

    Raises:
        LakeError: it belongs to another user, is a link, or cannot be made.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    folder = Path(base if Path(base).is_absolute() else os.path.expanduser("~/.cache"), "facemill")  # noqa: PTH111
    advice = "set XDG_CACHE_HOME to a folder of yours"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=_PRIVATE)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise LakeError(f"{folder} is a link or belongs to another user: remove it, or {advice}")
        if found.st_mode & 0o077:
            folder.chmod(_PRIVATE)
    except OSError as error:
        raise LakeError(f"{folder} cannot be created: {error.strerror}; {advice}") from error
    return folder


def _umask() -> int:
    # There is no way to read it without setting it; for that moment it is the stricter one.
    found = os.umask(0o077)
    os.umask(found)
    return found
