"""Which statements metrics support: no interval and no comparison with fewer than 20 test people.

The intervals are a bootstrap over people. With a handful of people they are far too narrow, for two people often of
zero width. A metric from fewer people is therefore shown without one, with the same sentence everywhere: on the
terminal, in reports, in comparisons and on promotion.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

MANY_PEOPLE = 20
NO_BETTER = "no better than untrained"


def too_few(num_people: int | None) -> str:
    """The sentence on a test with too few people; empty if there are enough. None: not recorded by an old version."""
    if num_people is None or num_people >= MANY_PEOPLE:
        return ""
    return f"evaluated on {num_people} people; intervals and comparisons need at least {MANY_PEOPLE}"


def interval(bounds: Sequence[float] | None, num_people: int | None, digits: str = ".4f") -> str:
    """Format an interval; empty if there is none, or too few people."""
    if bounds is None or too_few(num_people):
        return ""
    low, high = bounds
    return f"{low:{digits}} to {high:{digits}}"


def verdict(bounds: Sequence[float] | None, num_people: int | None) -> str:
    """Interpret the interval of a difference: better, worse, not significant, or too few people."""
    if words := too_few(num_people):
        return words
    if bounds is None:
        return "not significant"
    low, high = bounds
    return "better" if low > 0 else "worse" if high < 0 else "not significant"


def remarks(trained: dict[str, Any], untrained: dict[str, Any]) -> list[str]:
    """Remarks on a model's metrics: no improvement by training, or a test that is too small."""
    return [words for words in (over_untrained(trained, untrained), too_few(trained.get("num_identities"))) if words]


def over_untrained(trained: dict[str, Any], untrained: dict[str, Any]) -> str:
    """The remark that a model is no better than the untrained network; empty if it is, or with too few people.

    Args:
        trained, untrained: metrics as in `metrics.json`.
    """
    auc, before = trained.get("auc"), untrained.get("auc")
    if auc is None or before is None:
        return ""
    if not auc > before:
        return NO_BETTER
    bounds = None if too_few(trained.get("num_identities")) else trained.get("auc_interval")
    return "not significantly better than untrained" if bounds and bounds[0] <= before else ""
