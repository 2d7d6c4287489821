"""What a training would cost: faces, people, steps, device and hours. Writes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from model.configuration.config import PRESETS, TrainConfig, model_version_id
from model.devices.cuda import uses_cuda
from storage.errors import LakeError
from storage.files.lake import Lake
from storage.text.json_shapes import NUMBER
from storage.versions.datasets import DatasetVersion
from storage.versions.models import ModelVersion, has_model, model_versions

# What `--preset` says of itself, on a CPU: a minute, and twenty. A GPU's hours depend on the GPU.
_PRESET_HOURS = {"smoke": 1 / 60, "cpu": 20 / 60}
# A run of these equal fields takes the same time for a face.
_PACE = ("backbone", "width", "image_px", "loss", "embedding_dim")


@dataclass(frozen=True, slots=True)
class TrainCost:
    """The training of one model version.

    Attributes:
        dataset: the version; None if it is published only by this run.
        is_new: whether there is no such model version yet.
        faces: to train on; with `people` None if unknown before publication.
        faces_per_step: at most; limited by the dataset.
        hours: None if unknown; `measured_by` says where they come from.
        num_trainings: of as many steps each; `hours` is the sum.
    """

    model: str
    dataset: str | None
    is_new: bool
    faces: int | None
    people: int | None
    preset: str
    device: str
    steps: int
    faces_per_step: int
    hours: float | None
    measured_by: str
    num_trainings: int = 1


def train_cost(
    lake: Lake, dataset: DatasetVersion | None, preset: str, config: TrainConfig, num_trainings: int = 1
) -> TrainCost:
    """The training of this configuration.

    Args:
        dataset: the version to train on; None if it is published only by this run.
        preset: the preset that the configuration comes from.
        num_trainings: of this length, one after the other.
    """
    part = dataset.manifest.get("splits", {}).get("train", {}) if dataset else {}
    device = "cuda" if uses_cuda(config.device) else "cpu"
    batch = config.identities_per_batch * config.faces_per_identity
    own_per_s = _own_faces_per_s(lake, config, on_cpu=device == "cpu")
    known = _PRESET_HOURS.get(preset) if device == "cpu" else None
    if own_per_s:
        hours, measured_by = config.steps * batch / own_per_s / 3600, "an earlier training of this lake"
    elif known is not None:
        hours, measured_by = known * config.steps / PRESETS[preset].steps, f"the preset {preset} on one core"
    else:
        hours, measured_by = None, ""
    return TrainCost(
        model=config.name,
        dataset=str(dataset) if dataset else None,
        is_new=dataset is None or not has_model(lake, config.name, model_version_id(dataset, config)),
        faces=part.get("samples"),
        people=part.get("identities"),
        preset=preset,
        device=device,
        steps=config.steps,
        faces_per_step=batch,
        hours=None if hours is None else hours * num_trainings,
        measured_by=measured_by,
        num_trainings=num_trainings,
    )


def _own_faces_per_s(lake: Lake, config: TrainConfig, *, on_cpu: bool) -> float | None:
    """The faces a second of the newest training of the lake at the same pace; None if there is none."""
    wanted = {name: getattr(config, name) for name in _PACE}
    for version in reversed(model_versions(lake)):
        made: dict[str, Any] = version.manifest["config"] if isinstance(version.manifest.get("config"), dict) else {}
        if wanted.items() <= made.items() and (rates := _rates(version, on_cpu=on_cpu)):
            return len(rates) / sum(1 / one for one in rates)
    return None


def _rates(version: ModelVersion, *, on_cpu: bool) -> list[float]:
    """The faces a second of each interval of a training; none if it ran on another device."""
    try:
        is_same = (version.read_json("lineage.json").get("device") == "cpu") == on_cpu
        intervals = version.read_json("history.json")["intervals"] if is_same else []
    except LakeError:  # `facemill check` reports it
        return []
    found = [one.get("images_per_s") for one in intervals]
    return [one for one in found if NUMBER.fits(one) and one > 0]
