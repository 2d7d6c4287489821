"""The label noise scores of a model for the faces of a source: stored in the lake, applied by `publish`.

Scores remove nothing by themselves. `publish` compares them with a threshold, which is part of the version: another
threshold, or none, brings faces back.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from storage.errors import UsageError
from storage.files.lake import Lake
from storage.records import FACE_VERDICTS, SAME_PEOPLE, Box, Outcome, Reason
from storage.stamps.setting_field import setting
from storage.stamps.stamped_fields import counted
from storage.tables.digests import table_digest
from storage.tables.parquet import read_as, read_stamp, rows_to_table, stamp, write_table
from storage.versions.models import model_versions
from tasks.faces.boxes import iou
from tasks.label_noise.estimate import CleanRules, FaceSet, estimate_noise, expected_limit
from tasks.label_noise.plda import Ints
from tasks.links.line_ids import OF_SEVERAL, by_person, id_columns, line_ids

# Increased when the same faces and embeddings give other scores than before.
_RULES = 2
_SAME_FACE_IOU = 0.5
# High, since an error removes a whole person: at 0.94, histograms confused two men in hats.
SAME_PERSON_SCORE = 0.99
# The expected loss of correct faces at the default threshold.
EXPECTED_LOSS = 0.02
# The columns of `records.FACES` that make the stamp of the scores of accepted faces.
OF_SCORES = ("identity", "line", "outcome", "crop_digest")
# The least score of a stored pair of names.
_LEAST_SAME_SCORE = 0.1


@dataclass(frozen=True, slots=True)
class Cleaning:
    """The model and the thresholds that a dataset version applies.

    Attributes:
        model: `name@version`.
        wrong_person_score: faces from this score on are left out.
        same_person_score: of two names that are one person from this score on, the one with fewer faces is left out.
    """

    model: str
    wrong_person_score: float
    same_person_score: float = setting(
        SAME_PERSON_SCORE,
        "two names are one person from this probability on; the one with fewer faces is dropped",
        ge=0,
        le=1,
    )


@dataclass(frozen=True, slots=True)
class Cleaned:
    """The scores of one model: `records.FACE_VERDICTS` and `records.SAME_PEOPLE`."""

    faces: pa.Table
    people: pa.Table

    def limit(self, lost: float = EXPECTED_LOSS) -> float:
        """The lowest threshold that is expected to lose at most this share of the correct faces.

        Crops that no detected face confirms are not counted.
        """
        confirmed = self.faces.filter(self.faces["is_confirmed"])
        return expected_limit(confirmed["wrong_person_score"].to_numpy(), lost)

    def refused(self, cleaning: Cleaning) -> pa.Table:
        """The lines (identity, line, reason) with a mislabelled face, or of the smaller of two names of a person."""
        faces = self.faces.drop_columns([name for name in OF_SEVERAL if self.faces[name].null_count])
        wrong = _from(faces, "wrong_person_score", cleaning.wrong_person_score)
        same = _from(self.people, "same_person_score", cleaning.same_person_score)
        people = by_person(faces)["identity"].cast(pa.string())
        lesser = pc.is_in(people, value_set=same["other"].cast(pa.string()).unique())
        parts = [(wrong, Reason.WRONG_PERSON), (faces.filter(lesser), Reason.SAME_PERSON)]
        return pa.concat_tables(_with_reason(rows, reason) for rows, reason in parts)

    def ties(self) -> tuple[tuple[str, str], ...]:
        """Pairs of names that may be one person, even at low scores: they share a split."""
        people = self.people.select(["identity", "other"]).to_pylist()
        return tuple((row["identity"], row["other"]) for row in people)


def _from(table: pa.Table, column: str, limit: float) -> pa.Table:
    """The rows at or above the threshold, which is rounded like the scores: a displayed score can be used."""
    return table.filter(pc.greater_equal(table[column], pa.scalar(limit, pa.float32())))


def _with_reason(rows: pa.Table, reason: Reason) -> pa.Table:
    reasons = pa.array([reason.value] * len(rows), pa.string())
    return rows.select(id_columns(rows)).append_column("reason", reasons)


def faces_to_score(faces: pa.Table, verdicts: pa.Table) -> pa.Table:
    """The accepted faces, with the `cluster` of copies of their pictures.

    Args:
        faces: as `source_tables.read_faces` gives them; of several sources with `person` (`People.added_to`).
        verdicts: `records.VERDICTS` of the same lines.
    """
    accepted = faces.filter(pc.equal(faces["outcome"].cast(pa.string()), Outcome.ACCEPTED.value))
    at = pc.index_in(line_ids(accepted), value_set=line_ids(verdicts))
    return accepted.append_column("cluster", verdicts["cluster"].take(at))


def clean_stamp(model: str, faces: pa.Table, rules: CleanRules = CleanRules()) -> str:
    """The stamp of the scores of `model` (`name@version`) for these faces (`faces_to_score`)."""
    several = [name for name in OF_SEVERAL if name in faces.column_names]
    content = faces.select(["identity", "line", "crop_digest", "cluster", *several])
    return stamp("clean", _RULES, counted("clean", rules), model, table_digest(content))


def score_faces(faces: pa.Table, embeddings: NDArray[np.floating], rules: CleanRules = CleanRules()) -> Cleaned:
    """Score faces (`faces_to_score`) by these embeddings, [n, d] unit rows."""
    if not len(faces):
        return Cleaned(FACE_VERDICTS.empty_table(), SAME_PEOPLE.empty_table())
    names, people = np.unique(by_person(faces)["identity"].cast(pa.string()).to_numpy(), return_inverse=True)
    pictures = faces["cluster"].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    # An unconfirmed box may show anything.
    is_example = faces["landmarks"].is_valid().to_numpy()
    estimates = estimate_noise(FaceSet(embeddings, people, pictures, _places(faces, pictures), is_example), rules)
    other = pa.array(names[estimates.looks_like], pa.string(), mask=estimates.looks_like == people)
    columns = {name: faces[name] for name in ("identity", "line", "crop_digest")}
    columns |= {"wrong_person_score": pa.array(estimates.wrong, pa.float32()), "looks_like": other}
    columns |= {"is_confirmed": pa.array(is_example)}
    nothing = pa.nulls(len(faces), pa.string())
    columns |= {name: faces[name] if name in faces.column_names else nothing for name in OF_SEVERAL}
    return Cleaned(pa.table(columns).cast(FACE_VERDICTS), _same_people(names, np.bincount(people), estimates.same))


def _same_people(names: NDArray[np.str_], sizes: Ints, same: NDArray[np.floating]) -> pa.Table:
    """The pairs above the least score, the name with more faces first."""
    rows = []
    for one, two in np.argwhere(np.triu(same) >= _LEAST_SAME_SCORE).tolist():
        more, fewer = sorted((one, two), key=lambda person: (-sizes[person], names[person]))
        score = float(same[one, two])
        rows.append({"identity": names[more], "other": names[fewer], "same_person_score": score})
    return rows_to_table(sorted(rows, key=lambda row: -row["same_person_score"]), SAME_PEOPLE)


def _places(faces: pa.Table, pictures: Ints) -> Ints:
    """The number of each face in its picture: boxes that overlap, relative to the picture, are one face."""
    places = np.zeros(len(faces), np.int64)
    known: dict[int, list[Box]] = defaultdict(list)
    crowded = np.flatnonzero(np.bincount(pictures)[pictures] > 1)
    rows = faces.select(["source_box_xyxy", "image_width", "image_height"]).take(pa.array(crowded)).to_pylist()
    for row, face in zip(crowded.tolist(), rows, strict=True):
        left, top, right, bottom = face["source_box_xyxy"]
        width, height = face["image_width"], face["image_height"]
        box = left / width, top / height, right / width, bottom / height
        boxes = known[int(pictures[row])]
        found = [place for place, other in enumerate(boxes) if iou(box, other) >= _SAME_FACE_IOU]
        places[row] = found[0] if found else len(boxes)
        if not found:
            boxes.append(box)
    return places


def write_cleaned(lake: Lake, folder: str, cleaned: Cleaned, state: str) -> None:
    """Write the tables to a folder of `Lake.cleaned`, the faces last."""
    write_table(lake, f"{folder}/people.parquet", cleaned.people, stamp=state)
    write_table(lake, f"{folder}/faces.parquet", cleaned.faces, stamp=state)


def is_cleaned(lake: Lake, folder: str, state: str) -> bool:
    """Whether the tables in the folder have this stamp."""
    return read_stamp(lake, f"{folder}/faces.parquet") == state


def read_cleaned(lake: Lake, folder: str) -> Cleaned:
    """The tables of the folder."""
    return Cleaned(
        read_as(lake, f"{folder}/faces.parquet", FACE_VERDICTS), read_as(lake, f"{folder}/people.parquet", SAME_PEOPLE)
    )


def scoring_model(lake: Lake, source: str, method: str, reference: str) -> str:
    """Resolve `reference` to a model, `name@version`, that has scored these faces.

    Args:
        reference: `name@version`, or a name for its newest version.

    Raises:
        UsageError: no such model has scored them; the message lists those that have.
    """
    name, _, version = reference.partition("@")
    trained = [one.version for one in model_versions(lake, name)]
    # Models not trained here, named by the digest of their weights, come first.
    by_age = sorted(
        lake.names(lake.cleaned(method, source, name)),
        key=lambda one: trained.index(one) if one in trained else -1,
    )
    found = [one for one in by_age if version in ("", one)]
    if not found:
        known = ", ".join(_scoring_models(lake, source, method)) or "none"
        raise UsageError(
            f"no model {reference} has scored the faces of {source} by {method}; models: {known}. Run "
            "`facemill clean` with it first"
        )
    return f"{name}@{found[-1]}"


def _scoring_models(lake: Lake, source: str, method: str) -> list[str]:
    folder = lake.cleaned(method, source)
    return [f"{name}@{version}" for name in lake.names(folder) for version in lake.names(f"{folder}/{name}")]


def open_cleaned(
    lake: Lake, source: str, method: str, model: str, faces: pa.Table, rules: CleanRules = CleanRules()
) -> Cleaned:
    """The scores of `model` (`name@version`) for these faces (`faces_to_score`).

    Raises:
        UsageError: it has not scored them, or the faces have changed since.
    """
    folder = lake.cleaned(method, source, *model.split("@"))
    if not is_cleaned(lake, folder, clean_stamp(model, faces, rules)):
        raise UsageError(
            f"{model} has not scored the {len(faces)} current faces of {source} by {method}: run "
            f"`facemill clean --source {source} --method {method}` with it and the same --set first"
        )
    return read_cleaned(lake, folder)
