"""Remove the files of a version that is marked as pruned. A kill leaves some of them, which the next call removes."""

from __future__ import annotations

from collections.abc import Iterator

from storage.files.lake import Lake
from storage.versions.datasets import DatasetVersion, all_versions
from storage.versions.models import ModelVersion, model_versions
from storage.versions.tombstones import remains


def remains_of(lake: Lake, folder: str) -> list[str]:
    """All files that go with a version: those of its folder but the manifest, and the evaluations of a model version.

    Args:
        folder: `datasets/<name>/<version>` or `models/<name>/<version>`.
    """
    kind, name, version = folder.split("/")
    if kind != "models":
        return remains(lake, folder)
    # The facts of an evaluation are written last, so they go first.
    evaluations = sorted(remains(lake, lake.evaluations(name, version)), key=lambda path: not path.endswith(".json"))
    return [*evaluations, *remains(lake, folder)]


def remove_remains(lake: Lake, folder: str) -> None:
    """Remove all files that go with a version which is marked as pruned."""
    for path in remains_of(lake, folder):
        lake.remove(path)
    kind, name, version = folder.split("/")
    if kind == "models":
        lake.remove(lake.evaluations(name, version))


def half_pruned(lake: Lake) -> Iterator[str]:
    """The folders of versions that are marked as pruned and have files left."""
    versions: list[DatasetVersion | ModelVersion] = [*all_versions(lake, pruned=True)]
    for version in [*versions, *model_versions(lake, pruned=True)]:
        if version.pruned and remains_of(lake, version.folder):
            yield version.folder
