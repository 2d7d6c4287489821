"""Estimate which faces are mislabelled, and which two names are the same person.

From embeddings alone, as Zhang, Albiero and Bowyer do for web-scraped sets (arXiv 2004.03074): each face is compared
with its own person and with all others. It is labelled correctly, or shows another person of the set, or an unknown
one; `plda` gives the likelihood of each, and the score is the probability of the last two. In addition:

- *Copies are excluded.* A face is compared with the person's other pictures, not with copies of its own.
- *Faces are weighted by confidence*: in a few rounds, each by the cube of its probability of being correct.
- *A person is in a picture once* (Ng and Winkler, FaceScrub, ICIP 2014): of two faces of one picture listed under one
  name, one is wrong.
- *The other people are negative examples.* Likelihoods are calibrated on the faces at hand, which should match their
  own people and no others (Brümmer and du Preez, Computer Speech and Language 2006). Scores of different models are
  therefore comparable.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from stats.logistic import fit_logistic, sigmoid
from storage.stamps.setting_field import setting
from tasks.label_noise.plda import Floats, Ints, PeopleModel, counts_by, fit_people, sums_by

_ROWS_AT_ONCE = 4096
_NUM_STRANGERS = 100_000
# Fewer people give too few pairs to estimate the difference between people.
_LEAST_PEOPLE = 5


@dataclass(frozen=True, slots=True)
class CleanRules:
    """The prior probabilities."""

    wrong_share: float = setting(0.05, "expected share of mislabelled faces", gt=0, le=0.9)
    known_share: float = setting(
        0.8, "of these, the expected share that shows another person of the set", gt=0, le=0.99
    )
    double_share: float = setting(0.01, "expected share of people listed under a second name", gt=0, le=0.9)
    rounds: int = setting(3, "number of rounds; in each, doubtful faces weigh less", ge=1, le=100)
    # At 1, uncertain faces among many wrong ones blur their people, and scores are too low; at 3 the loss of correct
    # faces is as expected.
    caution: float = setting(
        3.0, "the weight of a face is (1 - its probability of being mislabelled) to this power", ge=0, le=100
    )


@dataclass(frozen=True)
class FaceSet:
    """Faces and their labels.

    Attributes:
        embeddings: [n, d], unit rows.
        people: [n], the label, from 0.
        pictures: [n], from 0; copies of a picture count as one.
        places: [n], the number of the face in its picture, from 0.
        is_example: [n], whether the face counts as an example of its person.
    """

    embeddings: NDArray[np.floating]
    people: Ints
    pictures: Ints
    places: Ints
    is_example: NDArray[np.bool_]

    @property
    def num_people(self) -> int:
        """The number of people."""
        return int(self.people.max()) + 1

    @cached_property
    def claims(self) -> Ints:
        """[n], the number of the claim: all faces of one picture listed under one person."""
        pairs = self.people * (int(self.pictures.max()) + 1) + self.pictures
        claims: Ints = np.unique(pairs, return_inverse=True)[1].astype(np.int64)
        return claims


@dataclass(frozen=True)
class NoiseEstimates:
    """The estimates.

    Attributes:
        wrong: [n], the probability that a face is mislabelled.
        looks_like: [n], the person that it matches best; its own if no other matches better.
        same: [k, k], the probability that two people are the same, symmetric, 0 on the diagonal.
    """

    wrong: Floats
    looks_like: Ints
    same: Floats


def estimate_noise(faces: FaceSet, rules: CleanRules = CleanRules()) -> NoiseEstimates:
    """Estimate every face and every pair of people."""
    trust = faces.is_example.astype(float)
    for number in range(rules.rounds):
        # Whitened by what differs among faces of two people, these would look alike: not before most are found.
        crowd = _gather(faces, trust, whiten=number > 0)
        estimates = _estimate(faces, crowd, trust, rules)
        trust = faces.is_example * (1 - estimates.wrong) ** rules.caution
    return estimates


def expected_limit(wrong: NDArray[np.floating], lost: float) -> float:
    """The lowest threshold that is expected to lose at most a share `lost` of the correct faces.

    The expectation is computed from the probabilities themselves: a weak model's threshold is high, a good one's low.
    """
    falling = np.sort(wrong.astype(np.float64))[::-1]
    costs = np.cumsum(1 - falling)
    allowed = np.flatnonzero(costs <= lost * costs[-1:])
    return float(falling[allowed[-1]]) if len(allowed) else 1.0


@dataclass(frozen=True)
class _Crowd:
    """The faces in the model's space, and the weighted sums of the faces of each claim and each person."""

    model: PeopleModel
    placed: Floats
    claim_people: Ints
    claim_sums: Floats
    claim_counts: Floats
    sums: Floats
    counts: Floats


