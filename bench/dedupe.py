"""Scalability of deduplication: 2.4 million hashes in 60 s and 3 GB, without a missed pair.

    python -m bench.dedupe                       2.4 million hashes, then 2.6 million lines on as many pictures
    python -m bench.dedupe --num 300000          fewer
    python -m bench.dedupe --environment FOLDER  keep or reuse imagededup's environment in this folder

Hashes are generated (`bench.hashes`); one in twelve is a copy of another, with as many changed bits as in the real
copies of the replay dataset. Each step is a separate process, start-up and files included; memory is its peak
resident size.

- missed: planted pairs within the distance limit, and pairs of a hundred hashes with all others, by brute force, that
  are not in the same cluster. Any is a defect.
- heap: 200,000 hashes within four bits of one; alike: 200,000 that agree in every seventh bit and nothing else
- order: the same hashes in another order give the same clusters
- imagededup: 10,000 hashes of 64 bits, its maximum, at distance 3, with both of its search methods. Its environment
  includes PyTorch, and takes minutes to install.
- by chance: of a million generated hashes without copies, the number in a cluster, by the minimum number of set bits
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.environment import environment_with
from bench.hashes import agreement, draw_pictures, made_hashes, to_column
from bench.usage import Usage, measured
from storage.records import ATTEMPTS, LINK_LINES, ImageFacts
from tasks.dataset.dedupe import DedupeRules
from tasks.dataset.hamming import connected, near_clusters
from tasks.images.validate import validate

_REPLAY = Path(__file__).parents[1].parent / "shared" / "data" / "replay"
_MAX_SECONDS, _MAX_BYTES = 60.0, 3e9
_NUM_BY_HAND = 100
_NUM_PEOPLE = 2622
_NUM_ODD, _NUM_UNLIKE, _NUM_COMPARED = 200_000, 1_000_000, 10_000
_SHORT_DISTANCE = 3
_IMAGEDEDUP = "imagededup==0.3.3.post2"
_DISTANCE = DedupeRules().near_distance

Clusters = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint8]


def photo_hashes() -> Hashes | None:
    """Hashes of the photos of the replay dataset, if present."""
    found = [validate(path.read_bytes()) for path in sorted(_REPLAY.glob("bodies/*"))]
    facts = [one.dhash for one in found if isinstance(one, ImageFacts)]
    return np.frombuffer(b"".join(facts), np.uint8).reshape(-1, 16).copy() if facts else None


def clustered(folder: Path, hashes: Hashes) -> tuple[Clusters, Usage]:
    """The clusters, and their cost."""
    np.save(folder / "hashes.npy", hashes)
    usage = _run(folder, "near", "hashes.npy", "clusters.npy")
    return np.load(folder / "clusters.npy"), usage


def _run(folder: Path, *arguments: str) -> Usage:
    what, *files = arguments
    command = [sys.executable, "-m", "bench.deduping", what, *(str(folder / file) for file in files)]
    return measured(command, folder / "log")


def num_missed(hashes: Hashes, clusters: Clusters, planted: Clusters, rng: np.random.Generator) -> tuple[int, int]:
    """(missed, all) near pairs: the planted ones, and those of some rows with all others."""
    words = hashes.view(np.uint64)
    apart = np.bitwise_count(words[planted[:, 0]] ^ words[planted[:, 1]]).sum(axis=1)
    pairs = [planted[apart <= _DISTANCE]]
    for row in rng.choice(planted[:, 1], _NUM_BY_HAND):
        near = np.flatnonzero(np.bitwise_count(words ^ words[row]).sum(axis=1) <= _DISTANCE)
        pairs.append(np.stack([np.full_like(near, row), near], axis=1))
    one, other = np.concatenate(pairs).T
    return int((clusters[one] != clusters[other]).sum()), len(one)


def heap(num: int, rng: np.random.Generator) -> Hashes:
    """Different hashes, each within four bits of one."""
    flips = np.zeros((num, 128), dtype=np.uint8)
    for _ in range(4):
        flips[np.arange(num), rng.integers(0, 128, num)] = 1
    return np.packbits(flips, axis=1)


def alike(num: int, rng: np.random.Generator) -> Hashes:
    """Hashes that agree in every seventh bit and in nothing else."""
    bits = rng.integers(0, 2, (num, 128), dtype=np.uint8)
    bits[:, :: _DISTANCE + 1] = 0
    return np.packbits(bits, axis=1)


def same_in_another_order(hashes: Hashes, rng: np.random.Generator) -> bool:
    """Whether shuffled hashes fall into the same clusters."""
    order = rng.permutation(len(hashes))
    straight, mixed = near_clusters(hashes, _DISTANCE), near_clusters(hashes[order], _DISTANCE)
    # Clusters are identified by one of their rows: the ids must correspond one to one.
    names = np.unique(np.stack([straight[order], mixed], axis=1), axis=0)
    return bool(len(names) == len(np.unique(straight)) == len(np.unique(mixed)))


def write_tables(folder: Path, hashes: Hashes, digests: npt.NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Write tables of these pictures and of lines of 2622 people, a tenth of which share another line's picture."""
    num, num_lines = len(hashes), round(len(hashes) * 2.6 / 2.4)
    keys = to_column(rng.integers(0, 256, (num, 16), dtype=np.uint8))
    urls = pa.array([f"http://h{number % 120_000}.test/{number}.jpg" for number in range(num)])
    words = {"digest": to_column(digests), "dhash": to_column(hashes)}
    sides = {name: pa.array(rng.integers(200, 2000, num), pa.int32()) for name in ("width", "height")}
    images = pa.table({"key": keys, "url": urls, **words, **sides})
    pq.write_table(images.cast(pa.schema([ATTEMPTS.field(name) for name in images.column_names])), folder / "images")
    claimed = np.r_[np.arange(num), rng.integers(0, num, num_lines - num)]
    people = claimed * _NUM_PEOPLE // num
    people[num:] = rng.integers(0, _NUM_PEOPLE, num_lines - num)
    corner = rng.uniform(0, 100, (num_lines, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(40, 100, (num_lines, 1))], axis=1).astype(np.float32)
    empty = {name: pa.nulls(num_lines, LINK_LINES.field(name).type) for name in LINK_LINES.names[5:]}
    lines = {
        "identity": pc.binary_join_element_wise("Person", pa.array(people).cast(pa.string()), "_").dictionary_encode(),
        "line": pa.array(np.arange(num_lines), pa.int32()),
        "url": urls.take(pa.array(claimed)),
        "key": keys.take(pa.array(claimed)),
        "box_xyxy": pa.FixedSizeListArray.from_arrays(boxes.ravel(), 4),
        **empty,
    }
    pq.write_table(pa.table(lines).cast(LINK_LINES), folder / "lines")


