"""Which faces show somebody else than the person they are listed under, and which two names are one person.

Decided from embeddings alone, as Zhang, Albiero and Bowyer do it for web-scraped sets (arXiv 2004.03074): a face is
held against its own person and against all others. Each is listed rightly, or shows another person of the set, or
somebody unknown; `people` says how likely each makes it, and the score is the probability of the last two. Then:

- *A picture does not speak for itself.* A face is held against the person's other pictures, not the copies of its own.
- *Doubtful faces do not speak for others.* In a few rounds each weighs the cube of how likely it is to be right.
- *A person is in a picture once* (Ng and Winkler, FaceScrub, ICIP 2014): of two faces of one picture listed under one
  name, one is wrong.
- *Whoever else is in the set is a negative example.* How much a likelihood is worth is calibrated on the faces at hand:
  to their own people they should fit, to others not (Brümmer and du Preez, Computer Speech and Language 2006). So
  scores of different models mean the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from stats.logistic import fit_logistic, sigmoid
from tasks.label_noise.plda import Floats, Ints, PeopleModel, counts_by, fit_people, sums_by

_ROWS_AT_ONCE = 4096
_NUM_STRANGERS = 100_000
# Fewer make too few pairs to know how unlike people are.
_LEAST_PEOPLE = 5


@dataclass(frozen=True, slots=True)
class CleanRules:
    """What is held for likely before a face is looked at."""

    wrong_share: float = 0.05
    # Of the wrong faces, those that show another person of the set.
    known_share: float = 0.8
    # Of the people, those listed under a second name too.
    double_share: float = 0.01
    rounds: int = 3
    # A face weighs (1 - probability that it is wrong) to this power. At 1 the half-doubted ones among many wrong faces
    # blur their people so much that scores come out low; at 3 as many right faces are lost as is expected.
    caution: float = 3.0


@dataclass(frozen=True)
class FaceSet:
    """Faces and whose they are said to be.

    Attributes:
        embeddings: [n, d], unit rows.
        people: [n], counted from 0.
        pictures: [n], counted from 0; copies of a picture count as one.
        places: [n], which face of its picture it is, counted from 0.
        speaks: [n], whether it may tell what its person looks like.
    """

    embeddings: NDArray[np.floating]
    people: Ints
    pictures: Ints
    places: Ints
    speaks: NDArray[np.bool_]

    @property
    def num_people(self) -> int:
        """How many people there are."""
        return int(self.people.max()) + 1

    @cached_property
    def claims(self) -> Ints:
        """[n], a number for each person and picture: the faces that one picture gives one person."""
        pairs = self.people * (int(self.pictures.max()) + 1) + self.pictures
        claims: Ints = np.unique(pairs, return_inverse=True)[1].astype(np.int64)
        return claims


@dataclass(frozen=True)
class Doubts:
    """What is doubted.

    Attributes:
        wrong: [n], the probability that a face shows somebody else.
        looks_like: [n], the person it fits best; its own, if no other fits better.
        same: [k, k], the probability that two people are one, symmetric, 0 for oneself.
    """

    wrong: Floats
    looks_like: Ints
    same: Floats


def doubt(faces: FaceSet, rules: CleanRules = CleanRules()) -> Doubts:
    """Judge every face and every pair of people."""
    trust = faces.speaks.astype(float)
    for number in range(rules.rounds):
        # Whitened by what differs among faces of two people, these would look alike: not before most are found.
        crowd = _gather(faces, trust, whiten=number > 0)
        doubts = _judge(faces, crowd, trust, rules)
        trust = faces.speaks * (1 - doubts.wrong) ** rules.caution
    return doubts


def expected_limit(wrong: NDArray[np.floating], lost: float) -> float:
    """The lowest probability from which no more than a share `lost` of the right faces is expected to be thrown out.

    What is expected follows from the probabilities themselves: a weak model's limit is high, a good one's low.
    """
    falling = np.sort(wrong.astype(np.float64))[::-1]
    costs = np.cumsum(1 - falling)
    allowed = np.flatnonzero(costs <= lost * costs[-1:])
    return float(falling[allowed[-1]]) if len(allowed) else 1.0


@dataclass(frozen=True)
class _Crowd:
    """Everybody as the model sees them: placed faces, and the sums of each claim's and each person's trusted faces."""

    model: PeopleModel
    placed: Floats
    claim_people: Ints
    claim_sums: Floats
    claim_counts: Floats
    sums: Floats
    counts: Floats


def _gather(faces: FaceSet, trust: Floats, *, whiten: bool) -> _Crowd:
    claims, num = faces.claims, int(faces.claims.max()) + 1
    # However many copies of it are listed, a picture counts once.
    weights = trust / np.bincount(claims)[claims]
    model = fit_people(faces.embeddings, faces.people, weights, whiten=whiten)
    placed = model.place(faces.embeddings)
    claim_people = np.zeros(num, np.int64)
    claim_people[claims] = faces.people
    claim_sums, claim_counts = sums_by(claims, placed * weights[:, None], num), counts_by(claims, weights, num)
    sums = sums_by(claim_people, claim_sums, faces.num_people)
    counts = counts_by(claim_people, claim_counts, faces.num_people)
    return _Crowd(model, placed, claim_people, claim_sums, claim_counts, sums, counts)


def _judge(faces: FaceSet, crowd: _Crowd, trust: Floats, rules: CleanRules) -> Doubts:
    slope, offset = _calibrate(faces, crowd, trust)
    num, people = len(faces.people), faces.num_people
    right, looks_like, fits = np.zeros(num), np.zeros(num, np.int64), np.zeros((people, people))
    for rows, likeness in _likenesses(faces, crowd):
        odds = likeness * slope + offset
        own = (np.arange(len(odds)), faces.people[rows])
        looks_like[rows] = odds.argmax(1)
        np.add.at(fits, faces.people[rows], odds * trust[rows, None])
        mine = odds[own]
        odds[own] = -np.inf
        others = _log_sum(odds) - np.log(max(people - 1, 1)) + np.log(rules.known_share)
        right[rows] = mine - np.logaddexp(np.log(1 - rules.known_share), others)
    right += np.log(1 / rules.wrong_share - 1)
    fits /= np.maximum(counts_by(faces.people, trust, people), 1e-9)[:, None]
    return Doubts(1 - _once_a_picture(faces, right), looks_like, _same_people(fits, rules))


def _same_people(fits: Floats, rules: CleanRules) -> Floats:
    """The probability [k, k] that two people are one.

    If they are, the faces of each fit the other about as well as their own people's faces fit them; if not, as most
    pairs do. Both are taken for Gaussian with the spread of the pairs, told by medians, which few pairs cannot move.

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


