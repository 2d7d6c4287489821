"""Dataset and model versions of a lake, from their manifests only."""

from __future__ import annotations

from typing import Any

from storage.aliases import aliases
from storage.datasets import DatasetVersion, all_versions
from storage.lake import Lake
from storage.models import ModelVersion, model_versions
from storage.tags import LATEST, tags


def dataset_status(lake: Lake, *, pruned: bool = False) -> list[dict[str, Any]]:
    """The counts of every dataset version, and its tags; the newest one of each dataset is `latest`.

    Args:
        pruned: also pruned versions; each then says when it was, or None.
    """
    found = all_versions(lake, pruned=pruned)
    newest = {one.name: one.version for one in found if not one.pruned}
    named = {name: {LATEST: version, **tags(lake, name)} for name, version in newest.items()}
    return [
        {
            "dataset": one.name,
            "version": one.version,
            "published_at": one.manifest["published_at"],
            "samples": one.manifest.get("num_samples"),
            "identities": one.manifest.get("num_identities"),
            "tags": [tag for tag, version in named.get(one.name, {}).items() if version == one.version],
            **_pruned(one, wanted=pruned),
        }
        for one in found
    ]


def models_status(lake: Lake, *, pruned: bool = False) -> list[dict[str, Any]]:
    """The model versions, oldest first, with their aliases.

    Args:
        pruned: also pruned versions; each then says when it was, or None.
    """
    return [
        {
            "model": one.name,
            "version": one.version,
            "trained_at": one.manifest.get("trained_at"),
            "dataset": one.manifest.get("dataset"),
            "auc": one.manifest.get("auc"),
            "aliases": [alias for alias, version in aliases(lake, one.name).items() if version == one.version],
            **_pruned(one, wanted=pruned),
        }
        for one in model_versions(lake, pruned=pruned)
    ]


def _pruned(version: DatasetVersion | ModelVersion, *, wanted: bool) -> dict[str, Any]:
    return {"pruned": version.pruned and version.pruned["at"]} if wanted else {}
