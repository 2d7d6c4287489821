"""Tables of an experiment: metrics by method and margin, and differences on the common test, as text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from model.verification.claims import too_few, verdict

Report = dict[str, Any]
# (value, interval); the interval is None if the test has too few people.
Estimate = tuple[float, tuple[float, float] | None]

# Where to find a table's metric in a report: (group or None, metric, key in it or None).
_OF_MARGIN = "its margin"
_FIGURES = {
    "triplet loss, unit": ("triplet", "unit", _OF_MARGIN),
    "triplet loss, raw": ("triplet", "raw", _OF_MARGIN),
    "AUC": (None, "auc", None),
    "accuracy": (None, "accuracy", None),
    "TAR at FAR 0.01": (None, "tar_at_far", "0.01"),
    "TAR at FAR 0.001": (None, "tar_at_far", "0.001"),
}
TESTS = ("common", "own")
_TESTS_LEGEND = (
    "The common test is the same for all: the link lines in the test split of every dataset, each cropped by the "
    "model's own method. The own test of a method is the whole test split of its dataset. Triplet losses use the "
    "training margin, for normalized (unit) and raw embeddings."
)
_VALUES_LEGEND = (
    "95% interval by bootstrap over people, omitted for a test of too few people. For several seeds: means of values "
    "and bounds, and the lowest and highest value."
)
LEGEND = f"{_TESTS_LEGEND} In parentheses: {_VALUES_LEGEND}"
LINES_LEGEND = f"{_TESTS_LEGEND} Below a value: {_VALUES_LEGEND}"


class Told(NamedTuple):
    """An estimate in words: the mean over seeds, its interval, and the range over seeds; empty if there is none."""

    value: str
    interval: str = ""
    seeds: str = ""

    @property
    def line(self) -> str:
        """All of it in one line."""
        words = f"{self.value} ({self.interval})" if self.interval else self.value
        return f"{words}, {self.seeds}" if self.seeds else words


class Contrast(NamedTuple):
    """Two cells that differ in one setting: the AUC of the second minus that of the first, one estimate per seed."""

    first: str
    second: str
    estimates: list[Estimate]

    @property
    def verdict(self) -> str:
        """`better`, `worse` or `not significant` of the second cell, by seed where these disagree; empty if unknown."""
        if any(interval is None for _, interval in self.estimates):
            return ""
        found = [verdict(interval, None) for _, interval in self.estimates]
        counts = {word: found.count(word) for word in dict.fromkeys(found)}
        if len(counts) == 1:
            return found[0]
        return ", ".join(f"{word} for {num} of {len(found)} seeds" for word, num in counts.items())


def figure_rows(result: dict[str, Any]) -> list[dict[str, str]]:
    """One row per test, method and margin."""
    return [
        {"test": test, "method": method, "margin": f"{margin:g}"}
        | {name: told(found).line for name, found in figures.items()}
        for test in TESTS
        for (method, margin), figures in estimates_on(result, test).items()
    ]


def estimates_on(result: dict[str, Any], test: str) -> dict[tuple[str, float], dict[str, list[Estimate]]]:
    """The known estimates of each figure, one per seed, by method and margin. `test` is one of `TESTS`."""
    of_cell: dict[tuple[str, float], list[Report]] = defaultdict(list)
    for cell in result["cells"]:
        if (report := cell.get(test)) is not None:
            of_cell[cell["method"], cell["margin"]].append(report)
    return {
        (method, margin): {
            name: [found for one in reports if (found := _figure(one, place, margin)) is not None]
            for name, place in _FIGURES.items()
        }
        for (method, margin), reports in of_cell.items()
    }


def difference_rows(result: dict[str, Any]) -> list[dict[str, str]]:
    """One row per pair of cells that differ in one setting: the AUC of the second minus that of the first."""
    return [{"from": one.first, "to": one.second, "AUC": told(one.estimates, "+.3f").line} for one in contrasts(result)]


def contrasts(result: dict[str, Any]) -> list[Contrast]:
    """All pairs of cells that differ in the method or in the margin, without intervals if the test is too small."""
    of_pair: dict[tuple[str, str], list[Estimate]] = defaultdict(list)
    few = too_few((result["common_test"] or {}).get("num_identities"))
    for one in result["differences"]:
        first, second = (cell_name(cell["method"], cell["margin"]) for cell in (one["from"], one["to"]))
        of_pair[first, second].append((one["auc"]["difference"], None if few else tuple(one["auc"]["interval"])))
    return [Contrast(*pair, estimates) for pair, estimates in of_pair.items()]


def cell_name(method: str, margin: float) -> str:
    """A cell of the grid in words, without its seed."""
    return f"{method}, margin {margin:g}"


def markdown(result: dict[str, Any]) -> str:
    """The whole report as Markdown."""
    datasets = ", ".join(sorted({cell["dataset"] for cell in result["cells"]}))
    parts = [
        f"## Metrics by method and margin\n\nOn {datasets}. {common_size(result)}",
        _table(figure_rows(result)),
        LEGEND,
    ]
    if result["differences"]:
        parts += ["## Differences on the common test", _table(difference_rows(result))]
    return "\n\n".join(parts) + "\n"


def common_size(result: dict[str, Any]) -> str:
    """The size of the common test, with a note if it is too small."""
    common = result["common_test"]
    if common is None:
        return "The datasets share too few test lines for a common test."
    size = f"The common test has {common['num_faces']:,} faces of {common['num_identities']:,} people."
    few = too_few(common["num_identities"])
    return size + (f" Its models were {few}." if few else "")


def _figure(report: Report, place: tuple[str | None, str, str | None], margin: float) -> Estimate | None:
    group, name, key = place
    figures = (report.get(group) or {}) if group else report
    value, interval = figures.get(name), figures.get(f"{name}_interval")
    if key is not None:
        key = f"{margin:g}" if key == _OF_MARGIN else key
        value, interval = (value or {}).get(key), (interval or {}).get(key)
    few = too_few(report.get("num_identities"))
    return None if value is None else (value, None if few or interval is None else tuple(interval))


def told(estimates: Sequence[Estimate], digits: str = ".3f") -> Told:
    """Estimates of several seeds in words; a dash without estimates."""
    if not estimates:
        return Told("-")
    (value, bounds), values = mean_estimate(estimates), [value for value, _ in estimates]
    between = f"{bounds[0]:{digits}} to {bounds[1]:{digits}}" if bounds else ""
    seeds = f"seeds {min(values):{digits}} to {max(values):{digits}}" if len(values) > 1 else ""
    return Told(f"{value:{digits}}", between, seeds)


def mean_estimate(estimates: Sequence[Estimate]) -> Estimate:
    """The means of values and of bounds over seeds; without an interval if one of them has none."""
    value = float(np.mean([value for value, _ in estimates]))
    intervals = [interval for _, interval in estimates if interval is not None]
    if len(intervals) < len(estimates):
        return value, None
    low, high = np.mean(intervals, axis=0).tolist()
    return value, (low, high)


def _table(rows: list[dict[str, str]]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
