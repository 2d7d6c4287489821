"""HTML report that compares the crop methods on one source, with statistics and contact sheets.

The report shows faces. It is written to the lake's work folder, which may be deleted, and is part of no dataset.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flows.reports import page
from flows.reports.charts import Chart, histogram
from flows.reports.current_crop import if_current
from flows.reports.funnel_pictures import evenly
from storage.errors import LakeError
from storage.files.lake import Lake
from storage.records import Fit, Outcome
from storage.tables.shards import read_member
from tasks.dataset.source_tables import read_faces
from tasks.faces.agreement import Agreement, compare, count_agreement, gives_face
from tasks.faces.methods import METHODS

_FIGURES = 24
_MEASURES = ["face_px", "score", "agreement", "sharpness", "yaw_deg", "roll_deg", "border"]
_FITS = {
    Fit.AS_LISTED.value: "match as listed",
    Fit.UNROTATED.value: "match in the unrotated picture",
    Fit.RESCALED.value: "match after rescaling",
}

_DIGESTS = {True: "bytes as listed", False: "other bytes", None: "no digest listed, or not known"}


def cropped_methods(lake: Lake, source: str) -> dict[str, pa.Table]:
    """The faces of a source (`source_tables.read_faces`) by every method used so far."""
    tables = {method: read_faces(lake, source, method) for method in METHODS}
    return {method: faces for method, faces in tables.items() if len(faces)}


def write_report(lake: Lake, source: str) -> Path:
    """Write the report and return its path. The same faces give the same report."""
    faces = cropped_methods(lake, source)
    show = _Contacts(lake, faces)
    return page.write(
        lake.work_folder / "reports" / f"crop-{source}.html",
        "crop.html",
        source=source,
        num_lines=max((len(table) for table in faces.values()), default=0),
        methods=[_method(method, table) for method, table in faces.items()],
        measures=_MEASURES,
        digests=digest_counts(faces),
        listed=_listed_boxes(faces["bbox"], show) if "bbox" in faces else None,
        pairs=[_pair(first, second, compare(faces, first, second), show) for first, second in combinations(faces, 2)],
    )


class _Contacts:
    """Contact sheets of rows of the face tables."""

    def __init__(self, lake: Lake, faces: dict[str, pa.Table]) -> None:
        self._lake, self._faces = lake, faces

    def sheet(self, rows: dict[str, npt.NDArray[np.int64]]) -> dict[str, Any]:
        """The number of rows of each method, and figures of evenly spaced ones."""
        num = min(len(one) for one in rows.values())
        places = evenly(num, _FIGURES)
        return {
            "num": num,
            "figures": [self._figure({name: int(one[at]) for name, one in rows.items()}) for at in places],
        }

    def _figure(self, rows: dict[str, int]) -> page.Figure:
        found = {method: self._faces[method].slice(row, 1).to_pylist()[0] for method, row in rows.items()}
        crops = [self._crop(row) for row in found.values()]
        row = next(iter(found.values()))
        return page.figure(crops, f"{row['identity'].replace('_', ' ')} {row['line']}")

    def _crop(self, row: dict[str, Any]) -> bytes:
        """A crop; empty if another run has cropped again since the faces were read."""
        with suppress(LakeError):
            return if_current(read_member(self._lake, row["shard"], row["offset"], row["length"]), row)
        return b""


def _method(name: str, faces: pa.Table) -> dict[str, Any]:
    given = gives_face(faces, name)
    reasons = pc.value_counts(faces["reason"].cast(pa.string()).drop_null()).to_pylist()
    rejected = {item["values"]: item["counts"] for item in sorted(reasons, key=lambda item: -item["counts"])}
    accepted = pc.equal(faces["outcome"].cast(pa.string()), Outcome.ACCEPTED.value).to_numpy()
    if unsure := int(accepted.sum() - given.sum()):
        rejected["unconfirmed box"] = unsure
    found = faces.filter(pa.array(given))
    return {
        "name": name,
        "num_lines": len(faces),
        "num_faces": int(given.sum()),
        "rejected": rejected,
        "quality": [_spread(found[measure]) for measure in _MEASURES],
    }


def _listed_boxes(faces: pa.Table, show: _Contacts) -> dict[str, Any]:
    fits = faces["fit"].cast(pa.string()).to_numpy(zero_copy_only=False)
    accepted = faces["reason"].cast(pa.string()).is_null().to_numpy()
    unconfirmed = accepted & ~gives_face(faces, "bbox")
    counts = {words: int((fits == fit).sum()) for fit, words in _FITS.items()}
    counts["cropped, but not confirmed by a face"] = int(unconfirmed.sum())
    counts["not cropped"] = int((~accepted).sum())
    title = "IoU of the listed box with the detected face that overlaps it most"
    return {
        "counts": counts,
        "overlap": histogram(faces["agreement"].drop_null().to_pylist(), title),
        "unconfirmed": show.sheet({"bbox": np.flatnonzero(unconfirmed)}),
        "rescaled": show.sheet({"bbox": np.flatnonzero(fits == Fit.RESCALED.value)}),
        "unrotated": show.sheet({"bbox": np.flatnonzero(fits == Fit.UNROTATED.value)}),
    }


def digest_counts(faces: dict[str, pa.Table]) -> dict[str, int] | None:
    """Lines by whether their picture has the listed digest, which is the same by every method; None if none is known.

    Args:
        faces: as `cropped_methods` gives them.
    """
    if not faces:
        return None
    same = next(iter(faces.values()))["same_bytes"].to_pylist()
    found = {words: same.count(value) for value, words in _DIGESTS.items()}
    return found if found[_DIGESTS[None]] < len(same) else None


def _pair(first: str, second: str, pairs: pa.Table, show: _Contacts) -> dict[str, Any]:
    columns = {first: "first", second: "second"}

    def sheet(kind: Agreement, *methods: str) -> dict[str, Any]:
        of_kind = pairs.filter(pc.equal(pairs["agreement"], kind.value))
        return show.sheet({method: of_kind[columns[method]].to_numpy() for method in methods})

    return {
        "methods": (first, second),
        "num_lines": len(pairs),
        "counts": agreement_counts(pairs, first, second),
        "overlap": overlap_histogram(pairs),
        "different": sheet(Agreement.DIFFERENT, first, second),
        "only_first": sheet(Agreement.ONLY_FIRST, first),
        "only_second": sheet(Agreement.ONLY_SECOND, second),
        "same": sheet(Agreement.SAME, first),
    }


def agreement_counts(pairs: pa.Table, first: str, second: str) -> dict[str, int]:
    """Lines by agreement of two methods (`agreement.compare`), in words that name the methods."""
    names = {Agreement.ONLY_FIRST: f"only {first}", Agreement.ONLY_SECOND: f"only {second}"}
    return {names.get(kind, kind.value): num for kind, num in count_agreement(pairs).items()}


def overlap_histogram(pairs: pa.Table) -> Chart:
    """The IoU of the two faces of every line that has two."""
    return histogram(pairs["iou"].drop_null().to_pylist(), "IoU of the two faces of a line")


def _spread(column: pa.ChunkedArray) -> list[str]:
    """The median of a column, and below it the 5th and 95th percentiles."""
    values = column.drop_null().to_numpy()
    if not len(values):
        return ["–"]
    low, middle, high = np.percentile(values, (5, 50, 95)).tolist()
    digits = 0 if max(abs(low), abs(high)) >= 10 else 2
    # Zero is added because a small negative number would be printed as "-0".
    low, middle, high = (round(value, digits) + 0.0 for value in (low, middle, high))
    return [f"{middle:.{digits}f}", f"{low:.{digits}f} … {high:.{digits}f}"]
