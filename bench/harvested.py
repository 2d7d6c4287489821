"""Correctness of fetching: everything available, nothing else, one row per URL, no link beyond its time limit.

    python -m bench.harvested                    ../shared/data/replay next to the repository
    python -m bench.harvested --world FOLDER     a synthetic dataset of 200 people with 200 links each, generated there
                                                 if needed: takes 16 minutes of CPU time; less with --people and --links
    python -m bench.harvested --json FILE

`facemill ingest`, then `facemill retry --now` until a round brings nothing new, with commands run as in `bench.road`.
A valid but worthless picture, such as a "not available" picture served by many hosts, is accepted here and left for
`publish` to detect. It is counted separately from other bad pictures: its bytes are served at five URLs or more.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from bench.grades import Truth, grade_fetch
from bench.road import LIMITS, REPLAY, SOURCE, Road, add_world_options, make_asked_world, played, print_head
from storage.files.lake import Lake
from tasks.fetch.fetch_unit import LONGEST_PAUSE_S
from tasks.fetch.ledger import accepted, read_ledger
from tasks.web.limits import FetchLimits

_MOST_ROUNDS = 4
_URLS_OF_A_PLACEHOLDER = 5


def fetch(road: Road, world: Path) -> None:
    """Fetch all links, and retry until a round brings nothing new."""
    print_head()
    with played(world) as web:
        commands = [("ingest",), *[("retry", "--now")] * _MOST_ROUNDS]
        for command in commands:
            came = road.go(*command, *web)
            wall_s = road.steps[-1].usage.wall_s
            road.tell(f"{came['asked']:,} asked, {came['accepted']:,} accepted in {wall_s:.0f} s", " ".join(command))
            if not came["accepted"]:
                return


def grade(lake: Lake, truth: Truth) -> dict[str, Any]:
    """Compare the lake with the ground truth, and find the longest round of a link."""
    ledger = read_ledger(lake, SOURCE, ["key", "url", "outcome", "latency_s"])
    bodies = Counter(one.body for one in truth.responses.values() if one.body)
    unwanted = [url for url in accepted(ledger)["url"].to_pylist() if truth.responses[url].expect == "rejected"]
    num_placeholders = sum(bodies[truth.responses[url].body] >= _URLS_OF_A_PLACEHOLDER for url in unwanted)
    found = grade_fetch(lake, SOURCE, truth)
    return {
        **found,
        "accepted": len(accepted(ledger)),
        "other bad ones let in": len(unwanted) - num_placeholders,
        "placeholders, for publish to find": num_placeholders,
        "URLs without a row": found["urls"] - len(set(ledger["url"].to_pylist())),
        "longest round of a link, s": round(float(np.max(ledger["latency_s"].to_numpy())), 1),
    }


def longest_round_s() -> float:
    """The time limit of a link per round: two requests and the pause between them, without queueing."""
    return 2 * FetchLimits(total_s=float(LIMITS["FACEMILL_TOTAL_S"])).longest_get_s + LONGEST_PAUSE_S


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_world_options(parser, 200)
    options = parser.parse_args()
    world = options.world or REPLAY
    if options.world and not world.exists():
        make_asked_world(options)
    with tempfile.TemporaryDirectory(prefix="facemill-bench-") as folder:
        road = Road(Path(folder), Lake(Path(folder) / "lake"))
        fetch(road, world)
        found = grade(road.lake, Truth.of(world)) | {"at most, by its limits, s": longest_round_s()}
    for name, value in found.items():
        print(f"  {name:<44}{value:,}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
