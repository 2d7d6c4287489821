"""Build the tables of a dataset version from the outcomes of the link lines: samples and outcomes."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from storage.records import LINE_OUTCOMES, Reason, Split
from tasks.dataset.select import Stage
from tasks.faces.crop_shard import sample_name

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
    people: list[str] = lines["identity"].cast(pa.string()).filter(rows).to_pylist()
    return people


def collect_samples(
    source: str, lines: pa.Table, verdicts: pa.Table, faces: pa.Table, outcomes: pa.Table, splits: Mapping[str, Split]
) -> pa.Table:
    """The samples in publishing order: by split, then by sample name, which is a digest and so shuffles people.

    Args:
        faces: as `source_tables.read_faces` gives them.
        outcomes: of all `lines`, as `select.select` gives them.
        splits: of every person with a sample.

    Returns:
        `records.SAMPLES` without shard, offset and length, and with `from_shard`, `from_offset` and `from_length`:
        the current location of the crop.
    """
    rows = pc.equal(outcomes["stage"], Stage.SAMPLE.value)
    chosen, lines = outcomes.filter(rows), lines.filter(rows)
    face, verdict = faces.take(chosen["face"]), verdicts.take(chosen["verdict"])
    people, numbers = lines["identity"].cast(pa.string()).to_pylist(), lines["line"].to_pylist()
    methods = face["method"].cast(pa.string()).to_pylist()
    names = [sample_name(source, *one) for one in zip(people, numbers, methods, strict=True)]
    columns = {
        "sample": pa.array(names, pa.string()),
        "identity": pa.array(people, pa.string()),
        "split": pa.array([splits[person].value for person in people], pa.string()),
        "source": pa.array([source] * len(people), pa.string()),
        "method": pa.array(methods, pa.string()),
        "line": lines["line"],
        "url": lines["url"],
        "cluster": verdict["cluster"],
    }
    columns |= {name: face[name] for name in _OF_THE_FACE}
    columns |= {f"from_{name}": face[name] for name in ("shard", "offset", "length")}
    return pa.table(columns).sort_by([("split", "ascending"), ("sample", "ascending")])


def kept_outcomes(lines: pa.Table, outcomes: pa.Table) -> pa.Table:
    """The outcomes as a version stores them (`records.LINE_OUTCOMES`); no URL of what is taken down."""
    taken_down = pc.fill_null(pc.equal(outcomes["reason"], Reason.TAKEN_DOWN.value), False)
    columns = {"identity": lines["identity"], "line": lines["line"], "url": pc.if_else(taken_down, "", lines["url"])}
    return pa.table(columns | {"stage": outcomes["stage"], "reason": outcomes["reason"]}).cast(LINE_OUTCOMES)
