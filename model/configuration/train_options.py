"""Command line options of a training: every field of `TrainConfig` overrides the preset."""

from __future__ import annotations

import argparse
import dataclasses

from model.configuration.config import PRESETS, TrainConfig, default_preset
from storage.stamps.setting_field import SETTING


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the option --preset and one per field to `parser`."""
    parser.add_argument("--preset", choices=PRESETS, help="default: by the device")
    for field in dataclasses.fields(TrainConfig):
        option = f"--{field.name.replace('_', '-')}"
        text = field.metadata[SETTING]["text"] if SETTING in field.metadata else None
        if isinstance(field.default, bool):
            parser.add_argument(option, action=argparse.BooleanOptionalAction, help=text)
        else:
            parser.add_argument(option, type=type(field.default), help=text)


def config_from(args: argparse.Namespace) -> TrainConfig:
    """The preset with the given overrides.

    Raises:
        UsageError: a value is out of range.
    """
    given = {field.name: getattr(args, field.name) for field in dataclasses.fields(TrainConfig)}
    preset = args.preset or default_preset(args.device or "auto")
    return dataclasses.replace(PRESETS[preset], **{name: value for name, value in given.items() if value is not None})
