"""Evaluation of a model: verification of unseen people, and the loss of a frozen list of triplets."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from model.embedding.data import Faces
from model.embedding.embed import embed_raw, unit_rows
from model.verification.metrics import Verification, accuracy, fields_of, verify
from model.verification.pairs import frozen_triplets, verification_pairs
from model.verification.similarity import cosines, nearest_is_same
from model.verification.thresholds import Thresholds, choose_thresholds
from stats.bootstrap import Interval, Weights, identity_weights, mean_interval
from stats.calibration import Reliability, reliability
from stats.roc import Scored, best_threshold, cross_validated_thresholds, drawn_folds, roc

MARGINS = (0.2, 1.0, 2.0)
Embeddings = NDArray[np.float32]


@dataclass(frozen=True)
class TripletFigures:
    """Mean loss max(0, d(a,p) - d(a,n) + margin) of the frozen triplets in squared distances, by margin.

    `unit` is for normalized embeddings, `raw` for the backbone's outputs. On the unit sphere at margin 2 the loss is at
    least the mean genuine distance, so low published values at that margin are raw ones. `accuracy` is the share of
    triplets whose positive is nearer than their negative (unit). Intervals are 95%, by bootstrap over the people of
    the anchors.
    """

    unit: dict[str, float]
    unit_interval: dict[str, Interval]
    raw: dict[str, float]
    raw_interval: dict[str, Interval]
    accuracy: float
    accuracy_interval: Interval


@dataclass(frozen=True)
class EvaluationReport(Verification):
    """Metrics over all pairs of test faces of people not used for training.

    `accuracy` is balanced accuracy, at a threshold chosen on val (`threshold_from` is "val"), or without val on the
    other folds of the test pairs ("folds"; `threshold` is then the best over all). `calibration` is the reliability of
    the probabilities of `thresholds` on the test pairs; None if they were chosen on these.
    """

    num_identities: int
    num_faces: int
    accuracy: float
    accuracy_interval: Interval
    threshold: float
    threshold_from: str
    rank_1: float
    rank_1_interval: Interval
    calibration: Reliability | None
    triplet: TripletFigures

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON values."""
        return dataclasses.asdict(self)


def evaluate(
    backbone: nn.Module, test: Faces, val: Faces, *, device: torch.device
) -> tuple[EvaluationReport, Thresholds]:
    """Embed both splits; choose thresholds on val, or on test if val has no pairs; evaluate on test.

    Pairs and triplets depend on the labels only, so that all models are evaluated on the same ones.

    Args:
        test: faces with at least one genuine and one impostor pair (see `pairs.check_pairs`).
        val: faces for choosing the thresholds; may be empty.
    """
    raw_test = embed_raw(backbone, test.images, device)
    raw_val = embed_raw(backbone, val.images, device)
    thresholds = thresholds_of(raw_val, val.labels, raw_test, test.labels)
    return evaluate_embeddings(raw_test, test.labels, thresholds)[0], thresholds


def thresholds_of(
    val_raw: Embeddings, val_labels: NDArray[np.int64], test_raw: Embeddings, test_labels: NDArray[np.int64]
) -> Thresholds:
    """Choose thresholds on val, or on test if val lacks a kind of pairs."""
    val = scored_pairs(val_raw, val_labels)
    if val.same.any() and not val.same.all():
        return choose_thresholds(val.scores, val.same, chosen_on="val")
    test = scored_pairs(test_raw, test_labels)
    return choose_thresholds(test.scores, test.same, chosen_on="test")


def evaluate_embeddings(
    raw: Embeddings, labels: NDArray[np.int64], thresholds: Thresholds | None
) -> tuple[EvaluationReport, Scored]:
    """Evaluate raw embeddings [n, d] with labels [n]; returns the report and the scored pairs.

    Args:
        thresholds: the model's; if None or chosen on test, thresholds are chosen by cross-validation over the pairs.
    """
    pairs, unit = scored_pairs(raw, labels), unit_rows(raw)
    tried = thresholds if thresholds is not None and thresholds.chosen_on == "val" else None
    weights = identity_weights(int(labels.max()) + 1)
    value, value_interval, threshold = _accuracy(pairs, tried, weights)
    hits = nearest_is_same(unit, labels)
    report = EvaluationReport(
        **fields_of(verify(pairs, tried, weights)),
        num_identities=len(np.unique(labels)),
        num_faces=len(labels),
        accuracy=value,
        accuracy_interval=value_interval,
        threshold=threshold,
        threshold_from="val" if tried else "folds",
        rank_1=float(np.nanmean(hits)),
        rank_1_interval=mean_interval(hits, labels, weights),
        calibration=reliability(tried.calibration, pairs.scores, pairs.same) if tried else None,
        triplet=triplet_figures(raw, labels, weights),
    )
    return report, pairs


def scored_pairs(raw: Embeddings, labels: NDArray[np.int64]) -> Scored:
    """The pairs of `pairs.verification_pairs` with their cosine similarities."""
    unit, pairs = unit_rows(raw), verification_pairs(labels)
    return Scored(cosines(unit, pairs.left, pairs.right), labels[pairs.left], labels[pairs.right])


def triplet_figures(raw: Embeddings, labels: NDArray[np.int64], weights: Weights) -> TripletFigures:
    """The losses of the frozen triplets of `labels`; `weights` are those of `bootstrap.identity_weights`."""
    triplets = frozen_triplets(labels)
    anchors = labels[triplets[:, 0]]
    unit_gaps, raw_gaps = _gaps(unit_rows(raw), triplets), _gaps(raw, triplets)
    unit, raw_losses = (
        {f"{margin:g}": np.maximum(gaps + margin, 0) for margin in MARGINS} for gaps in (unit_gaps, raw_gaps)
    )
    in_order = (unit_gaps < 0).astype(np.float64)
    return TripletFigures(
        unit={margin: float(losses.mean()) for margin, losses in unit.items()},
        unit_interval={margin: mean_interval(losses, anchors, weights) for margin, losses in unit.items()},
        raw={margin: float(losses.mean()) for margin, losses in raw_losses.items()},
        raw_interval={margin: mean_interval(losses, anchors, weights) for margin, losses in raw_losses.items()},
        accuracy=float(in_order.mean()),
        accuracy_interval=mean_interval(in_order, anchors, weights),
    )


def _accuracy(pairs: Scored, thresholds: Thresholds | None, weights: Weights) -> tuple[float, Interval, float]:
    """(balanced accuracy, its interval, the reported threshold)."""
    if thresholds is not None:
        return *accuracy(pairs, thresholds.accuracy, weights), thresholds.accuracy
    best = best_threshold(roc(pairs.scores, pairs.same))
    fold = drawn_folds(pairs.same)
    # With a single pair of a kind, only its own best threshold is available.
    chosen = cross_validated_thresholds(pairs.scores, pairs.same, fold) if fold.any() else best
    return *accuracy(pairs, chosen, weights), best


def _gaps(embeddings: Embeddings, triplets: NDArray[np.int64]) -> NDArray[np.float64]:
    anchor, positive, negative = (embeddings[triplets[:, place]].astype(np.float64) for place in range(3))
    gaps: NDArray[np.float64] = ((anchor - positive) ** 2).sum(1) - ((anchor - negative) ** 2).sum(1)
    return gaps
