"""The words that a training configuration may use.

They stand apart from the modules they choose, since these import torch, which takes 2 CPU-s. Tests hold them equal to
`BACKBONES`, `ACTIVATIONS`, `LOSSES` and `MINERS`.
"""

from __future__ import annotations

BACKBONE_NAMES = ("mobilefacenet", "mobilenetv3_small")
ACTIVATION_NAMES = ("paper", "relu", "hardswish")
LOSS_NAMES = ("triplet", "cosface", "arcface", "triplet+cosface", "triplet+arcface")
MINING_NAMES = ("batch_all", "semi_hard", "batch_hard")
DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "float32", "bfloat16")
SWITCH = ("auto", "on", "off")
