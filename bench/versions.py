"""Cost of a dataset version of a million link lines: decide, write, compare and report, on one core.

    python -m bench.versions                     ../shared/data/vgg_face_dataset.tar.xz next to the repository
    python -m bench.versions ARCHIVE --lines N   only the first N lines
    python -m bench.versions --keep FOLDER       keep the lake in this folder

The lines, URLs and hosts are real; nothing is fetched. Fetch results are drawn at random in about the shares of the
original experiment (56% of the links gave a picture, half of those a face): one attempt per URL, with realistic hashes,
one in twelve a copy of another (`bench.hashes`); and one face per line, all with the same drawn crop, distinguished by
generated digests. Then follow the steps of `facemill publish`, `facemill diff` with a stricter version, and
`facemill report`. CPU time and memory are those of this process. `tied` is the largest group of people connected by
shared URLs of which each has a face, directly or through others.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from bench.hashes import Hashes as Bytes
from bench.hashes import draw_pictures, to_column
from bench.plan import timed
from flows.reports.dataset_report import write_report
from storage.files.lake import Lake
from storage.records import ATTEMPTS, FACES, REJECTED_LINES, Outcome, Reason
from storage.tables.parquet import write_table
from storage.tables.shards import create_shard
from tasks.dataset.diff import diff
from tasks.dataset.find_duplicates import verdicts_now
from tasks.dataset.hamming import connected
from tasks.dataset.publish_request import Request
from tasks.dataset.publish_version import publish_source
from tasks.dataset.select import SelectRules
from tasks.links.plan import plan
from tasks.links.sources import vggface1

_ARCHIVE = Path(__file__).parents[1].parent / "shared" / "data" / "vgg_face_dataset.tar.xz"
_SOURCE, _STEM, _METHOD = "vggface1", "0000-0", "mtcnn"
_FAILURES = (Reason.GONE, Reason.DNS, Reason.TIMEOUT, Reason.FORBIDDEN, Reason.CONNECT, Reason.NOT_AN_IMAGE)
_FETCHED, _SHOWN = 0.56, 0.5


def make_lake(folder: Path, lines: pa.Table) -> Lake:
    """A lake of these lines, in the state after ingest and crop."""
    lake, rng = Lake(folder), np.random.default_rng(0)
    write_table(lake, lake.links(_SOURCE, "lines.parquet"), lines)
    write_table(lake, lake.links(_SOURCE, "rejected.parquet"), REJECTED_LINES.empty_table())
    lake.write_json(lake.links(_SOURCE, "origin.json"), {"digest": "drawn"})
    candidates = plan(lines)
    write_table(lake, lake.plan(_SOURCE), candidates)
    attempts = draw_attempts(candidates, rng)
    write_table(lake, f"{lake.images(_SOURCE, _STEM)}.parquet", attempts)
    fetched = attempts.filter(pc.is_valid(attempts["digest"]))["key"].combine_chunks()
    with create_shard(lake, f"{lake.faces(_METHOD, _SOURCE, _STEM)}.tar") as tar:
        place = tar.add("crop.jpg", crop_jpeg())
    faces = draw_faces(lines.filter(pc.is_in(lines["key"], value_set=fetched)), place, rng)
    write_table(lake, f"{lake.faces(_METHOD, _SOURCE, _STEM)}.parquet", faces)
    return lake


def draw_attempts(
    candidates: pa.Table, rng: np.random.Generator, pictures: tuple[Bytes, Bytes] | None = None
) -> pa.Table:
    """One attempt per candidate; the pictures do not exist.

    Args:
        pictures: hash and digest of the picture of each, [n, 16] and [n, 32]; None to draw them too.
    """
    num = len(candidates)
    hashes, digests = pictures or draw_pictures(num, rng)[:2]
    failed = pa.array(rng.random(num) >= _FETCHED)
    reasons = pa.array([reason.value for reason in _FAILURES]).take(pa.array(rng.integers(0, len(_FAILURES), num)))
    values: dict[str, Any] = {
        "key": candidates["key"],
        "url": candidates["url"],
        **_outcome(pc.if_else(failed, reasons, None)),
        "tries": np.ones(num),
        "round": np.ones(num),
        "fetched_at": pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * num),
        "digest": pc.if_else(failed, None, to_column(digests)),
        "dhash": pc.if_else(failed, None, to_column(hashes)),
        "width": np.full(num, 600),
        "height": np.full(num, 800),
    }
    return _table(values, ATTEMPTS, num)


def draw_faces(lines: pa.Table, place: tuple[int, int], rng: np.random.Generator) -> pa.Table:
    """One face per line, or none in half of the pictures."""
    num = len(lines)
    boxes = pa.FixedSizeListArray.from_arrays(pa.array(np.tile([80.0, 60.0, 240.0, 260.0], num), pa.float32()), 4)
    digests = pc.dictionary_encode(lines["key"]).combine_chunks().indices
    pictures = _bytes(rng, int(pc.max(digests).as_py() or 0) + 1, 32).take(digests)
    values: dict[str, Any] = {
        "identity": lines["identity"],
        "line": lines["line"],
        "key": lines["key"],
        "image_digest": pictures,
        **_outcome(pc.if_else(pa.array(rng.random(num) < _SHOWN), None, Reason.NO_FACE.value)),
        "num_faces": np.ones(num),
        "agreement": rng.beta(8, 4, num),
        "score": 1 - rng.beta(1, 60, num),
        "face_px": rng.gamma(4, 45, num),
        "border": np.zeros(num),
        "sharpness": rng.gamma(3, 120, num),
        "yaw_deg": rng.normal(0, 20, num),
        "roll_deg": rng.normal(0, 10, num),
        "source_box_xyxy": boxes,
        "face_box_xyxy": boxes,
        "crop_digest": _bytes(rng, num, 32),
        "width": np.full(num, 256),
        "height": np.full(num, 256),
        "offset": np.full(num, place[0]),
        "length": np.full(num, place[1]),
    }
    return _table(values, FACES, num)


def _outcome(reasons: pa.Array) -> dict[str, pa.Array]:
    rejected = pc.is_valid(reasons)
    return {"outcome": pc.if_else(rejected, Outcome.REJECTED.value, Outcome.ACCEPTED.value), "reason": reasons}


def _bytes(rng: np.random.Generator, num: int, size: int) -> pa.Array:
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(size), num, [None, pa.py_buffer(rng.bytes(num * size))])


def _table(values: dict[str, Any], schema: pa.Schema, num: int) -> pa.Table:
    columns = [values[name] if name in values else pa.nulls(num, schema.field(name).type) for name in schema.names]
    return pa.table(columns, names=schema.names).cast(schema)


def crop_jpeg(px: int = 256) -> bytes:
    """The crop that all drawn faces have."""
    file = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").resize((px, px)).save(file, "JPEG")
    return file.getvalue()


def num_tied(verdicts: pa.Table) -> int:
    """The number of people in the largest group connected by shared URLs of accepted lines."""
    verdicts = verdicts.filter(pc.equal(verdicts["outcome"].cast(pa.string()), Outcome.ACCEPTED.value))
    people, pictures = (
        verdicts[name].combine_chunks().cast(pa.binary()).dictionary_encode().indices.to_numpy().astype(np.int64)
        for name in ("identity", "key")
    )
    holder = people[np.unique(pictures, return_index=True)[1]]
    heaps = connected(int(people.max()) + 1, np.stack([people, holder[pictures]], axis=1))
    return int(np.bincount(heaps).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, nargs="?", default=_ARCHIVE)
    parser.add_argument("--lines", type=int)
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        lines = timed(rows, "read the archive", lambda: vggface1.read(args.archive, None, str(args.archive)).lines)
        lines = lines.slice(0, args.lines)
        lake = timed(rows, "draw a lake", lambda: make_lake(args.keep or Path(temporary) / "lake", lines))
        loose, strict = (Request("faces", _SOURCE, _METHOD, SelectRules(min_face_px=px)) for px in (100, 150))
        tied = timed(rows, "compare the pictures", lambda: num_tied(verdicts_now(lake, _SOURCE)))
        first = timed(rows, "publish", lambda: publish_source(lake, loose).dataset)
        other = timed(rows, "publish with another limit", lambda: publish_source(lake, strict).dataset)
        again = timed(rows, "publish the same again", lambda: publish_source(lake, loose))
        found = timed(rows, "diff", lambda: diff(first, other))
        page = timed(rows, "report", lambda: write_report(first))
        size = page.stat().st_size
        outcomes = Path(lake.full(f"{first.folder}/outcomes.parquet")).stat().st_size
    for row in rows:
        print(f"{row['step']:<28} {row['CPU s']:>8.2f} CPU s {row['peak MB']:>8,} MB at most so far")
    print(f"{len(lines):,} lines, {first.manifest['num_samples']:,} and {other.manifest['num_samples']:,} samples")
    for stage in first.manifest["funnel"]["stages"]:
        print(f"  {stage['stage']:<8}{stage['num_out']:>9,}   {stage['rejected']}")
    print(f"{tied} of {first.manifest['num_identities']} people tied; leaks {first.manifest['leaks']}")
    print(f"published again: {'another version' if again.is_new else 'the same, nothing written'}")
    print(f"diff: {found.num_kept:,} kept, {found.counts()}")
    print(f"outcomes.parquet {outcomes / 1e6:.1f} MB, page {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
