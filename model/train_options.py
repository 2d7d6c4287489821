"""A training configuration from the command line: every field of `TrainConfig` is an option that goes over a preset."""

from __future__ import annotations

import argparse
import dataclasses

from model.config import PRESETS, TrainConfig, default_preset


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the option --preset and one for every field."""
    parser.add_argument("--preset", choices=PRESETS, help="what suits the device, if not given")
    for field in dataclasses.fields(TrainConfig):
        option = f"--{field.name.replace('_', '-')}"
        if isinstance(field.default, bool):
            parser.add_argument(option, action=argparse.BooleanOptionalAction)
        else:
            parser.add_argument(option, type=type(field.default))


def config_from(args: argparse.Namespace) -> TrainConfig:
    """The preset, with what was given in its place.

    Raises:
        UsageError: a value is out of its range.
    """
    given = {field.name: getattr(args, field.name) for field in dataclasses.fields(TrainConfig)}
    preset = args.preset or default_preset(args.device or "auto")
    return dataclasses.replace(PRESETS[preset], **{name: value for name, value in given.items() if value is not None})
