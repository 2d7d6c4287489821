"""Everything that decides what a training run does, checked when it is made."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch

from model.backbones import BACKBONES, SIDE_MULTIPLE_PX
from model.losses import LOSSES, MINERS
from storage.errors import UsageError

DEVICES = ("auto", "cpu", "cuda")


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
        augment_strength: factor on all augmentation, 0 leaves only the flip.
        seed: of the first weights, the batches and the augmentation.
        device: "cpu", "cuda", or "auto" for cuda where there is one.
    """

    name: str = "faces"
    backbone: str = "mobilefacenet"
    width: float = 1.0
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
    augment_strength: float = 1.0
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        _check_word("backbone", self.backbone, BACKBONES)
        _check_word("loss", self.loss, LOSSES)
        _check_word("mining", self.mining, MINERS)
        _check_word("device", self.device, DEVICES)
        for field, low, high in _RANGES:
            value = getattr(self, field)
            if not low <= value <= high:
                raise UsageError(f"{field} must lie between {low} and {high}, not {value}")
        if self.image_px % SIDE_MULTIPLE_PX:
            raise UsageError(f"image_px must be a multiple of {SIDE_MULTIPLE_PX}, not {self.image_px}; try 112")

    def recipe(self) -> dict[str, Any]:
        """The fields that make one training another. Where it runs is lineage, so `device` is not among them."""
        fields = dataclasses.asdict(self)
        del fields["device"]
        return fields


_RANGES = (
    ("width", 0.05, 4.0),
    ("embedding_dim", 2, 4096),
    ("image_px", 32, 512),
    ("margin", 1e-3, 4.0),
    ("head_margin", 0.0, 1.5),
    ("head_scale", 1.0, 1000.0),
    ("head_weight", 0.0, 1000.0),
    ("identities_per_batch", 2, 100_000),
    ("faces_per_identity", 2, 1000),
    ("steps", 1, 100_000_000),
    ("learning_rate", 1e-8, 10.0),
    ("weight_decay", 0.0, 10.0),
    ("warmup_steps", 0, 100_000_000),
    ("augment_strength", 0.0, 3.0),
    ("seed", 0, 2**63 - 1),
)

PRESETS: dict[str, TrainConfig] = {
    # Shows on a CPU that learning works.
    "smoke": TrainConfig(
        width=0.5,
        image_px=64,
        identities_per_batch=8,
        faces_per_identity=4,
        steps=300,
        learning_rate=2e-3,
        warmup_steps=20,
    ),
    "full": TrainConfig(),
}


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
    return torch.device("cuda" if device != "cpu" and has_cuda else "cpu")