def _gather(faces: FaceSet, trust: Floats, *, whiten: bool) -> _Crowd:
    claims, num = faces.claims, int(faces.claims.max()) + 1
    # A picture counts once, whatever the number of copies.
    weights = trust / np.bincount(claims)[claims]
    model = fit_people(faces.embeddings, faces.people, weights, whiten=whiten)
    placed = model.place(faces.embeddings)
    claim_people = np.zeros(num, np.int64)
    claim_people[claims] = faces.people
    claim_sums, claim_counts = sums_by(claims, placed * weights[:, None], num), counts_by(claims, weights, num)
    sums = sums_by(claim_people, claim_sums, faces.num_people)
    counts = counts_by(claim_people, claim_counts, faces.num_people)
    return _Crowd(model, placed, claim_people, claim_sums, claim_counts, sums, counts)


def _estimate(faces: FaceSet, crowd: _Crowd, trust: Floats, rules: CleanRules) -> NoiseEstimates:
    slope, offset = _calibrate(faces, crowd, trust)
    num, people = len(faces.people), faces.num_people
    right, looks_like, fits = np.zeros(num), np.zeros(num, np.int64), np.zeros((people, people))
    for rows, match_llr in _match_llrs(faces, crowd):
        odds = match_llr * slope + offset
        own = (np.arange(len(odds)), faces.people[rows])
        looks_like[rows] = odds.argmax(1)
        np.add.at(fits, faces.people[rows], odds * trust[rows, None])
        mine = odds[own]
        odds[own] = -np.inf
        others = _log_sum(odds) - np.log(max(people - 1, 1)) + np.log(rules.known_share)
        right[rows] = mine - np.logaddexp(np.log(1 - rules.known_share), others)
    right += np.log(1 / rules.wrong_share - 1)
    fits /= np.maximum(counts_by(faces.people, trust, people), 1e-9)[:, None]
    return NoiseEstimates(1 - _once_a_picture(faces, right), looks_like, _same_people(fits, rules))


def _same_people(fits: Floats, rules: CleanRules) -> Floats:
    """The probability [k, k] that two people are the same.

    If they are, the faces of each match the other about as well as faces match their own people; if not, as most pairs
    do. Both are modelled as Gaussian with the spread of the pairs, estimated by medians, which are robust to few pairs.

    Args:
        fits: [k, k], the mean log-odds of the faces of each person (row) to be of each (column).
    """
    people = len(fits)
    if people < _LEAST_PEOPLE:
        return np.zeros((people, people))
    both = (fits + fits.T) / 2
    pairs = both[np.triu_indices(people, 1)]
    one, apart = np.median(fits.diagonal()), np.median(pairs)
    spread = max(1.4826 * np.median(np.abs(pairs - apart)), 1.0)
    odds = (both - (one + apart) / 2) * max(one - apart, 0) / spread**2
    same = sigmoid(odds + np.log(rules.double_share / people))
    np.fill_diagonal(same, 0)
    return same