def by_imagededup(folder: Path, program: Path, hashes: Hashes) -> list[dict[str, Any]]:
    """Near pairs of 64 bits of these hashes by both search methods of imagededup, and by facemill."""
    # It strips leading zeros before comparing, so the first bit is set in all hashes.
    short = hashes[:, :8] | np.array([128, 0, 0, 0, 0, 0, 0, 0], np.uint8)
    (folder / "words").write_text("\n".join(bytes(row).hex() for row in short))
    words = short.view(np.uint64)
    wanted = np.argwhere(np.triu(np.bitwise_count(words ^ words.T) <= _SHORT_DISTANCE, 1))
    rows = []
    for method in ("bktree", "brute_force_cython"):
        script = Path(__file__).parent / "imagededup_search.py"
        command = [str(program), str(script), str(folder / "words"), str(_SHORT_DISTANCE), method]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        rows.append({"contender": f"imagededup {method}", **found, "right": sorted(found["pairs"]) == wanted.tolist()})
        del rows[-1]["pairs"]
    started, before = time.monotonic(), time.process_time()
    clusters = near_clusters(np.concatenate([short, np.zeros_like(short)], axis=1), _SHORT_DISTANCE)
    used = {"seconds": time.monotonic() - started, "cpu_s": time.process_time() - before}
    is_right = np.array_equal(clusters, connected(len(short), wanted))
    return [*rows, {"contender": "facemill", **used, "right": bool(is_right)}]


