"""How well are copies told from other pictures, and does the split hold? Graded by the truth of a world.

    python -m bench.graded                       ../shared/data/replay beside the repository
    python -m bench.graded --world FOLDER        a made world of 100 people with 200 links each, made there if need be:
                                                 drawing takes 8 minutes of CPU time; --people and --links make it less
    python -m bench.graded --json FILE

The world is fetched from loopback as `facemill ingest` and one `retry` do. By distance: of the pairs of accepted URLs
whose pictures are not the same byte for byte, how many are found among those that are copies by the world's truth
(recall), and how many of the found ones are (precision). Then the verdicts at the chosen distance, and the split of
what is left, each surviving line a sample of its listed box: what the truth says stands on two sides, and what
`tasks.leaks` counts. A made world's people are drawn, and so alike; real precision is that of the replay.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from storage.lake import Lake
from storage.records import FACES, Outcome
from storage.tables import read_table, write_table
from tasks.catalog import planned_lines, read_verdicts
from tasks.dedupe import DedupeRules, dedupe
from tasks.fetch import fetch_unit, to_pending
from tasks.leaks import count_leaks
from tasks.ledger import Choice, accepted, chosen, image_stems, pending_again, pending_new, read_ledger
from tasks.links import collect_links
from tasks.plan import plan
from tasks.publish import Request, decide
from tasks.select import SelectRules
from tasks.sources import source_named
from tasks.sources.synthetic.origin import Origin
from tasks.sources.synthetic.responses import Response, read_responses
from tasks.sources.synthetic.world import make_world
from tasks.web.http import ConnectTo, FetchLimits, open_web

_REPLAY = Path(__file__).parents[1].parent / "shared" / "data" / "replay"
_SOURCE, _METHOD = "vggface1", "bbox"
_DISTANCES = range(2, 11)
_LIMITS = FetchLimits(silence_s=5, total_s=20, grace_s=1.5)
_IN_FLIGHT = 64

Ints = npt.NDArray[np.int64]


async def fetched(world: Path, lake: Lake) -> None:
    """Ask for every link of the world, and once more for what failed and may yet come."""
    await collect_links(lake, source_named(_SOURCE), str(world / "links"))
    candidates = plan(read_table(lake, lake.links(_SOURCE, "lines.parquet")))
    write_table(lake, lake.plan(_SOURCE), candidates)
    async with Origin(world) as origin, open_web(_LIMITS, connect_to=ConnectTo("127.0.0.1", origin.port)) as web:
        first = pending_new(candidates, read_ledger(lake, _SOURCE))
        await fetch_unit(lake, _SOURCE, 0, to_pending(first), web, in_flight=_IN_FLIGHT)
        due = chosen(read_ledger(lake, _SOURCE), Choice(), datetime.now(UTC) + timedelta(days=400))
        again = pending_again(candidates, due)
        await fetch_unit(lake, _SOURCE, 0, to_pending(again), web, in_flight=_IN_FLIGHT)


def originals(truth: dict[str, Response], urls: list[str]) -> Ints:
    """For each URL the number of the picture that it shows, copied or not: equal bodies are one, too."""

    def first(url: str) -> str:
        while truth[url].same_as:
            url = truth[url].same_as
        return truth[url].body or url

    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(first(url), len(numbers)) for url in urls], np.int64)


def num_pairs(*labels: Ints) -> int:
    """The pairs that agree in all these labels."""
    _, counts = np.unique(np.stack(labels), axis=1, return_counts=True)
    return int((counts * (counts - 1) // 2).sum())


def row_of(rules: DedupeRules, lines: pa.Table, images: pa.Table, truth: Ints) -> dict[str, Any]:
    """Recall and precision over pairs of pictures that are not the same bytes."""
    verdicts = dedupe(lines, images, rules)
    at = pc.index_in(images["key"], value_set=verdicts["key"].combine_chunks())
    clusters = _numbers(verdicts["cluster"].take(at))
    same = num_pairs(_numbers(images["digest"]))
    copies, found, right = (num_pairs(*labels) - same for labels in ((truth,), (clusters,), (clusters, truth)))
    return {
        "distance": rules.near_distance,
        "least bits": rules.least_bits,
        "found": found,
        "wrong": found - right,
        "recall": round(right / copies, 4) if copies else None,
        "precision": round(right / found, 4) if found else None,
    }


def _numbers(column: pa.ChunkedArray) -> Ints:
    numbers: Ints = column.combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    return numbers


def write_faces(lake: Lake, lines: pa.Table) -> None:
    """A face for every line whose picture was accepted: its listed box, and no crop."""
    digests = accepted(read_ledger(lake, _SOURCE, ["key", "outcome", "digest"]))
    lines = lines.filter(pc.is_in(lines["key"], value_set=digests["key"].combine_chunks()))
    picture = digests["digest"].take(pc.index_in(lines["key"], value_set=digests["key"].combine_chunks()))
    num = len(lines)
    names = pc.binary_join_element_wise(lines["identity"].cast(pa.string()), lines["line"].cast(pa.string()), "/")
    values: dict[str, Any] = {
        **{name: lines[name] for name in ("identity", "line", "key")},
        **{"image_digest": picture, "outcome": pa.array([Outcome.ACCEPTED.value] * num)},
        **{"source_box_xyxy": lines["box_xyxy"], "face_box_xyxy": lines["box_xyxy"]},
        "crop_digest": pa.array([name.encode().ljust(32)[:32] for name in names.to_pylist()], pa.binary(32)),
        **{name: np.ones(num) for name in ("num_faces", "agreement", "score", "width", "height", "offset", "length")},
        **{"face_px": np.full(num, 100.0), "border": np.zeros(num)},
    }
    columns = [values[name] if name in values else pa.nulls(num, FACES.field(name).type) for name in FACES.names]
    stem = image_stems(lake, _SOURCE)[0]
    write_table(lake, f"{lake.faces(_METHOD, _SOURCE, stem)}.parquet", pa.table(columns, FACES.names).cast(FACES))


def grade_split(lake: Lake, truth: dict[str, Response]) -> dict[str, Any]:
    """What is decided on the lake, held against the truth."""
    content = decide(lake, Request("graded", _SOURCE, _METHOD, SelectRules(min_face_px=1, max_border=1.0)))
    samples = content.samples
    shown = originals(truth, samples["url"].to_pylist())
    sides = dict[int, set[str]]()
    for picture, split in zip(shown.tolist(), samples["split"].to_pylist(), strict=True):
        sides.setdefault(picture, set()).add(split)
    expects = Counter(truth[url].expect for url in samples["url"].to_pylist())
    claims = Counter(zip(samples["identity"].to_pylist(), shown.tolist(), strict=True))
    return {
        "samples": len(samples),
        "by what was expected": dict(expects),
        "more than one sample of a picture and person": sum(num > 1 for num in claims.values()),
        "pictures on two sides, by the truth": sum(len(one) > 1 for one in sides.values()),
        "leaks, as counted": count_leaks(samples),
        "people": {split: len(set(_of(samples, split))) for split in ("train", "val", "test")},
        "funnel": [{stage.stage: stage.rejected} for stage in content.funnel.stages],
    }


def _of(samples: pa.Table, split: str) -> list[str]:
    people: list[str] = samples["identity"].filter(pc.equal(samples["split"], split)).to_pylist()
    return people


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", type=Path, help="where the made world is or shall be")
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--links", type=int, default=200, help="of each of the people")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    if options.world:
        make_world(options.world, num_identities=options.people, per_identity=options.links, seed=7)
    world = options.world or _REPLAY
    truth = {one.url: one for one in read_responses(world)}
    with tempfile.TemporaryDirectory(prefix="facemill-bench-") as folder:
        lake = Lake(folder)
        asyncio.run(fetched(world, lake))
        lines, columns = planned_lines(lake, _SOURCE), ["key", "url", "outcome", "digest", "dhash", "width", "height"]
        images = accepted(read_ledger(lake, _SOURCE, columns))
        lines = lines.filter(pc.is_in(lines["key"], value_set=images["key"].combine_chunks()))
        shown = originals(truth, images["url"].to_pylist())
        rules = [DedupeRules(near_distance=distance) for distance in _DISTANCES]
        rows = [row_of(one, lines, images, shown) for one in [*rules, DedupeRules(least_bits=1)]]
        print(f"{world.name}: {len(lines):,} lines on {len(images):,} accepted pictures")
        print("".join(f"{name:>12}" for name in rows[0]))
        for row in rows:
            print("".join(f"{value!s:>12}" for value in row.values()))
        reasons = pc.value_counts(
            read_verdicts(lake, _SOURCE, planned_lines(lake, _SOURCE))["reason"].cast(pa.string())
        )
        print({str(one["values"]): one["counts"] for one in reasons.to_pylist()})
        write_faces(lake, lines)
        found = grade_split(lake, truth)
    for name, value in found.items():
        print(f"{name}: {value}")
    if options.json:
        options.json.write_text(json.dumps({"distances": rows, **found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
