"""Labeled Faces in the Wild (LFW), View 2: pairs and metrics, for any number of folds.

`pairs.txt` begins with the number of folds and the number of pairs of each kind per fold. Then follow for each fold its
genuine pairs (`name number number`) and its impostor pairs (`name number name number`). The threshold of each fold is
chosen on the others (Huang et al. 2007, the image-restricted protocol; a model trained on other photographs is
"unrestricted with labeled outside data").
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.embedding.align import Affine, affine_from_landmarks
from model.embedding.embed import unit_rows
from model.verification.metrics import Verification, accuracy, fields_of, verify
from model.verification.similarity import cosines
from model.verification.thresholds import Thresholds
from stats.bootstrap import Interval, identity_weights
from stats.roc import Floats, Scored, balanced_accuracy, cross_validated_thresholds
from storage.errors import SourceError

# Mean landmarks in LFW's 250 px photos, over the 3074 of its first four folds. All were framed by the same detector;
# a point deviates by 3 to 7 px.
_LANDMARKS_250 = np.array((105.7, 113.5, 147.0, 112.8, 126.6, 137.5, 108.7, 158.6, 145.2, 158.1))


class LfwPhoto(NamedTuple):
    """A photo of LFW."""

    name: str
    number: int

    @property
    def path(self) -> str:
        """Path relative to the folder of photos."""
        return f"{self.name}/{self.name}_{self.number:04d}.jpg"


@dataclass(frozen=True)
class LfwPairs:
    """The pairs of a `pairs.txt`.

    Attributes:
        photos: every photo in them once, sorted.
        left: int64 [pairs], rows of `photos`.
        right: int64 [pairs], rows of `photos`.
        fold: int64 [pairs], from 0.
    """

    photos: tuple[LfwPhoto, ...]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    fold: NDArray[np.int64]

    @property
    def labels(self) -> NDArray[np.int64]:
        """[photos] the index of each photo's person, in the order of names."""
        return np.unique([photo.name for photo in self.photos], return_inverse=True)[1].astype(np.int64)


@dataclass(frozen=True)
class Fold:
    """One fold: the threshold chosen on the others, and the accuracy of its pairs at it."""

    threshold: float
    accuracy: float


