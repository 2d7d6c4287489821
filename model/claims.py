"""What may be claimed of figures: no interval and no verdict from fewer than 20 test people.

The intervals are a bootstrap over people, and it knows only the people it has. With a handful it gives intervals that
are far too narrow, for two people often of no width at all. So a figure from fewer people is shown alone, with the same
sentence everywhere: in the terminal, on pages, in comparisons and where a version is promoted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

MANY_PEOPLE = 20
NO_BETTER = "no better than untrained"


def too_few(num_people: int | None) -> str:
    """The sentence about a test of so many people; empty if they are enough. None: an old version does not say."""
    if num_people is None or num_people >= MANY_PEOPLE:
        return ""
    return f"judged on {num_people} people, and an interval or a verdict needs at least {MANY_PEOPLE}"


def interval(bounds: Sequence[float] | None, num_people: int | None, digits: str = ".4f") -> str:
    """An interval in words; empty if there is none, or too few people for one."""
    if bounds is None or too_few(num_people):
        return ""
    low, high = bounds
    return f"{low:{digits}} to {high:{digits}}"


def verdict(bounds: Sequence[float] | None, num_people: int | None) -> str:
    """What the interval of a difference says: better, worse or not told apart; that there are too few people for it."""
    if words := too_few(num_people):
        return words
    if bounds is None:
        return "not told apart"
    low, high = bounds
    return "better" if low > 0 else "worse" if high < 0 else "not told apart"


def remarks(trained: dict[str, Any], untrained: dict[str, Any]) -> list[str]:
    """What must be said beside the figures of a model: that it learned nothing, that its test is too small."""
    return [words for words in (over_untrained(trained, untrained), too_few(trained.get("num_identities"))) if words]


def over_untrained(trained: dict[str, Any], untrained: dict[str, Any]) -> str:
    """That a model is no better than the same network untrained; empty where it is, or where too few people can tell.

    Args:
        trained, untrained: figures as in `metrics.json`.
    """
    auc, before = trained.get("auc"), untrained.get("auc")
    if auc is None or before is None:
        return ""
    if not auc > before:
        return NO_BETTER
    bounds = None if too_few(trained.get("num_identities")) else trained.get("auc_interval")
    return f"{NO_BETTER} beyond chance" if bounds and bounds[0] <= before else ""
