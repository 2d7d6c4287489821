"""Cost and correctness of the whole pipeline on a dataset with ground truth.

    python -m bench.graded                       ../shared/data/replay next to the repository
    python -m bench.graded --world FOLDER        a synthetic dataset of 100 people with 200 links each, generated there
                                                 if needed: takes 8 minutes of CPU time; less with --people and --links
    python -m bench.graded --keep FOLDER         keep the lake in this folder
    python -m bench.graded --json FILE

`bench.road` runs the pipeline with a user's commands, all links served from loopback, and finally a takedown. Before
the takedown the lake is compared with the ground truth:

fetch      available pictures that are missing, and pictures that are present but must not be
copies     by distance: of the pairs of accepted URLs with different bytes, the recall and precision of detected
           copies
versions   samples that should not be in them, and whether each link line has a outcome (`bench.grades`)
cleaning   of the mislabelled faces, how many are dropped, and how many correct faces with them

The people of a synthetic dataset are drawn, and so similar to each other; realistic precision is that of the replay
dataset. The cleaning model is fitted to the dataset's own faces, as for a user without others; `bench.clean`
evaluates one that is fitted to other faces.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bench.grades import Truth, grade_cleaning, grade_fetch, grade_version
from bench.road import METHODS, REPLAY, SOURCE, Road, add_world_options, go_the_road, make_asked_world, take_down
from storage.files.lake import Lake
from tasks.dataset.dedupe import DedupeRules, dedupe
from tasks.dataset.find_duplicates import verdicts_now
from tasks.dataset.source_tables import planned_lines
from tasks.fetch.ledger import accepted, read_ledger

_DISTANCES = range(2, 11)
_FIT_ON = "faces-mtcnn"

Ints = npt.NDArray[np.int64]


def grade_copies(lake: Lake, truth: Truth) -> list[dict[str, Any]]:
    """One row per distance, and one for the chosen distance with all hashes."""
    columns = ["key", "url", "outcome", "digest", "dhash", "width", "height"]
    images = accepted(read_ledger(lake, SOURCE, columns))
    lines = planned_lines(lake, SOURCE)
    lines = lines.filter(pc.is_in(lines["key"], value_set=images["key"].combine_chunks()))
    shown = _numbers(pa.chunked_array([[truth.picture(url) for url in images["url"].to_pylist()]]))
    rules = [DedupeRules(near_distance=distance) for distance in _DISTANCES]
    return [_row_of(one, lines, images, shown) for one in [*rules, DedupeRules(least_bits=1)]]


def _row_of(rules: DedupeRules, lines: pa.Table, images: pa.Table, truth: Ints) -> dict[str, Any]:
    """Recall and precision over pairs of pictures with different bytes."""
    verdicts = dedupe(lines, images, rules)
    at = pc.index_in(images["key"], value_set=verdicts["key"].combine_chunks())
    clusters = _numbers(verdicts["cluster"].take(at))
    same = _num_pairs(_numbers(images["digest"]))
    copies, found, right = (_num_pairs(*labels) - same for labels in ((truth,), (clusters,), (clusters, truth)))
    return {
        "distance": rules.near_distance,
        "least bits": rules.least_bits,
        "found": found,
        "wrong": found - right,
        "recall": round(right / copies, 4) if copies else None,
        "precision": round(right / found, 4) if found else None,
    }


def _num_pairs(*labels: Ints) -> int:
    """The number of pairs that agree in all these labels."""
    _, counts = np.unique(np.stack(labels), axis=1, return_counts=True)
    return int((counts * (counts - 1) // 2).sum())


def _numbers(column: pa.ChunkedArray) -> Ints:
    numbers: Ints = column.combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    return numbers


def verdict_counts(lake: Lake) -> dict[str, int]:
    """Counts of deduplication results at the chosen distance."""
    reasons = pc.value_counts(verdicts_now(lake, SOURCE)["reason"].cast(pa.string()))
    return {one["values"] or "accepted": one["counts"] for one in reasons.to_pylist()}


def show_rows(rows: list[dict[str, Any]]) -> None:
    """Print the rows as a table."""
    print("".join(f"{name:>12}" for name in rows[0]))
    for row in rows:
        print("".join(f"{value!s:>12}" for value in row.values()))


def show(title: str, found: dict[str, Any]) -> None:
    """Print one result per line."""
    print(f"\n{title}")
    for name, value in found.items():
        print(f"  {name:<44}{value}")


def grade(world: Path, folder: Path) -> dict[str, Any]:
    """Run the pipeline on a dataset, and evaluate the results; `folder` gets the lake and all exports."""
    truth, road = Truth.of(world), Road(folder, Lake(folder / "lake"))
    go_the_road(road, world, _FIT_ON)
    found: dict[str, Any] = {"fetch": grade_fetch(road.lake, SOURCE, truth), "copies": grade_copies(road.lake, truth)}
    show("fetch", found["fetch"])
    print("\ncopies")
    show_rows(found["copies"])
    print(verdict_counts(road.lake))
    for method in METHODS:
        plain, cleaned = (road.version(method, dataset) for dataset in ("faces", "cleaned"))
        found[plain.name] = grade_version(plain, truth)
        found[cleaned.name] = grade_cleaning(plain, cleaned, truth)
        show(str(plain), found[plain.name])
        show(f"{cleaned}, wrong people", found[cleaned.name])
    print()
    found["taken down"] = take_down(road)
    show("taken down", found["taken down"])
    for method in METHODS:
        found[f"{method}, anew"] = grade_version(road.version(method), truth)
        show(f"{road.version(method)}, after the takedown", found[f"{method}, anew"])
    found["steps"] = [[step.name, step.usage.cpu_s, step.usage.rss_bytes, step.came] for step in road.steps]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_world_options(parser, 100)
    parser.add_argument("--keep", type=Path, help="keep the lake and the exports in this folder")
    options = parser.parse_args()
    if options.world:
        make_asked_world(options)
    with tempfile.TemporaryDirectory(prefix="facemill-bench-") as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        found = grade(options.world or REPLAY, folder)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
