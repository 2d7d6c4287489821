"""Tombstones: of a pruned version the manifest stays, with an entry `pruned`, and all other files go.

The entry is written in one step before the first file goes, so that a version is whole or known to be pruned. What a
killed prune has left of it is removed by the next one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from storage.errors import VersionPruned
from storage.files.lake import Lake, to_json
from storage.records import bytes_digest
from storage.text.json_shapes import COUNT, TEXT, Shape, parse_object
from storage.text.names import VERSIONED

MANIFEST = "manifest.json"
# When, why and by whom it was pruned, the bytes that came back, the digest of the manifest before, and the models that
# were trained on it, if it was pruned in spite of them.
PRUNED: Shape = {
    "at": TEXT,
    "why": TEXT,
    "by": TEXT,
    "bytes": COUNT,
    "manifest_sha256?": TEXT,
    "even_lineage?": [VERSIONED],
}


class Prunable(ABC):
    """A version with a manifest, which `facemill prune` may have marked.

    Attributes:
        manifest: as it was when the version was opened.
    """

    manifest: dict[str, Any]

    @abstractmethod
    def _read_manifest(self) -> dict[str, Any]:
        """The manifest as it is now."""

    @abstractmethod
    def _how_to_make_again(self) -> str:
        """The advice to the user of a pruned version."""

    @property
    def pruned(self) -> dict[str, Any] | None:
        """When, why and by whom the version was pruned (`PRUNED`); None if it was not."""
        found: dict[str, Any] | None = self.manifest.get("pruned")
        return found

    def check_not_pruned(self) -> None:
        """Check that the version has not been pruned, also since it was opened.

        Raises:
            VersionPruned: it has.
        """
        if entry := self.pruned or self._read_manifest().get("pruned"):
            raise refusal(str(self), entry, self._how_to_make_again())


def is_complete(lake: Lake, folder: str) -> bool:
    """Whether the version in a folder is complete, and has not been pruned."""
    return lake.exists(f"{folder}/{MANIFEST}") and not is_pruned(lake, folder)


def clear_for_rewrite(lake: Lake, folder: str) -> bool:
    """Remove what a killed prune has left of the version in a folder, before it is written again.

    Returns:
        Whether there is a tombstone, which the new manifest replaces (`write_manifest`).
    """
    if not lake.exists(f"{folder}/{MANIFEST}"):
        return False
    for left in remains(lake, folder):
        lake.remove(left)
    return True


def write_manifest(lake: Lake, folder: str, manifest: dict[str, Any], *, over_tombstone: bool) -> bool:
    """Write the manifest of a version, its last file; returns whether it is the one that stands there now.

    Args:
        over_tombstone: replace what is there; else the first of several concurrent writers wins.
    """
    path = f"{folder}/{MANIFEST}"
    if over_tombstone:
        lake.write_json(path, manifest)
        return True
    return lake.write_once(path, to_json(manifest))


def write_tombstone(lake: Lake, folder: str, entry: dict[str, Any]) -> bytes:
    """Mark the version in a folder as pruned; returns its manifest before."""
    path = f"{folder}/{MANIFEST}"
    before = lake.read(path)
    manifest = parse_object(before, f"{lake.url}/{path}")
    lake.write_json(path, manifest | {"pruned": {**entry, "manifest_sha256": bytes_digest(before).hex()}})
    return before


def remove_tombstone(lake: Lake, folder: str) -> None:
    """Take the mark back from a version of which no file has gone yet."""
    path = f"{folder}/{MANIFEST}"
    lake.write_json(path, {name: value for name, value in lake.read_json(path).items() if name != "pruned"})


def is_pruned(lake: Lake, folder: str) -> bool:
    """Whether the version in a folder is marked as pruned.

    Raises:
        LakeError: its manifest is missing or damaged.
    """
    return lake.read_json(f"{folder}/{MANIFEST}").get("pruned") is not None


def remains(lake: Lake, folder: str) -> list[str]:
    """The files of a version besides its manifest, as they go: first the index, which readers open."""
    names = [name for name in lake.names(folder) if name != MANIFEST]
    return [f"{folder}/{name}" for name in sorted(names, key=lambda name: (name != "index.parquet", name))]


def refusal(version: str, pruned: dict[str, Any], again: str) -> VersionPruned:
    """The error for a pruned version.

    Args:
        again: how to make it again.
    """
    return VersionPruned(f"{version} was pruned on {pruned['at'][:10]} ({pruned['why']}): {again}")
