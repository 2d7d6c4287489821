"""Cosine similarities of unit embeddings. NumPy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stats.roc import Floats, Labels


def cosines(unit: NDArray[np.float32], left: Labels, right: Labels) -> NDArray[np.float32]:
    """Cosine of each pair of unit rows [n, d], in blocks: 2 M pairs of 128 floats at once would take 2 GB."""
    parts = [
        np.einsum("nd,nd->n", unit[left[start : start + 65_536]], unit[right[start : start + 65_536]])
        for start in range(0, len(left), 65_536)
    ]
    return np.concatenate([*parts, np.zeros(0)]).astype(np.float32)


def nearest_is_same(unit: NDArray[np.float32], labels: Labels) -> Floats:
    """[n]: 1 if a face's nearest other face is of the same person, 0 if not, NaN if the person has no other face.

    Args:
        unit: [n, d] unit rows.
        labels: [n].
    """
    hits = []
    for start in range(0, len(unit), 1024):
        cosines = unit[start : start + 1024] @ unit.T
        rows = np.arange(len(cosines))
        cosines[rows, start + rows] = -np.inf
        hits.append(labels[cosines.argmax(1)] == labels[start : start + 1024])
    has_other = np.bincount(labels)[labels] >= 2
    return np.where(has_other, np.concatenate(hits), np.nan)
