"""Model versions: immutable folders with weights, metrics and lineage.

    models/<name>/<version>/weights.safetensors, config.json, metrics.json, thresholds.json, ...
    models/<name>/<version>/manifest.json     written last: names every file with its digest

The id of a version is a digest of the dataset version and the training configuration, so asking twice for the same
training finds the first one's model.
"""

from __future__ import annotations

from typing import Any

from storage.errors import LakeError, UsageError
from storage.lake import Lake
from storage.records import bytes_digest


class ModelVersion:
    """One published version, opened for reading."""

    def __init__(self, lake: Lake, name: str, version: str) -> None:
        self.lake = lake
        self.name = name
        self.version = version
        self.folder = lake.model(name, version)
        self.manifest: dict[str, Any] = lake.read_json(f"{self.folder}/manifest.json")

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"

    def read(self, file: str) -> bytes:
        """The bytes of one file of the version.

        Raises:
            LakeError: its digest is not the one in the manifest.
        """
        data = self.lake.read(f"{self.folder}/{file}")
        if bytes_digest(data).hex() != self.manifest["files"][file]:
            raise LakeError(
                f"{self.lake.url}/{self.folder}/{file} is not what its manifest says; publish the model again"
            )
        return data

    def read_json(self, file: str) -> dict[str, Any]:
        """One of the version's JSON files."""
        return self.lake.read_json(f"{self.folder}/{file}")


def write_model(lake: Lake, name: str, version: str, files: dict[str, bytes], manifest: dict[str, Any]) -> ModelVersion:
    """Write a version: its files first, then the manifest with their digests. A finished version is left as it is."""
    folder = lake.model(name, version)
    if not lake.exists(f"{folder}/manifest.json"):
        for file, data in files.items():
            lake.write(f"{folder}/{file}", data)
        digests = {file: bytes_digest(data).hex() for file, data in files.items()}
        lake.write_json(f"{folder}/manifest.json", {**manifest, "files": digests})
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
    """Open `name@version`, or the newest version of `name`.

    Raises:
        UsageError: there is no such version; the message names those that there are.
    """
    name, _, version = reference.partition("@")
    found = [one for one in model_versions(lake, name) if not version or one.version == version]
    if not found:
        known = ", ".join(str(one) for one in model_versions(lake)) or "none yet; `facemill train` makes one"
        raise UsageError(f"there is no model version {reference} in {lake.url}; there are: {known}")
    return found[-1]
