"""Bytes and CPU time of a hundred nightly versions of a dataset that changes a little each night.

    python -m bench.nightly                          120,000 faces, 100 nights, 0.1% new and 0.1% gone each night
    python -m bench.nightly --faces 20000 --nights 30 --json

The link lines are real (../shared/data/vgg_face_dataset.tar.xz), their outcomes drawn as in `bench.versions`, and the
crops are random bytes of about the size of the author's, 3.4 GB for 122,000. Which lines could be samples is decided
once; each night some that were left out come in, and as many go. `bytes_ratio` is all that the versions take (shards,
indexes, outcomes, manifests) over what the first one takes. A night's CPU time is that of `publish` without deciding,
which `bench.versions` measures.

`read_ratio` is the CPU time of reading every face of the last version from its shards over that of reading the same
content published on its own: interleaved, median of the turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bench.versions import make_lake
from storage.files.lake import Lake
from storage.files.stored_files import stored_files
from storage.records import Reason
from storage.tables.shards import create_shard
from storage.versions.datasets import DatasetVersion
from tasks.dataset.decide_outcomes import Content, decide
from tasks.dataset.find_duplicates import compare_pictures
from tasks.dataset.funnel import count_outcomes
from tasks.dataset.publish_request import Request
from tasks.dataset.publish_version import publish
from tasks.dataset.select import Stage
from tasks.links.sources import vggface1

_ARCHIVE = Path(__file__).parents[1].parent / "shared" / "data" / "vgg_face_dataset.tar.xz"
_REQUEST = Request("faces", "vggface1", "mtcnn")
_CROPS, _NUM_CROPS = "faces/mtcnn/vggface1/drawn.tar", 1_000
# Of 993,364 drawn lines 211,500 become samples (`bench.versions`); a few more lines than needed are drawn.
_SAMPLES_PER_LINE = 0.2
_TURNS = 5


def make_content(lake: Lake, archive: Path, num_samples: int) -> Content:
    """At least so many samples of real lines, and the outcome of each line."""
    lines = vggface1.read(archive, None, str(archive)).lines.slice(0, round(num_samples / _SAMPLES_PER_LINE))
    make_lake(Path(lake.root), lines)
    compare_pictures(lake, _REQUEST.source)
    return decide(lake, _REQUEST)


def with_crops(lake: Lake, content: Content, mean_bytes: int, rng: np.random.Generator) -> Content:
    """The content with crops of random bytes, the same ones again and again."""
    with create_shard(lake, _CROPS) as tar:
        places = [tar.add("crop.jpg", rng.bytes(int(size))) for size in rng.gamma(4, mean_bytes / 4, _NUM_CROPS) + 1]
    samples = content.samples
    of = np.array(places)[rng.integers(0, _NUM_CROPS, len(samples))]
    columns = {"from_shard": [_CROPS] * len(samples), "from_offset": of[:, 0], "from_length": of[:, 1]}
    for name, column in columns.items():
        samples = samples.set_column(samples.schema.get_field_index(name), name, pa.array(column))
    return replace(content, samples=samples)


def nights(whole: Content, args: argparse.Namespace, rng: np.random.Generator) -> Iterator[Content]:
    """The content of the first version, and of that of each night after it."""
    order, each = rng.permutation(len(whole.samples)), round(args.faces * args.share)
    inside, outside = order[: args.faces], order[args.faces :]
    for night in range(args.nights + 1):
        if night:
            inside[rng.choice(len(inside), each, replace=False)] = outside[:each]
            outside = outside[each:]
        yield part_of(whole, whole.samples.take(pa.array(np.sort(inside))))


def part_of(whole: Content, samples: pa.Table) -> Content:
    """The content with these samples only; the faces of the other lines are too small."""
    outcomes = whole.outcomes
    stage, reason = (outcomes[name].cast(pa.string()) for name in ("stage", "reason"))
    is_out = pc.and_(
        pc.equal(stage, Stage.SAMPLE.value), pc.invert(pc.is_in(_keys(outcomes), value_set=_keys(samples)))
    )
    changed = {"stage": (Stage.SELECT.value, stage), "reason": (Reason.FACE_TOO_SMALL.value, reason)}
    plain = outcomes
    for name, (value, before) in changed.items():
        at, after = outcomes.schema.get_field_index(name), pc.if_else(is_out, value, before)
        plain = plain.set_column(at, name, after)
        outcomes = outcomes.set_column(at, outcomes.schema.field(at), after.cast(outcomes.schema.field(at).type))
    funnel = count_outcomes(plain, _REQUEST.method)
    return replace(whole, samples=samples, outcomes=outcomes, funnel=funnel)


def _keys(table: pa.Table) -> pa.Array:
    lines = table["line"].cast(pa.string())
    return pc.binary_join_element_wise(table["identity"].cast(pa.string()), lines, "/").combine_chunks()


def published(lake: Lake, content: Content) -> tuple[DatasetVersion, float]:
    """The version of this content, and the CPU time of publishing it."""
    started = time.process_time()
    version = publish(lake, _REQUEST, content, {}).dataset
    return version, time.process_time() - started


def bytes_of(lake: Lake) -> dict[str, int]:
    """The bytes of all versions: in what they share, and in the tables and manifests of each."""
    files = stored_files(lake, "datasets")
    shared = sum(file.num_bytes for file in files if "/shards/" in file.path or "/lines/" in file.path)
    return {"shared": shared, "own": sum(file.num_bytes for file in files) - shared}


def read_ratio(version: DatasetVersion, alone: DatasetVersion) -> float:
    """The CPU time of reading all faces of one version over that of reading those of the other."""
    ratios = []
    for _ in range(_TURNS):
        times = [_read_s(one) for one in (version, alone)]
        ratios.append(times[0] / times[1])
    return statistics.median(ratios)


def _read_s(version: DatasetVersion) -> float:
    started = time.process_time()
    rows = version.index(["shard", "offset", "length"]).sort_by([("shard", "ascending"), ("offset", "ascending")])
    for row in rows.to_pylist():
        version.read(**row)
    return time.process_time() - started


def run(folder: Path, archive: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Publish all versions, and one of the last content alone."""
    rng, lake, other = np.random.default_rng(0), Lake(folder / "lake"), Lake(folder / "alone")
    each = round(args.faces * args.share)
    whole = with_crops(lake, make_content(lake, archive, args.faces + each * args.nights), args.crop_bytes, rng)
    costs, sizes, content = [], [], whole
    for content in nights(whole, args, rng):
        version, cpu_s = published(lake, content)
        costs.append(cpu_s)
        sizes.append(bytes_of(lake))
    other.write(_CROPS, lake.read(_CROPS))
    alone, _ = published(other, content)
    first, last = sizes[0], sizes[-1]
    return {
        "faces": args.faces,
        "nights": args.nights,
        "faces_changed_each_night": each,
        "first_bytes": sum(first.values()),
        "bytes_ratio": sum(last.values()) / sum(first.values()),
        "ratio_of_shared": last["shared"] / sum(first.values()),
        "ratio_of_own": last["own"] / sum(first.values()),
        "own_bytes_of_a_version": first["own"],
        "first_publish_cpu_s": costs[0],
        "night_cpu_s": statistics.median(costs[1:]),
        "num_shards_of_the_last": len(version.shards()),
        "read_ratio": read_ratio(version, alone),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, nargs="?", default=_ARCHIVE)
    parser.add_argument("--faces", type=int, default=120_000)
    parser.add_argument("--nights", type=int, default=100)
    parser.add_argument("--share", type=float, default=0.001, help="of the faces, new and gone each night")
    parser.add_argument("--crop-bytes", type=int, default=25_000)
    parser.add_argument("--folder", type=Path, help="for the lakes, instead of a temporary one")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as temporary:
        found = run(Path(temporary), args.archive, args)
    if args.json:
        print(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        print(f"{name:<26} {value:>14,.3f}" if isinstance(value, float) else f"{name:<26} {value:>14,}")


if __name__ == "__main__":
    main()
