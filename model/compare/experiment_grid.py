"""The original experiment: a comparison of crop methods and margins of the triplet loss.

Each model is evaluated twice. Its *own* test is the test split of its training dataset, as in the original experiment;
it differs between methods, so its metrics are not comparable. The *common* test has the link lines that are in the test
split of every dataset, each cropped by the model's own method. So all models are evaluated on the same pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.compare.comparison import paired_difference
from model.compare.evaluation_store import version_thresholds
from model.configuration.config import TrainConfig, model_version_id
from model.devices.device import resolve_device
from model.embedding.data import Faces, load_faces
from model.embedding.embed import embed_raw
from model.verification.evaluation import evaluate_embeddings
from model.verification.pairs import check_pairs
from model.versions.version import load_backbone
from stats.roc import Scored
from storage.errors import UsageError
from storage.records import Split
from storage.tables.parquet import stamp
from storage.versions.datasets import DatasetVersion
from storage.versions.models import ModelVersion

# The line of a face: source, identity, line number.
Line = tuple[str, str, int]
# Increase it when the same models give different metrics.
_FIGURES_VERSION = 1
# Data of plots is left out; it is in the evaluations of the versions.
_LEFT_OUT = ("roc", "distances", "operating_points", "calibration")


@dataclass(frozen=True)
class Cell:
    """One training run of the grid."""

    method: str
    dataset: DatasetVersion
    config: TrainConfig

    def facts(self) -> dict[str, Any]:
        """The fields that identify the cell."""
        version = model_version_id(self.dataset, self.config)
        return {
            "method": self.method,
            "margin": self.config.margin,
            "seed": self.config.seed,
            "dataset": str(self.dataset),
            "model": f"{self.config.name}@{version}",
        }


def experiment_id(cells: Sequence[Cell]) -> str:
    """A digest of all cells of the grid."""
    return stamp("experiment", _FIGURES_VERSION, [(cell.dataset.state, cell.facts()["model"]) for cell in cells])


def evaluate_grid(
    cells: Sequence[Cell], models: Sequence[ModelVersion], *, device: str, work_folder: Path
) -> dict[str, Any]:
    """Evaluate the trained models of the grid; returns JSON values.

    Returns:
        `cells`, each with its metrics on the own and the common test; `common_test`, the size of the common test; and
        `differences` on it between cells that differ only in the method or only in the margin. If the datasets share
        too few test lines for pairs, everything common is None or empty.
    """
    tests = common_test([cell.dataset for cell in cells], cells[0].config.image_px, work_folder)
    results, scored = [], []
    for cell, model in zip(cells, models, strict=True):
        own, common = model.read_json("metrics.json")["trained"], None
        if tests:
            common, pairs = _evaluate(model, tests[str(cell.dataset)], resolve_device(device))
            scored.append((cell, pairs))
        results.append({**cell.facts(), "own": _kept(own), "common": common})
    sizes = [(len(faces.identities), len(faces)) for faces in tests.values()]
    return {
        "common_test": dict(zip(("num_identities", "num_faces"), sizes[0], strict=True)) if sizes else None,
        "cells": results,
        "differences": _differences(scored),
    }


def _evaluate(model: ModelVersion, faces: Faces, device: torch.device) -> tuple[dict[str, Any], Scored]:
    raw = embed_raw(load_backbone(model), faces.images, device)
    report, pairs = evaluate_embeddings(raw, faces.labels, version_thresholds(model))
    return _kept(report.to_json()), pairs


def _kept(report: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in report.items() if name not in _LEFT_OUT}


def common_test(datasets: Sequence[DatasetVersion], image_px: int, work_folder: Path) -> dict[str, Faces]:
    """Per dataset, the test faces of the lines in all test splits, in the same order; empty if they form no pairs."""
    by_name = {str(dataset): dataset for dataset in datasets}
    samples = {name: _test_samples(dataset) for name, dataset in by_name.items()}
    shared = sorted(set[Line].intersection(*(set(of_line) for of_line in samples.values())))
    people = np.array([identity for _, identity, _ in shared])
    identities, labels = np.unique(people, return_inverse=True)
    try:
        check_pairs(labels, "common test")
    except UsageError:
        return {}
    return {
        name: _picked(
            load_faces(dataset, Split.TEST, image_px, cache_folder=work_folder / "faces"),
            [samples[name][line] for line in shared],
            labels,
            tuple(identities.tolist()),
        )
        for name, dataset in by_name.items()
    }


def _test_samples(dataset: DatasetVersion) -> dict[Line, str]:
    rows = dataset.index(["source", "identity", "line", "split", "sample"]).to_pylist()
    return {(row["source"], row["identity"], row["line"]): row["sample"] for row in rows if row["split"] == Split.TEST}


def _picked(faces: Faces, samples: list[str], labels: NDArray[np.int64], identities: tuple[str, ...]) -> Faces:
    row_of = {sample: row for row, sample in enumerate(faces.samples)}
    return Faces(faces.images[[row_of[sample] for sample in samples]], labels, identities, tuple(samples))


def _differences(scored: Sequence[tuple[Cell, Scored]]) -> list[dict[str, Any]]:
    """The AUC of the later of two cells minus that of the earlier, on the same pairs."""
    rows = []
    for (one, pairs), (other, other_pairs) in combinations(scored, 2):
        before, after = one.facts(), other.facts()
        changed = [field for field in ("method", "margin", "seed") if before[field] != after[field]]
        if changed in (["method"], ["margin"]):
            rows.append({"from": before, "to": after, "auc": asdict(paired_difference(pairs, other_pairs))})
    return rows
