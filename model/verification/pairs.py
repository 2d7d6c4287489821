"""Pairs and triplets for evaluation. They depend on the labels only, so they are the same for all models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.errors import UsageError

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Pairs:
    """Pairs of faces: row indices `left` and `right` [pairs], and whether they show the same person."""

    left: Rows
    right: Rows
    same: NDArray[np.bool_]


def check_pairs(labels: Rows, split: str) -> None:
    """Check that there is at least one genuine and one impostor pair.

    Raises:
        UsageError: a kind of pair is missing.
    """
    counts = np.bincount(labels) if len(labels) else np.zeros(0, np.int64)
    if len(counts) < 2 or counts.max() < 2:
        raise UsageError(
            f"the {split} split needs at least 2 identities, one of them with 2 faces; it has {len(counts)} "
            f"identities and {len(labels)} faces: publish a dataset with more people"
        )


def verification_pairs(labels: Rows, *, cap: int = 2_000_000, seed: int = 0) -> Pairs:
    """All pairs of faces. If there are more than `cap`, at most half of `cap` genuine pairs, the rest impostor pairs.

    Impostor pairs are then drawn with replacement, which does not affect the metrics at such numbers.
    """
    num_all = len(labels) * (len(labels) - 1) // 2
    if num_all <= cap:
        left, right = np.triu_indices(len(labels), 1)
        return Pairs(left, right, labels[left] == labels[right])
    rng = np.random.default_rng(seed)
    genuine = _genuine_pairs(labels)
    if len(genuine) > cap // 2:
        genuine = genuine[rng.choice(len(genuine), cap // 2, replace=False)]
    impostors = _impostor_pairs(labels, cap - len(genuine), rng)
    both = np.concatenate([genuine, impostors])
    return Pairs(both[:, 0], both[:, 1], np.arange(len(both)) < len(genuine))


def frozen_triplets(labels: Rows, *, count: int = 20_000, seed: int = 0) -> NDArray[np.int64]:
    """Triplets [count, 3] of row indices (anchor, positive, negative), drawn with replacement."""
    rng = np.random.default_rng(seed)
    genuine = _genuine_pairs(labels)
    chosen = genuine[rng.integers(len(genuine), size=count)]
    swapped = np.where(rng.random((count, 1)) < 0.5, chosen[:, ::-1], chosen)
    return np.column_stack([swapped, _others(labels, swapped[:, 0], rng)])


def _genuine_pairs(labels: Rows) -> NDArray[np.int64]:
    order = np.argsort(labels, kind="stable")
    people = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    return np.concatenate([faces[np.column_stack(np.triu_indices(len(faces), 1))] for faces in people])


def _impostor_pairs(labels: Rows, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    left = rng.integers(len(labels), size=count)
    return np.column_stack([left, _others(labels, left, rng)])


def _others(labels: Rows, rows: Rows, rng: np.random.Generator) -> Rows:
    """For each row a uniformly drawn face of another person: skips the person's own block in label order."""
    order = np.argsort(labels, kind="stable")
    counts = np.bincount(labels)
    starts = np.cumsum(counts) - counts
    own, start = counts[labels[rows]], starts[labels[rows]]
    drawn = rng.integers(0, len(labels) - own)
    return order[np.where(drawn >= start, drawn + own, drawn)]
