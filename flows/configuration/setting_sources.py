"""The settings files as sources of pydantic-settings, and where each value comes from."""

from __future__ import annotations

import json
import os
from difflib import get_close_matches
from typing import Any

from pydantic_settings import BaseSettings, TomlConfigSettingsSource

from flows.configuration.setting_files import NOT_OF_FOLDER, SettingsFile, read_file, settings_files, user_path
from storage.errors import UsageError
from storage.text.names import visible

PREFIX = "FACEMILL_"
DEFAULT = "default"


class FileSource(TomlConfigSettingsSource):
    """The values of one settings file.

    Raises:
        UsageError: the file cannot be used, has an unknown name, or one that the file of a folder may not have.
    """

    def __init__(self, settings_cls: type[BaseSettings], file: SettingsFile) -> None:
        self._file, self._known = file, settings_cls.model_fields
        super().__init__(settings_cls, file.path)

    def _read_files(self, *_: Any, **__: Any) -> dict[str, Any]:
        values = read_file(self._file)
        for name in values:
            if name not in self._known:
                near = get_close_matches(name, self._known, 1, 0.5)
                meant = f" Did you mean {near[0]}?" if near else ""
                raise UsageError(
                    f"{self._file}: there is no setting {visible(name)}.{meant} `facemill settings` lists all; "
                    "fields of --set belong into the table [set]"
                )
            if self._file.is_folder and name in NOT_OF_FOLDER:
                raise UsageError(
                    f"{self._file}: {name} cannot be set by the file of a folder, because {NOT_OF_FOLDER[name]} and a "
                    f"folder may come from somebody else: set it in {user_path()}, or as {variable(name)}"
                )
        return values


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"{PREFIX}{name.upper()}"


def origin(name: str) -> str:
    """Where the value of a setting comes from: an environment variable, the path of a file, or `DEFAULT`."""
    if variable(name) in os.environ:
        return variable(name)
    return next((str(file) for file in settings_files() if name in read_file(file)), DEFAULT)


def set_origin(field: str) -> str:
    """Where the value of a field of `--set` comes from, as `origin`."""
    if field in json.loads(os.environ.get(variable("set"), "{}")):
        return variable("set")
    return next((str(file) for file in settings_files() if field in read_file(file).get("set", {})), DEFAULT)
