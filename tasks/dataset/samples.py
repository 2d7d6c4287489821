"""Build the tables of a dataset version from the outcomes of the link lines: samples and outcomes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from storage.records import LINE_OUTCOMES, Reason, Split
from tasks.dataset.select import Stage
from tasks.faces.crop_shard import sample_name
from tasks.links.line_ids import by_person

# As they are in `records.FACES`.
_OF_THE_FACE = (
    "image_digest", "crop_digest", "width", "height", "face_box_xyxy", "landmarks", "score", "agreement", "fit",
    "face_px", "border", "sharpness", "yaw_deg", "roll_deg",
)  # fmt: skip


def chosen_people(lines: pa.Table, outcomes: pa.Table) -> list[str]:
    """The person of every line that became a sample.

    Args:
        outcomes: of all `lines`, as `select.select` gives them.
    """
    rows = pc.equal(outcomes["stage"], Stage.SAMPLE.value)
    people: list[str] = by_person(lines)["identity"].cast(pa.string()).filter(rows).to_pylist()
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
    rows = pc.equal(outcomes["stage"], Stage.SAMPLE.value)
    chosen, lines = outcomes.filter(rows), lines.filter(rows)
    face, verdict = faces.take(chosen["face"]), verdicts.take(chosen["verdict"])
    sources = _sources(source, lines).to_pylist()
    listed, numbers = lines["identity"].cast(pa.string()).to_pylist(), lines["line"].to_pylist()
    people = by_person(lines)["identity"].cast(pa.string()).to_pylist()
    methods = face["method"].cast(pa.string()).to_pylist()
    names = [sample_name(*one) for one in zip(sources, listed, numbers, methods, strict=True)]
    differs = [name if name != person else None for name, person in zip(listed, people, strict=True)]
    columns = {
        "sample": pa.array(names, pa.string()),
        "identity": pa.array(people, pa.string()),
        "split": pa.array([splits[person].value for person in people], pa.string()),
        "source": pa.array(sources, pa.string()),
        "method": pa.array(methods, pa.string()),
        "line": lines["line"],
        "url": lines["url"],
        "cluster": verdict["cluster"],
        "listed_identity": pa.array(differs, pa.string()),
        "kept": kept_columns(lines, kept),
    }
    columns |= {name: face[name] for name in _OF_THE_FACE}
    columns |= {f"from_{name}": face[name] for name in ("shard", "offset", "length")}
    return pa.table(columns).sort_by([("split", "ascending"), ("sample", "ascending")])


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
    columns = {"identity": lines["identity"], "line": lines["line"], "url": pc.if_else(taken_down, "", lines["url"])}
    columns |= {"stage": outcomes["stage"], "reason": outcomes["reason"], "source": _sources(source, lines)}
    return pa.table(columns).cast(LINE_OUTCOMES)
