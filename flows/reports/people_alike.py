"""People of a dataset version who look alike: pairs of names by the scores that it was cleaned by."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from flows.reports import page
from flows.reports.funnel_pictures import Pictures, evenly
from storage.tables.parquet import with_plain_words
from tasks.label_noise.score_table import Cleaned


def people_alike(
    index: pa.Table, cleaned: Cleaned | None, pictures: Pictures, most: int, num_faces: int
) -> list[dict[str, Any]]:
    """The pairs that may most likely be one person, each with some faces of both.

    Args:
        index: `records.SAMPLES`, with dictionary columns decoded. Both names of a pair have samples.
        most: number of pairs.
        num_faces: number of faces of each name.
    """
    if cleaned is None:
        return []
    pairs, names = with_plain_words(cleaned.people), pc.unique(index["identity"])
    both = pc.and_(pc.is_in(pairs["identity"], value_set=names), pc.is_in(pairs["other"], value_set=names))
    rows = pairs.filter(both).sort_by([("same_person_score", "descending")]).slice(0, most).to_pylist()
    return [
        {
            "score": row["same_person_score"],
            "names": [row["identity"].replace("_", " "), row["other"].replace("_", " ")],
            "figures": [_faces(index, row[name], pictures, num_faces) for name in ("identity", "other")],
        }
        for row in rows
    ]


def _faces(index: pa.Table, name: str, pictures: Pictures, num: int) -> page.Figure:
    rows = index.filter(pc.equal(index["identity"], name))
    rows = rows.take(pa.array(evenly(len(rows), num)))
    return page.figure(pictures.of_samples(rows), name.replace("_", " "))
