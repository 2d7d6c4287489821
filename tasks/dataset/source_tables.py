"""Tables of a whole source, joined from the tables of the lake.

`source` may also be the joined name of several sources (`storage.text.source_names`). The tables then contain the rows
of one source after the other, with a column `source`. The keys of a URL differ by source, since each source fetches it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storage.errors import UsageError, changed_meanwhile
from storage.files.lake import Lake
from storage.records import CANDIDATES, FACES, LINK_LINES, REJECTED_LINES, YOUNGER_COLUMNS
from storage.stamps.stamped_fields import counted
from storage.tables.byte_order import by_bytes
from storage.tables.digests import blocks_digest, table_digest
from storage.tables.merged_tables import Rows, read_table_marks, read_tables
from storage.tables.parquet import read_as, stamp
from storage.tables.stored_rows import StoredRows
from storage.tables.take import take
from storage.text.source_names import is_joint, sources_of
from storage.versions.takedowns import read_forgotten
from tasks.dataset.dedupe import DedupeRules
from tasks.dataset.funnel import NOT_PLANNED
from tasks.faces.agreement import agreed
from tasks.faces.methods import AGREE
from tasks.fetch.ledger import accepted, image_stems, read_ledger
from tasks.links.line_ids import distinct_words
from tasks.links.lines_in_lake import lines_in
from tasks.links.link_location import read_origin
from tasks.links.sources import kept_source

# Lines whose kept columns are looked at: a JSON list may have a column in some lines only.
_LOOKED_AT = 10_000
_WORD = pa.dictionary(pa.int32(), pa.string())
_PLACE = pa.schema([pa.field("method", _WORD), pa.field("shard", _WORD)])


def read_plan(lake: Lake, source: str, columns: list[str] | None = None) -> pa.Table:
    """The candidates of a source (`records.CANDIDATES`), or some columns of them.

    Raises:
        UsageError: nothing has been planned yet.
    """
    require_plan(lake, source)
    return read_as(lake, lake.plan(source), CANDIDATES, columns)


def require_plan(lake: Lake, source: str) -> None:
    """Check that the links of a source have been planned.

    Raises:
        UsageError: they have not.
    """
    if not lake.exists(lake.plan(source)):
        held = [one for one in lake.names("links") if lake.exists(lake.plan(one))]
        if held:
            choices = " or ".join(f"--source {one}" for one in held)
            raise UsageError(f"{lake.url} holds {', '.join(held)} and nothing of {source}: did you mean {choices}?")
        raise UsageError(f"{lake.url} holds no links yet: run `facemill ingest` first")


def planned_lines(lake: Lake, source: str, columns: list[str] | None = None) -> pa.Table:
    """The link lines whose URL is a candidate: also those beyond the selection that share a URL with it.

    Args:
        columns: some of `records.LINK_LINES`, `key` among them; None for all.
    """
    return stored_lines(lake, source).table(columns or LINK_LINES.names)


def stored_lines(lake: Lake, source: str) -> StoredRows:
    """The planned lines (`planned_lines`), whose columns are read when they are needed."""
    if is_joint(source):
        return _in_turn({one: stored_lines(lake, one) for one in sources_of(source)})
    planned = read_plan(lake, source, ["key"])["key"].combine_chunks()
    listed = lines_in(lake, source)
    return listed.filtered(pc.is_in(listed.table(["key"])["key"], value_set=planned))


def lines_to_crop(lake: Lake, source: str) -> pa.Table:
    """The planned lines of one source, without digests that say nothing about the box (`Source.has_listed_bytes`)."""
    lines = planned_lines(lake, source)
    kept = kept_source(lake, source)
    if kept is None or kept.has_listed_bytes:
        return lines
    at = lines.schema.get_field_index("listed_digest")
    return lines.set_column(at, lines.schema.field(at), pa.nulls(len(lines), lines.schema.field(at).type))


def planned_people(lake: Lake, source: str) -> list[str]:
    """The people of the planned lines."""
    lines = planned_lines(lake, source, ["identity", "key"])
    people: list[str] = distinct_words(lines["identity"])[0].to_pylist()
    return people


def read_attempts(lake: Lake, source: str, columns: list[str]) -> pa.Table:
    """Some columns of the newest attempt per key (`ledger.read_ledger`), `key` among them."""
    if is_joint(source):
        return _joined({one: read_ledger(lake, one, columns) for one in sources_of(source)})
    return read_ledger(lake, source, columns)


def _joined(tables: dict[str, pa.Table]) -> pa.Table:
    """Concatenate the tables of several sources."""
    return pa.concat_tables(_of_source(*one) for one in tables.items()).unify_dictionaries()


def _in_turn(rows: dict[str, StoredRows]) -> StoredRows:
    """The rows of several sources, one after the other."""

    def blocks(columns: list[str]) -> Iterator[pa.Table]:
        for source, theirs in rows.items():
            for block in theirs.blocks(columns):
                # Faces of a source with takedowns come with the columns that these need, those of others without.
                yield _of_source(source, block.select(columns))

    return StoredRows(blocks)


def _of_source(source: str, table: pa.Table) -> pa.Table:
    """A table of one source as part of one of several: with the column `source`, and keys that others do not have."""
    if "key" in table.column_names:
        at = table.schema.get_field_index("key")
        table = table.set_column(at, table.schema.field(at), _keys_in(source, table["key"]))
    words = pa.DictionaryArray.from_arrays(np.zeros(len(table), np.int32), pa.array([source]))
    return table.append_column(pa.field("source", _WORD), words)


def _keys_in(source: str, keys: pa.ChunkedArray) -> pa.Array:
    """The keys of URLs in one source, [n] of 16 bytes; other sources have others."""
    if not len(keys):
        return keys.combine_chunks()
    plain = keys.combine_chunks()
    rows = np.frombuffer(plain.buffers()[1], np.uint8).reshape(-1, 16)[plain.offset : plain.offset + len(plain)]
    mask = np.frombuffer(hashlib.blake2b(source.encode(), digest_size=16).digest(), np.uint8)
    return pa.Array.from_buffers(plain.type, len(plain), [None, pa.py_buffer((rows ^ mask).tobytes())])


def check_kept(lake: Lake, source: str, names: Sequence[str]) -> None:
    """Check that each of these columns is kept in the list of at least one of the sources.

    Raises:
        UsageError: a column is not kept; the message names those that are.
    """
    if not names:
        return
    kept = planned_lines(lake, source, ["key", "kept"])["kept"].drop_null()
    # A list keeps the same columns of each line.
    known = sorted({name for text in pc.unique(kept).slice(0, _LOOKED_AT).to_pylist() for name in json.loads(text)})
    if unknown := [name for name in names if name not in known]:
        there = f"it has {', '.join(known)}" if known else "add `keep` to its recipe and run `facemill ingest`"
        raise UsageError(f"{source} has no kept column {unknown[0]}: {there}")


def require_digests(lake: Lake, source: str) -> None:
    """Check that the list of every source gives digests.

    Raises:
        UsageError: one gives none.
    """
    for one in sources_of(source):
        if not lines_to_crop(lake, one)["listed_digest"].is_valid().to_numpy().any():
            raise UsageError(
                f"the list of {one} has no digests of the listed pictures: omit --only-as-listed, or name the column "
                "of digests as `digest` in its recipe and run `facemill ingest`"
            )


def lines_left_out(lake: Lake, source: str, num_planned: int) -> dict[str, int]:
    """How many lines of the list of one source were never planned, by reason; `not_planned`: beyond the selection."""
    rejected_lines = read_as(lake, lake.links(source, "rejected.parquet"), REJECTED_LINES, ["reason"])
    reasons = rejected_lines["reason"].cast(pa.string())
    rejected = {item["values"]: item["counts"] for item in pc.value_counts(reasons).to_pylist()}
    beyond = len(read_as(lake, lake.links(source, "lines.parquet"), LINK_LINES, ["line"])) - num_planned
    return rejected | ({NOT_PLANNED: beyond} if beyond else {})


# The columns of attempts that `source_digests` is made of.
DIGESTED = ["key", "outcome", "reason", "digest"]


def source_digests(lake: Lake, source: str, attempts: pa.Table | None = None) -> dict[str, Any]:
    """Digests of the state of a source in the lake: of the link lines, of the result of each URL, and of
    the stamps of its detections and of its faces by each method. Of several sources, these by source.

    Args:
        attempts: `DIGESTED` of the ledger, if it has been read; of one source only.
    """
    if is_joint(source):
        return {one: source_digests(lake, one) for one in sources_of(source)}
    attempts = read_ledger(lake, source, DIGESTED) if attempts is None else attempts
    by_key = pc.sort_indices(attempts["key"]).to_numpy().astype(np.int64)
    stems = image_stems(lake, source)
    return {
        "links": read_origin(lake, source)["digest"],
        "images": table_digest(attempts, by_key),
        "detections": _stamps(lake, lake.detections(source), stems),
        "faces": {method: _stamps(lake, lake.faces(method, source), stems) for method in lake.names("faces")},
    }


def _stamps(lake: Lake, folder: str, stems: list[str]) -> str:
    marks = read_table_marks(lake, folder, stems)
    return stamp(sorted((marks[stem].stamp if stem in marks else None) or "" for stem in stems))


# The settings of a stage that differ from their defaults, by its name; a list where shards were made with several.
MadeWith = dict[str, Any] | list[dict[str, Any]]


def made_with(lake: Lake, source: str, method: str) -> MadeWith:
    """The settings of detection and crop that the faces of a source were made with; empty for the defaults."""
    methods = ["bbox", "mtcnn"] if method == AGREE else [method]
    marks = [
        read_table_marks(lake, lake.faces(one, part), image_stems(lake, part))
        for part in sources_of(source)
        for one in methods
    ]
    found = {stamp(one.settings): one.settings for each in marks for one in each.values()}
    return [found[name] for name in sorted(found)] if len(found) > 1 else next(iter(found.values()), {})


class Comparison(NamedTuple):
    """The inputs of deduplication of a source, and the key of its verdicts.

    Attributes:
        listed: the planned `records.LINK_LINES` whose picture was accepted.
        images: the accepted `records.ATTEMPTS` that they name, by key.
        stamp: a digest of both and of the rules.
    """

    listed: StoredRows
    images: pa.Table
    stamp: str
    path: str


def comparison(lake: Lake, source: str, listed: StoredRows, rules: DedupeRules = DedupeRules()) -> Comparison:
    """The current inputs of deduplication of the planned lines of a source.

    Args:
        listed: as `stored_lines` gives them; of several sources with the column `person` (`People.added_to`).
    """
    columns = ["key", "outcome", "digest", "dhash", "width", "height"]
    images = accepted(read_attempts(lake, source, columns)).drop_columns(["outcome"])
    keys = listed.table(["key"])["key"]
    rows, _ = by_bytes(images["key"])
    images = take(images, rows[_is_among(images["key"], keys).to_numpy()[rows]])
    listed = listed.filtered(_is_among(keys, images["key"]))
    digests = table_digest(images.select(["key", "digest"])), _digest_of(listed)
    state = stamp("dedupe", counted("dedupe", rules), *digests)
    return Comparison(listed, images, state, lake.unique(source, state))


def _is_among(keys: pa.ChunkedArray, others: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.is_in(keys, value_set=others.combine_chunks())


def _digest_of(listed: StoredRows) -> str:
    """`digests.digest_of_lines` of lines that need not fit into memory."""
    unused = set(YOUNGER_COLUMNS)
    for block in listed.blocks(list(YOUNGER_COLUMNS)):
        unused -= {name for name in YOUNGER_COLUMNS if block[name].null_count < len(block)}
    return blocks_digest(partial(listed.blocks, [name for name in LINK_LINES.names if name not in unused]))


def read_faces(lake: Lake, source: str, method: str, columns: list[str] | None = None) -> pa.Table:
    """All faces of a source by one method that are not taken down.

    Args:
        method: "agree" gives the faces of mtcnn that bbox gives too (`agreement.agreed`).
        columns: some of `records.FACES`; None for all.

    Returns:
        `records.FACES`, and `method` and `shard`, the tar that holds the crops; of several sources `source`.
    """
    names = [*(columns or FACES.names), *_PLACE.names]
    faces = stored_faces(lake, source, method).table(names)
    return faces.select([*names, *(["source"] if is_joint(source) else [])])


def stored_faces(lake: Lake, source: str, method: str) -> StoredRows:
    """The faces of a source (`read_faces`), whose columns are read when they are needed; "agree" has them in memory.

    Reading them raises `ChangedMeanwhile` if another run has cropped other faces since they were read first.
    """
    if is_joint(source):
        return _in_turn({one: stored_faces(lake, one, method) for one in sources_of(source)})
    if method == AGREE:
        return StoredRows.of(agreed(read_faces(lake, source, "bbox"), read_faces(lake, source, "mtcnn")))
    forgotten, folder = read_forgotten(lake, source), lake.faces(method, source)
    there = set(lake.names(folder))
    stems = [stem for stem in image_stems(lake, source) if f"{stem}.parquet" in there]
    covered_by = ["key", "image_digest"] if forgotten else []
    first = list[tuple[str, int]]()

    def blocks(columns: list[str]) -> Iterator[pa.Table]:
        stored = [name for name in dict.fromkeys([*columns, *covered_by]) if name not in _PLACE.names]
        known, seen = list(first), list[tuple[str, int]]()
        yield pa.schema([*(FACES.field(name) for name in stored), *_PLACE]).empty_table()
        for rows in read_tables(lake, folder, stems, FACES, stored):
            if known and rows.of != known[len(seen) : len(seen) + len(rows.of)]:
                raise changed_meanwhile(f"{lake.url}/{folder}: faces")
            seen += rows.of
            faces = _with_place(rows, folder, method)
            yield faces.filter(pc.invert(forgotten.rows(faces, "image_digest"))) if forgotten else faces
        if len(seen) < len(known):
            raise changed_meanwhile(f"{lake.url}/{folder}: faces")
        first[:] = seen

    return StoredRows(blocks)


def _with_place(rows: Rows, folder: str, method: str) -> pa.Table:
    """Faces with the columns `method` and `shard`."""
    shards = pa.array([f"{folder}/{stem}.tar" for stem, _ in rows.of])
    at = np.repeat(np.arange(len(rows.of), dtype=np.int32), [num for _, num in rows.of])
    methods = pa.DictionaryArray.from_arrays(np.zeros(len(at), np.int32), pa.array([method]))
    table = rows.table.append_column(_PLACE.field("method"), methods)
    return table.append_column(_PLACE.field("shard"), pa.DictionaryArray.from_arrays(at, shards))
