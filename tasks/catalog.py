"""What the lake knows of a source, put together from its tables for the stages that look at all of it."""

from __future__ import annotations

from dataclasses import asdict

import pyarrow as pa
import pyarrow.compute as pc

from storage.errors import UsageError
from storage.lake import Lake
from storage.records import FACES
from storage.tables import read_table, stamp, table_digest, write_table
from tasks.custody.takedowns import read_forgotten
from tasks.dedupe import DedupeRules, dedupe
from tasks.ledger import accepted, image_stems, read_ledger


def read_plan(lake: Lake, source: str) -> pa.Table:
    """The candidates of a source.

    Raises:
        UsageError: nothing has been planned yet.
    """
    if not lake.exists(lake.plan(source)):
        raise UsageError(f"{lake.url} has no plan for {source} yet: run `facemill ingest --source {source}` first")
    return read_table(lake, lake.plan(source))


def planned_lines(lake: Lake, source: str) -> pa.Table:
    """The link lines whose URL is a candidate: also those beyond the selection that share a URL with it."""
    keys = read_plan(lake, source)["key"].combine_chunks()
    lines = read_table(lake, lake.links(source, "lines.parquet"))
    return lines.filter(pc.is_in(lines["key"], value_set=keys))


def malformed_lines(lake: Lake, source: str) -> dict[str, int]:
    """How many lines of the link files never became link lines, by reason."""
    reasons = read_table(lake, lake.links(source, "rejected.parquet"), ["reason"])["reason"].cast(pa.string())
    return {item["values"]: item["counts"] for item in pc.value_counts(reasons).to_pylist()}


def read_verdicts(lake: Lake, source: str, lines: pa.Table, rules: DedupeRules = DedupeRules()) -> pa.Table:
    """The verdicts on the planned lines whose picture was accepted; computed if not known yet."""
    columns = ["key", "url", "outcome", "digest", "dhash", "width", "height", "round"]
    images = accepted(read_ledger(lake, source, columns)).sort_by("key")
    lines = lines.filter(pc.is_in(lines["key"], value_set=images["key"].combine_chunks()))
    images = images.filter(pc.is_in(images["key"], value_set=lines["key"].combine_chunks()))
    state = stamp("dedupe", asdict(rules), table_digest(images.select(["key", "digest"])), table_digest(lines))
    path = lake.unique(source, state)
    if not lake.exists(path):
        write_table(lake, path, dedupe(lines, images, rules), stamp=state)
    return read_table(lake, path)


def read_faces(lake: Lake, source: str, method: str) -> pa.Table:
    """All faces of a source by one method that are not taken down (`records.FACES`), with the column `stem`."""
    tables, forgotten = [], read_forgotten(lake, source)
    for stem in image_stems(lake, source):
        path = f"{lake.faces(method, source, stem)}.parquet"
        if lake.exists(path):
            table = read_table(lake, path)
            table = table.filter(pc.invert(forgotten.rows(table, "image_digest")))
            tables.append(table.append_column("stem", pa.array([stem] * len(table), pa.string())))
    if not tables:
        return FACES.append(pa.field("stem", pa.string())).empty_table()
    return pa.concat_tables(tables).unify_dictionaries()
