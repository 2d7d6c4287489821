"""Build the tables of a dataset version from the outcomes of the link lines: samples and outcomes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from storage.records import LINE_OUTCOMES, Reason, Split
from storage.tables.take import take
from storage.versions.sample_shards import PLACE
from tasks.dataset.select import sample_rows
from tasks.faces.crop_shard import sample_name
from tasks.links.line_ids import Ints, by_person, id_columns, words_and_codes

# The columns of a sample that are as in `records.FACES`.
OF_FACES = (
    "image_digest", "crop_digest", "width", "height", "face_box_xyxy", "landmarks", "score", "agreement", "fit",
    "face_px", "border", "sharpness", "yaw_deg", "roll_deg",
)  # fmt: skip


def chosen_people(lines: pa.Table, outcomes: pa.Table) -> list[str]:
    """The people with a sample.

    Args:
        outcomes: of all `lines`, as `select.select` gives them.
    """
    people: list[str] = pc.unique(by_person(lines)["identity"].take(pa.array(sample_rows(outcomes)))).to_pylist()
    return people


def collect_samples(
    source: str,
    lines: pa.Table,
    verdicts: pa.Table,
    faces: pa.Table,
    outcomes: pa.Table,
    splits: Mapping[str, Split],
    kept: Sequence[str] = (),
) -> pa.Table:
    """The samples in publishing order: by split, then by sample name, which is a digest and so shuffles people.

    Args:
        faces: as `source_tables.read_faces` gives them.
        outcomes: of all `lines`, as `select.select` gives them.
        splits: of every person with a sample.
        kept: columns of the list to store in `kept`.

    Returns:
        `records.SAMPLES` without shard, offset and length, and with `from_shard`, `from_offset` and `from_length`:
        the current location of the crop.
    """
    rows = sample_rows(outcomes)
    names = _sample_names(source, lines, faces, outcomes, rows)
    words, people = words_and_codes(by_person(lines)["identity"])
    of_word = pa.array([splits[word].value if word in splits else None for word in words.to_pylist()], pa.string())
    split = of_word.take(pa.array(people[rows]))
    order = pc.sort_indices(
        pa.table({"split": split, "sample": names}), [("split", "ascending"), ("sample", "ascending")]
    )
    rows = rows[order.to_numpy()]
    chosen, lines = outcomes.take(pa.array(rows)), take(lines, rows)
    face = faces.select([*OF_FACES, "method", *PLACE]).take(chosen["face"])
    listed, identity = lines["identity"].cast(pa.string()), words.take(pa.array(people[rows]))
    columns = {
        "sample": names.take(order),
        "identity": identity,
        "split": split.take(order),
        "source": _sources(source, lines),
        "method": face["method"].cast(pa.string()),
        "line": lines["line"],
        "url": lines["url"],
        "cluster": verdicts["cluster"].take(chosen["verdict"]),
        "listed_identity": pc.if_else(pc.equal(listed, identity), None, listed),
        "kept": kept_columns(lines, kept),
    }
    columns |= {name: face[name] for name in OF_FACES}
    return pa.table(columns | {f"from_{name}": face[name] for name in PLACE})


def _sample_names(source: str, lines: pa.Table, faces: pa.Table, outcomes: pa.Table, rows: Ints) -> pa.Array:
    """The name of the sample of each of these lines."""
    lines = lines.select(id_columns(lines)).take(pa.array(rows))
    methods = faces["method"].take(outcomes["face"].take(pa.array(rows))).cast(pa.string())
    of_line = (_sources(source, lines), lines["identity"].cast(pa.string()), lines["line"], methods)
    names = (sample_name(*one) for one in zip(*(column.to_pylist() for column in of_line), strict=True))
    return pa.array(names, pa.string(), size=len(rows))


def _sources(source: str, lines: pa.Table) -> pa.ChunkedArray:
    """The source of each line."""
    if "source" in lines.column_names:
        return lines["source"].cast(pa.string())
    return pa.chunked_array([pa.array([source] * len(lines), pa.string())])


def kept_columns(lines: pa.Table, names: Sequence[str]) -> pa.ChunkedArray:
    """Columns that a list has besides those of `records.LINK_LINES`, as JSON objects; null where a line has none."""
    if not names:
        return pa.chunked_array([pa.nulls(len(lines), pa.string())])
    found: list[str | None] = []
    for text in lines["kept"].to_pylist():
        values = json.loads(text) if text else {}
        chosen = {name: values[name] for name in names if name in values}
        found.append(json.dumps(chosen, ensure_ascii=False) if chosen else None)
    return pa.chunked_array([pa.array(found, pa.string())])


def kept_outcomes(source: str, lines: pa.Table, outcomes: pa.Table) -> pa.Table:
    """The outcomes as a version stores them (`records.LINE_OUTCOMES`); no URL of what is taken down."""
    taken_down = pc.fill_null(pc.equal(outcomes["reason"], Reason.TAKEN_DOWN.value), False)
    urls = pc.if_else(taken_down, "", lines["url"]) if pc.any(taken_down).as_py() else lines["url"]
    columns = {"identity": lines["identity"], "line": lines["line"], "url": urls}
    # Encoded anew, with the words that occur: with all reasons in its dictionary a file is a third larger.
    columns |= {name: outcomes[name].cast(pa.string()) for name in ("stage", "reason")}
    columns |= {"source": _sources(source, lines)}
    return pa.table(columns).cast(LINE_OUTCOMES)
