"""HTML report of a model version: verification metrics, errors, training and lineage.

The report shows faces. It is written to the lake's work folder, which may be deleted, and is part of no version.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.reports import page
from flows.reports.charts import Axis, Chart, Colour, nice_axis
from flows.reports.metric_text import POINT_COLUMNS, comparison_words, evaluation_notes, figure_rows, point_rows
from flows.reports.model_lineage import changes, provenance, settings, version_before
from flows.reports.model_summary import Bin, calibration_bins, summary
from model.compare.evaluation_store import evaluate_version, scored_pairs_of, version_thresholds
from model.verification.claims import too_few
from stats.bootstrap import identity_weights
from stats.calibration import observed_intervals
from storage.records import Split
from storage.versions.aliases import alias_history
from storage.versions.datasets import DatasetVersion
from storage.versions.evaluations import Evaluation, evaluations
from storage.versions.models import ModelVersion

_PAIRS = 12
_TENTHS = [place / 5 for place in range(6)]


def write_model_report(model: ModelVersion, dataset: DatasetVersion, *, device: str) -> Path:
    """Evaluate a version on the test split of a dataset version, unless already stored, and write the report.

    Returns:
        The path of the report.
    """
    evaluation = evaluate_version(model, dataset, device=device)
    facts = evaluation.facts
    # The metrics before training are those of the model's own test.
    untrained = model.read_json("metrics.json")["untrained"] if facts["test"] == model.dataset else None
    bins, history = _bins(model, evaluation), model.read_json("history.json")["intervals"]
    genuine, impostor = _hardest(evaluation, dataset)
    others = [one.facts for one in evaluations(model) if one.facts["test"] != facts["test"]]
    return page.write(
        model.lake.report_file(model.name, model.version, of_model=True),
        "model.html",
        title=str(model),
        facts=facts,
        summary=summary(facts, untrained, bins, [(row["step"], row["loss"]) for row in history]),
        figures=figure_rows(facts),
        untrained=untrained,
        roc=_roc(facts, untrained or {}),
        distances=_distances(facts),
        point_columns=POINT_COLUMNS,
        points=point_rows(facts),
        reliability=_reliability(bins) if bins else None,
        genuine=genuine,
        impostor=impostor,
        training=_training(history),
        others=[(one, evaluation_notes(one)) for one in others],
        **_lineage(model),
    )


def _lineage(model: ModelVersion) -> dict[str, Any]:
    """What the version was made of, and what it was compared with."""
    before = version_before(model)
    chosen = settings(model.read_json("config.json"))
    events = [event for event in alias_history(model.lake, model.name) if model.version in (event.version, event.over)]
    return {
        "dataset": model.dataset,
        "provenance": provenance(model.read_json("lineage.json"), model.manifest.get("trained_at") or ""),
        "before": before and str(before),
        "changes": changes(before, model) if before else [],
        "changed_settings": [one for one in chosen if not one.is_default],
        "default_settings": [one for one in chosen if one.is_default],
        "events": [(event, comparison_words(event.figures) if event.figures else "") for event in events],
    }


def _bins(model: ModelVersion, evaluation: Evaluation) -> list[Bin]:
    """The bins of the reliability diagram; none without a calibration."""
    kept, thresholds = evaluation.facts["calibration"], version_thresholds(model)
    if not kept or thresholds is None:
        return []
    pairs = scored_pairs_of(evaluation)
    weights = identity_weights(int(max(pairs.left.max(), pairs.right.max())) + 1)
    found = observed_intervals(thresholds.calibration, pairs, weights)
    few = too_few(evaluation.facts["num_identities"])
    return calibration_bins(kept, [None] * len(found) if few else found)


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
    line, few = facts["roc"], too_few(facts["num_identities"])
    first = min(int(np.ceil(np.log10(1 / facts["num_impostor"]))), -1)
    decades = [10.0**power for power in range(first, 1)]
    lowest = [*line["tar"], *(line["tar_low"] if not few else []), *untrained.get("roc", {}).get("tar", [])]
    chart = Chart(
        "ROC curve",
        Axis("FAR (share of impostor pairs accepted)", decades[0], 1.0, decades, is_log=True),
        nice_axis("TAR (share of genuine pairs accepted)", [min(lowest), 1.0], from_zero=False),
    )
    if not few:
        chart.band(line["far"], line["tar_low"], line["tar_high"], Colour.BLUE)
    if "roc" in untrained:
        chart.line(untrained["roc"]["far"], untrained["roc"]["tar"], Colour.GREY, "untrained", dashed=True)
    name = "trained" if few else "trained, with the 95% interval by bootstrap over people"
    chart.line(line["far"], line["tar"], Colour.BLUE, name)
    return chart


def _distances(facts: dict[str, Any]) -> Chart:
    genuine, impostor = facts["distances"]["genuine"], facts["distances"]["impostor"]
    edges = np.linspace(0, 4, len(genuine) + 1).tolist()
    points = sorted(facts["operating_points"], key=lambda point: -float(point["threshold"]))
    marks = [2 - 2 * point["threshold"] for point in points]
    held = [at for at, pair in enumerate(zip(genuine, impostor, strict=True)) if any(pair)]
    chart = Chart(
        "Distances of genuine and of impostor pairs",
        nice_axis(
            "squared distance of the two embeddings (2 - 2 cosine)",
            [*marks, edges[held[0]], edges[held[-1] + 1]],
            from_zero=False,
        ),
        nice_axis("share of the genuine or impostor pairs", [*genuine, *impostor]),
    )
    chart.shares(edges, impostor, Colour.ORANGE, "impostor pairs")
    chart.shares(edges, genuine, Colour.GREEN, "genuine pairs")
    for row, (point, mark) in enumerate(zip(points, marks, strict=True)):
        chart.mark(mark, f"threshold for {point['chosen_for']}", row)
    return chart


def _reliability(bins: Sequence[Bin]) -> Chart:
    chart = Chart(
        "Reliability diagram",
        Axis("predicted probability of the same person", 0.0, 1.0, _TENTHS),
        Axis("observed share of genuine pairs", 0.0, 1.0, _TENTHS),
    )
    said, observed = [one.said for one in bins], [one.observed for one in bins]
    chart.line([0, 1], [0, 1], Colour.GREY, "perfect calibration", dashed=True)
    chart.line(said, observed, Colour.BLUE)
    known = [(one.said, *one.interval) for one in bins if one.interval]
    chart.whiskers(known, Colour.BLUE)
    name = "test pairs, in ten bins" + (", with 95% intervals by bootstrap over people" if known else "")
    chart.dots(said, observed, Colour.BLUE, name, [f"{one.weight:.1%} of the pairs" for one in bins])
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
    """Charts of the loss, of the AUC on val people where the version has it, and of the learning rate."""
    curves = (
        ("Loss", "loss", Colour.BLUE),
        ("AUC on some people of the val split", "val_auc", Colour.GREEN),
        ("Learning rate", "learning_rate", Colour.ORANGE),
    )
    charts = []
    for title, field, colour in curves:
        points = [(row["step"], row[field]) for row in history if row.get(field) is not None]
        if len(points) < 2:
            continue
        steps, values = zip(*points, strict=True)
        chart = Chart(title, nice_axis("step", steps), nice_axis("", values, from_zero=False))
        chart.line(steps, values, colour)
        if field == "val_auc":
            chart.dots(steps, values, colour, "", [f"step {step:,}: {value:.3f}" for step, value in points])
        charts.append(chart)
    return charts
