"""Dataset and model versions of a lake, and what tells them apart: manifests, and the sizes of files."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from posixpath import normpath
from typing import Any

from storage.files.lake import Lake
from storage.files.stored_files import stored_files
from storage.text.names import VERSIONED
from storage.versions.aliases import aliases
from storage.versions.datasets import DatasetVersion, all_versions
from storage.versions.models import ModelVersion, model_versions
from storage.versions.tags import LATEST, tags
from tasks.dataset.manifest import settings_of
from tasks.maintenance.shared_files import used_by


def dataset_status(lake: Lake, *, pruned: bool = False) -> list[dict[str, Any]]:
    """The dataset versions by name, oldest first: counts, tags, bytes, settings that differ, models trained on it.

    The newest version of each dataset that is not pruned has the tag `latest`.

    Args:
        pruned: also pruned versions; each then says when it was, or None.
    """
    found, models = all_versions(lake, pruned=pruned), models_by_dataset(lake)
    settings = [settings_of(one.manifest) for one in found]
    differ = _differing([one.name for one in found], settings)
    newest = {one.name: one.version for one in found if not one.pruned}
    named = {name: {LATEST: version, **tags(lake, name)} for name, version in newest.items()}
    sizes = {name: shared_sizes(lake, name) for name in {one.name for one in found}}
    return [
        {
            "dataset": one.name,
            "version": one.version,
            "published_at": one.manifest["published_at"],
            "samples": one.manifest.get("num_samples"),
            "identities": one.manifest.get("num_identities"),
            "tags": [tag for tag, version in named.get(one.name, {}).items() if version == one.version],
            "bytes": num_bytes(one, sizes[one.name]),
            "folder": folder_of(one),
            "settings": {name: value for name, value in settings[place].items() if name in differ[one.name]},
            "models": models.get(str(one), []),
            **_pruned(one, wanted=pruned),
        }
        for place, one in enumerate(found)
    ]


def models_status(lake: Lake, *, pruned: bool = False) -> list[dict[str, Any]]:
    """The model versions by name, oldest first: figures, aliases, bytes, folder, settings that differ, the dataset.

    Args:
        pruned: also pruned versions; each then says when it was, or None.
    """
    # A stable sort: the order by time stays.
    found = sorted(model_versions(lake, pruned=pruned), key=lambda one: one.name)
    settings = [_training_settings(one) for one in found]
    differ = _differing([one.name for one in found], settings)
    newest = {one.name: one.version for one in found if not one.pruned}
    return [
        {
            "model": one.name,
            "version": one.version,
            "trained_at": one.manifest.get("trained_at"),
            "dataset": one.manifest.get("dataset"),
            "dataset_is_here": _has_dataset(lake, one.manifest.get("dataset")),
            "auc": one.manifest.get("auc"),
            "auc_untrained": one.manifest.get("auc_untrained"),
            "aliases": _aliases_of(one),
            "is_newest": newest.get(one.name) == one.version,
            "bytes": num_bytes(one),
            "folder": folder_of(one),
            "settings": {name: value for name, value in settings[place].items() if name in differ[one.name]},
            **_pruned(one, wanted=pruned),
        }
        for place, one in enumerate(found)
    ]


def num_bytes(version: DatasetVersion | ModelVersion, sizes: Mapping[str, int] | None = None) -> int:
    """The bytes of a version: of all files in its folder, and of those that it shares with others.

    Args:
        sizes: of the shared files of its dataset by path, if they are known.
    """
    own = sum(file.num_bytes for file in stored_files(version.lake, version.folder))
    if isinstance(version, ModelVersion) or not version.shares_files or version.pruned:
        return own
    if sizes is None:
        sizes = shared_sizes(version.lake, version.name)
    return own + sum(sizes.get(path, 0) for path in used_by(version))


def shared_sizes(lake: Lake, dataset: str) -> dict[str, int]:
    """The bytes of what the versions of a dataset share, by path without ending."""
    found: dict[str, int] = defaultdict(int)
    for folder in (lake.shards(dataset), lake.shared_lines(dataset)):
        for file in stored_files(lake, folder):
            found[file.path.rpartition(".")[0]] += file.num_bytes
    return found


def _pruned(version: DatasetVersion | ModelVersion, *, wanted: bool) -> dict[str, Any]:
    return {"pruned": version.pruned and version.pruned["at"]} if wanted else {}


def models_by_dataset(lake: Lake) -> dict[str, list[dict[str, Any]]]:
    """The models trained on each dataset version, with their aliases; oldest first."""
    found: dict[str, list[dict[str, Any]]] = {}
    for one in model_versions(lake):
        found.setdefault(str(one.manifest.get("dataset")), []).append({"model": str(one), "aliases": _aliases_of(one)})
    return found


def _has_dataset(lake: Lake, reference: str | None) -> bool:
    """Whether a dataset version is in the lake; its manifest is not read."""
    if not VERSIONED.fits(reference):
        return False
    return lake.exists(f"{lake.dataset(*str(reference).split('@'))}/manifest.json")


def folder_of(version: DatasetVersion | ModelVersion) -> str:
    """The folder of a version, as a path or a URL."""
    url = version.lake.url
    return f"{url.rstrip('/') if '://' in url else normpath(url)}/{version.folder}"


def _aliases_of(version: ModelVersion) -> list[str]:
    return [alias for alias, of in aliases(version.lake, version.name).items() if of == version.version]


def _training_settings(version: ModelVersion) -> dict[str, Any]:
    """The training settings in a manifest; none in old ones. Manifests may be foreign, so the shape is checked."""
    config = version.manifest.get("config")
    return {name: value for name, value in config.items() if name != "name"} if isinstance(config, dict) else {}


def _differing(names: Sequence[str], settings: Sequence[Mapping[str, Any]]) -> dict[str, set[str]]:
    """By the name of a dataset or model, the settings that are not the same in all its versions."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for name, one in zip(names, settings, strict=True):
        groups.setdefault(name, []).append(one)
    return {name: set(differing(group)) for name, group in groups.items()}


def differing(settings: Iterable[Mapping[str, Any]]) -> list[str]:
    """The settings that are not the same everywhere, or missing in some; sorted."""
    every = list(settings)
    names = sorted({name for one in every for name in one})
    return [name for name in names if len({json.dumps(one.get(name), sort_keys=True) for one in every}) > 1]
