"""Made embeddings of invented people, for the tests of what is decided from embeddings alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tasks.label_noise.estimate import FaceSet


def crowd(people: int = 20, each: int = 12, *, dim: int = 32, noise: float = 0.6, seed: int = 0) -> FaceSet:
    """`each` faces of each person: unit rows around a centre of length 1, every face of a picture of its own."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(people, dim)) / np.sqrt(dim)
    who = np.repeat(np.arange(people), each)
    rows = centres[who] + noise * rng.normal(size=(len(who), dim)) / np.sqrt(dim)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    num = len(who)
    return FaceSet(rows.astype(np.float32), who, np.arange(num), np.zeros(num, np.int64), np.ones(num, bool))


def listed_as(faces: FaceSet, changes: dict[int, int]) -> FaceSet:
    """The faces with some of them under another person: row to person."""
    who = faces.people.copy()
    who[list(changes)] = list(changes.values())
    return replace(faces, people=who)


def changed(faces: FaceSet, name: str, rows: Any, values: Any) -> FaceSet:
    """The faces with other values in one column."""
    column = getattr(faces, name).copy()
    column[rows] = values
    return replace(faces, **{name: column})
