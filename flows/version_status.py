"""Dataset and model versions of a lake, from their manifests only."""

from __future__ import annotations

from typing import Any

from storage.aliases import aliases
from storage.datasets import all_versions
from storage.lake import Lake
from storage.models import model_versions
from storage.tags import LATEST, tags


def dataset_status(lake: Lake) -> list[dict[str, Any]]:
    """The counts of every dataset version, and its tags; the newest one of each dataset is `latest`."""
    found = all_versions(lake)
    newest = {one.name: one.version for one in found}
    named = {name: {LATEST: version, **tags(lake, name)} for name, version in newest.items()}
    return [
        {
            "dataset": one.name,
            "version": one.version,
            "published_at": one.manifest["published_at"],
            "samples": one.manifest.get("num_samples"),
            "identities": one.manifest.get("num_identities"),
            "tags": [tag for tag, version in named[one.name].items() if version == one.version],
        }
        for one in found
    ]


def models_status(lake: Lake) -> list[dict[str, Any]]:
    """The model versions, oldest first, with their aliases."""
    return [
        {
            "model": one.name,
            "version": one.version,
            "trained_at": one.manifest.get("trained_at"),
            "dataset": one.manifest.get("dataset"),
            "auc": one.manifest.get("auc"),
            "aliases": [alias for alias, version in aliases(lake, one.name).items() if version == one.version],
        }
        for one in model_versions(lake)
    ]
