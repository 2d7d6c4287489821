"""Samples of a dataset version that are kept and doubtful: the extremes of what was measured of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flows.reports import page
from flows.reports.funnel_pictures import Pictures
from storage.errors import if_there
from storage.tables.parquet import with_plain_words
from storage.versions.datasets import DatasetVersion
from tasks.label_noise.score_table import Cleaned, read_cleaned
from tasks.links.line_ids import find_rows, line_ids

_SCORE = "wrong_person_score"


class _Doubt(NamedTuple):
    """A title, a column, a sign (1: low values are doubtful, -1: high ones), and the value in a caption."""

    title: str
    column: str
    sign: int
    words: str


DOUBTS = (
    _Doubt("Most likely of somebody else", _SCORE, -1, "score {:.2f}"),
    _Doubt("Smallest", "face_px", 1, "{:.0f} px"),
    _Doubt("Least sharp", "sharpness", 1, "sharpness {:.0f}"),
    _Doubt("Most turned", "yaw_deg", -1, "{:.0f}° to the side"),
    _Doubt("Farthest from the listed box", "agreement", 1, "IoU {:.2f}"),
)


def scores_of(dataset: DatasetVersion) -> Cleaned | None:
    """The scores that the version was cleaned by; None if it was not, or if they are not in the lake any more."""
    if "cleaning" not in dataset.manifest:
        return None
    model = dataset.manifest["cleaning"]["model"].split("@")
    folder = dataset.lake.cleaned(str(dataset.manifest["method"]), dataset.source, *model)
    return if_there(lambda: read_cleaned(dataset.lake, folder))


def kept_doubts(index: pa.Table, cleaned: Cleaned | None, pictures: Pictures, most: int) -> list[dict[str, Any]]:
    """The most doubtful samples by each measure, as figures.

    Args:
        index: `records.SAMPLES`, with dictionary columns decoded.
        cleaned: as `scores_of` gives them.
        most: number of samples for each measure.
    """
    if cleaned is not None:
        index = index.append_column(_SCORE, pa.array(_scores(index, cleaned), from_pandas=True))
    found = []
    for doubt in DOUBTS:
        if doubt.column not in index.column_names:
            continue
        values = np.abs(index[doubt.column].to_numpy().astype(np.float64))
        rows = extremes(values * doubt.sign, most)
        names = index["identity"].take(pa.array(rows)).to_pylist()
        told = [
            f"{name.replace('_', ' ')}: {doubt.words.format(values[row])}"
            for name, row in zip(names, rows.tolist(), strict=True)
        ]
        crops = pictures.of_samples(index.take(pa.array(rows)))
        figures = [page.figure([crop], words) for crop, words in zip(crops, told, strict=True)]
        found.append({"title": doubt.title, "figures": figures})
    return found


def extremes(values: npt.NDArray[np.float64], most: int) -> npt.NDArray[np.int64]:
    """The rows of the lowest values, lowest first; NaN is none. No rows if all values are equal."""
    order = np.argsort(values, kind="stable")
    order = order[~np.isnan(values[order])]
    return order[:most] if len(order) and values[order[0]] < values[order[-1]] else order[:0]


def _scores(index: pa.Table, cleaned: Cleaned) -> npt.NDArray[np.float64]:
    """The score of each sample; NaN where that crop was not scored."""
    faces = with_plain_words(cleaned.faces)
    listed = pc.coalesce(index["listed_identity"], index["identity"])
    ours = index.set_column(index.column_names.index("identity"), "identity", listed)
    if faces["source"].null_count:
        ours, faces = ours.drop_columns(["source"]), faces.drop_columns(["source"])
    at = find_rows(line_ids(ours), line_ids(faces))
    found = faces.select([_SCORE, "crop_digest"]).take(pa.array(at, mask=at < 0))
    is_same = pc.fill_null(pc.equal(found["crop_digest"], index["crop_digest"]), False).to_numpy()
    scores: npt.NDArray[np.float64] = np.where(is_same, found[_SCORE].to_numpy().astype(np.float64), np.nan)
    return scores
