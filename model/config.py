"""Everything that decides what a training run does, checked when it is made."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch

from model.backbones import ACTIVATIONS, BACKBONES
from model.losses import LOSSES, MINERS
from model.ranges import out_of_range, published_settings
from storage.errors import LakeError, UsageError
from storage.models import ModelFolder
from storage.stamped_fields import counted

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "float32", "bfloat16")
SWITCH = ("auto", "on", "off")
# Fields that say where and how fast a run goes, and leave its figures what they are but for rounding.
_MACHINE = ("device", "precision", "compile")


def _check_word(field: str, word: str, known: Any) -> None:
    if word not in known:
        raise UsageError(f"{field} must be one of {', '.join(known)}, not {word!r}")


@dataclass(frozen=True)
class TrainConfig:
    """One training run, but for the dataset. Defaults are those of the preset `full`.

    Attributes:
        name: the model's name in the lake.
        backbone: a key of `BACKBONES`.
        width: factor on the backbone's channels, above 0, at most 4.
        activation: a key of `ACTIVATIONS`; "paper" for those of the backbone's own paper.
        embedding_dim: length of an embedding, 2 to 4096.
        image_px: side of the square the backbone sees, in pixels, a multiple of 16.
        loss: a key of `LOSSES`.
        margin: of the triplet loss, in squared distance of unit vectors (0 to 4).
        mining: a key of `MINERS`.
        head_margin: of the margin softmax, in cosine (cosface) or radians (arcface).
        head_scale: factor on the cosines before the softmax.
        head_weight: factor on the margin softmax where it stands beside a triplet loss.
        identities_per_batch: identities drawn a step (P); comes down to what the dataset has.
        faces_per_identity: faces drawn of each (K); comes down to what the dataset has.
        steps: batches to train on.
        learning_rate: the highest, reached after the warm-up; from there a half cosine down to 0.
        weight_decay: AdamW's, on weights of convolutions and layers only.
        warmup_steps: steps over which the learning rate rises in a line.
        ema_decay: what the running average of the weights keeps a step, 0 to 0.9999. The average is what is judged
            and published; 0 for the last weights themselves.
        augment_strength: factor on all augmentation, 0 leaves only the flip.
        mirror: whether an embedding is the mean of those of a face and its mirror image, once trained.
        seed: of the first weights, the batches and the augmentation.
        sync_batch_norm: with several GPUs, whether a norm sees the faces of all of them or of its own.
        device: "cpu", "cuda", or "auto" for cuda where there is one.
        precision: of the backbone's arithmetic; the loss is always float32. "auto" is bfloat16 on cuda, and float32
            on a CPU, where bfloat16 is slower (212 against 299 images/s, measured).
        compile: whether `torch.compile` fuses the backbone; "auto" is "on" on cuda only.
    """

    name: str = "faces"
    backbone: str = "mobilefacenet"
    width: float = 1.0
    activation: str = "paper"
    embedding_dim: int = 128
    image_px: int = 112
    loss: str = "triplet"
    margin: float = 1.0
    mining: str = "batch_all"
    head_margin: float = 0.35
    head_scale: float = 30.0
    head_weight: float = 0.1
    identities_per_batch: int = 64
    faces_per_identity: int = 8
    steps: int = 20_000
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warmup_steps: int = 1_000
    ema_decay: float = 0.999
    augment_strength: float = 1.0
    mirror: bool = False
    seed: int = 0
    sync_batch_norm: bool = False
    device: str = "auto"
    precision: str = "auto"
    compile: str = "auto"

    def __post_init__(self) -> None:
        _check_word("backbone", self.backbone, BACKBONES)
        _check_word("activation", self.activation, ACTIVATIONS)
        _check_word("loss", self.loss, LOSSES)
        _check_word("mining", self.mining, MINERS)
        _check_word("device", self.device, DEVICES)
        _check_word("precision", self.precision, PRECISIONS)
        _check_word("compile", self.compile, SWITCH)
        if words := out_of_range(dataclasses.asdict(self)):
            raise UsageError(words)

    def recipe(self) -> dict[str, Any]:
        """The fields that make one training another. Where it runs is lineage, so `device` is not among them."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in _MACHINE}

    def counted(self) -> dict[str, Any]:
        """The fields of the recipe that make the id of a model version (`storage.stamped_fields`)."""
        return {name: value for name, value in counted("train", self).items() if name not in _MACHINE}

    def uses_bfloat16(self, device: torch.device) -> bool:
        """Whether the backbone runs in bfloat16 on `device`."""
        return self.precision == "bfloat16" or (self.precision == "auto" and device.type == "cuda")

    def compiles(self, device: torch.device) -> bool:
        """Whether the backbone is compiled on `device`."""
        return self.compile == "on" or (self.compile == "auto" and device.type == "cuda")


PRESETS: dict[str, TrainConfig] = {
    # Shows on a CPU that learning works.
    "smoke": TrainConfig(
        width=0.5,
        image_px=64,
        identities_per_batch=8,
        faces_per_identity=4,
        steps=300,
        warmup_steps=20,
        ema_decay=0.98,
    ),
    # Twenty minutes of a CPU core; docs/training.md has its figures.
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
    """The configuration of a published version, checked as that of a new training is.

    Raises:
        LakeError: `config.json` lacks a setting, has an unknown one, or one that no training could have.
    """
    try:
        return TrainConfig(**published_settings(model))
    except UsageError as error:
        raise LakeError(f"{model.url}/config.json: {error}; copy the version again, or train again") from error


def default_preset(device: str = "auto") -> str:
    """The preset that suits a device: "full" on cuda, "smoke" on a CPU."""
    return "full" if resolve_device(device).type == "cuda" else "smoke"


def resolve_device(device: str) -> torch.device:
    """The device meant by "auto", "cpu" or "cuda".

    Raises:
        UsageError: cuda is asked for and not there.
    """
    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise UsageError("device cuda was asked for, and torch finds no CUDA device; use cpu or auto")
    return torch.device("cuda", torch.cuda.current_device()) if device != "cpu" and has_cuda else torch.device("cpu")
