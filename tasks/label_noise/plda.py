"""Probabilistic LDA: the likelihood that faces show the same person, by a model fitted to the embeddings at hand.

An embedding is its person's centre plus a deviation per picture, both Gaussian: the two-covariance model
(Brümmer and de Villiers, The speaker partitioning problem, Odyssey 2010; for faces Ioffe, ECCV 2006). Unlike a cosine
to a mean, it accounts for the uncertainty of a centre of few pictures. Embeddings are first whitened by the
within-person covariance (Hatch et al., Interspeech 2006) and normalised to length 1 (Garcia-Romero and Espy-Wilson,
Interspeech 2011); both covariances are then spherical, since full ones need more people than a set may have.
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
        length: the norm of placed faces.
        spread: the variance of the people's centres in every direction.
    """

    mean: Floats
    basis: Floats
    length: float
    spread: float

    def place(self, embeddings: NDArray[np.floating]) -> Floats:
        """Embeddings [n, d] in the space of the model."""
        return _unit_rows((embeddings - self.mean) @ self.basis) * self.length

    def same_person_llr(self, sums: Floats, counts: Floats) -> Floats:
        """The log-likelihood ratio of faces being of one person, against each being of an unknown one.

        Args:
            sums: [..., d], sums of placed faces.
            counts: [...], the number of faces of each.
        """
        return self._same_person_llr((sums**2).sum(-1), counts, sums.shape[-1])

    def match_llr(self, faces: Floats, sums: Floats, counts: Floats) -> Floats:
        """The log-likelihood ratio of each face [n, d] being of each person, against being of an unknown one.

        Args:
            sums, counts: [k, d] and [k], of each person's faces.

        Returns:
            [n, k].
        """
        squares = (faces**2).sum(1)[:, None] + 2 * faces @ sums.T + (sums**2).sum(1)
        together = self._same_person_llr(squares, counts + 1, faces.shape[1])
        return together - self.same_person_llr(sums, counts) - self.same_person_llr(faces, np.ones(len(faces)))[:, None]

    def _same_person_llr(self, squares: Floats, counts: Floats, dim: int) -> Floats:
        grown = 1 + counts * self.spread
        found: Floats = (squares * self.spread / grown - dim * np.log(grown)) / 2
        return found


def fit_people(embeddings: NDArray[np.floating], people: Ints, weights: Floats, *, whiten: bool = True) -> PeopleModel:
    """Fit the model to faces of known people.

    Args:
        embeddings: [n, d].
        people: [n], the label of each face, from 0.
        weights: [n], the confidence in it, 0 to 1.
        whiten: False: no whitening, which is robust to few mislabelled faces.
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

    With few faces the within-person covariance is noisy. It is shrunk towards a sphere, with a weight of as many faces
    as there are dimensions.
    """
    num, dim = int(people.max()) + 1, rows.shape[1]
    counts = counts_by(people, weights, num)
    centres = sums_by(people, rows * weights[:, None], num) / np.maximum(counts, 1e-9)[:, None]
    known = counts > 1.5  # one picture has no within-person deviation
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
