"""The cleaned twin of a dataset version: published with the same settings, and cleaned by a given model."""

from __future__ import annotations

import json
from typing import Any

from storage.files.lake import to_json
from storage.stamps.stamped_fields import counted, differing
from storage.versions.datasets import DatasetVersion, versions
from tasks.dataset.publish_request import chosen_settings
from tasks.label_noise.estimate import CleanRules
from tasks.label_noise.score_table import Cleaning

# Computed from the scores, so that it changes a little whenever a face is added.
_COMPUTED = "wrong_person_score"


def cleaned_twin(version: DatasetVersion, cleaning: Cleaning, rules: CleanRules) -> DatasetVersion | None:
    """The newest cleaned version that followed a version, by its settings; None if there is none.

    Args:
        cleaning: the model, and the threshold of two names; any threshold of a face will do.
        rules: of the scores.
    """
    wanted = settings_but_limit(version.manifest)
    wanted |= {"cleaning": _without_limit(counted("cleaning", cleaning))}
    wanted |= {"clean": differing(rules)} if differing(rules) else {}
    wanted = json.loads(to_json(wanted))
    since = version.manifest["published_at"]
    found = [one for one in versions(version.lake, version.name) if one.manifest["published_at"] >= since]
    twins = [one for one in found if settings_but_limit(one.manifest) == wanted]
    return twins[-1] if twins else None


def settings_but_limit(manifest: dict[str, Any]) -> dict[str, Any]:
    """The settings of a version, without the threshold of its cleaning that is computed from the scores."""
    settings = chosen_settings(manifest)
    cleaning = settings.get("cleaning")
    return settings | {"cleaning": _without_limit(cleaning)} if isinstance(cleaning, dict) else settings


def _without_limit(cleaning: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in cleaning.items() if name != _COMPUTED}