@dataclass(frozen=True)
class LfwReport(Verification):
    """Metrics on LFW.

    `accuracy` is the mean over the folds, `accuracy_standard_error` the standard deviation over the folds divided by
    the square root of their number (LFW's own), `accuracy_interval` 95% by bootstrap over identities.
    `num_without_face` photos have no detected face and were cropped at LFW's known position.
    """

    num_identities: int
    num_photos: int
    num_without_face: int
    accuracy: float
    accuracy_standard_error: float
    accuracy_interval: Interval
    folds: list[Fold]

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON values."""
        return dataclasses.asdict(self)


def parse_pairs(text: str, name: str = "pairs.txt") -> LfwPairs:
    """Parse the text of a `pairs.txt`.

    Args:
        name: file name in error messages.

    Raises:
        SourceError: the text is invalid.
    """
    lines = text.splitlines()
    num_folds, num_pairs = _header(lines[0] if lines else "", name)
    expected = 2 * num_folds * num_pairs
    while lines and not lines[-1].strip():
        lines.pop()
    if len(lines) - 1 != expected:
        raise SourceError(
            f"{name} declares {num_folds} folds of {num_pairs} pairs of each kind, so {expected} lines of pairs, but "
            f"has {len(lines) - 1}: download it again, or correct its first line"
        )
    pairs = [
        _pair(line, f"{name}:{place + 2}", is_genuine=place % (2 * num_pairs) < num_pairs)
        for place, line in enumerate(lines[1:])
    ]
    photos = tuple(sorted({photo for pair in pairs for photo in pair}))
    row = {photo: place for place, photo in enumerate(photos)}
    rows = np.array([[row[left], row[right]] for left, right in pairs], np.int64)
    return LfwPairs(photos, rows[:, 0], rows[:, 1], np.arange(expected) // (2 * num_pairs))


def mean_position(size: tuple[int, int], image_px: int) -> Affine:
    """The mean position of the face in an LFW photo of that size, for `warp` if no face is detected."""
    return affine_from_landmarks((_LANDMARKS_250.reshape(5, 2) * (np.array(size) / 250)).ravel().tolist(), image_px)


def evaluate_on_pairs(
    raw: NDArray[np.float32], pairs: LfwPairs, thresholds: Thresholds | None, *, num_without_face: int
) -> tuple[LfwReport, Scored]:
    """Evaluate raw embeddings [photos, d]; returns the report and the scored pairs.

    Args:
        thresholds: the model's, evaluated as well; None for a model without.
    """
    labels = pairs.labels
    scored = Scored(cosines(unit_rows(raw), pairs.left, pairs.right), labels[pairs.left], labels[pairs.right])
    weights = identity_weights(int(labels.max()) + 1)
    chosen = cross_validated_thresholds(scored.scores, scored.same, pairs.fold)
    folds = [_fold(scored, chosen, pairs.fold == number) for number in range(int(pairs.fold.max()) + 1)]
    accuracies = [fold.accuracy for fold in folds]
    report = LfwReport(
        **fields_of(verify(scored, thresholds, weights)),
        num_identities=int(labels.max()) + 1,
        num_photos=len(pairs.photos),
        num_without_face=num_without_face,
        accuracy=float(np.mean(accuracies)),
        accuracy_standard_error=float(np.std(accuracies, ddof=1) / len(folds) ** 0.5),
        accuracy_interval=accuracy(scored, chosen, weights)[1],
        folds=folds,
    )
    return report, scored


def _fold(scored: Scored, chosen: Floats, inside: NDArray[np.bool_]) -> Fold:
    thresholds = chosen[inside]
    return Fold(float(thresholds[0]), balanced_accuracy(scored.scores[inside], scored.same[inside], thresholds))


def _header(line: str, name: str) -> tuple[int, int]:
    words = line.split()
    if len(words) != 2 or not all(word.isdecimal() for word in words):
        raise SourceError(
            f"{name}:1 must contain two numbers, folds and pairs of each kind per fold, not {line[:80]!r}: View 2 has "
            "this format"
        )
    num_folds, num_pairs = int(words[0]), int(words[1])
    if num_folds < 2 or num_pairs < 1:
        raise SourceError(
            f"{name}:1 must declare at least 2 folds of 1 pair, because each fold's threshold comes from the others, "
            f"not {num_folds} folds of {num_pairs}"
        )
    return num_folds, num_pairs


def _pair(line: str, place: str, *, is_genuine: bool) -> tuple[LfwPhoto, LfwPhoto]:
    words = line.split()
    numbers = (words[1:] if is_genuine else words[1::2]) if len(words) == 4 - is_genuine else []
    # The number of digits limits the file name as well: LFW's numbers go to 0530.
    if len(numbers) != 2 or not all(word.isdecimal() and 0 < len(word) <= 4 for word in numbers):
        wanted = "a genuine pair (name number number)" if is_genuine else "an impostor pair (name number name number)"
        raise SourceError(f"{place} must contain {wanted}, not {line[:80]!r}: download the file again")
    names = (words[0], words[0] if is_genuine else words[2])
    pair = LfwPhoto(names[0], int(numbers[0])), LfwPhoto(names[1], int(numbers[1]))
    if any("/" in name or "\\" in name or name.startswith(".") for name in names):
        raise SourceError(f"{place} has a name that is not a valid folder name: {line[:80]!r}; correct the line")
    if pair[0] == pair[1] or (not is_genuine and names[0] == names[1]):
        raise SourceError(f"{place} pairs a person with themselves: {line[:80]!r}; correct the line")
    return pair
