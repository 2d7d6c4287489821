"""The configuration of a training from the parameters of a flow or command."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from flows.configuration.setting_groups import SettingValues, changed
from flows.configuration.settings import Device
from model.configuration.config import PRESETS, TrainConfig, default_preset

Preset = Literal["auto", "smoke", "cpu", "full"]


def training_config(
    model: str,
    *,
    margin: float = 1.0,
    preset: str,
    steps: int | None,
    seed: int = 0,
    device: Device = "auto",
    settings: SettingValues | None = None,
) -> tuple[str, TrainConfig]:
    """The preset that is chosen, and the configuration; `flows.train.train` explains the arguments."""
    chosen = default_preset(device) if preset == "auto" else preset
    base = PRESETS[chosen]
    config = replace(base, name=model, margin=margin, seed=seed, device=device, steps=steps or base.steps)
    return chosen, changed(config, "train", settings)
