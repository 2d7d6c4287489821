"""Tables of a whole source, joined from the tables of the lake."""

from __future__ import annotations

from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from storage.errors import UsageError
from storage.lake import Lake
from storage.records import CANDIDATES, FACES, LINK_LINES, REJECTED_LINES, VERDICTS
from storage.stamped_fields import counted
from storage.tables import digest_of_lines, read_as, read_settings, read_stamp, stamp, table_digest
from storage.takedowns import read_forgotten
from tasks.dataset.dedupe import DedupeRules
from tasks.dataset.funnel import NOT_PLANNED
from tasks.faces.agreement import agreed
from tasks.faces.methods import AGREE
from tasks.fetch.ledger import accepted, image_stems, read_ledger
from tasks.links.collect import read_origin

_WORD = pa.dictionary(pa.int32(), pa.string())
_PLACE = (pa.field("method", _WORD), pa.field("shard", _WORD))


def read_plan(lake: Lake, source: str) -> pa.Table:
    """The candidates of a source.

    Raises:
        UsageError: nothing has been planned yet.
    """
    if not lake.exists(lake.plan(source)):
        held = [one for one in lake.names("links") if lake.exists(lake.plan(one))]
        if held:
            choices = " or ".join(f"--source {one}" for one in held)
            raise UsageError(f"{lake.url} holds {', '.join(held)} and nothing of {source}: did you mean {choices}?")
        raise UsageError(f"{lake.url} holds no links yet: run `facemill ingest` first")
    return read_as(lake, lake.plan(source), CANDIDATES)


def planned_lines(lake: Lake, source: str) -> pa.Table:
    """The link lines whose URL is a candidate: also those beyond the selection that share a URL with it."""
    keys = read_plan(lake, source)["key"].combine_chunks()
    lines = read_as(lake, lake.links(source, "lines.parquet"), LINK_LINES)
    return lines.filter(pc.is_in(lines["key"], value_set=keys))


def planned_people(lake: Lake, source: str) -> list[str]:
    """The people of the planned lines."""
    people: list[str] = pc.unique(planned_lines(lake, source)["identity"].cast(pa.string())).to_pylist()
    return people


def lines_left_out(lake: Lake, source: str, num_planned: int) -> dict[str, int]:
    """How many lines of the link files were never planned, by reason; `not_planned` are those beyond the selection."""
    rejected_lines = read_as(lake, lake.links(source, "rejected.parquet"), REJECTED_LINES, ["reason"])
    reasons = rejected_lines["reason"].cast(pa.string())
    rejected = {item["values"]: item["counts"] for item in pc.value_counts(reasons).to_pylist()}
    beyond = len(read_as(lake, lake.links(source, "lines.parquet"), LINK_LINES, ["line"])) - num_planned
    return rejected | ({NOT_PLANNED: beyond} if beyond else {})


def source_digests(lake: Lake, source: str) -> dict[str, Any]:
    """Digests of the state of a source in the lake: of the link lines, of the result of each URL, and of
    the stamps of its detections and of its faces by each method.
    """
    attempts = read_ledger(lake, source, ["key", "outcome", "reason", "digest"]).sort_by("key")
    stems = image_stems(lake, source)
    faces = {
        method: [f"{lake.faces(method, source, stem)}.parquet" for stem in stems] for method in lake.names("faces")
    }
    return {
        "links": read_origin(lake, source)["digest"],
        "images": table_digest(attempts),
        "detections": _stamps(lake, [lake.detections(source, stem) for stem in stems]),
        "faces": {method: _stamps(lake, paths) for method, paths in faces.items()},
    }


def _stamps(lake: Lake, paths: list[str]) -> str:
    return stamp(sorted(read_stamp(lake, path) or "" for path in paths))


# The settings of a stage that differ from their defaults, by its name; a list where shards were made with several.
MadeWith = dict[str, Any] | list[dict[str, Any]]


def made_with(lake: Lake, source: str, method: str) -> MadeWith:
    """The settings of detection and crop that the faces of a source were made with; empty for the defaults."""
    methods = ["bbox", "mtcnn"] if method == AGREE else [method]
    paths = [f"{lake.faces(one, source, stem)}.parquet" for one in methods for stem in image_stems(lake, source)]
    found = {stamp(one): one for one in (read_settings(lake, path) for path in paths if lake.exists(path))}
    return [found[name] for name in sorted(found)] if len(found) > 1 else next(iter(found.values()), {})


class Comparison(NamedTuple):
    """The inputs of deduplication of a source, and the key of its verdicts.

    Attributes:
        lines: the planned `records.LINK_LINES` whose picture was accepted.
        images: the accepted `records.ATTEMPTS` that they name, by key.
        stamp: a digest of both and of the rules.
    """

    lines: pa.Table
    images: pa.Table
    stamp: str
    path: str


def comparison(lake: Lake, source: str, lines: pa.Table, rules: DedupeRules = DedupeRules()) -> Comparison:
    """What the pictures that planned lines name are compared from, as the lake holds them now."""
    columns = ["key", "url", "outcome", "digest", "dhash", "width", "height", "round"]
    images = accepted(read_ledger(lake, source, columns)).sort_by("key")
    lines = lines.filter(pc.is_in(lines["key"], value_set=images["key"].combine_chunks()))
    images = images.filter(pc.is_in(images["key"], value_set=lines["key"].combine_chunks()))
    state = stamp(
        "dedupe", counted("dedupe", rules), table_digest(images.select(["key", "digest"])), digest_of_lines(lines)
    )
    return Comparison(lines, images, state, lake.unique(source, state))


def read_verdicts(lake: Lake, source: str, lines: pa.Table, rules: DedupeRules = DedupeRules()) -> pa.Table:
    """The verdicts on the planned lines whose picture was accepted (`records.VERDICTS`).

    Raises:
        UsageError: the pictures have not been compared as they are now.
    """
    asked = comparison(lake, source, lines, rules)
    if not lake.exists(asked.path):
        raise UsageError(
            f"the {len(asked.images):,} pictures of {source} in {lake.url} have not been compared since they changed: "
            f"run `facemill publish --source {source}` first"
        )
    return read_as(lake, asked.path, VERDICTS)


def read_faces(lake: Lake, source: str, method: str) -> pa.Table:
    """All faces of a source by one method that are not taken down.

    Args:
        method: "agree" gives the faces of mtcnn that bbox gives too (`agreement.agreed`).

    Returns:
        `records.FACES`, and `method` and `shard`, the tar that holds the crops.
    """
    if method == AGREE:
        return agreed(read_faces(lake, source, "bbox"), read_faces(lake, source, "mtcnn"))
    tables, forgotten = [], read_forgotten(lake, source)
    for stem in image_stems(lake, source):
        path = lake.faces(method, source, stem)
        if lake.exists(f"{path}.parquet"):
            table = read_as(lake, f"{path}.parquet", FACES)
            table = table.filter(pc.invert(forgotten.rows(table, "image_digest")))
            place = {"method": [method] * len(table), "shard": [f"{path}.tar"] * len(table)}
            for field in _PLACE:
                table = table.append_column(field, pa.array(place[field.name], field.type))
            tables.append(table)
    if not tables:
        return pa.schema([*FACES, *_PLACE]).empty_table()
    return pa.concat_tables(tables).unify_dictionaries()
