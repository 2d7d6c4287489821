"""Model versions: immutable folders with weights, metrics and lineage.

    models/<name>/<version>/weights.safetensors, config.json, metrics.json, thresholds.json, ...
    models/<name>/<version>/manifest.json     written last: names every file with its digest

The id of a version is a digest of the dataset version and the training configuration, so asking twice for the same
training finds the first one's model.
"""

from __future__ import annotations

import json
import os
from typing import Any

from storage.aliases import Alias, aliases
from storage.errors import LakeError, UsageError
from storage.lake import Lake, to_json
from storage.records import bytes_digest
from storage.stores import open_store


class ModelFolder:
    """A published version in a folder of its own, wherever that was copied to; opened for reading.

    Args:
        url: a path, or a URL that fsspec understands.

    Raises:
        UsageError: there is no manifest in it.
        LakeError: the manifest is damaged.
    """

    def __init__(self, url: str | os.PathLike[str]) -> None:
        self.url = os.fspath(url).rstrip("/")
        self._fs, self._root = open_store(self.url)
        try:
            self.manifest: dict[str, Any] = json.loads(self._fs.cat_file(f"{self._root}/manifest.json"))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UsageError(
                f"{self.url} is no model version: it holds no manifest.json; name a folder models/<name>/<version>"
            ) from error
        except ValueError as error:
            raise LakeError(f"{self.url}/manifest.json is not JSON ({error}); restore it from a backup") from error
        self.name: str = self.manifest["name"]
        self.version: str = self.manifest.get("version", self.url.rsplit("/", 1)[-1])

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"

    def read(self, file: str) -> bytes:
        """The bytes of one file of the version.

        Raises:
            LakeError: the version has no such file, or its digest is not the one in the manifest.
        """
        if file not in self.manifest["files"]:
            raise LakeError(f"{self.url} has no {file}: it was made by an older facemill; train the model again")
        data: bytes = self._fs.cat_file(f"{self._root}/{file}")
        if bytes_digest(data).hex() != self.manifest["files"][file]:
            raise LakeError(f"{self.url}/{file} is not what its manifest says; publish the model again")
        return data

    def read_json(self, file: str) -> dict[str, Any]:
        """One of the version's JSON files."""
        value: dict[str, Any] = json.loads(self.read(file))
        return value


class ModelVersion(ModelFolder):
    """A published version in a lake."""

    def __init__(self, lake: Lake, name: str, version: str) -> None:
        self.lake = lake
        self.folder = lake.model(name, version)
        super().__init__(f"{lake.url.rstrip('/')}/{self.folder}")


def write_model(lake: Lake, name: str, version: str, files: dict[str, bytes], manifest: dict[str, Any]) -> ModelVersion:
    """Write a version: its files first, then the manifest with their digests. A finished version is left as it is."""
    folder = lake.model(name, version)
    if not lake.exists(f"{folder}/manifest.json"):
        for file, data in files.items():
            lake.write(f"{folder}/{file}", data)
        digests = {file: bytes_digest(data).hex() for file, data in files.items()}
        told = {**manifest, "name": name, "version": version, "files": digests}
        lake.write_once(f"{folder}/manifest.json", to_json(told))
    return ModelVersion(lake, name, version)


def has_model(lake: Lake, name: str, version: str) -> bool:
    """Whether a version is complete."""
    return lake.exists(f"{lake.model(name, version)}/manifest.json")


def model_versions(lake: Lake, name: str | None = None) -> list[ModelVersion]:
    """The complete versions of one model or of all, oldest first."""
    names = [name] if name else lake.names("models")
    found = [
        ModelVersion(lake, one, version)
        for one in names
        for version in lake.names(lake.model(one))
        if has_model(lake, one, version)
    ]
    return sorted(found, key=lambda version: (version.manifest["trained_at"], version.version))


def open_model(lake: Lake, reference: str) -> ModelVersion:
    """Open `name@version`, `name@champion`, `name@candidate`, or the newest version of `name`.

    Raises:
        UsageError: there is no such version; the message names those that there are.
    """
    name, _, version = reference.partition("@")
    if version in list(Alias):
        version = _aliased(lake, name, version)
    found = [one for one in model_versions(lake, name) if not version or one.version == version]
    if not found:
        known = ", ".join(str(one) for one in model_versions(lake)) or "none yet; `facemill train` makes one"
        raise UsageError(f"there is no model version {reference} in {lake.url}; there are: {known}")
    return found[-1]


def _aliased(lake: Lake, name: str, alias: str) -> str:
    found = aliases(lake, name).get(alias)
    if found is None:
        makes = "`facemill models promote` makes one" if alias == Alias.CHAMPION else "`facemill train` makes one"
        raise UsageError(f"the model {name} in {lake.url} has no {alias} yet: {makes}")
    return found
