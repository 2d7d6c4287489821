"""The summary of a model's page: what its metrics say, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from statistics import fmean
from typing import Any, NamedTuple

from flows.reports.metric_text import people_seen_note
from model.verification.claims import interval, over_untrained, too_few

# A probability further than this from the observed share is worth a word, if the interval says so too.
_MATERIAL = 0.05
# The loss of the last fifth of a training counts as falling if it is below that of the fifth before by this share.
_FALLING = 0.02


class Bin(NamedTuple):
    """Pairs with similar predicted probabilities.

    Attributes:
        low, high: the limits of the bin.
        said: mean predicted probability.
        observed: share of genuine pairs.
        weight: share of all pairs.
        interval: 95% interval of `observed`; None if unknown.
    """

    low: float
    high: float
    said: float
    observed: float
    weight: float
    interval: tuple[float, float] | None

    @property
    def verdict(self) -> str:
        """`too low` or `too high`, of the probabilities; empty if they agree with what was observed."""
        if self.interval is None or abs(self.said - self.observed) < _MATERIAL:
            return ""
        low, high = self.interval
        return "too low" if self.said < low else "too high" if self.said > high else ""


def calibration_bins(kept: dict[str, Any], intervals: Sequence[tuple[float, float] | None]) -> list[Bin]:
    """The bins of a reliability diagram that hold pairs.

    Args:
        kept: `calibration` of an evaluation.
        intervals: one for each bin, the empty ones included.
    """
    num = len(intervals)
    found = []
    for said, observed, weight in zip(kept["said"], kept["observed"], kept["weight"], strict=True):
        place = min(int(said * num), num - 1)
        found.append(Bin(place / num, (place + 1) / num, said, observed, weight, intervals[place]))
    return found


def summary(
    facts: dict[str, Any],
    untrained: dict[str, Any] | None,
    bins: Sequence[Bin],
    losses: Sequence[tuple[int, float]],
) -> list[str]:
    """What a person should know first about a model version.

    Args:
        facts: its evaluation.
        untrained: metrics of the same network before training on the same test; None if the test is another.
        bins: as `calibration_bins` gives them; empty without a calibration.
        losses: (step, loss) over the training.
    """
    words = [
        against_untrained(facts, untrained),
        at_threshold(facts),
        calibration_words(bins, facts.get("num_identities")),
        _sentence(people_seen_note(facts)),
        loss_words(losses),
    ]
    return [one for one in words if one]


def against_untrained(facts: dict[str, Any], untrained: dict[str, Any] | None) -> str:
    """Whether training helped: with few people the values alone, and why they are no evidence."""
    if untrained is None or "auc" not in untrained:
        return ""
    few, remark = too_few(facts.get("num_identities")), over_untrained(facts, untrained)
    bounds = interval(facts.get("auc_interval"), facts.get("num_identities"), ".3f")
    values = f"ROC AUC {facts['auc']:.3f}{f' ({bounds})' if bounds else ''} against {untrained['auc']:.3f}"
    verdict = remark or ("no verdict against the untrained network" if few else "better than untrained beyond chance")
    return _sentence(f"{verdict}: {values}{f'; {few}' if few else ''}")


def at_threshold(facts: dict[str, Any]) -> str:
    """What the threshold with the lowest error rates does on the test."""
    points = {point["chosen_for"]: point for point in facts.get("operating_points", [])}
    if "accuracy" not in points:
        return ""
    point = points["accuracy"]
    return (
        f"At the threshold chosen on val for accuracy it accepts {point['tar']:.1%} of the pairs of one person and "
        f"{point['far']:.2%} of the pairs of two."
    )


def calibration_words(bins: Sequence[Bin], num_people: int | None) -> str:
    """Where the probabilities are too low or too high, in ranges of neighbouring bins."""
    if not bins:
        return "Its probabilities were not checked: no calibration was fitted on other people."
    if too_few(num_people):
        return "Its probabilities were not checked: too few people."
    if wrong := list(_ranges(bins)):
        others = "" if sum(len(one) for one in wrong) == len(bins) else "; elsewhere they agree with the test"
        found = [f"{part[0].verdict} between {part[0].low:.1f} and {part[-1].high:.1f}" for part in wrong]
        listed = " and ".join(filter(None, [", ".join(found[:-1]), found[-1]]))
        return f"Its probabilities are {listed}{others}."
    return "Its probabilities agree with the test, within the 95% intervals."


def loss_words(losses: Sequence[tuple[int, float]]) -> str:
    """From where to where the loss went, and whether it was still falling: by means over fifths, since it is noisy."""
    if len(losses) < 2:
        return ""
    values, steps = [loss for _, loss in losses], losses[-1][0]
    fifth = max(1, len(values) // 5)
    first, before, last = values[0], fmean(values[-2 * fifth : -fifth]), fmean(values[-fifth:])
    if last >= first:
        return f"The loss did not fall: {first:.3f} at first, {last:.3f} in the last fifth of {steps:,} steps."
    end = "it was still falling at the end" if last < before * (1 - _FALLING) else "it had levelled off at the end"
    return f"The loss fell from {first:.3f} at first to {last:.3f} in the last fifth of {steps:,} steps; {end}."


def _ranges(bins: Iterable[Bin]) -> Iterable[list[Bin]]:
    """Neighbouring bins of one verdict together, those without a verdict left out."""
    for verdict, part in groupby(bins, key=lambda one: one.verdict):
        if verdict:
            yield list(part)


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}." if words else ""
