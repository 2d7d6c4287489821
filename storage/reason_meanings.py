"""What the reasons mean: `reasons.toml`, shown by the reports and by the reference."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import NamedTuple


class Meaning(NamedTuple):
    """The stages at which a reason occurs, and its meaning as Markdown."""

    stages: str
    text: str


@cache
def reason_meanings() -> dict[str, Meaning]:
    """The meaning of every reason of `records.Reason`, by its word."""
    lines = tomllib.loads(resources.files("storage").joinpath("reasons.toml").read_text(encoding="utf-8"))
    return {reason: Meaning(*line) for reason, line in lines.items()}
