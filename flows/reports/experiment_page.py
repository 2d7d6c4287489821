"""HTML page of an experiment: which settings differ beyond chance, the metrics of each, datasets and models.

The page shows no faces. It is written to the lake's work folder, which may be deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from flows.reports import page
from flows.reports.charts import nice_axis
from flows.reports.experiment_report import (
    LINES_LEGEND,
    Contrast,
    Estimate,
    cell_name,
    common_size,
    contrasts,
    estimates_on,
    mean_estimate,
    told,
)
from model.verification.claims import too_few
from storage.errors import LakeError, UsageError
from storage.files.lake import Lake
from storage.records import Split
from storage.versions.datasets import open_dataset

_TEST_TITLES = {"common": "Metrics on the common test", "own": "Metrics on the own test of each"}


class Whisker(NamedTuple):
    """An estimate and its interval on a scale, in percent of its width.

    Attributes:
        left, width: of the interval.
        words: the value in words.
    """

    name: str
    at: float
    left: float
    width: float
    words: str


class Scale(NamedTuple):
    """Estimates on one scale.

    Attributes:
        low, high: the numbers at its ends.
        zero: the place of 0 in percent; None if it is not on the scale.
    """

    low: str
    high: str
    zero: float | None
    rows: list[Whisker]


def write_experiment_page(lake: Lake, path: str, result: dict[str, Any]) -> Path:
    """Write the page of an experiment and return its path. The same result gives the same page.

    Args:
        path: of the experiment in the lake.
        result: its content (`storage.versions.experiments.read_experiment`).
    """
    name = PurePosixPath(path).stem
    found = contrasts(result)
    common = estimates_on(result, "common")
    return page.write(
        lake.reports_folder / f"experiment-{name}.html",
        "experiment.html",
        title=f"Experiment {name}",
        num_models=len(result["cells"]),
        size=common_size(result),
        summary=summary(result, found),
        aucs=scale([(cell_name(*cell), figures["AUC"]) for cell, figures in common.items() if figures["AUC"]], ".3f"),
        differences=scale([(f"{one.second} − {one.first}", one.estimates) for one in found], "+.3f"),
        contrasts=[
            (one.first, one.second, list(filter(None, told(one.estimates, "+.3f"))), one.verdict) for one in found
        ],
        figures=[(_TEST_TITLES[test], rows) for test in _TEST_TITLES if (rows := _figure_table(result, test))],
        datasets=[_dataset(lake, name) for name in sorted({cell["dataset"] for cell in result["cells"]})],
        cells=[
            (cell["method"], f"{cell['margin']:g}", str(cell.get("seed", "")), cell["model"])
            for cell in result["cells"]
        ],
        legend=LINES_LEGEND,
    )


def summary(result: dict[str, Any], found: Sequence[Contrast]) -> list[str]:
    """What a person should know first: the best cell, and which differ beyond chance."""
    common = {cell: figures["AUC"] for cell, figures in estimates_on(result, "common").items() if figures["AUC"]}
    if not common:
        return ["Nothing can be compared: " + common_size(result)]
    best = max(common, key=lambda cell: mean_estimate(common[cell])[0])
    lines = [f"The highest ROC AUC on the common test is that of {cell_name(*best)}: {told(common[best]).line}."]
    if few := too_few(result["common_test"].get("num_identities")):
        return [*lines, f"No verdict: {few}."]
    clear = [words for one in found if (words := _verdict_words(one))]
    if not clear and found:
        return [*lines, "No two cells that differ in one setting differ beyond chance."]
    if rest := len(found) - len(clear):
        clear.append(f"{rest:,} other {'pair differs' if rest == 1 else 'pairs differ'} by no more than chance.")
    return [*lines, *clear]


def _verdict_words(one: Contrast) -> str:
    """That one of two cells is better beyond chance, for all or for some seeds; empty if it is not."""
    if one.verdict in {"", "not significant"}:
        return ""
    difference = told(one.estimates, "+.3f").line
    if one.verdict in {"better", "worse"}:
        better, other = (one.second, one.first) if one.verdict == "better" else (one.first, one.second)
        return f"{better} is better than {other} beyond chance; AUC of {one.second} minus {one.first}: {difference}."
    return f"{one.second} against {one.first}: {one.verdict}; difference of AUC {difference}."


def scale(rows: Sequence[tuple[str, Sequence[Estimate]]], digits: str) -> Scale | None:
    """Estimates by name on one scale that holds them all; None without any."""
    means = [(name, *mean_estimate(estimates), told(estimates, digits).value) for name, estimates in rows]
    if not means:
        return None
    bounds = [bound for _, value, interval, _ in means for bound in (value, *(interval or ()))]
    axis = nice_axis("", bounds, from_zero=digits.startswith("+"))

    def place(value: float) -> float:
        return 100 * axis.share(value)

    whiskers = []
    for name, value, interval, words in means:
        low, high = interval or (value, value)
        whiskers.append(Whisker(name, place(value), place(low), place(high) - place(low), words))
    labels = axis.labels()
    return Scale(labels[0], labels[-1], place(0.0) if axis.low <= 0 <= axis.high else None, whiskers)


def _figure_table(result: dict[str, Any], test: str) -> list[tuple[str, dict[str, list[str]]]]:
    """(cell, lines by figure) of a test."""
    return [
        (cell_name(*cell), {name: list(filter(None, told(found))) for name, found in figures.items()})
        for cell, figures in estimates_on(result, test).items()
    ]


def _dataset(lake: Lake, name: str) -> tuple[str, list[str]]:
    """A dataset version, and the numbers of its splits."""
    try:
        splits = open_dataset(lake, name).manifest.get("splits", {})
    except (LakeError, UsageError):
        return name, ["not in this lake any more"]
    counts = [(split, splits[split]) for split in Split if split in splits]
    return name, [f"{split} {part['samples']:,} faces of {part['identities']:,} people" for split, part in counts]
