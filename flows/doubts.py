"""How many samples of a dataset version a model doubts: `clean` for one version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.clean import clean
from flows.configuration.setting_groups import SettingValues, changed, of_flow, setting_fields
from flows.configuration.settings import Device
from storage.versions.datasets import DatasetVersion
from storage.versions.models import ModelVersion
from tasks.dataset.counted_doubts import doubts_state, keep_doubts, known_doubts
from tasks.label_noise.doubtful import doubtful_samples
from tasks.label_noise.score_table import Cleaning, read_cleaned

# The groups of settings that a manifest holds as they were given to `publish`.
_KEPT = ("select", "split", "dedupe", "people")


def doubts(version: DatasetVersion, model: ModelVersion, device: Device, settings: SettingValues) -> dict[str, Any]:
    """Score the faces of a version's source and method, and count the samples that `publish` would leave out.

    Nothing is read again while no table of the source has changed.

    Args:
        settings: those of a pipeline.

    Returns:
        The result of `clean`, with `dataset`, its `samples`, and `doubtful`, the counts by reason.
    """
    state = doubts_state(version, settings)
    known = known_doubts(version, str(model), state)
    if known and ("report" not in known or Path(known["report"]).exists()):
        return known
    lake, method = version.lake, version.manifest["method"]
    asked: dict[str, Any] = {"source": version.source, "method": method, "model": str(model), "device": device}
    (result,) = clean(lake.url, **asked, settings=of_flow(settings_of(version) | settings, "clean"))
    scores = read_cleaned(lake, lake.cleaned(method, version.source, model.name, model.version))
    cleaning = changed(Cleaning(str(model), scores.limit()), "cleaning", settings)
    found = doubtful_samples(version, scores, cleaning)
    counted = {**result, "dataset": str(version), "samples": version.manifest["num_samples"], "doubtful": found}
    keep_doubts(version, str(model), state, counted)
    return counted


def settings_of(version: DatasetVersion) -> SettingValues:
    """The settings with which a version was published, as `--set` takes them."""
    return {
        f"{group}.{field}": value
        for group in _KEPT
        for field, value in version.manifest.get(group, {}).items()
        if field in setting_fields(group)
    }
