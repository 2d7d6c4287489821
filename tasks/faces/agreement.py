"""Compare the faces of two crop methods, line by line."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from storage.records import Outcome, Reason
from tasks.links.line_ids import line_ids

# Listed boxes are larger than detected ones: for the same face the IoU is about 0.7.
_SAME_FACE_IOU = 0.4


class Agreement(StrEnum):
    """The results of two methods for one line, compared."""

    SAME = "same face"
    DIFFERENT = "different faces"
    ONLY_FIRST = "only the first"
    ONLY_SECOND = "only the second"
    NEITHER = "neither"


def gives_face(faces: pa.Table, method: str) -> npt.NDArray[np.bool_]:
    """A mask of the rows of `records.FACES` with a face. An unconfirmed listed box counts as none."""
    given = pc.equal(faces["outcome"].cast(pa.string()), Outcome.ACCEPTED.value)
    if method == "bbox":
        given = pc.and_(given, pc.is_valid(faces["fit"]))
    mask: npt.NDArray[np.bool_] = given.to_numpy(zero_copy_only=False).astype(bool)
    return mask


def compare(faces: dict[str, pa.Table], first: str, second: str) -> pa.Table:
    """Compare the lines that both methods have processed.

    Args:
        faces: `records.FACES` by method.

    Returns:
        `first` and `second`: the rows of the two tables; `agreement`: an `Agreement`; `iou` of the two faces' boxes in
        the picture, null where one of them is missing. Rows are in the order of the first table.
    """
    ours, theirs = faces[first], faces[second]
    at = pc.index_in(line_ids(ours), value_set=line_ids(theirs))
    here = np.flatnonzero(pc.is_valid(at).to_numpy(zero_copy_only=False))
    there = pc.fill_null(at, 0).to_numpy().astype(np.int64)[here]
    has_first, has_second = gives_face(ours, first)[here], gives_face(theirs, second)[there]
    ious = np.full(len(here), np.nan)
    both = has_first & has_second
    ious[both] = _ious(_boxes(ours, here[both]), _boxes(theirs, there[both]))
    words = np.select(
        [both & (ious >= _SAME_FACE_IOU), both, has_first, has_second],
        [Agreement.SAME.value, Agreement.DIFFERENT.value, Agreement.ONLY_FIRST.value, Agreement.ONLY_SECOND.value],
        Agreement.NEITHER.value,
    )
    columns = {"first": here, "second": there, "agreement": pa.array(words.tolist(), pa.string())}
    return pa.table(columns | {"iou": pa.array(ious, pa.float64(), mask=~both)})


def agreed(listed: pa.Table, detected: pa.Table) -> pa.Table:
    """The detected faces on which both methods agree.

    Args:
        listed: faces by bbox (`records.FACES`).
        detected: faces by mtcnn, with any further columns.

    Returns:
        The rows of `detected` for the lines that both methods have processed. If they do not give the same face, the
        row is rejected: for mtcnn's reason if it found none, else for bbox's, else because they disagree.
    """
    pairs = compare({"bbox": listed, "mtcnn": detected}, "bbox", "mtcnn")
    faces = detected.take(pairs["second"])
    differ = pc.equal(pairs["agreement"], Agreement.DIFFERENT.value)
    last = pc.if_else(differ, Reason.METHODS_DISAGREE.value, Reason.BOX_DISAGREES.value)
    why = pc.coalesce(_reasons(faces), _reasons(listed.take(pairs["first"])), last)
    same = pc.equal(pairs["agreement"], Agreement.SAME.value)
    outcome = pc.if_else(same, Outcome.ACCEPTED.value, Outcome.REJECTED.value)
    reason = pc.if_else(same, pa.scalar(None, pa.string()), why)
    for name, values in (("outcome", outcome), ("reason", reason)):
        at = faces.column_names.index(name)
        faces = faces.set_column(at, faces.schema.field(at), values.cast(faces.schema.field(at).type))
    return faces


def count_agreement(pairs: pa.Table) -> dict[Agreement, int]:
    """The number of lines by kind of agreement, zeros included."""
    found = {item["values"]: item["counts"] for item in pairs["agreement"].value_counts().to_pylist()}
    return {kind: found.get(kind.value, 0) for kind in Agreement}


def _reasons(faces: pa.Table) -> pa.ChunkedArray:
    return faces["reason"].cast(pa.string())


def _boxes(faces: pa.Table, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return np.array(faces["source_box_xyxy"].take(pa.array(rows)).to_pylist(), np.float64).reshape(-1, 4)


def _ious(ours: npt.NDArray[np.float64], theirs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """`boxes.iou` of the boxes of two arrays, row by row."""
    sides = np.minimum(ours[:, 2:], theirs[:, 2:]) - np.maximum(ours[:, :2], theirs[:, :2])
    inner = np.clip(sides, 0, None).prod(1)
    areas = sum((boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (ours, theirs))
    whole: npt.NDArray[np.float64] = inner / np.maximum(areas - inner, 1e-9)
    return whole
