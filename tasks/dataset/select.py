"""The outcome of every link line: a sample of the dataset, or the stage and the reason that stopped it.

All stages of a line are joined here, so the counts of a version add up from the link files to the samples.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from storage.records import Box, Fit, Outcome, Reason
from storage.stamps.setting_field import setting
from storage.tables.take import take
from tasks.dataset.dedupe import of_one_person
from tasks.dataset.face_rows import FaceRows
from tasks.faces.boxes import iou
from tasks.links.line_ids import Ints, by_person, find_lines, find_rows, words_and_codes

_SAME_FACE_IOU = 0.5


class Stage(StrEnum):
    """The pipeline stage a line has reached, in order."""

    FETCH = "fetch"
    DEDUPE = "dedupe"
    CROP = "crop"
    SELECT = "select"
    SAMPLE = "sample"


_STAGES = [stage.value for stage in Stage]


@dataclass(frozen=True, slots=True)
class SelectRules:
    """The requirements for a face to become a sample."""

    min_face_px: int = setting(100, "least shorter side of a face in its picture, in pixels", ge=1)
    min_agreement: float = setting(
        0.4, "least IoU of a listed box with a detected face, for bbox; 0 accepts every box", ge=0, le=1
    )
    only_as_listed: bool = setting(False, "whether only pictures that have the listed digest are accepted")
    rescaled_boxes: bool = setting(True, "whether boxes that fit only after a rescale are accepted")
    # A listed box is confirmed from 0.7 on; MTCNN's own faces have 0.9.
    min_score: float = setting(0.0, "least score of the detected face", ge=0, le=1)
    max_border: float = setting(0.3, "greatest share of the face's box outside the picture; 1 accepts all", ge=0, le=1)
    # `methods.quality.sharpness`.
    min_sharpness: float = setting(0.0, "least variance of the Laplacian of the face; 0 accepts all", ge=0)
    max_yaw_deg: float = setting(90.0, "greatest yaw in degrees; faces without landmarks pass", ge=0, le=90)
    max_roll_deg: float = setting(180.0, "greatest roll in degrees; faces without landmarks pass", ge=0, le=180)
    # A person with one face makes no pair.
    min_faces: int = setting(2, "least number of faces per person", ge=1)


def fetched(lines: pa.Table, attempts: pa.Table) -> Reached:
    """How far the fetch has brought every line.

    Args:
        lines: `key` of the planned `records.LINK_LINES`.
        attempts: the ledger: key, outcome, reason.
    """
    reached = Reached(len(lines))
    reached.advance(np.arange(len(lines)), find_rows(lines["key"], attempts["key"]), attempts, Stage.DEDUPE)
    return reached


def select(
    lines: pa.Table,
    reached: Reached,
    verdicts: pa.Table,
    faces: FaceRows,
    *,
    method: str,
    rules: SelectRules,
    refused: pa.Table | None = None,
    names_people: bool = True,
) -> pa.Table:
    """The outcome of every line.

    Args:
        lines: identity and line of the planned `records.LINK_LINES`.
        reached: how far the fetch has brought them (`fetched`); changed here.
        verdicts: `records.VERDICTS` of those lines whose picture was accepted, `key` not among them if need be.
        faces: of one method, of the same lines. Lines and faces of several sources have the columns `source` and
            `person`, verdicts and refused lines `source`.
        refused: lines rejected by other rules: identity, line, reason. Their faces stay available to other lines.
        names_people: whether `identity` is the name of a person. If it is a group by hash, two lines on one face are a
            repetition, not a conflict.

    Returns:
        One row a line, in the order of `lines`: `stage` and `reason` (null: not yet fetched, or a sample), encoded as
        dictionaries, and `face`, the row of `faces.all` (null before the crop), and `verdict`, the row of `verdicts`
        likewise.
    """
    verdict = find_lines(lines, verdicts)
    open_rows = reached.advance(reached.rows_at(Stage.DEDUPE), verdict, verdicts, Stage.CROP)
    face = find_lines(lines, faces.all)
    open_rows = reached.advance(open_rows, face, faces.all, Stage.SELECT)
    if refused is not None:
        at = find_lines(lines.take(pa.array(open_rows)), refused)
        reached.reason[open_rows[at >= 0]] = _codes(refused["reason"], reached.reasons)[at[at >= 0]]
        open_rows = open_rows[at < 0]
    open_faces = take(faces.accepted, faces.accepted_at(face[open_rows]))
    for rows, why in _unfit(by_person(open_faces) if names_people else of_one_person(open_faces), method, rules):
        reached.reason[open_rows[rows]] = reached.reasons.index(why.value)
    reached.stage[open_rows[reached.reason[open_rows] < 0]] = _STAGES.index(Stage.SAMPLE.value)
    outcomes = reached.table().append_column("verdict", pa.array(verdict, pa.int32(), mask=verdict < 0))
    outcomes = outcomes.append_column("face", pa.array(face, pa.int32(), mask=face < 0))
    return stop_people_with_few_faces(lines, outcomes, rules.min_faces)


class Reached:
    """How far every line has come: its stage and its reason, as positions in `_STAGES` and `reasons`; -1: no reason."""

    def __init__(self, num: int) -> None:
        self.reasons = [reason.value for reason in Reason]
        self.stage = np.full(num, _STAGES.index(Stage.FETCH.value), np.int8)
        self.reason = np.full(num, -1, np.int8)

    def advance(self, rows: Ints, at: Ints, table: pa.Table, onward: Stage) -> Ints:
        """Advance `rows` accepted in `table` to the stage `onward`; record the reasons of the others.

        Args:
            at: the row in `table` of each line, or -1.
        """
        known: Ints = rows[at[rows] >= 0]
        onward_rows: Ints = known[_codes(table["outcome"], [Outcome.ACCEPTED.value])[at[known]] == 0]
        self.reason[known] = _codes(table["reason"], self.reasons)[at[known]]
        self.stage[onward_rows] = _STAGES.index(onward.value)
        return onward_rows

    def rows_at(self, stage: Stage) -> Ints:
        """The rows that have reached a stage and no further."""
        return np.flatnonzero(self.stage == _STAGES.index(stage.value))

    def table(self) -> pa.Table:
        """`stage` and `reason` as words."""
        return pa.table({"stage": _words(self.stage, _STAGES), "reason": _words(self.reason, self.reasons)})


def _codes(column: pa.ChunkedArray, words: list[str]) -> npt.NDArray[np.int8]:
    """The position of each value in `words`, to which others are appended; -1 for null."""
    plain = column.cast(pa.string()) if not pa.types.is_dictionary(column.type) else column
    parts = [one if pa.types.is_dictionary(one.type) else one.dictionary_encode() for one in plain.chunks]
    found = [np.empty(0, np.int8)]
    for part in parts:
        theirs = part.dictionary.to_pylist()
        words += [word for word in theirs if word not in words]
        codes = np.array([*map(words.index, theirs), -1], np.int8)
        found.append(codes[pc.fill_null(part.indices, len(part.dictionary)).to_numpy()])
    return np.concatenate(found)


def _words(codes: npt.NDArray[np.int8], words: list[str]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), pa.array(words))


def _unfit(faces: pa.Table, method: str, rules: SelectRules) -> list[tuple[Ints, Reason]]:
    """Rows of `faces` that must not become samples, the more important reason last."""
    names = ("face_px", "score", "border", "sharpness", "yaw_deg", "roll_deg", "agreement")
    size, score, border, sharp, yaw, roll, agreement = (faces[name].to_numpy() for name in names)
    astray = agreement < rules.min_agreement
    if not rules.rescaled_boxes:
        rescaled = pc.equal(faces["fit"].cast(pa.string()), Fit.RESCALED.value)
        astray |= pc.fill_null(rescaled, False).to_numpy().astype(bool)
    not_as_listed = np.empty(0, np.int64)
    if rules.only_as_listed:
        not_as_listed = np.flatnonzero(~pc.fill_null(faces["same_bytes"], False).to_numpy().astype(bool))
    repeated, contested = _shared_faces(faces)
    # What was not measured is NaN here, which is never beyond a limit.
    return [
        (repeated, Reason.REPEATED_FACE),
        (contested, Reason.CONFLICT),
        (np.flatnonzero((np.abs(yaw) > rules.max_yaw_deg) | (np.abs(roll) > rules.max_roll_deg)), Reason.TURNED),
        (np.flatnonzero(sharp < rules.min_sharpness), Reason.BLURRED),
        (np.flatnonzero(score < rules.min_score), Reason.UNSURE),
        (np.flatnonzero(border > rules.max_border), Reason.TRUNCATED),
        (np.flatnonzero(astray) if method == "bbox" else np.empty(0, np.int64), Reason.BOX_DISAGREES),
        (np.flatnonzero(size < rules.min_face_px), Reason.FACE_TOO_SMALL),
        (not_as_listed, Reason.NOT_AS_LISTED),
    ]


def _shared_faces(faces: pa.Table) -> tuple[Ints, Ints]:
    """Rows whose face another line has too: of the same person (all but the best-fitting line), or of another person.

    A method that ignores listed boxes assigns the same face to every line of a picture.
    """
    digests = faces["image_digest"].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    _, inverse, counts = np.unique(digests, return_inverse=True, return_counts=True)
    rows = np.flatnonzero(counts[inverse] > 1)
    columns = faces.select(["identity", "line", "agreement", "source_box_xyxy"]).take(pa.array(rows)).to_pylist()
    by_picture: dict[int, list[_Claim]] = defaultdict(list)
    for row, face in zip(rows.tolist(), columns, strict=True):
        fit = face["agreement"] or 0.0
        by_picture[int(digests[row])].append(_Claim(-fit, face["line"], row, face["identity"], face["source_box_xyxy"]))
    repeated, contested = set[int](), set[int]()
    for claims in by_picture.values():
        for better, worse in combinations(sorted(claims), 2):
            if iou(better.box, worse.box) < _SAME_FACE_IOU:
                continue
            if better.identity == worse.identity:
                repeated.add(worse.row)
            else:
                contested |= {better.row, worse.row}
    return np.array(sorted(repeated), np.int64), np.array(sorted(contested), np.int64)


class _Claim(NamedTuple):
    """The face of one line in a picture with several lines; the better fit sorts first."""

    unfit: float
    line: int
    row: int
    identity: str
    box: Box


def stop_people_with_few_faces(lines: pa.Table, outcomes: pa.Table, least: int) -> pa.Table:
    """The outcomes, with the samples of people with fewer than `least` of them rejected."""
    rows = sample_rows(outcomes)
    people = words_and_codes(by_person(lines)["identity"])[1][rows]
    return stop_samples(outcomes, rows[np.bincount(people)[people] < least], Reason.FEW_FACES)


def stop_samples(outcomes: pa.Table, rows: Ints, reason: Reason) -> pa.Table:
    """The outcomes, with the samples of these rows rejected for a reason."""
    for name, word in (("stage", Stage.SELECT.value), ("reason", reason.value)):
        words = [word]
        codes = _codes(outcomes[name], words)
        codes[rows] = 0
        outcomes = outcomes.set_column(outcomes.column_names.index(name), name, _words(codes, words))
    return outcomes


def sample_rows(outcomes: pa.Table) -> Ints:
    """The rows of the lines that became samples."""
    return np.flatnonzero(_codes(outcomes["stage"], [Stage.SAMPLE.value]) == 0)
