"""The settings files: `facemill.toml` of the user, and of the folder that a command is started in.

    per_host = 2                    # FACEMILL_PER_HOST, in lower case without its prefix
    [set]
    select.min_sharpness = 100      # as `--set select.min_sharpness=100`

The folder's file has precedence over the user's, the environment over both, and options over all. A file is read once
by a process, so that a run keeps its settings.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from storage.errors import UsageError
from storage.text.names import visible

NAME = "facemill.toml"
# Environment variable that names a file to read in place of the folder's. A service sets it for its runs, which do
# not start in its folder.
FILE = "FACEMILL_SETTINGS_FILE"
# A folder may come from somebody else: its file sets how work is done, and not what opens the machine or removes data.
NOT_OF_FOLDER = {
    "access": "it opens written files to others",
    "allow_private": "it lets requests reach private networks",
    "archive_url": "it names a server to send requests to",
    "bad_certificates": "it turns off a check",
    "database_url": "it names a server to trust",
    "redis_url": "it names a server to trust",
    "password_file": "it names a file to read a password from",
    "server_names": "it admits other host names to the service",
    "notify": "it says where messages go",
    "keep_last": "it removes data",
    "keep_within": "it removes data",
}


class SettingsFile(NamedTuple):
    """One of the two files, whether or not it exists.

    Attributes:
        is_folder: it is the file of a folder.
        is_named: the variable `FILE` names it, so it must exist.
    """

    path: Path
    is_folder: bool
    is_named: bool = False

    def __str__(self) -> str:
        return visible(str(self.path))


def settings_files(environment: Mapping[str, str] = os.environ) -> list[SettingsFile]:
    """The files in the order of their precedence, the folder's first."""
    return [folder_file(environment), SettingsFile(user_path(environment), is_folder=False)]


def folder_file(environment: Mapping[str, str] = os.environ) -> SettingsFile:
    """The file of the working folder, or the one that the variable `FILE` names."""
    if named := environment.get(FILE):
        return SettingsFile(Path(named), is_folder=True, is_named=True)
    try:
        return SettingsFile(Path.cwd() / NAME, is_folder=True)
    except FileNotFoundError:  # the folder has been removed
        return SettingsFile(Path(NAME), is_folder=True)


def user_path(environment: Mapping[str, str] = os.environ) -> Path:
    """The user's file, in the folder for configurations (XDG)."""
    folder = environment.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(folder).expanduser() / "facemill" / NAME


@cache
def read_file(file: SettingsFile) -> dict[str, Any]:
    """The values of a file by name, those of `[set]` by `group.field`; empty if there is no file.

    Raises:
        UsageError: it cannot be read, is not TOML, or is of another user.
    """
    if not file.is_named and not os.access(file.path.parent, os.X_OK):
        return {}  # the home of another user, as after `su`
    try:
        with file.path.open("rb") as opened:
            owner = os.fstat(opened.fileno()).st_uid
            if file.is_folder and not is_trusted(owner, os.getuid()):
                raise UsageError(
                    f"{file} belongs to another user (id {owner}), and settings of others are not used: "
                    f"copy it, or name a file of your own with {FILE}"
                )
            content = tomllib.load(opened)
    except FileNotFoundError as error:
        if file.is_named:
            raise UsageError(f"there is no settings file {file}, which {FILE} names") from error
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else visible(str(error))
        raise UsageError(f"the settings file {file} cannot be read: {cause}") from error
    if isinstance(content.get("set"), dict):
        content["set"] = _flat(content["set"])
    return content


def is_trusted(owner: int, user: int) -> bool:
    """Whether the settings of a file's owner are used: the user's own, and those of root."""
    return owner in {0, user}


def runs_file(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variable by which processes that start in other folders find the file of this one; empty if there is none."""
    path = folder_file(environment).path
    return {FILE: str(path.absolute())} if path.exists() else {}


def access(environment: Mapping[str, str] = os.environ) -> str:
    """The setting `access`, for code that cannot wait for the others to be imported; empty if it is not set.

    A file that cannot be read is left to the command, which reports it.
    """
    if given := environment.get("FACEMILL_ACCESS"):
        return given
    try:
        return str(read_file(SettingsFile(user_path(environment), is_folder=False)).get("access", ""))
    except UsageError:
        return ""


def _flat(tables: Mapping[str, Any]) -> dict[str, Any]:
    """`{"select": {"min_faces": 3}}` as `{"select.min_faces": 3}`."""
    flat: dict[str, Any] = {}
    for name, one in tables.items():
        flat |= {f"{name}.{field}": value for field, value in one.items()} if isinstance(one, dict) else {name: one}
    return flat
