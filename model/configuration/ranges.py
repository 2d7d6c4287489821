"""Valid ranges of training settings, and validated reading of a published version's settings.

Does not import torch, so that a version can be opened for inference without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from storage.errors import LakeError
from storage.text.json_shapes import COUNT, FLAG, NUMBER, TEXT, Shape, require
from storage.text.names import NAME
from storage.versions.models import ModelFolder

# Inputs are multiples of this, because a backbone halves the resolution four times.
SIDE_MULTIPLE_PX = 16
RANGES: dict[str, tuple[float, float]] = {
    "width": (0.05, 4.0),
    "embedding_dim": (2, 4096),
    "image_px": (32, 512),
    "margin": (1e-3, 4.0),
    "head_margin": (0.0, 1.5),
    "head_scale": (1.0, 1000.0),
    "head_weight": (0.0, 1000.0),
    "identities_per_batch": (2, 100_000),
    "faces_per_identity": (2, 1000),
    "steps": (1, 100_000_000),
    "learning_rate": (1e-8, 10.0),
    "weight_decay": (0.0, 10.0),
    "warmup_steps": (0, 100_000_000),
    "ema_decay": (0.0, 0.9999),
    "augment_strength": (0.0, 3.0),
    "seed": (0, 2**63 - 1),
}
# The settings in `config.json`. Old versions lack newer settings, but never these three.
SETTINGS: dict[str, Shape] = {
    "backbone": TEXT,
    "embedding_dim": COUNT,
    "image_px": COUNT,
    "name?": NAME,
    **{f"{name}?": TEXT for name in ("activation", "loss", "mining", "device", "precision", "compile")},
    **{f"{name}?": COUNT for name in ("identities_per_batch", "faces_per_identity", "steps", "warmup_steps", "seed")},
    **{f"{name}?": NUMBER for name in ("width", "margin", "head_margin", "head_scale", "head_weight")},
    **{f"{name}?": NUMBER for name in ("learning_rate", "weight_decay", "ema_decay", "augment_strength")},
    **{f"{name}?": FLAG for name in ("mirror", "sync_batch_norm")},
}


def out_of_range(settings: Mapping[str, Any]) -> str | None:
    """The message for the first setting out of its range; None if all are valid."""
    for name, (low, high) in RANGES.items():
        if name in settings and not low <= settings[name] <= high:
            return f"{name} must be between {low} and {high}, not {settings[name]}"
    if (side := settings["image_px"]) % SIDE_MULTIPLE_PX:
        return f"image_px must be a multiple of {SIDE_MULTIPLE_PX}, not {side}; try 112"
    return None


def published_settings(model: ModelFolder) -> dict[str, Any]:
    """Read the settings of a published version, validated by the ranges of a training.

    Raises:
        LakeError: `config.json` lacks a setting, or has an unknown or invalid one.
    """
    settings, where = model.read_json("config.json"), f"{model.url}/config.json"
    require(settings, SETTINGS, where)
    unknown = settings.keys() - {name.removesuffix("?") for name in SETTINGS}
    if unknown:
        raise LakeError(
            f"{where}: {min(unknown)!a} is unknown here: install the facemill version that trained the model"
        )
    settings = {name: value for name, value in settings.items() if value is not None}
    if words := out_of_range(settings):
        raise LakeError(f"{where}: {words}; copy the version again, or retrain")
    return settings
