"""What a model version was made of, as rows of tables: settings, provenance, and changes since the version before."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

from model.compare.comparison import differences
from model.configuration.config import TrainConfig
from storage.errors import LakeError, UsageError
from storage.stamps.code_version import code_words
from storage.stamps.setting_field import SETTING
from storage.versions.models import ModelVersion, model_versions

# Follow from the dataset, which is named too.
_DERIVED = {"dataset_state", "dataset_manifest_sha256"}


class Setting(NamedTuple):
    """One setting of a training."""

    name: str
    value: str
    default: str
    meaning: str

    @property
    def is_default(self) -> bool:
        """Whether it has its default."""
        return self.value == self.default


def settings(config: dict[str, Any]) -> list[Setting]:
    """The settings of a version (`config.json`), in the order of `TrainConfig`; unknown ones last, without default."""
    known = {field.name: field for field in dataclasses.fields(TrainConfig) if SETTING in field.metadata}
    found = [
        Setting(name, text(config[name]), text(field.default), str(field.metadata[SETTING]["text"]))
        for name, field in known.items()
        if name in config
    ]
    return found + [Setting(name, text(config[name]), "", "") for name in config if name not in {*known, "name"}]


def provenance(lineage: dict[str, Any], trained_at: str) -> list[tuple[str, str]]:
    """(what, value) of `lineage.json` that a person reads: when, by which code, on what machine and libraries."""
    libraries = lineage.get("libraries")
    machine = [
        text(lineage["device"]) if lineage.get("device") else "",
        text(lineage["precision"]) if lineage.get("precision") else "",
        "compiled" if lineage.get("compiled") else "",
        f"{processes:,} processes" if (processes := lineage.get("processes") or 1) > 1 else "",
    ]
    rows = [
        ("trained", f"{trained_at[:16].replace('T', ' ')} UTC" if trained_at else ""),
        ("by", code_words(lineage.get("code"))),
        ("on", ", ".join(filter(None, machine))),
        ("seed", text(lineage["seed"]) if "seed" in lineage else ""),
        ("Python", text(lineage.get("python") or "")),
        ("CUDA", text(lineage.get("cuda") or "")),
        *((name, text(version or "")) for name, version in (libraries or {}).items()),
    ]
    return [row for row in rows if row[1]]


def version_before(model: ModelVersion) -> ModelVersion | None:
    """The version of the same model that was trained before this one; None for the first."""
    known = model_versions(model.lake, model.name)
    place = next((at for at, one in enumerate(known) if one.version == model.version), 0)
    return known[place - 1] if place else None


def changes(before: ModelVersion, model: ModelVersion) -> list[tuple[str, str, str]]:
    """(what, before, now) of settings and provenance that differ between two versions."""
    try:
        found = differences(before, model)
    except (LakeError, UsageError):  # the one before is damaged, or was pruned meanwhile
        return []
    return [
        (name.replace("_", " "), text(one), text(other))
        for field, (old, new) in found.items()
        if field not in _DERIVED
        for name, one, other in _flat(field, old, new)
    ]


def text(value: object) -> str:
    """A value of JSON as a person writes it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _flat(name: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    """The leaves that differ, of two values that may be objects."""
    if not isinstance(old, dict) and not isinstance(new, dict):
        yield name, old, new
        return
    old, new = (one if isinstance(one, dict) else {} for one in (old, new))
    for field in sorted({*old, *new}):
        if old.get(field) != new.get(field):
            yield from _flat(f"{name} {field}", old.get(field), new.get(field))
