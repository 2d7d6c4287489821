"""Whether a dataset version differs enough from the one that the newest like model was trained on."""

from __future__ import annotations

import json

from model.configuration.config import TrainConfig, model_version_id
from storage.errors import LakeError, UsageError
from storage.files.lake import Lake, to_json
from storage.versions.datasets import DatasetVersion, find_dataset
from storage.versions.models import ModelVersion, has_model, model_versions
from tasks.dataset.cleaned_twin import settings_but_limit
from tasks.dataset.version_change import change_since

_FACE = ["sample", "split", "crop_digest", "identity"]


def why_not_needed(lake: Lake, dataset: DatasetVersion, config: TrainConfig, min_change: float) -> str:
    """Why the version is not worth a training; empty if it is, or if its model exists.

    It is compared with the dataset version of the newest model of the same name and training settings, among the
    versions that were published with the same settings. A version by other settings, or cleaned by another model, is
    always worth one; so is one without faces of that model that have been taken down.

    Args:
        min_change: the least share of faces or people added or removed.
    """
    if not min_change or has_model(lake, config.name, model_version_id(dataset, config)):
        return ""
    wanted = settings_but_limit(dataset.manifest)
    for model in reversed(model_versions(lake, config.name)):
        before = _dataset_of(lake, model) if _is_like(model, config) else None
        if before and before.name == dataset.name and settings_but_limit(before.manifest) == wanted:
            change = change_since(before, dataset.index(_FACE))
            if change.share >= min_change or _learned_more(model, before):
                return ""
            return f"{change} since {before}, of {model}: less than {min_change:.1%}"
    return ""


def _is_like(model: ModelVersion, config: TrainConfig) -> bool:
    """Whether a model was trained with these settings. Those that an older manifest lacks had no other value."""
    made = model.manifest.get("config")
    recipe = json.loads(to_json(config.recipe()))
    return isinstance(made, dict) and all(made.get(name, value) == value for name, value in recipe.items())


def _learned_more(model: ModelVersion, dataset: DatasetVersion) -> bool:
    """Whether a model was trained on faces of the version that have been taken down since."""
    return bool(model.read_json("lineage.json").get("dataset_state", dataset.state) != dataset.state)


def _dataset_of(lake: Lake, model: ModelVersion) -> DatasetVersion | None:
    """The dataset version of a model; None if it has been removed or pruned, so that nothing can be compared."""
    try:
        found = find_dataset(lake, model.dataset)
    except (UsageError, LakeError):
        return None
    return None if found.pruned else found
