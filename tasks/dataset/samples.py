"""Build the tables of a dataset version from the outcomes of the link lines: samples, outcomes and their lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from storage.records import STORED_OUTCOMES, Reason, Split
from storage.tables.stored_rows import StoredRows
from storage.versions.sample_shards import PLACE
from tasks.dataset.publish_request import Request
from tasks.dataset.select import sample_rows
from tasks.faces.crop_shard import sample_name
from tasks.faces.methods import cropped_by
from tasks.links.line_ids import Ints, by_person, id_columns, words_and_codes

# The columns of a sample that are as in `records.FACES`.
OF_FACES = (
    "image_digest", "crop_digest", "width", "height", "face_box_xyxy", "landmarks", "score", "agreement", "fit",
    "face_px", "border", "sharpness", "yaw_deg", "roll_deg",
)  # fmt: skip
# The names of so many samples are made at a time, from 30 MB of Python objects.
_ROWS_AT_A_TIME = 100_000


def chosen_people(lines: pa.Table, outcomes: pa.Table) -> list[str]:
    """The people with a sample.

    Args:
        outcomes: of all `lines`, as `select.select` gives them.
    """
    people: list[str] = pc.unique(by_person(lines)["identity"].take(pa.array(sample_rows(outcomes)))).to_pylist()
    return people


def collect_samples(
    request: Request,
    lines: pa.Table,
    listed: StoredRows,
    verdicts: pa.Table,
    faces: StoredRows,
    outcomes: pa.Table,
    splits: Mapping[str, Split],
) -> pa.Table:
    """The samples in publishing order: by split, then by sample name, which is a digest and so shuffles people.

    Args:
        lines: identity and line of the planned lines; of several sources with `source` and `person`.
        listed: the same lines (`source_tables.stored_lines`), for the columns that only samples need.
        faces: as `source_tables.stored_faces` gives them.
        outcomes: of all `lines`, as `select.select` gives them.
        splits: of every person with a sample.

    Returns:
        `records.SAMPLES` without shard, offset and length, and with `from_shard`, `from_offset` and `from_length`:
        the current location of the crop.
    """
    rows = sample_rows(outcomes)
    names = _sample_numbers(request, lines, rows)
    words, people = words_and_codes(by_person(lines)["identity"])
    sides = sorted(Split)
    side_of = [sides.index(splits[word]) if word in splits else -1 for word in words.to_pylist()]
    side = np.array(side_of, np.int8)[people[rows]]
    order = np.lexsort((names, side))
    rows, names, side = rows[order], names[order], side[order]
    of_line = lines.select(id_columns(lines)).take(pa.array(rows))
    chosen = outcomes.select(["verdict", "face"]).take(pa.array(rows))
    identity = _encoded(people[rows], words.to_pylist())
    stored = listed.take(rows, ["url", *(["kept"] if request.kept else [])])
    columns = {
        "sample": _hex(names),
        "identity": identity,
        "split": _encoded(side, [one.value for one in sides]),
        "source": sources_of_lines(request.source, of_line),
        "method": _encoded(np.zeros(len(rows), np.int32), [cropped_by(request.method)]),
        "line": of_line["line"],
        "url": stored["url"],
        "cluster": verdicts["cluster"].take(chosen["verdict"]),
        "listed_identity": _listed(lines, of_line, identity),
        "kept": kept_columns(stored, request.kept),
    }
    face = faces.take(chosen["face"].to_numpy().astype(np.int64), [*OF_FACES, *PLACE])
    columns |= {name: face[name] for name in OF_FACES}
    return pa.table(columns | {f"from_{name}": face[name] for name in PLACE})


def _sample_numbers(request: Request, lines: pa.Table, rows: Ints) -> NDArray[np.uint64]:
    """The name of the sample of each of these lines, as a number: [n]."""
    method = cropped_by(request.method)
    found = np.empty(len(rows), np.uint64)
    for start in range(0, len(rows), _ROWS_AT_A_TIME):
        some = lines.select(id_columns(lines)).take(pa.array(rows[start : start + _ROWS_AT_A_TIME]))
        sources = sources_of_lines(request.source, some)
        whose = (one.cast(pa.string()).to_pylist() for one in (sources, some["identity"]))
        each = zip(*whose, some["line"].to_pylist(), strict=True)
        names = (sample_name(source, identity, line, method) for source, identity, line in each)
        found[start : start + len(some)] = [int(name, 16) for name in names]
    return found


def _hex(numbers: NDArray[np.uint64]) -> pa.Array:
    """Each number in 16 hex digits."""
    digits = pa.py_buffer(numbers.astype(">u8").tobytes().hex().encode())
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(numbers), [None, digits]).cast(pa.string())


def _encoded(codes: NDArray[np.signedinteger], words: Sequence[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32(), mask=codes < 0), pa.array(words, pa.string()))


def _listed(lines: pa.Table, of_line: pa.Table, identity: pa.DictionaryArray) -> pa.Array | pa.ChunkedArray:
    """The name in the list of each line, where the dataset calls the person by another."""
    if "person" not in lines.column_names:
        return pa.nulls(len(of_line), pa.string())
    listed = of_line["identity"].cast(pa.string())
    return pc.if_else(pc.equal(listed, identity.cast(pa.string())), None, listed)


def sources_of_lines(source: str, lines: pa.Table) -> pa.ChunkedArray:
    """The source of each line."""
    if "source" in lines.column_names:
        return lines["source"]
    return pa.chunked_array([_encoded(np.zeros(len(lines), np.int32), [source])])


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
    """The outcomes as a version stores them (`records.STORED_OUTCOMES`)."""
    columns = {"identity": lines["identity"], "line": lines["line"]}
    # Encoded anew, with the words that occur: with all reasons in its dictionary a file is a third larger.
    columns |= {name: outcomes[name].cast(pa.string()) for name in ("stage", "reason")}
    columns |= {"source": sources_of_lines(source, lines)}
    return pa.table(columns).cast(STORED_OUTCOMES)


def kept_lines(source: str, listed: StoredRows, outcomes: pa.Table) -> StoredRows:
    """The lines of the outcomes as versions share them (`records.SHARED_LINES`); no URL of what is taken down."""
    taken_down = pc.fill_null(pc.equal(outcomes["reason"], Reason.TAKEN_DOWN.value), False)
    some_are = pc.any(taken_down).as_py()

    def blocks(columns: list[str]) -> Iterator[pa.Table]:
        start = 0
        for block in listed.blocks(["identity", "line", "url"]):
            theirs = taken_down.slice(start, len(block))
            url = pc.if_else(theirs, "", block["url"]) if some_are else block["url"]
            found = {"source": sources_of_lines(source, block), "identity": block["identity"]}
            yield pa.table(found | {"line": block["line"], "url": url})
            start += len(block)

    return StoredRows(blocks)
