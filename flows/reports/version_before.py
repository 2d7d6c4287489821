"""What changed in a dataset since the version before: counts and reasons, settings, and faces that came and went."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from flows.reports import page
from flows.reports.funnel_pictures import evenly
from storage.errors import LakeError
from storage.tables.parquet import with_plain_words
from storage.versions.datasets import DatasetVersion, versions
from tasks.dataset.diff import Change, VersionDiff, diff
from tasks.dataset.manifest import settings_of
from tasks.links.line_ids import find_rows, line_ids


def change_since_before(dataset: DatasetVersion, most: int) -> dict[str, Any] | None:
    """The change from the newest older version of the dataset; None if there is none.

    Args:
        most: number of faces shown that came, and that went.
    """
    before = version_before(dataset)
    if before is None:
        return None
    try:
        found = diff(before, dataset)
        figures = {
            "came": _figures(dataset, found, Change.CAME, most),
            "went": _figures(before, found, Change.WENT, most),
        }
    except LakeError as error:
        return {"before": str(before), "unreadable": str(error)}
    chosen = {*settings_of(before.manifest), *settings_of(dataset.manifest)}
    settings = [one for one in found.settings if one.name in chosen]
    return {
        "before": str(before),
        "num_kept": found.num_kept,
        "settings": settings,
        "counts": found.counts(),
        **figures,
    }


def version_before(dataset: DatasetVersion) -> DatasetVersion | None:
    """The newest older version of the dataset in the lake."""
    every = versions(dataset.lake, dataset.name)
    ours = (dataset.manifest["published_at"], dataset.version)
    older = [one for one in every if (one.manifest["published_at"], one.version) < ours]
    return older[-1] if older else None


def _figures(version: DatasetVersion, found: VersionDiff, change: Change, most: int) -> list[page.Figure]:
    """Some of the faces that only this version has."""
    rows = found.changes.filter(pc.equal(found.changes["change"], change.value))
    rows = rows.take(pa.array(evenly(len(rows), most), pa.int64()))
    index = with_plain_words(version.index(["identity", "listed_identity", "line", "url", "shard", "offset", "length"]))
    listed = pc.coalesce(index["listed_identity"], index["identity"])
    index = index.set_column(index.column_names.index("identity"), "identity", listed)
    at = find_rows(_ids(rows), _ids(index))
    places = index.select(["shard", "offset", "length"]).take(pa.array(at)).to_pylist()
    captions = [f"{row['identity'].replace('_', ' ')} {row['line']}: {_plain(row['why'])}" for row in rows.to_pylist()]
    return [page.figure([version.read(**place)], words) for place, words in zip(places, captions, strict=True)]


def _ids(rows: pa.Table) -> pa.Array:
    """The rows with their URL: of several sources, two may have a line of one name and number."""
    return pc.binary_join_element_wise(line_ids(rows), rows["url"].combine_chunks(), " ")


def _plain(why: str) -> str:
    return why.replace("not a line of it", "new line")