def _match_llrs(faces: FaceSet, crowd: _Crowd) -> Iterator[tuple[slice, Floats]]:
    """The likeness of each face to each person, some rows at a time, without the pictures of the face itself."""
    by_picture = np.argsort(claim_pictures := _claim_pictures(faces), kind="stable")
    first, end = (np.searchsorted(claim_pictures[by_picture], faces.pictures, side) for side in ("left", "right"))
    for start in range(0, len(faces.people), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        placed = crowd.placed[rows]
        match_llr = crowd.model.match_llr(placed, crowd.sums, crowd.counts)
        row, claim = _pairs(first[rows], end[rows], by_picture)
        person = crowd.claim_people[claim]
        sums, counts = crowd.sums[person] - crowd.claim_sums[claim], crowd.counts[person] - crowd.claim_counts[claim]
        match_llr[row, person] = _one_by_one(crowd.model, placed[row], sums, np.maximum(counts, 0))
        yield rows, match_llr


def _one_by_one(model: PeopleModel, faces: Floats, sums: Floats, counts: Floats) -> Floats:
    """The likeness of each face [n, d] to one person each, of sums [n, d]."""
    alone = model.same_person_llr(faces, np.ones(len(faces)))
    return model.same_person_llr(sums + faces, counts + 1) - model.same_person_llr(sums, counts) - alone


def _claim_pictures(faces: FaceSet) -> Ints:
    pictures = np.zeros(int(faces.claims.max()) + 1, np.int64)
    pictures[faces.claims] = faces.pictures
    return pictures


def _pairs(first: Ints, end: Ints, members: Ints) -> tuple[Ints, Ints]:
    """Each row with every one of `members[first:end]`, as two columns."""
    sizes = end - first
    rows = np.repeat(np.arange(len(first)), sizes)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return rows, members[np.repeat(first, sizes) + within]


def _calibrate(faces: FaceSet, crowd: _Crowd, trust: Floats) -> tuple[float, float]:
    """Slope and offset that convert a likeness to the log-odds of the same person, at equal priors.

    A logistic regression of the likeness of faces to their own people, weighted by confidence, and to random others.
    """
    own_sums = crowd.sums[faces.people] - crowd.claim_sums[faces.claims]
    own_counts = crowd.counts[faces.people] - crowd.claim_counts[faces.claims]
    known = np.flatnonzero((own_counts > 0.5) & (trust > 0))
    own = _one_by_one(crowd.model, crowd.placed[known], own_sums[known], own_counts[known])
    rng = np.random.default_rng(0)
    row = rng.integers(0, len(faces.people), min(_NUM_STRANGERS, 20 * len(faces.people)))
    other = rng.integers(0, faces.num_people, len(row))
    strange = (other != faces.people[row]) & (crowd.counts[other] > 0.5)
    row, other = row[strange], other[strange]
    others = _one_by_one(crowd.model, crowd.placed[row], crowd.sums[other], crowd.counts[other])
    if not len(own) or not len(others):
        return 1.0, 0.0
    weights = [trust[known] / trust[known].sum(), np.full(len(others), 1 / len(others))]
    labels = np.repeat([1.0, 0.0], [len(own), len(others)])
    # Slightly regularised towards slope 1 and offset 0, the values for calibrated likelihoods.
    return fit_logistic(np.concatenate([own, others]), labels, np.concatenate(weights), pull=1e-3)


def _once_a_picture(faces: FaceSet, log_odds: Floats) -> Floats:
    """The probability that each face is correct, given that at most one face per picture and person is."""
    spots = np.unique(np.stack([faces.claims, faces.places]), axis=1, return_inverse=True)
    (claim_of_spot, _), spot = spots
    best = np.full(len(claim_of_spot), -np.inf)
    np.maximum.at(best, spot, log_odds)
    most = np.full(int(faces.claims.max()) + 1, 0.0)
    np.maximum.at(most, claim_of_spot, best)
    # Odds relative to the largest, to avoid overflow; the 1 is the case of no correct face.
    total = np.exp(-most) + np.bincount(claim_of_spot, np.exp(best - most[claim_of_spot]))
    others = total[faces.claims] - np.exp(best[spot] - most[faces.claims])
    mine = np.exp(log_odds - most[faces.claims])
    right: Floats = mine / (mine + np.maximum(others, 1e-300))
    return right


def _log_sum(rows: Floats) -> Floats:
    most = rows.max(1, keepdims=True)
    most[~np.isfinite(most)] = 0
    with np.errstate(divide="ignore"):
        total: Floats = np.log(np.exp(rows - most).sum(1)) + most[:, 0]
    return total
