"""How likely faces are of one person, from their embeddings: a model of people fitted to the faces at hand.

An embedding is its person's centre plus what differs from picture to picture, both Gaussian: the two-covariance model
(Brümmer and de Villiers, The speaker partitioning problem, Odyssey 2010; for faces Ioffe, ECCV 2006). Unlike a cosine
to a mean, it knows that the centre of few pictures is less sure than that of many. Before it stand whitening by what
differs from picture to picture (Hatch et al., Interspeech 2006) and length 1 (Garcia-Romero and Espy-Wilson,
Interspeech 2011); then both covariances are taken for spheres, since full ones ask for more people than a set may hold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class PeopleModel:
    """The model, in a space where one person's pictures differ by variance 1 in every direction.

    Attributes:
        mean, basis: [d] and [d, d], of the whitening.
        length: what placed faces are brought to.
        spread: the variance of people's centres in every direction.
    """

    mean: Floats
    basis: Floats
    length: float
    spread: float

    def place(self, embeddings: NDArray[np.floating]) -> Floats:
        """Embeddings [n, d] in the space of the model."""
        return _unit_rows((embeddings - self.mean) @ self.basis) * self.length

    def oneness(self, sums: Floats, counts: Floats) -> Floats:
        """Log of how much likelier faces are as pictures of one person than of as many unknown ones.

        Args:
            sums: [..., d], sums of placed faces.
            counts: [...], how many faces each sums up.
        """
        return self._oneness((sums**2).sum(-1), counts, sums.shape[-1])

    def likeness(self, faces: Floats, sums: Floats, counts: Floats) -> Floats:
        """Log of how much likelier each face [n, d] is as a further picture of each person than of somebody unknown.

        Args:
            sums, counts: [k, d] and [k], of each person's faces.

        Returns:
            [n, k].
        """
        squares = (faces**2).sum(1)[:, None] + 2 * faces @ sums.T + (sums**2).sum(1)
        together = self._oneness(squares, counts + 1, faces.shape[1])
        return together - self.oneness(sums, counts) - self.oneness(faces, np.ones(len(faces)))[:, None]

    def _oneness(self, squares: Floats, counts: Floats, dim: int) -> Floats:
        grown = 1 + counts * self.spread
        found: Floats = (squares * self.spread / grown - dim * np.log(grown)) / 2
        return found


def fit_people(embeddings: NDArray[np.floating], people: Ints, weights: Floats, *, whiten: bool = True) -> PeopleModel:
    """Fit the model to faces of known people.

    Args:
        embeddings: [n, d].
        people: [n], whose face each is said to be, counted from 0.
        weights: [n], how sure that is, 0 to 1.
        whiten: False takes all directions alike, which a few faces of other people cannot mislead.
    """
    mean, within, _ = _covariances(embeddings, people, weights)
    size, axes = np.linalg.eigh(within)
    basis = axes / np.sqrt(size) @ axes.T if whiten else np.eye(len(mean))
    placed = _unit_rows((embeddings - mean) @ basis)
    _, within, between = _covariances(placed, people, weights)
    differs, spread = np.trace(within), max(np.trace(between), 1e-3 * np.trace(within))
    return PeopleModel(mean, basis, float(np.sqrt(len(mean) / differs)), float(spread / differs))


def sums_by(groups: Ints, rows: NDArray[np.floating], num: int) -> Floats:
    """The sums [num, d] of the `rows` [n, d] of each group."""
    sums = np.zeros((num, rows.shape[1]))
    np.add.at(sums, groups, rows)
    return sums


def counts_by(groups: Ints, weights: Floats, num: int) -> Floats:
    """The sums [num] of the `weights` [n] of each group."""
    return np.bincount(groups, weights, num).astype(np.float64)


def _covariances(rows: NDArray[np.floating], people: Ints, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """The mean person, the covariance of one person's pictures, and that of people's centres.

    With few faces the first follows chance. It is drawn towards a sphere, as if as many made-up faces as there are
    directions had been seen.
    """
    num, dim = int(people.max()) + 1, rows.shape[1]
    counts = counts_by(people, weights, num)
    centres = sums_by(people, rows * weights[:, None], num) / np.maximum(counts, 1e-9)[:, None]
    known = counts > 1.5  # one picture says nothing of how a person's pictures differ
    away = (rows - centres[people]) * np.sqrt(weights * known[people])[:, None]
    freedom = max((counts[known] - 1).sum(), 1e-9)
    scatter = away.T @ away
    sphere = max(np.trace(scatter) / dim / freedom, 1e-9)
    within = (scatter + dim * sphere * np.eye(dim)) / (freedom + dim)
    mean = (centres[known] if known.any() else rows).mean(0)
    apart = centres[known] - mean
    between = apart.T @ apart / max(known.sum() - 1, 1) - within * (1 / counts[known]).sum() / max(known.sum(), 1)
    return mean, within, between


def _unit_rows(rows: Floats) -> Floats:
    unit: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return unit
