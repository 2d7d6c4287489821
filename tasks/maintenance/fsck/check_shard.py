"""Verify one shard of images and the tables and crops computed from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from storage.errors import LakeError
from storage.files.lake import Lake
from storage.records import ATTEMPTS, DETECTIONS, FACES, Outcome, Reason, url_key
from storage.tables.parquet import read_as
from storage.versions.takedowns import Forgotten
from tasks.faces.crop_shard import sample_name, uncropped
from tasks.faces.lines_by_key import LinesByKey
from tasks.faces.methods import CropSettings
from tasks.fetch.ledger import accepted
from tasks.maintenance.fsck.check_tar import Member, read_tar, tar_findings
from tasks.maintenance.fsck.findings import Finding, Kind

_ROWS_AT_ONCE = 100_000
_REASONS = frozenset(reason.value for reason in Reason)
_CROP_SETTINGS = tuple(CropSettings(check_boxes=is_checked) for is_checked in (True, False))


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """The facts of a source that the check of each of its shards needs.

    Attributes:
        lines: the planned lines; None if they cannot be read.
    """

    lake: Lake
    source: str
    forgotten: Forgotten
    lines: LinesByKey | None
    quick: bool


def check_shard(facts: SourceFacts, stem: str) -> list[Finding]:
    """Check a shard of images, its detections, and its faces by each method."""
    lake, source = facts.lake, facts.source
    path = lake.images(source, stem)
    index = _read(lake, f"{path}.parquet", ATTEMPTS)
    if isinstance(index, Finding):
        return [Finding(index.kind, path, index.detail)]
    members = [_picture(row) for row in accepted(index).to_pylist() if _has_place(row)]
    found = index_findings(path, stem, index, is_url_known=not facts.quick)
    found += tar_findings(path, members, read_tar(lake, f"{path}.tar", members, quick=facts.quick))
    covered = facts.forgotten.rows(index)
    if pc.any(pc.and_(covered, pc.not_equal(index["url"], ""))).as_py():
        found.append(
            Finding(Kind.TAKEN_DOWN, path, f"{pc.sum(covered).as_py()} of its rows are taken down but not purged")
        )
    there, due = accepted(index), accepted(index.filter(pc.invert(covered)))
    found += _check_detections(facts, stem, there, due)
    for method in lake.names("faces"):
        found += _check_faces(facts, stem, method, there, due)
    return found


def index_findings(path: str, stem: str, index: pa.Table, *, is_url_known: bool) -> list[Finding]:
    """Check that each row of an index of images (`records.ATTEMPTS`) is consistent.

    Args:
        is_url_known: also compare each key with its URL, which takes 1 s for a million rows.
    """
    reason = index["reason"].cast(pa.string())
    is_in = pc.equal(index["outcome"].cast(pa.string()), Outcome.ACCEPTED.value)
    has_place = pc.and_(
        pc.equal(index["shard"], stem),
        reduce(pc.and_, (pc.is_valid(index[name]) for name in ("digest", "offset", "length", "format"))),
    )
    is_told = pc.is_in(reason, value_set=pa.array(sorted(_REASONS)))
    makes_sense = pc.fill_null(
        pc.if_else(is_in, pc.and_(pc.is_null(reason), pc.fill_null(has_place, False)), is_told), False
    )
    wrong = index["key"].filter(pc.invert(makes_sense)).to_pylist()
    if is_url_known:
        wrong += misplaced(index)
    twice = [item["values"] for item in pc.value_counts(index["key"]).to_pylist() if item["counts"] > 1]
    if not wrong and not twice:
        return []
    words = f"of {len(index)} rows {len(set(wrong))} are inconsistent, and {len(twice)} URLs are repeated"
    return [Finding(Kind.MISCOUNT, path, words, frozenset(wrong + twice))]


def misplaced(table: pa.Table) -> list[bytes]:
    """The keys of a table that do not match their URL (`key`, `url`); rows without a URL are not checked."""
    found: list[bytes] = []
    for batch in table.select(["key", "url"]).to_batches(max_chunksize=_ROWS_AT_ONCE):
        rows = zip(batch["key"].to_pylist(), batch["url"].to_pylist(), strict=True)
        found += [key for key, url in rows if url and url_key(url) != key]
    return found


def _check_detections(facts: SourceFacts, stem: str, there: pa.Table, due: pa.Table) -> list[Finding]:
    """Check that each picture has exactly one row of detections, and that each row has a picture."""
    path = facts.lake.detections(facts.source, stem)
    if not facts.lake.exists(path):
        return []
    table = _read(facts.lake, path, DETECTIONS, ["key"])
    if isinstance(table, Finding):
        return [table]
    keys = set(table["key"].to_pylist())
    missing, strange = set(due["key"].to_pylist()) - keys, keys - set(there["key"].to_pylist())
    if len(keys) == len(table) and not missing and not strange:
        return []
    words = (
        f"{len(table)} rows for {len(there)} pictures: {len(missing)} have none, {len(strange)} rows have no picture"
    )
    return [Finding(Kind.MISCOUNT, path, words)]


def _check_faces(facts: SourceFacts, stem: str, method: str, there: pa.Table, due: pa.Table) -> list[Finding]:
    path = facts.lake.faces(method, facts.source, stem)
    if not facts.lake.exists(f"{path}.parquet"):
        return []
    faces = _read(facts.lake, f"{path}.parquet", FACES)
    if isinstance(faces, Finding):
        return [Finding(faces.kind, path, faces.detail)]
    crops = accepted(faces)
    members = [_crop(facts.source, method, row) for row in crops.to_pylist() if _has_place(row)]
    found = tar_findings(path, members, read_tar(facts.lake, f"{path}.tar", members, quick=facts.quick))
    strange = pc.sum(pc.invert(pc.is_in(faces["key"], value_set=there["key"].combine_chunks()))).as_py()
    twice = len(faces) - faces.group_by(["identity", "line"]).aggregate([]).num_rows
    if strange or twice or len(members) < len(crops):
        words = f"of {len(faces)} rows {strange} have no picture, {twice} repeat a line, "
        found.append(Finding(Kind.MISCOUNT, path, words + f"{len(crops) - len(members)} have no offset"))
    elif _lacks_lines(facts, stem, method, len(faces), due):
        found.append(
            Finding(Kind.MISCOUNT, path, f"{len(faces)} rows, which is not the number of lines with its pictures")
        )
    return found


def _lacks_lines(facts: SourceFacts, stem: str, method: str, num_faces: int, due: pa.Table) -> bool:
    """Whether a table of faces has the current stamp but not the current lines; outdated ones are recomputed anyway."""
    if facts.lines is None:
        return False
    if num_faces == len(facts.lines.of(due["key"].to_pylist())):
        return False
    missing = partial(uncropped, facts.lake, facts.source, stem, facts.lines, [method])
    return not all(missing(settings=settings) for settings in _CROP_SETTINGS)


def _read(lake: Lake, path: str, schema: pa.Schema, columns: list[str] | None = None) -> pa.Table | Finding:
    try:
        return read_as(lake, path, schema, columns)
    except LakeError as error:
        return Finding(Kind.UNREADABLE, path, str(error))


def _has_place(row: dict[str, Any]) -> bool:
    return row["offset"] is not None and row["length"] is not None


def _picture(row: dict[str, Any]) -> Member:
    name = f"{row['key'].hex()}.{(row['format'] or '').lower()}"
    return Member(name, row["offset"], row["length"], row["digest"], row["key"])


def _crop(source: str, method: str, row: dict[str, Any]) -> Member:
    name = f"{sample_name(source, row['identity'], row['line'], method)}.jpg"
    return Member(name, row["offset"], row["length"], row["crop_digest"])
