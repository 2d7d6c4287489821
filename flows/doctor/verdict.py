"""The result of one check of `facemill doctor`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """How a check ended. Only `FAIL` sets the exit code."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line of the command.

    Attributes:
        check: what was looked at.
        value: what was found.
        limit: what it is compared with; empty if there is no such number.
        advice: what to do; empty if nothing is to be done.
    """

    check: str
    level: Level
    value: str
    limit: str = ""
    advice: str = ""

    @property
    def text(self) -> str:
        """Value, limit and advice as one line."""
        limit = f" (limit: {self.limit})" if self.limit else ""
        return f"{self.value}{limit}" + (f": {self.advice}" if self.advice else "")


class Limits(NamedTuple):
    """Two limits of a number: below the first a check fails, below the second it warns."""

    fail: float
    warn: float


def by_limits(check: str, number: float, limits: Limits, words: Callable[[float], str], advice: str) -> Verdict:
    """The verdict on a number that must not be small.

    Args:
        words: how a number is written.
    """
    if number < limits.fail:
        return Verdict(check, Level.FAIL, words(number), words(limits.fail), advice)
    if number < limits.warn:
        return Verdict(check, Level.WARN, words(number), words(limits.warn), advice)
    return Verdict(check, Level.OK, words(number), words(limits.fail))
