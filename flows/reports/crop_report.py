"""HTML report that compares the crop methods on one source, with statistics and contact sheets.

The report shows faces. It is written to the lake's work folder, which may be deleted, and is part of no dataset.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flows.reports import page
from storage.atomic import whole_file
from storage.lake import Lake
from storage.records import Fit, Outcome
from storage.shards import read_member
from tasks.dataset.source_tables import read_faces
from tasks.faces.agreement import Agreement, compare, count_agreement, gives_face
from tasks.faces.methods import METHODS

_FIGURES = 24
_MEASURES = ("face_px", "score", "agreement", "sharpness", "yaw_deg", "roll_deg", "border")
_FITS = {
    Fit.AS_LISTED.value: "match as listed",
    Fit.UNROTATED.value: "match in the unrotated picture",
    Fit.RESCALED.value: "match after rescaling",
}


def cropped_methods(lake: Lake, source: str) -> dict[str, pa.Table]:
    """The faces of a source (`source_tables.read_faces`) by every method used so far."""
    tables = {method: read_faces(lake, source, method) for method in METHODS}
    return {method: faces for method, faces in tables.items() if len(faces)}


def write_report(lake: Lake, source: str) -> Path:
    """Write the report and return its path. The same faces give the same report."""
    faces = cropped_methods(lake, source)
    show = _Contacts(lake, source, faces)
    parts = [_methods(faces)]
    if "bbox" in faces:
        parts += _listed_boxes(faces["bbox"], show)
    for first, second in combinations(faces, 2):
        parts += _pair(first, second, compare(faces, first, second), show)
    lines = max((len(table) for table in faces.values()), default=0)
    subtitle = (
        f"{lines:,} link lines of {source} with an accepted picture, cropped by {' and '.join(faces) or 'no method'}."
    )
    path = lake.work_folder / "reports" / f"crop-{source}.html"
    with whole_file(path) as temporary:
        temporary.write_text(page.page("Comparison of crop methods", subtitle, parts), encoding="utf-8")
    return path


class _Contacts:
    """Contact sheets of rows of the face tables."""

    def __init__(self, lake: Lake, source: str, faces: dict[str, pa.Table]) -> None:
        self._lake, self._source, self._faces = lake, source, faces

    def sheet(self, title: str, words: str, rows: dict[str, npt.NDArray[np.int64]]) -> str:
        """A contact sheet of evenly spaced rows of each method; empty without rows."""
        num = min(len(one) for one in rows.values())
        if not num:
            return ""
        places = np.unique(np.linspace(0, num - 1, min(num, _FIGURES)).astype(int))
        figures = [self._figure({method: int(one[place]) for method, one in rows.items()}) for place in places]
        return page.sheet(f"{title}: {num:,}", words, figures)

    def _figure(self, rows: dict[str, int]) -> tuple[list[bytes], str]:
        found = {method: self._faces[method].slice(row, 1).to_pylist()[0] for method, row in rows.items()}
        crops = [read_member(self._lake, row["shard"], row["offset"], row["length"]) for row in found.values()]
        row = next(iter(found.values()))
        return crops, f"{row['identity'].replace('_', ' ')} {row['line']}"


def _methods(faces: dict[str, pa.Table]) -> str:
    rows, measured = [], []
    for method, table in faces.items():
        given = gives_face(table, method)
        reasons = pc.value_counts(table["reason"].cast(pa.string()).drop_null()).to_pylist()
        why = [f"{item['values']} {item['counts']:,}" for item in sorted(reasons, key=lambda item: -item["counts"])]
        unsure = int(
            pc.equal(table["outcome"].cast(pa.string()), Outcome.ACCEPTED.value).to_numpy().sum() - given.sum()
        )
        why += [f"unconfirmed box {unsure:,}"] if unsure else []
        share = f"{given.mean():.1%}"
        rows.append((method, f"{len(table):,}", f"{int(given.sum()):,}", share, ", ".join(why) or "none rejected"))
        accepted = table.filter(pa.array(given))
        measured.append((method, *(_spread(accepted[name]) for name in _MEASURES), ""))
    return (
        page.heading("Faces per method", "A listed box counts if a detected face confirms it.")
        + page.table(("method", "lines", "faces", "share", "rejected"), rows)
        + page.heading("Face quality", "Median, with the 5th and 95th percentiles below it.")
        + page.table(("method", *_MEASURES, ""), measured)
    )


def _listed_boxes(faces: pa.Table, show: _Contacts) -> list[str]:
    fits = faces["fit"].cast(pa.string()).to_numpy(zero_copy_only=False)
    accepted = faces["reason"].cast(pa.string()).is_null().to_numpy()
    unconfirmed = accepted & ~gives_face(faces, "bbox")
    counts = {words: int((fits == fit).sum()) for fit, words in _FITS.items()}
    counts["cropped, but not confirmed by a face"] = int(unconfirmed.sum())
    counts["not cropped"] = int((~accepted).sum())
    agreement = faces["agreement"].drop_null().to_pylist()
    corrected = "The crop is made from the corrected box."
    return [
        page.heading("Listed boxes against the fetched pictures"),
        page.shares(counts),
        page.histogram(agreement, "IoU of the listed box with the detected face that overlaps it most"),
        show.sheet(
            "Box not confirmed by a face", "Rejected at the select stage.", {"bbox": np.flatnonzero(unconfirmed)}
        ),
        show.sheet("Matches after rescaling", corrected, {"bbox": np.flatnonzero(fits == Fit.RESCALED.value)}),
        show.sheet(
            "Matches in the unrotated picture", corrected, {"bbox": np.flatnonzero(fits == Fit.UNROTATED.value)}
        ),
    ]


def _pair(first: str, second: str, pairs: pa.Table, show: _Contacts) -> list[str]:
    counts = count_agreement(pairs)
    names = {Agreement.ONLY_FIRST: f"only {first}", Agreement.ONLY_SECOND: f"only {second}"}

    def rows(kind: Agreement, column: str) -> npt.NDArray[np.int64]:
        found: npt.NDArray[np.int64] = pairs.filter(pc.equal(pairs["agreement"], kind.value))[column].to_numpy()
        return found

    return [
        page.heading(f"{first} against {second}", f"{len(pairs):,} lines processed by both."),
        page.shares({names.get(kind, kind.value): num for kind, num in counts.items()}),
        page.histogram(pairs["iou"].drop_null().to_pylist(), "IoU of the two faces of a line"),
        show.sheet(
            f"Different faces, {first} left and {second} right",
            "IoU below 0.4.",
            {first: rows(Agreement.DIFFERENT, "first"), second: rows(Agreement.DIFFERENT, "second")},
        ),
        show.sheet(f"Face by {first} only", "", {first: rows(Agreement.ONLY_FIRST, "first")}),
        show.sheet(f"Face by {second} only", "", {second: rows(Agreement.ONLY_SECOND, "second")}),
        show.sheet("Same face", "", {first: rows(Agreement.SAME, "first")}),
    ]


def _spread(column: pa.ChunkedArray) -> str:
    values = column.drop_null().to_numpy()
    if not len(values):
        return "–"
    low, middle, high = np.percentile(values, (5, 50, 95)).tolist()
    digits = 0 if max(abs(low), abs(high)) >= 10 else 2
    # Zero is added because a small negative number would be printed as "-0".
    low, middle, high = (round(value, digits) + 0.0 for value in (low, middle, high))
    return f"{middle:.{digits}f}\n{low:.{digits}f} … {high:.{digits}f}"