def by_chance(rng: np.random.Generator) -> dict[int, int]:
    """The number of generated hashes without copies that are in a cluster, by the minimum number of set bits."""
    hashes = made_hashes(_NUM_UNLIKE, rng)
    num_set = np.bitwise_count(hashes).sum(axis=1)
    found = {}
    for least in (1, 8, 16, DedupeRules().least_bits):
        sizes = np.bincount(near_clusters(hashes[num_set >= least], _DISTANCE))
        found[least] = int(sizes[sizes > 1].sum())
    return found


def show(name: str, num: int, usage: Usage) -> dict[str, Any]:
    """Print the cost of a step, and whether it is within the limits."""
    # Single thread: on an idle machine wall time equals CPU time.
    is_met = usage.cpu_s <= _MAX_SECONDS and usage.rss_bytes <= _MAX_BYTES
    print(
        f"{name:22}{num:>10,}{usage.wall_s:9.1f} s{usage.cpu_s:9.1f} CPU-s{usage.rss_bytes / 1e6:9,.0f} MB   "
        f"at most {_MAX_SECONDS:.0f} CPU-s and {_MAX_BYTES / 1e6:,.0f} MB: {'yes' if is_met else 'NO'}",
        flush=True,
    )
    return {"step": name, "num": num, **asdict(usage)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=2_400_000)
    parser.add_argument("--environment", type=Path, help="folder of imagededup's environment")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    hashes, digests, planted = draw_pictures(options.num, rng)
    photos, made = photo_hashes(), f"{agreement(hashes[:3000]):.0f} in made hashes"
    known = f"{agreement(photos):.0f} in {len(photos)} photos, " if photos is not None else ""
    print(f"two hashes agree in two neighbouring bytes so many times as often as by chance: {known}{made}")
    found: dict[str, Any] = {"steps": []}
    with tempfile.TemporaryDirectory(prefix="facemill-bench-") as name:
        folder = Path(name)
        clusters, usage = clustered(folder, hashes)
        found["steps"].append(show("near", len(hashes), usage))
        found["missed"], found["near pairs"] = num_missed(hashes, clusters, planted, rng)
        print(f"missed: {found['missed']} of {found['near pairs']:,} near pairs", flush=True)
        for kind in (heap, alike):
            made_of = kind(_NUM_ODD, rng)
            clusters, usage = clustered(folder, made_of)
            found["steps"].append(show(kind.__name__, len(made_of), usage))
        write_tables(folder, hashes, digests, rng)
        usage = _run(folder, "dedupe", "lines", "images", "verdicts")
        reasons = pq.read_table(folder / "verdicts")["reason"].cast(pa.string())
        found["steps"].append(show("dedupe, whole lines", len(reasons), usage))
        found["reasons"] = {str(one["values"]): one["counts"] for one in pc.value_counts(reasons).to_pylist()}
        print(", ".join(f"{reason} {num:,}" for reason, num in found["reasons"].items()))
        print(f"the same in another order: {same_in_another_order(hashes[:_NUM_ODD], rng)}")
        found["by chance"] = by_chance(np.random.default_rng(1))
        print(f"by chance, of {_NUM_UNLIKE:,}, by the bits that must be set: {found['by chance']}", flush=True)
        program = environment_with(options.environment or folder / "imagededup", "imagededup", [_IMAGEDEDUP]) / "python"
        found["10,000"] = by_imagededup(folder, program, hashes[:_NUM_COMPARED])
    for row in found["10,000"]:
        cost = f"{row['seconds']:9.2f} s{row['cpu_s']:9.2f} CPU-s"
        print(f"{row['contender']:32}{cost}   all near pairs and no other: {row['right']}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
