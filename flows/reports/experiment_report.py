"""Tables of an experiment: metrics by method and margin, and differences on the common test."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from model.claims import too_few

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
LEGEND = (
    "The common test is the same for all: the link lines in the test split of every dataset, each cropped by the "
    "model's own method. The own test of a method is the whole test split of its dataset. Triplet losses use the "
    "training margin, for normalized (unit) and raw embeddings. In parentheses: 95% interval by bootstrap over "
    "people, omitted for a test of too few people. For several seeds: means of values and bounds, and the lowest and "
    "highest value."
)


def figure_rows(result: dict[str, Any]) -> list[dict[str, str]]:
    """One row per test, method and margin."""
    rows = []
    for test in ("common", "own"):
        of_cell: dict[tuple[str, float], list[Report]] = defaultdict(list)
        for cell in result["cells"]:
            if (report := cell.get(test)) is not None:
                of_cell[cell["method"], cell["margin"]].append(report)
        for (method, margin), reports in of_cell.items():
            cells = {name: _words([_figure(one, place, margin) for one in reports]) for name, place in _FIGURES.items()}
            rows.append({"test": test, "method": method, "margin": f"{margin:g}", **cells})
    return rows


def difference_rows(result: dict[str, Any]) -> list[dict[str, str]]:
    """One row per pair of cells that differ in one setting: the AUC of the second minus that of the first."""
    of_pair: dict[tuple[str, str], list[Estimate | None]] = defaultdict(list)
    people = (result["common_test"] or {}).get("num_identities")
    for one in result["differences"]:
        names = (f"{cell['method']}, margin {cell['margin']:g}" for cell in (one["from"], one["to"]))
        of_pair[next(names), next(names)].append(
            (one["auc"]["difference"], None if too_few(people) else one["auc"]["interval"])
        )
    return [
        {"from": first, "to": second, "AUC": _words(estimates, "+.3f")}
        for (first, second), estimates in of_pair.items()
    ]


def page(result: dict[str, Any]) -> str:
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


def _words(estimates: list[Estimate | None], digits: str = ".3f") -> str:
    """The mean over seeds with its interval, and the range over seeds; a dash for a missing metric."""
    known = [estimate for estimate in estimates if estimate is not None]
    if not known:
        return "-"
    values = [value for value, _ in known]
    words, intervals = f"{np.mean(values):{digits}}", [interval for _, interval in known if interval is not None]
    if len(intervals) == len(known):
        low, high = np.mean(intervals, axis=0)
        words += f" ({low:{digits}} to {high:{digits}})"
    return words + (f", seeds {min(values):{digits}} to {max(values):{digits}}" if len(values) > 1 else "")


def _table(rows: list[dict[str, str]]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
