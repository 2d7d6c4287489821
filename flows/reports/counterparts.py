"""The other line of a line that stopped: the one that it copies, or the one that claims the same face."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from storage.records import Reason
from tasks.dataset.select import Stage
from tasks.faces.boxes import ious
from tasks.links.line_ids import line_ids

# How a line that stopped relates to its counterpart, in words that continue with the name of the other.
RELATIONS = {
    Reason.EXACT_DUPLICATE.value: "same picture as",
    Reason.NEAR_DUPLICATE.value: "copy of",
    Reason.REPEATED_FACE.value: "same face as",
    Reason.CONFLICT.value: "also claimed as",
    Reason.CROSS_SPLIT.value: "copy of",
}
_OF_OTHERS = (Reason.CONFLICT.value, Reason.CROSS_SPLIT.value)
_COMPARED = (Stage.CROP.value, Stage.SELECT.value, Stage.SAMPLE.value)
# Lines with equally similar pictures that are looked at.
_EQUALS = 1000
Looks = Callable[[pa.Table], pa.Table]
Hashes = npt.NDArray[np.uint8]


class Counterparts(NamedTuple):
    """The lines that may be counterparts, and for each line its counterpart among them; -1 if none is found."""

    lines: pa.Table
    at: npt.NDArray[np.int64]


def counterparts(reason: str, rows: pa.Table, outcomes: pa.Table, looks: Looks, most_bits: int) -> Counterparts:
    """The counterparts of lines that stopped for one reason.

    The lake keeps a verdict of a line and not its counterpart. It is found again by the same comparison: the line
    with the most similar picture, and in that picture the most similar face.

    Args:
        rows: some of `outcomes`.
        outcomes: `records.LINE_OUTCOMES`, with dictionary columns decoded.
        looks: gives `image_digest`, `dhash` and the relative `box` of lines, each null where unknown.
        most_bits: greatest distance of the hashes of two copies.
    """
    if reason not in RELATIONS:
        return Counterparts(outcomes.slice(0, 0), np.full(len(rows), -1))
    lines = outcomes.filter(_may_be_one(reason, rows, outcomes))
    ours, theirs, ids = looks(rows), looks(lines), line_ids(lines)
    hashes, at = _hashes(theirs), []
    for one, own_id, look in zip(rows.to_pylist(), line_ids(rows).to_pylist(), ours.to_pylist(), strict=True):
        same_person = pc.equal(lines["identity"], one["identity"])
        allowed = pc.invert(same_person) if reason in _OF_OTHERS else same_person
        allowed = pc.and_(allowed, pc.not_equal(ids, own_id)).to_numpy().astype(bool)
        at.append(_nearest(look, theirs, hashes, allowed, most_bits))
    return Counterparts(lines, np.array(at, np.int64))


def _may_be_one(reason: str, rows: pa.Table, outcomes: pa.Table) -> pa.ChunkedArray:
    """Which lines can have stopped lines of this reason."""
    if reason == Reason.CONFLICT:
        return pc.fill_null(pc.equal(outcomes["reason"], reason), False)
    if reason == Reason.CROSS_SPLIT:
        return pc.equal(outcomes["stage"], Stage.SAMPLE.value)
    went_on = pc.is_in(outcomes["stage"], value_set=pa.array(_COMPARED))
    same = pc.is_in(outcomes["identity"], value_set=pc.unique(rows["identity"]))
    other = pc.invert(pc.fill_null(pc.equal(outcomes["reason"], reason), False))
    return pc.and_(pc.and_(went_on, same), other)


def _nearest(
    look: dict[str, Any], others: pa.Table, hashes: Hashes, allowed: npt.NDArray[np.bool_], most_bits: int
) -> int:
    """The row of `others` with the most similar picture, and of those the one with the face in the same place."""
    far = np.full(len(others), np.inf)
    if look["dhash"] is not None:
        known = others["dhash"].is_valid().to_numpy().astype(bool)
        bits = np.bitwise_count(hashes ^ np.frombuffer(look["dhash"], np.uint8)).sum(axis=1)
        # One more than the bits, since equal hashes do not make equal pictures.
        far[known] = 1.0 + bits[known]
    if look["image_digest"] is not None:
        far[pc.fill_null(pc.equal(others["image_digest"], look["image_digest"]), False).to_numpy().astype(bool)] = 0.0
    far[~allowed | (far > 1.0 + most_bits)] = np.inf
    if not np.isfinite(far.min(initial=np.inf)):
        return -1
    equal = np.flatnonzero(far == far.min())[:_EQUALS]
    overlap = np.nan_to_num(ious(_boxes([look["box"]]), _boxes(others["box"].take(pa.array(equal)).to_pylist())))
    return int(equal[overlap[0].argmax()])


def _hashes(looks: pa.Table) -> Hashes:
    """The hashes [n, 16], zeros where there is none."""
    plain = pc.fill_null(looks["dhash"].cast(pa.binary()), bytes(16)).combine_chunks()
    return np.frombuffer(b"".join(plain.to_pylist()), np.uint8).reshape(-1, 16)


def _boxes(boxes: list[list[float] | None]) -> npt.NDArray[np.float64]:
    return np.array([box or [np.nan] * 4 for box in boxes], np.float64).reshape(-1, 4)