def _likenesses(faces: FaceSet, crowd: _Crowd) -> Iterator[tuple[slice, Floats]]:
    """How much each face is like each person, some rows at a time; a person without the picture that the face is in."""
    by_picture = np.argsort(claim_pictures := _claim_pictures(faces), kind="stable")
    first, end = (np.searchsorted(claim_pictures[by_picture], faces.pictures, side) for side in ("left", "right"))
    for start in range(0, len(faces.people), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        placed = crowd.placed[rows]
        likeness = crowd.model.likeness(placed, crowd.sums, crowd.counts)
        row, claim = _pairs(first[rows], end[rows], by_picture)
        person = crowd.claim_people[claim]
        sums, counts = crowd.sums[person] - crowd.claim_sums[claim], crowd.counts[person] - crowd.claim_counts[claim]
        likeness[row, person] = _one_by_one(crowd.model, placed[row], sums, np.maximum(counts, 0))
        yield rows, likeness


def _one_by_one(model: PeopleModel, faces: Floats, sums: Floats, counts: Floats) -> Floats:
    """How much each face [n, d] is like one person each, of sums [n, d]."""
    alone = model.oneness(faces, np.ones(len(faces)))
    return model.oneness(sums + faces, counts + 1) - model.oneness(sums, counts) - alone


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
    """Slope and offset that turn a likeness into the log-odds of one person, both kinds held equally likely.

    A logistic regression of the likeness of faces to their own people, weighed by trust, and to others drawn by chance.
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
    # Pulled lightly to 1 and 0, which is what they would be if likelihoods were as good as they claim.
    return fit_logistic(np.concatenate([own, others]), labels, np.concatenate(weights), pull=1e-3)


def _once_a_picture(faces: FaceSet, log_odds: Floats) -> Floats:
    """The probability that each face is right, given that at most one of the faces a picture gives a person is."""
    spots = np.unique(np.stack([faces.claims, faces.places]), axis=1, return_inverse=True)
    (claim_of_spot, _), spot = spots
    best = np.full(len(claim_of_spot), -np.inf)
    np.maximum.at(best, spot, log_odds)
    most = np.full(int(faces.claims.max()) + 1, 0.0)
    np.maximum.at(most, claim_of_spot, best)
    # All odds over the largest, so that none overflows; the 1 is the case that no face is right.
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
