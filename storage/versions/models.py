"""Model versions: immutable folders with weights, metrics and lineage.

    models/<name>/<version>/weights.safetensors, config.json, metrics.json, thresholds.json, ...
    models/<name>/<version>/manifest.json     written last: names every file with its digest

The id of a version is a digest of the dataset version and the training configuration, so a
repeated training with the same inputs finds the existing model. Of a pruned version only the manifest is left
(`tombstones`).
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from storage.errors import LakeError, UsageError
from storage.files.lake import Lake
from storage.files.paths import NOT_VERSIONS
from storage.files.stores import open_store
from storage.records import bytes_digest
from storage.text.json_shapes import COUNT, FIGURE, INTERVAL, NUMBER, TEXT, Kind, Shape, parse_object
from storage.text.names import NAME, VERSIONED, Form
from storage.versions.aliases import Alias, aliases
from storage.versions.tombstones import PRUNED, Prunable, clear_for_rewrite, is_complete, write_manifest

_DIGEST = Form("[0-9a-f]{64}", "64 hex digits")
MANIFEST: Shape = {
    "name": NAME,
    "version?": NAME,
    "dataset?": TEXT,
    "trained_at?": TEXT,
    "auc?": FIGURE,
    "files": {"*": _DIGEST},
    "pruned?": PRUNED,
}
# The figures of a report (`metrics.json`, an evaluation), as far as they are shown. Older versions lack some of them.
_BY_MARGIN = {"*": FIGURE}
_BY_MARGIN_INTERVAL = {"*": INTERVAL}
_MAYBE_FIGURE = Kind(lambda value: value is None or FIGURE.fits(value), "a number or null")
_MAYBE_INTERVAL = Kind(lambda value: value is None or INTERVAL.fits(value), "two numbers or null")
_SHARES = [FIGURE]
FIGURES: dict[str, Shape] = {
    **{f"{name}?": FIGURE for name in ("auc", "eer", "accuracy", "rank_1", "threshold", "accuracy_standard_error")},
    **{f"{name}_interval?": INTERVAL for name in ("auc", "eer", "accuracy", "rank_1")},
    **{f"num_{name}?": COUNT for name in ("identities", "faces", "genuine", "impostor", "people_seen", "photos")},
    "num_without_face?": COUNT,
    "tar_at_far?": {"*": _MAYBE_FIGURE},
    "tar_at_far_interval?": {"*": _MAYBE_INTERVAL},
    "operating_points?": [
        {"chosen_for": TEXT, "threshold": FIGURE, "far": FIGURE, "far_interval": INTERVAL, "tar": FIGURE,
         "tar_interval": INTERVAL}
    ],
    "calibration?": {
        "brier": FIGURE, "expected_error": FIGURE, **dict.fromkeys(("said", "observed", "weight"), _SHARES),
    },
    "triplet?": {
        "unit?": _BY_MARGIN, "unit_interval?": _BY_MARGIN_INTERVAL, "raw?": _BY_MARGIN,
        "raw_interval?": _BY_MARGIN_INTERVAL,
    },
    "roc?": {"far": _SHARES, "tar": _SHARES, "tar_low?": _SHARES, "tar_high?": _SHARES},
    "distances?": {"genuine": _SHARES, "impostor": _SHARES},
}  # fmt: skip
_FILES: dict[str, Shape] = {
    "metrics.json": {"untrained": FIGURES, "trained": FIGURES},
    "thresholds.json": {
        "chosen_on": TEXT,
        "num_genuine": COUNT,
        "num_impostor": COUNT,
        "accuracy": NUMBER,
        "far": {"*": Kind(lambda value: value is None or NUMBER.fits(value), "a finite number or null")},
        "calibration": {"slope": NUMBER, "offset": NUMBER},
    },
    "lineage.json": {"dataset?": TEXT, "dataset_state?": TEXT, "dataset_manifest_sha256?": TEXT},
    "history.json": {"intervals": [{"step": COUNT, "loss": FIGURE, "learning_rate": FIGURE, "val_auc?": FIGURE}]},
}
# What is read of one file at most: the largest network is 300 MB, a manifest a few KB.
_MAX_BYTES, _MAX_MANIFEST_BYTES = 2_000_000_000, 10_000_000


class ModelFolder(Prunable):
    """A published version in a standalone folder, opened for reading.

    It may come from an untrusted party: nothing outside the folder is read, and everything read is validated.

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
            self.manifest: dict[str, Any] = self._read_manifest()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UsageError(
                f"{self.url} is not a model version: manifest.json is missing; name a folder models/<name>/<version>"
            ) from error
        for file in self.manifest["files"]:
            NAME.checked(file, "the name of a file", f"{self.url}/manifest.json")
        self.name: str = self.manifest["name"]
        self.version: str = self.manifest.get("version") or self.url.rsplit("/", 1)[-1]

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"

    def _how_to_make_again(self) -> str:
        options = f" --dataset {self.manifest['dataset']}" if self.manifest.get("dataset") else ""
        again = f"train it again with `facemill train{options} --model {self.name}`"
        return f"{again} and the settings that `facemill models show {self}` lists"

    @property
    def dataset(self) -> str:
        """The dataset version it was trained on, `name@version`.

        Raises:
            LakeError: the manifest has no dataset.
        """
        return VERSIONED.checked(self.manifest.get("dataset"), "dataset", f"{self.url}/manifest.json")

    def read(self, file: str) -> bytes:
        """The bytes of one file of the version.

        Raises:
            LakeError: the version has no such file, or its digest is not the one in the manifest.
            VersionPruned: the version has been pruned.
        """
        if self.pruned:
            self.check_not_pruned()
        if file not in self.manifest["files"]:
            raise LakeError(f"{self.url} has no {file}: it was made by an older facemill; train the model again")
        try:
            data = self._read(file, _MAX_BYTES)
        except (FileNotFoundError, NotADirectoryError) as error:
            with suppress(FileNotFoundError, NotADirectoryError, LakeError):
                self.check_not_pruned()
            raise LakeError(f"{self.url}/{file} is missing: copy the folder again, or train again") from error
        if bytes_digest(data).hex() != self.manifest["files"][file]:
            raise LakeError(f"{self.url}/{file} does not match its manifest; publish the model again")
        return data

    def read_json(self, file: str) -> dict[str, Any]:
        """One of the version's JSON files, of the shape it should have.

        Raises:
            LakeError: it is not, or as for `read`.
        """
        return parse_object(self.read(file), f"{self.url}/{file}", _FILES.get(file))

    def read_text(self, file: str) -> str:
        """One of the version's texts; invalid UTF-8 is replaced."""
        return self.read(file).decode("utf-8", "replace")

    def _read_manifest(self) -> dict[str, Any]:
        return parse_object(self._read("manifest.json", _MAX_MANIFEST_BYTES), f"{self.url}/manifest.json", MANIFEST)

    def _read(self, file: str, max_bytes: int) -> bytes:
        """The bytes of a regular file of the folder, at most `max_bytes`."""
        facts = self._fs.info(f"{self._root}/{file}")
        if facts["type"] != "file":
            raise LakeError(f"{self.url}/{file} is not a regular file: run `facemill check`, or copy the folder again")
        if facts["size"] > max_bytes:
            raise LakeError(f"{self.url}/{file} has {facts['size']:,} bytes, over the limit of {max_bytes:,}")
        return self._bytes(file)

    def _bytes(self, file: str) -> bytes:
        data: bytes = self._fs.cat_file(f"{self._root}/{file}")
        return data


