"""Fields of settings classes that a command may change: their meaning and range stand beside their default."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

Value = TypeVar("Value")

SETTING = "setting"


def setting(
    default: Value,
    text: str,
    *,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
) -> Value:
    """A dataclass field with metadata. Only commands check the range, so that tests may go beyond it.

    Args:
        text: one line on what it means, with its unit.
        ge: least value, of a number or of each number of a tuple.
        gt: value that it must exceed.
        le: greatest value.
    """
    limits = {"ge": ge, "gt": gt, "le": le}
    about: dict[str, Any] = {"text": text, "limits": {name: one for name, one in limits.items() if one is not None}}
    return dataclasses.field(default=default, metadata={SETTING: about})
