"""HTML report of a model version: verification metrics, errors, training and lineage.

The report shows faces. It is written to the lake's work folder, which may be deleted, and is part of no version.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.reports import page
from flows.reports.charts import BLUE, GREEN, GREY, HALF_WIDTH, ORANGE, Axis, Chart, nice_axis
from flows.reports.metric_text import POINT_COLUMNS, evaluation_notes, figure_rows, point_rows
from model.claims import remarks, too_few
from model.evaluation_store import judge_version
from storage.aliases import alias_history
from storage.atomic import whole_file
from storage.datasets import DatasetVersion
from storage.evaluations import Evaluation, evaluations
from storage.models import ModelVersion
from storage.records import Split

_SECTIONS = (
    _FIGURES := "Figures",
    _APART := "Verification performance",
    _PROBABILITIES := "Calibration of probabilities",
    _ERRORS := "Errors",
    _TRAINING := "Training",
    _MADE_OF := "Lineage",
)
_PAIRS = 12
_TENTHS = [place / 5 for place in range(6)]


def write_model_report(model: ModelVersion, dataset: DatasetVersion, *, device: str) -> Path:
    """Evaluate a version on the test split of a dataset version, unless already stored, and write the report.

    Returns:
        The path of the report.
    """
    evaluation = judge_version(model, dataset, device=device)
    facts = evaluation.facts
    subtitle = (
        f"Evaluated on {facts['num_faces']:,} faces of {facts['num_identities']:,} people in the test split of "
        f"{dataset}: {facts['num_genuine']:,} genuine and {facts['num_impostor']:,} impostor pairs."
    )
    untrained = model.read_json("metrics.json")["untrained"]
    parts = [
        page.contents(_SECTIONS),
        _headline(facts),
        _figures(facts, untrained),
        _roc(facts, untrained),
        _distances(facts),
        _thresholds(facts),
        _calibration(facts),
        *_hardest(evaluation, dataset),
        _training(model.read_json("history.json")["intervals"]),
        _other_tests(model, str(dataset)),
        _lineage(model),
        _aliases(model),
    ]
    path = model.lake.work_folder / "reports" / f"model-{model.name}-{model.version}.html"
    with whole_file(path) as temporary:
        temporary.write_text(page.page(str(model), subtitle, parts), encoding="utf-8")
    return path


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


def _headline(facts: dict[str, Any]) -> str:
    return page.tiles(
        {
            "balanced accuracy": f"{facts['accuracy']:.3f}",
            "ROC AUC": f"{facts['auc']:.4f}",
            "equal error rate": f"{facts['eer']:.3f}",
            "rank-1": f"{facts['rank_1']:.3f}",
        }
    )


def _figures(facts: dict[str, Any], untrained: dict[str, Any]) -> str:
    rows = figure_rows(facts)
    sentences = dict.fromkeys([*remarks(facts, untrained), *evaluation_notes(facts)])
    notes = " ".join(f"{note[0].upper()}{note[1:]}." for note in sentences)
    return page.heading(_FIGURES, notes) + page.table(("metric", "value", "95% interval"), rows)


def _roc(facts: dict[str, Any], untrained: dict[str, Any]) -> str:
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
    return page.heading(_APART) + chart.html()


def _distances(facts: dict[str, Any]) -> str:
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
    return chart.html()


def _thresholds(facts: dict[str, Any]) -> str:
    if not (rows := point_rows(facts)):
        return ""
    words = page.words("Chosen on the val split; rates on the test split.")
    return page.subheading("Thresholds") + words + page.table(POINT_COLUMNS, rows)


def _calibration(facts: dict[str, Any]) -> str:
    kept = facts["calibration"]
    if kept is None:
        return page.heading(_PROBABILITIES, "No calibration was fitted on other people.")
    chart = Chart(
        "Reliability diagram",
        Axis("predicted probability of the same person", 0.0, 1.0, _TENTHS),
        Axis("observed share of genuine pairs", 0.0, 1.0, _TENTHS),
    )
    chart.line([0, 1], [0, 1], GREY, "perfect calibration", dashed=True)
    titles = [f"{weight:.1%} of the pairs" for weight in kept["weight"]]
    chart.line(kept["said"], kept["observed"], BLUE)
    chart.dots(kept["said"], kept["observed"], BLUE, "test pairs, in ten bins", titles)
    words = (
        f"At equal priors. Brier score {kept['brier']:.4f} (a constant 1/2 gives 0.25), "
        f"expected calibration error {kept['expected_error']:.4f}."
    )
    return page.heading(_PROBABILITIES, words) + chart.html()


def _hardest(evaluation: Evaluation, dataset: DatasetVersion) -> Iterable[str]:
    table = evaluation.scores()
    left, right, first, second, scores = (column.to_numpy() for column in table.columns)
    columns = ["identity", "split", "shard", "offset", "length"]
    faces = [row for row in dataset.index(columns).to_pylist() if row["split"] == Split.TEST]
    genuine = first == second
    yield page.heading(_ERRORS, "Each face is shown once. Mislabelled faces of the dataset appear here first.")
    for kind, sign, title, words in (
        (genuine, -1, "Same person, lowest similarity", "Genuine pairs with the lowest cosine."),
        (~genuine, 1, "Different people, highest similarity", "Impostor pairs with the highest cosine."),
    ):
        places = np.flatnonzero(kind)
        chosen = hardest_pairs(sign * scores[places], left[places], right[places], _PAIRS)
        pairs = [(faces[left[place]], faces[right[place]], float(scores[place])) for place in places[chosen]]
        yield page.sheet(title, words, [_figure(dataset, *pair) for pair in pairs])


def _figure(
    dataset: DatasetVersion, left: dict[str, Any], right: dict[str, Any], score: float
) -> tuple[list[bytes], str]:
    pictures = [dataset.read(row["shard"], row["offset"], row["length"]) for row in (left, right)]
    names = list(dict.fromkeys(row["identity"].replace("_", " ") for row in (left, right)))
    return pictures, f"{' and '.join(names)}: cosine {score:.3f}"


def _training(history: list[dict[str, Any]]) -> str:
    steps = [row["step"] for row in history]
    across = nice_axis("step", steps)
    charts = []
    for field, title, colour in (("loss", "Loss", BLUE), ("learning_rate", "Learning rate", ORANGE)):
        values = [row[field] for row in history]
        chart = Chart(title, across, nice_axis(title.lower(), values), width=HALF_WIDTH)
        chart.line(steps, values, colour)
        charts.append(chart.html())
    return page.heading(_TRAINING) + page.side_by_side(charts)


def _other_tests(model: ModelVersion, this: str) -> str:
    others = [one.facts for one in evaluations(model) if one.facts["test"] != this]
    if not others:
        return ""
    rows = [
        (
            facts["test"],
            *(f"{facts[name]:.4f}" for name in ("accuracy", "auc", "eer")),
            " ".join(evaluation_notes(facts)),
        )
        for facts in others
    ]
    return page.heading("Other tests") + page.table(("test", "accuracy", "AUC", "EER", "notes"), rows)


def _lineage(model: ModelVersion) -> str:
    made_of = {**model.read_json("config.json"), **model.read_json("lineage.json")}
    rows = [(field.replace("_", " "), str(value)) for field, value in made_of.items()]
    return page.heading(_MADE_OF) + page.table(("field", "value"), rows)


def _aliases(model: ModelVersion) -> str:
    events = [event for event in alias_history(model.lake, model.name) if model.version in (event.version, event.over)]
    rows = [
        (
            event.at[:19].replace("T", " "),
            event.action + (", forced" if event.forced else ""),
            event.alias,
            event.version,
            event.by,
            event.why,
        )
        for event in events
    ]
    columns = ("when (UTC)", "what", "alias", "version", "who", "why")
    return page.heading("Champion and candidate") + page.table(columns, rows) if rows else ""
