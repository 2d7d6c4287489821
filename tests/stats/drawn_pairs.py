"""Scored pairs of drawn people."""

import numpy as np

from stats.roc import Scored


def drawn_pairs(people: int = 12, faces: int = 4, signal: float = 1.0, seed: int = 0) -> Scored:
    """All pairs of the faces, genuine ones scored higher by `signal`; people differ in how hard they are."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(people), faces)
    left, right = (labels[rows] for rows in np.triu_indices(len(labels), 1))
    hardness = rng.normal(size=people)
    scores = rng.normal(size=len(left)) + (left == right) * (signal + hardness[left])
    return Scored(np.round(scores, 1), left, right)
