"""The differences between two dataset versions, line by line with reasons, computed from the versions alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storage.records import Reason
from storage.tables.parquet import with_plain_words
from storage.text.source_names import sources_of
from storage.versions.datasets import DatasetVersion
from tasks.dataset.funnel import PENDING
from tasks.dataset.manifest import origins
from tasks.dataset.select import Stage
from tasks.links.line_ids import find_rows, line_ids

_LINE = ("identity", "line", "url")


class Change(StrEnum):
    """The change of a line's face between two versions."""

    CAME = "came"
    WENT = "went"
    RECROPPED = "recropped"
    MOVED = "moved"


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting or a digest that differs between two manifests; None where a manifest lacks it."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class VersionDiff:
    """The differences between two versions.

    Attributes:
        num_kept: lines whose face is in both, the same crop in the same split.
        changes: a row for each line and `Change`: identity, line, url, change, why.
    """

    settings: tuple[Setting, ...]
    num_kept: int
    changes: pa.Table

    def counts(self) -> dict[str, dict[str, int]]:
        """How many lines changed, by change and reason, most frequent first; all changes named."""
        groups = self.changes.group_by(["change", "why"]).aggregate([("line", "count")]).to_pylist()
        groups.sort(key=lambda row: (-row["line_count"], row["why"]))
        return {
            change.value: {row["why"]: row["line_count"] for row in groups if row["change"] == change.value}
            for change in Change
        }


def diff(before: DatasetVersion, after: DatasetVersion) -> VersionDiff:
    """The faces added, removed, cropped differently, or moved to another split in the later version."""
    ours, theirs = _samples(before), _samples(after)
    at = find_rows(ours["face"], theirs["face"])
    went, kept = ours.take(pa.array(np.flatnonzero(at < 0))), ours.take(pa.array(np.flatnonzero(at >= 0)))
    same = theirs.take(pa.array(at[at >= 0]))
    came = theirs.filter(pc.invert(pc.is_in(theirs["face"], value_set=ours["face"].combine_chunks())))
    recropped = pc.not_equal(kept["crop_digest"], same["crop_digest"])
    moved = pc.not_equal(kept["split"], same["split"])
    parts = [
        _changed(came, Change.CAME, _outcome_in(before, came)),
        _changed(went, Change.WENT, _outcome_in(after, went)),
        _changed(same, Change.RECROPPED, _why_recropped(kept, same)).filter(recropped),
        _changed(same, Change.MOVED, _from_to(kept["split"], same["split"])).filter(moved),
    ]
    changes = pa.concat_tables(parts).sort_by([(name, "ascending") for name in ("change", "identity", "line")])
    num_kept = len(kept) - int(pc.sum(pc.or_(recropped, moved)).as_py() or 0)
    return VersionDiff(tuple(_settings(before.manifest, after.manifest)), num_kept, changes)


def _samples(version: DatasetVersion) -> pa.Table:
    """The samples, with `face`: the id of a line's face in all versions."""
    columns = [*_LINE, "source", "split", "method", "image_digest", "crop_digest", "listed_identity"]
    rows = with_plain_words(version.index(columns))
    listed = pc.coalesce(rows["listed_identity"], rows["identity"])
    rows = rows.set_column(rows.schema.get_field_index("identity"), "identity", listed)
    return rows.append_column("face", line_ids(rows))


def _changed(rows: pa.Table, change: Change, why: pa.ChunkedArray) -> pa.Table:
    told = rows.select(_LINE).append_column("change", pa.array([change.value] * len(rows), pa.string()))
    return told.append_column("why", why)


def _outcome_in(version: DatasetVersion, rows: pa.Table) -> pa.ChunkedArray:
    """The stage and reason at which a version rejected these lines, such as "crop: no_face"."""
    outcomes = with_plain_words(version.outcomes(["source", "identity", "line", "stage", "reason"]))
    if not len(outcomes):
        return pa.chunked_array([pa.array([f"{version} has no outcomes"] * len(rows), pa.string())])
    of_source = pc.is_in(rows["source"], value_set=pa.array(sources_of(version.source)))
    at = find_rows(line_ids(rows), line_ids(outcomes))
    found = outcomes.take(pa.array(at, mask=at < 0))
    why = pc.binary_join_element_wise(found["stage"], pc.fill_null(found["reason"], PENDING), ": ")
    # It was a sample, and a takedown has removed it since.
    why = pc.if_else(pc.equal(found["stage"], Stage.SAMPLE.value), Reason.TAKEN_DOWN.value, why)
    return pc.fill_null(pc.if_else(of_source, why, None), "not a line of it")


def _why_recropped(before: pa.Table, after: pa.Table) -> pa.ChunkedArray:
    """Why a crop differs: another picture, another method, or another crop by the same method."""
    by = pc.if_else(
        pc.equal(before["method"], after["method"]), "another crop", _from_to(before["method"], after["method"])
    )
    return pc.if_else(pc.equal(before["image_digest"], after["image_digest"]), by, "another picture")


def _from_to(before: pa.ChunkedArray, after: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(before, after, " to ")


def _settings(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Setting]:
    ours, theirs = origins(before), origins(after)
    for name in sorted({*ours, *theirs}):
        if ours.get(name) != theirs.get(name):
            yield Setting(name, ours.get(name), theirs.get(name))
