"""Requests to the store of a lake in a bucket: ingest, retry, crop and publish of a synthetic dataset by both methods.

    python -m bench.bucket                 100 people with 40 links each: 4 minutes of CPU time
    python -m bench.bucket --people 200 --links 100
    python -m bench.bucket --json FILE

The store is moto's server on loopback, and the dataset is served from loopback too. The commands run twice, each time
in an empty lake: for half of the people and for all of them. What a command asks whatever the number of pictures, and
what it asks for each further picture, follow from the two: `fixed` and `slope`. A picture is an accepted one.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.counted_store import BUCKET, KINDS, Asked, Counts, counted_store
from bench.road import Road, add_world_options, make_asked_world, played
from storage.files.lake import Lake

_COMMANDS = ("ingest", "retry", "crop", "publish")


@dataclass(frozen=True, slots=True)
class Run:
    """The commands on one lake: the number of accepted pictures, and the requests of each command."""

    pictures: int
    asked: dict[str, Counter[Asked]]

    def by_command(self, command: str) -> Counter[str]:
        """The requests of a command by kind."""
        return _summed(self.asked[command], "kind")

    def by_folder(self) -> dict[str, Counter[str]]:
        """The requests of all commands by folder, and of each by kind."""
        every = sum(self.asked.values(), Counter[Asked]())
        folders = sorted({one.folder for one in every})
        found = {
            folder: _summed({one: num for one, num in every.items() if one.folder == folder}, "kind")
            for folder in folders
        }
        return dict(sorted(found.items(), key=lambda item: -item[1].total()))


def _summed(counts: dict[Asked, int], field: str) -> Counter[str]:
    summed: Counter[str] = Counter()
    for one, num in counts.items():
        summed[getattr(one, field)] += num
    return summed


def run(folder: Path, num_people: int, web: Sequence[str], counts: Counts) -> Run:
    """Run the commands in an empty lake for the first people of the dataset."""
    folder.mkdir(parents=True)
    road, found, pictures = Road(folder, Lake(f"s3://{BUCKET}/{folder.name}")), {}, 0
    counts.take()
    for command in _COMMANDS:
        selected = ["--identities", str(num_people)] if command == "ingest" else []
        told = road.go(command, *selected, *(web if command in {"ingest", "retry"} else ()))
        pictures += told["accepted"] if command in {"ingest", "retry"} else 0
        found[command] = counts.take()
        print(f"{folder.name}: {road.steps[-1].name}, {road.steps[-1].usage.cpu_s:.1f} CPU-s", flush=True)
    return Run(pictures, found)


def rows(small: Run, large: Run, parts: Iterable[tuple[str, Counter[str], Counter[str]]]) -> list[dict[str, Any]]:
    """A row for each part, with its requests in the smaller and in the larger run; the last one for all of them."""
    found, less, more = [], Counter[str](), Counter[str]()
    for name, *counts in parts:
        found.append(_row(name, small, large, *counts))
        less, more = less + counts[0], more + counts[1]
    return [*found, _row("all", small, large, less, more)]


def _row(name: str, small: Run, large: Run, less: Counter[str], more: Counter[str]) -> dict[str, Any]:
    slope = (more.total() - less.total()) / max(large.pictures - small.pictures, 1)
    return {
        "of": name,
        **{kind: more[kind] for kind in KINDS},
        "all": more.total(),
        "a picture": round(more.total() / large.pictures, 3),
        "slope": round(slope, 3),
        "fixed": round(more.total() - slope * large.pictures),
    }


def show(title: str, found: list[dict[str, Any]]) -> None:
    """Print the rows as a table."""
    print(f"\n{title:<14}" + "".join(f"{name:>10}" for name in found[0] if name != "of"))
    for row in found:
        print(f"{row['of']:<14}" + "".join(f"{value!s:>10}" for name, value in row.items() if name != "of"))


def compare(small: Run, large: Run) -> dict[str, Any]:
    """The requests of two runs by command and by folder."""
    commands = [(one, small.by_command(one), large.by_command(one)) for one in _COMMANDS]
    less, more = small.by_folder(), large.by_folder()
    folders = [(one, less.get(one, Counter()), more[one]) for one in more]
    return {
        "pictures": [small.pictures, large.pictures],
        "commands": rows(small, large, commands),
        "folders": rows(small, large, folders),
    }


def measure(world: Path, folder: Path, num_people: int) -> dict[str, Any]:
    """Run the commands on half of a dataset and on all of it; `folder` gets what they write on this machine."""
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    with counted_store() as (variables, counts), played(world) as web:
        os.environ.update(variables)
        import s3fs  # noqa: PLC0415 - a client looks at the environment when it is made

        s3fs.S3FileSystem().mkdir(BUCKET)
        return compare(*(run(folder / f"of-{num}", num, web, counts) for num in (num_people // 2, num_people)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_world_options(parser, 100, num_links=40)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="facemill-bench-") as temporary:
        options.world = options.world or Path(temporary) / "world"
        make_asked_world(options)
        found = measure(options.world, Path(temporary), options.people)
    print(f"\n{found['pictures'][1]:,} pictures; of the smaller run {found['pictures'][0]:,}")
    show("command", found["commands"])
    show("folder", found["folders"])
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
