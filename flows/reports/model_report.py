"""HTML report of a model version: verification metrics, errors, training and lineage.

The report shows faces. It is written to the lake's work folder, which may be deleted, and is part of no version.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.reports import page
from flows.reports.charts import BLUE, GREEN, GREY, HALF, ORANGE, Axis, Chart, nice_axis
from flows.reports.metric_text import POINT_COLUMNS, evaluation_notes, figure_rows, point_rows
from model.claims import remarks, too_few
from model.evaluation_store import evaluate_version
from storage.aliases import alias_history
from storage.datasets import DatasetVersion
from storage.evaluations import Evaluation, evaluations
from storage.models import ModelVersion
from storage.records import Split

_PAIRS = 12
_TENTHS = [place / 5 for place in range(6)]


def write_model_report(model: ModelVersion, dataset: DatasetVersion, *, device: str) -> Path:
    """Evaluate a version on the test split of a dataset version, unless already stored, and write the report.

    Returns:
        The path of the report.
    """
    evaluation = evaluate_version(model, dataset, device=device)
    facts, untrained = evaluation.facts, model.read_json("metrics.json")["untrained"]
    notes = dict.fromkeys([*remarks(facts, untrained), *evaluation_notes(facts)])
    genuine, impostor = _hardest(evaluation, dataset)
    others = [one.facts for one in evaluations(model) if one.facts["test"] != facts["test"]]
    events = [event for event in alias_history(model.lake, model.name) if model.version in (event.version, event.over)]
    return page.write(
        model.lake.report_file(model.name, model.version, of_model=True),
        "model.html",
        title=str(model),
        facts=facts,
        notes=[f"{note[0].upper()}{note[1:]}." for note in notes],
        figures=figure_rows(facts),
        roc=_roc(facts, untrained),
        distances=_distances(facts),
        point_columns=POINT_COLUMNS,
        points=point_rows(facts),
        reliability=_reliability(facts["calibration"]) if facts["calibration"] else None,
        genuine=genuine,
        impostor=impostor,
        training=_training(model.read_json("history.json")["intervals"]),
        others=[(one, evaluation_notes(one)) for one in others],
        lineage={**model.read_json("config.json"), **model.read_json("lineage.json")},
        events=events,
    )


def hardest_pairs(
    scores: NDArray[np.float32], left: NDArray[np.int64], right: NDArray[np.int64], num: int
) -> list[int]:
    """The pairs with the highest scores, in order. No face occurs twice: one bad picture would fill the list."""
    chosen: list[int] = []
    seen: set[int] = set()
    for place in np.argsort(-scores, kind="stable").tolist():
        faces = {int(left[place]), int(right[place])}
        if not faces & seen:
            chosen.append(place)
            seen |= faces
        if len(chosen) == num:
            break
    return chosen


def _roc(facts: dict[str, Any], untrained: dict[str, Any]) -> Chart:
    line, lowest = facts["roc"], 1 / facts["num_impostor"]
    decades = [10.0**power for power in range(int(np.ceil(np.log10(lowest))), 1)]
    chart = Chart(
        "ROC curve",
        Axis("FAR (share of impostor pairs accepted)", decades[0], 1.0, decades, is_log=True),
        Axis("TAR (share of genuine pairs accepted)", 0.0, 1.0, _TENTHS),
    )
    few = too_few(facts["num_identities"])
    if not few:
        chart.band(line["far"], line["tar_low"], line["tar_high"], BLUE)
    if "roc" in untrained:
        chart.line(untrained["roc"]["far"], untrained["roc"]["tar"], GREY, "untrained", dashed=True)
    name = "trained" if few else "trained, with the 95% interval by bootstrap over people"
    chart.line(line["far"], line["tar"], BLUE, name)
    return chart


def _distances(facts: dict[str, Any]) -> Chart:
    genuine, impostor = facts["distances"]["genuine"], facts["distances"]["impostor"]
    edges = np.linspace(0, 4, len(genuine) + 1).tolist()
    chart = Chart(
        "Distances of genuine and of impostor pairs",
        Axis("squared distance of the two embeddings (2 - 2 cosine)", 0.0, 4.0, [0, 1, 2, 3, 4]),
        nice_axis("share of the genuine or impostor pairs", [*genuine, *impostor]),
    )
    chart.shares(edges, impostor, ORANGE, "impostor pairs")
    chart.shares(edges, genuine, GREEN, "genuine pairs")
    for row, point in enumerate(sorted(facts["operating_points"], key=lambda point: -float(point["threshold"]))):
        chart.mark(2 - 2 * point["threshold"], f"threshold for {point['chosen_for']}", row)
    return chart


def _reliability(kept: dict[str, Any]) -> Chart:
    chart = Chart(
        "Reliability diagram",
        Axis("predicted probability of the same person", 0.0, 1.0, _TENTHS),
        Axis("observed share of genuine pairs", 0.0, 1.0, _TENTHS),
    )
    chart.line([0, 1], [0, 1], GREY, "perfect calibration", dashed=True)
    titles = [f"{weight:.1%} of the pairs" for weight in kept["weight"]]
    chart.line(kept["said"], kept["observed"], BLUE)
    chart.dots(kept["said"], kept["observed"], BLUE, "test pairs, in ten bins", titles)
    return chart


def _hardest(evaluation: Evaluation, dataset: DatasetVersion) -> Iterator[list[page.Figure]]:
    """The genuine pairs with the lowest cosine, then the impostor pairs with the highest."""
    left, right, first, second, scores = (column.to_numpy() for column in evaluation.scores().columns)
    columns = ["identity", "split", "shard", "offset", "length"]
    faces = [row for row in dataset.index(columns).to_pylist() if row["split"] == Split.TEST]
    genuine = first == second
    for kind, sign in ((genuine, -1), (~genuine, 1)):
        places = np.flatnonzero(kind)
        chosen = places[hardest_pairs(sign * scores[places], left[places], right[places], _PAIRS)]
        yield [_figure(dataset, faces[left[at]], faces[right[at]], float(scores[at])) for at in chosen]


def _figure(dataset: DatasetVersion, left: dict[str, Any], right: dict[str, Any], score: float) -> page.Figure:
    pictures = [dataset.read(row["shard"], row["offset"], row["length"]) for row in (left, right)]
    names = dict.fromkeys(row["identity"].replace("_", " ") for row in (left, right))
    return page.figure(pictures, f"{' and '.join(names)}: cosine {score:.3f}")


def _training(history: list[dict[str, Any]]) -> list[Chart]:
    steps = [row["step"] for row in history]
    charts = []
    for field, title, colour in (("loss", "Loss", BLUE), ("learning_rate", "Learning rate", ORANGE)):
        values = [row[field] for row in history]
        chart = Chart(title, nice_axis("step", steps), nice_axis(title.lower(), values), HALF)
        chart.line(steps, values, colour)
        charts.append(chart)
    return charts
