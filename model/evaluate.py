"""The report on a model: verification of people it never saw, and the loss of a frozen list of triplets."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from model.data import Faces
from model.embed import embed_raw, unit_rows
from model.pairs import frozen_triplets, verification_pairs
from model.verification import (
    auc,
    balanced_accuracy,
    best_threshold,
    bootstrap_auc,
    equal_error_rate,
    folded_accuracy,
    rank_1,
    tar_at_far,
)

FARS = (1e-2, 1e-3, 1e-4)
MARGINS = (1.0, 2.0)
Embeddings = NDArray[np.float32]


@dataclass(frozen=True)
class TripletFigures:
    """Mean loss max(0, d(a,p) - d(a,n) + margin) of the frozen triplets in squared distances, by margin.

    `unit` for embeddings of length one, `raw` for the backbone's outputs as they come. On the unit sphere at
    margin 2 it is at least the mean genuine distance, so low published figures at that margin are raw ones.
    `accuracy` is the share of triplets whose positive is nearer than their negative (unit).
    """

    unit: dict[str, float]
    raw: dict[str, float]
    accuracy: float


@dataclass(frozen=True)
class EvaluationReport:
    """Figures over all pairs of test faces, none of whose people were trained on.

    `accuracy` is balanced, at a threshold chosen on val (`threshold_from` says "val"), or on the other folds
    of the test pairs where there is no val ("folds", and `threshold` is the best over all). `tar_at_far` is
    None for a FAR of fewer than 30 expected false accepts. `auc_interval` is 95%, by bootstrap over
    identities.
    """

    num_identities: int
    num_faces: int
    num_genuine: int
    num_impostor: int
    auc: float
    auc_interval: tuple[float, float]
    eer: float
    accuracy: float
    threshold: float
    threshold_from: str
    tar_at_far: dict[str, float | None]
    rank_1: float
    triplet: TripletFigures

    def to_json(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return dataclasses.asdict(self)


def evaluate(backbone: nn.Module, test: Faces, val: Faces, *, device: torch.device, seed: int = 0) -> EvaluationReport:
    """Embed both splits and report.

    Args:
        test: faces with at least one genuine and one impostor pair (see `pairs.check_pairs`).
        val: faces to choose the threshold on; may be empty.
        seed: of every sampling, so that equal seeds judge all models on the same pairs and triplets.
    """
    raw_test = embed_raw(backbone, test.images, device)
    raw_val = embed_raw(backbone, val.images, device)
    return report(raw_test, test.labels, raw_val, val.labels, seed=seed)


def report(
    raw: Embeddings,
    labels: NDArray[np.int64],
    val_raw: Embeddings,
    val_labels: NDArray[np.int64],
    *,
    seed: int = 0,
) -> EvaluationReport:
    """The figures of embeddings [n, d] as the backbone gives them, with labels [n]."""
    unit = unit_rows(raw)
    pairs = verification_pairs(labels, seed=seed)
    scores, same = _cosines(unit, pairs.left, pairs.right), pairs.same
    threshold, accuracy, chosen_on = _accuracy(scores, same, val_raw, val_labels, seed)
    return EvaluationReport(
        num_identities=len(np.unique(labels)),
        num_faces=len(labels),
        num_genuine=int(same.sum()),
        num_impostor=int((~same).sum()),
        auc=auc(scores, same),
        auc_interval=bootstrap_auc(scores, same, labels[pairs.left], labels[pairs.right], seed=seed),
        eer=equal_error_rate(scores, same),
        accuracy=accuracy,
        threshold=threshold,
        threshold_from=chosen_on,
        tar_at_far={f"{far:g}": tar_at_far(scores, same, far) for far in FARS},
        rank_1=rank_1(unit, labels),
        triplet=triplet_figures(raw, labels, seed=seed),
    )


def triplet_figures(raw: Embeddings, labels: NDArray[np.int64], *, seed: int = 0) -> TripletFigures:
    """The losses of the frozen triplets of `labels`."""
    triplets = frozen_triplets(labels, seed=seed)
    unit_gaps, raw_gaps = _gaps(unit_rows(raw), triplets), _gaps(raw, triplets)
    return TripletFigures(
        unit={f"{margin:g}": _mean_loss(unit_gaps, margin) for margin in MARGINS},
        raw={f"{margin:g}": _mean_loss(raw_gaps, margin) for margin in MARGINS},
        accuracy=float((unit_gaps < 0).mean()),
    )


def _accuracy(
    scores: NDArray[np.float32],
    same: NDArray[np.bool_],
    val_raw: Embeddings,
    val_labels: NDArray[np.int64],
    seed: int,
) -> tuple[float, float, str]:
    """(threshold, balanced accuracy, what the threshold was chosen on)."""
    if len(val_labels):
        pairs = verification_pairs(val_labels, seed=seed)
        if pairs.same.any() and not pairs.same.all():
            val_scores = _cosines(unit_rows(val_raw), pairs.left, pairs.right)
            threshold = best_threshold(val_scores, pairs.same)
            return threshold, balanced_accuracy(scores, same, threshold), "val"
    return best_threshold(scores, same), folded_accuracy(scores, same, seed=seed), "folds"


def _cosines(unit: Embeddings, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.float32]:
    """Cosine of each pair, in parts: 2 M pairs of 128 floats at once would take 2 GB."""
    parts = [
        np.einsum("nd,nd->n", unit[left[start : start + 65_536]], unit[right[start : start + 65_536]])
        for start in range(0, len(left), 65_536)
    ]
    return np.concatenate(parts).astype(np.float32)


def _gaps(embeddings: Embeddings, triplets: NDArray[np.int64]) -> NDArray[np.float64]:
    anchor, positive, negative = (embeddings[triplets[:, place]].astype(np.float64) for place in range(3))
    gaps: NDArray[np.float64] = ((anchor - positive) ** 2).sum(1) - ((anchor - negative) ** 2).sum(1)
    return gaps


def _mean_loss(gaps: NDArray[np.float64], margin: float) -> float:
    return float(np.maximum(gaps + margin, 0).mean())