class ModelVersion(ModelFolder):
    """A published version in a lake."""

    def __init__(self, lake: Lake, name: str, version: str) -> None:
        self.lake = lake
        self.folder = lake.model(name, version)
        super().__init__(f"{lake.url.rstrip('/')}/{self.folder}")

    def _bytes(self, file: str) -> bytes:
        """Read through the lake, which rejects symlinks that lead out of it."""
        return self.lake.read(f"{self.folder}/{file}")


def write_model(lake: Lake, name: str, version: str, files: dict[str, bytes], manifest: dict[str, Any]) -> ModelVersion:
    """Write a version: its files first, then the manifest with their digests.

    A finished version is left as it is; a pruned one is restored.
    """
    folder = lake.model(name, version)
    if not has_model(lake, name, version):
        is_restored = clear_for_rewrite(lake, folder)
        for file, data in files.items():
            lake.write(f"{folder}/{file}", data)
        digests = {file: bytes_digest(data).hex() for file, data in files.items()}
        told = {**manifest, "name": name, "version": version, "files": digests}
        write_manifest(lake, folder, told, over_tombstone=is_restored)
    return ModelVersion(lake, name, version)


def has_model(lake: Lake, name: str, version: str) -> bool:
    """Whether a version is complete, and has not been pruned."""
    return is_complete(lake, lake.model(name, version))


def model_versions(lake: Lake, name: str | None = None, *, pruned: bool = False) -> list[ModelVersion]:
    """The complete versions of one model or of all, oldest first.

    Args:
        pruned: also those of which only the manifest is left.
    """
    names = [name] if name else filter(NAME.fits, lake.names("models"))
    found = [
        ModelVersion(lake, one, version)
        for one in names
        for version in filter(NAME.fits, lake.names(lake.model(one)))
        if version not in NOT_VERSIONS and lake.exists(f"{lake.model(one, version)}/manifest.json")
    ]
    shown = [one for one in found if pruned or not one.pruned]
    return sorted(shown, key=lambda version: (version.manifest.get("trained_at") or "", version.version))


def find_model(lake: Lake, reference: str) -> ModelVersion:
    """Like `open_model`, but `name@version` may be a pruned version, of which only the manifest can be read.

    Raises:
        UsageError: there is no such version; the message lists the existing ones.
    """
    name, _, version = reference.partition("@")
    if version in list(Alias):
        version = _aliased(lake, name, version)
    known = model_versions(lake, name, pruned=True)
    found = [one for one in known if (one.version == version if version else not one.pruned)]
    if not found:
        existing = ", ".join(str(one) for one in model_versions(lake)) or "none yet; `facemill train` makes one"
        raise UsageError(f"there is no model version {reference} in {lake.url}; there are: {existing}")
    return found[-1]


def open_model(lake: Lake, reference: str) -> ModelVersion:
    """Open `name@version`, `name@champion`, `name@candidate`, or the newest version of `name`.

    Raises:
        UsageError: there is no such version; the message lists the existing ones. `VersionPruned`: it was pruned.
    """
    found = find_model(lake, reference)
    if found.pruned:
        found.check_not_pruned()
    return found


def _aliased(lake: Lake, name: str, alias: str) -> str:
    found = aliases(lake, name).get(alias)
    if found is None:
        makes = "`facemill models promote` makes one" if alias == Alias.CHAMPION else "`facemill train` makes one"
        raise UsageError(f"the model {name} in {lake.url} has no {alias} yet: {makes}")
    return found
