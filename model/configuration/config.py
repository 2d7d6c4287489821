"""The configuration of a training run, validated on construction."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from model.configuration.choices import (
    ACTIVATION_NAMES,
    BACKBONE_NAMES,
    DEVICES,
    LOSS_NAMES,
    MINING_NAMES,
    PRECISIONS,
    SWITCH,
)
from model.configuration.ranges import RANGES, SIDE_MULTIPLE_PX, out_of_range, published_settings
from model.devices.cuda import uses_cuda
from storage.errors import LakeError, UsageError
from storage.stamps.setting_field import setting
from storage.stamps.stamped_fields import counted
from storage.tables.parquet import stamp
from storage.versions.datasets import DatasetVersion
from storage.versions.models import ModelFolder

if TYPE_CHECKING:
    import torch

Number = TypeVar("Number", int, float)
# Fields that affect where and how fast a run executes, and its results only by rounding.
_MACHINE = ("device", "precision", "compile")


def _check_word(field: str, word: str, known: Any) -> None:
    if word not in known:
        raise UsageError(f"{field} must be one of {', '.join(known)}, not {word!r}")


def _ranged(name: str, default: Number, text: str) -> Number:
    low, high = RANGES[name]
    return setting(default, text, ge=low, le=high)


@dataclass(frozen=True)
class TrainConfig:
    """The configuration of one training run, without the dataset. Defaults are those of the preset `full`.

    Attributes:
        name: the model's name in the lake.
    """

    name: str = "faces"
    backbone: str = setting("mobilefacenet", f"one of {', '.join(BACKBONE_NAMES)}")
    width: float = _ranged("width", 1.0, "factor on the backbone's channels")
    activation: str = setting("paper", f"one of {', '.join(ACTIVATION_NAMES)}; paper is the backbone's own")
    embedding_dim: int = _ranged("embedding_dim", 128, "length of an embedding")
    image_px: int = _ranged("image_px", 112, f"side of the square input in pixels, a multiple of {SIDE_MULTIPLE_PX}")
    loss: str = setting("triplet", f"one of {', '.join(LOSS_NAMES)}")
    margin: float = _ranged("margin", 1.0, "margin of the triplet loss, in squared distance of unit vectors")
    mining: str = setting("batch_all", f"triplets of a batch: one of {', '.join(MINING_NAMES)}")
    head_margin: float = _ranged(
        "head_margin", 0.35, "margin of the margin softmax, in cosine (cosface) or radians (arcface)"
    )
    head_scale: float = _ranged("head_scale", 30.0, "factor on the cosines before the softmax")
    head_weight: float = _ranged("head_weight", 0.1, "factor on the margin softmax when combined with a triplet loss")
    identities_per_batch: int = _ranged("identities_per_batch", 64, "identities per batch (P); limited by the dataset")
    faces_per_identity: int = _ranged("faces_per_identity", 8, "faces per identity (K); limited by the dataset")
    steps: int = _ranged("steps", 20_000, "number of training batches")
    learning_rate: float = _ranged(
        "learning_rate", 2e-3, "the maximum, reached after the warm-up, followed by a half cosine to 0"
    )
    weight_decay: float = _ranged("weight_decay", 0.05, "AdamW's, on weights of convolutions and linear layers only")
    warmup_steps: int = _ranged("warmup_steps", 1_000, "steps of linear increase of the learning rate")
    # The average is evaluated and published.
    ema_decay: float = _ranged(
        "ema_decay", 0.999, "decay per step of the moving average of the weights; 0 for the last weights"
    )
    augment_strength: float = _ranged("augment_strength", 1.0, "factor on all augmentation; 0 leaves only the flip")
    mirror: bool = setting(False, "whether the model averages the embeddings of a face and its mirror image")
    seed: int = _ranged("seed", 0, "random seed of the initial weights, the batches and the augmentation")
    sync_batch_norm: bool = setting(False, "with several GPUs, whether batch norm uses the faces of all GPUs")
    device: str = setting("auto", "auto, cpu or cuda; auto is cuda if available")
    # On a CPU bfloat16 is slower: 3.99 against 2.68 CPU-ms an image (docs/training.md).
    precision: str = setting(
        "auto", "precision of the backbone: auto, float32 or bfloat16; auto is bfloat16 on cuda only"
    )
    compile: str = setting("auto", "whether torch.compile fuses the backbone: auto, on or off; auto is on on cuda only")

    def __post_init__(self) -> None:
        _check_word("backbone", self.backbone, BACKBONE_NAMES)
        _check_word("activation", self.activation, ACTIVATION_NAMES)
        _check_word("loss", self.loss, LOSS_NAMES)
        _check_word("mining", self.mining, MINING_NAMES)
        _check_word("device", self.device, DEVICES)
        _check_word("precision", self.precision, PRECISIONS)
        _check_word("compile", self.compile, SWITCH)
        if words := out_of_range(dataclasses.asdict(self)):
            raise UsageError(words)

    def recipe(self) -> dict[str, Any]:
        """The fields that define a training. `device` is not among them: it belongs to the lineage."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in _MACHINE}

    def counted(self) -> dict[str, Any]:
        """The fields of the recipe that enter the id of a model version (`storage.stamps.stamped_fields`)."""
        return {name: value for name, value in counted("train", self).items() if name not in _MACHINE}

    def uses_bfloat16(self, device: torch.device) -> bool:
        """Whether the backbone runs in bfloat16 on `device`."""
        return self.precision == "bfloat16" or (self.precision == "auto" and device.type == "cuda")

    def compiles(self, device: torch.device) -> bool:
        """Whether the backbone is compiled on `device`."""
        return self.compile == "on" or (self.compile == "auto" and device.type == "cuda")


PRESETS: dict[str, TrainConfig] = {
    # Shows on a CPU that training works.
    "smoke": TrainConfig(
        width=0.5,
        image_px=64,
        identities_per_batch=8,
        faces_per_identity=4,
        steps=300,
        warmup_steps=20,
        ema_decay=0.98,
    ),
    # Twenty minutes of a CPU core; docs/training.md has its results.
    "cpu": TrainConfig(
        width=0.5,
        activation="relu",
        image_px=64,
        loss="triplet+cosface",
        head_margin=0.3,
        head_scale=30.0,
        head_weight=1.0,
        identities_per_batch=16,
        faces_per_identity=4,
        steps=4500,
        warmup_steps=100,
        ema_decay=0.998,
        augment_strength=1.3,
        mirror=True,
    ),
    "full": TrainConfig(),
}


def config_of(model: ModelFolder) -> TrainConfig:
    """The configuration of a published version, validated like that of a new training.

    Raises:
        LakeError: `config.json` lacks a setting, or has an unknown or invalid one.
    """
    try:
        return TrainConfig(**published_settings(model))
    except UsageError as error:
        raise LakeError(f"{model.url}/config.json: {error}; copy the version again, or retrain") from error


def default_preset(device: str = "auto") -> str:
    """The default preset of a device: "full" on cuda, "smoke" on a CPU."""
    return "full" if uses_cuda(device) else "smoke"


def model_version_id(dataset: DatasetVersion, config: TrainConfig) -> str:
    """The id of the model version produced by training with `config` on `dataset`."""
    return stamp(dataset.state, config.counted())
