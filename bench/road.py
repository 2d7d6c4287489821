"""The pipeline as run by a user, command by command, on a dataset served from loopback: cost and output of each step.

Pipeline, retry of due links, publish twice, clean, publish without mislabelled faces, diff, report, export, check; then
the takedown of a person, followed by a search for the person's data in every file of the lake.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from bench.usage import Usage, measured
from storage.files.lake import Lake
from storage.tables.shards import read_member
from storage.versions.datasets import DatasetVersion, open_dataset
from synthetic.origin import serving
from synthetic.world import make_world
from tasks.fetch.ledger import accepted, read_ledger

SOURCE = "vggface1"
METHODS = ("bbox", "mtcnn")
REPLAY = Path(__file__).parents[2] / "shared" / "data" / "replay"
_FACEMILL = [sys.executable, "-c", "from flows.cli.app import main; main()"]
# Environment of the commands; a dataset has hosts that never respond.
LIMITS = {"FACEMILL_SILENCE_S": "5", "FACEMILL_TOTAL_S": "20"}
# The number of taken-down pictures and crops searched byte by byte.
_SOUGHT = 12


@dataclass(frozen=True, slots=True)
class Step:
    """One command: its cost, and a short result."""

    name: str
    usage: Usage
    came: str

    def __str__(self) -> str:
        return f"{self.name:<34}{self.usage.cpu_s:>8.1f} {self.usage.rss_bytes / 1e6:>7,.0f}  {self.came}"


@dataclass
class Road:
    """A lake in the pipeline. Dataset versions are named `<dataset>-<method>`."""

    folder: Path
    lake: Lake
    steps: list[Step] = field(default_factory=list)

    def go(self, *command: str) -> Any:
        """Run a command to its end, and return its result.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        env = os.environ | LIMITS | {"PREFECT_HOME": str(self.folder / "prefect"), "FACEMILL_LAKE": self.lake.url}
        answer, log = self.folder / "answer.json", self.folder / "log"
        usage = measured([*_FACEMILL, *command, "--json"], log, env, answer=answer)
        self.steps.append(Step(" ".join(word for word in command[:2] if not word.startswith("-")), usage, ""))
        return json.loads(answer.read_text())

    def tell(self, came: str, name: str = "") -> None:
        """Set the result of the last step, and print it."""
        last = self.steps.pop()
        self.steps.append(Step(name or last.name, last.usage, came))
        print(self.steps[-1], flush=True)

    def version(self, method: str, dataset: str = "faces") -> DatasetVersion:
        """The newest version of a method."""
        return open_dataset(self.lake, f"{dataset}-{method}")


def add_world_options(parser: argparse.ArgumentParser, num_people: int, num_links: int = 200) -> None:
    """Options of the dataset and the output."""
    parser.add_argument("--world", type=Path, help="folder of the synthetic dataset")
    parser.add_argument("--people", type=int, default=num_people)
    parser.add_argument("--links", type=int, default=num_links, help="links per person")
    parser.add_argument("--json", type=Path, help="write the results to this file")


def make_asked_world(options: argparse.Namespace) -> None:
    """Generate the dataset of the options with a fixed seed, unless it exists."""
    make_world(options.world, num_identities=options.people, per_identity=options.links, seed=7)


def print_head() -> None:
    """Print the header of the step table."""
    print(f"{'step':<34}{'CPU s':>8} {'peak MB':>7}  what came of it")


@contextmanager
def played(world: Path) -> Iterator[tuple[str, ...]]:
    """Serve a dataset on loopback; yields the command options to use it."""
    with serving(world) as origin:
        yield ("--links", str(world / "links"), "--connect-to", f"127.0.0.1:{origin.port}")


def go_the_road(road: Road, world: Path, fit_on: str) -> None:
    """Run all steps up to the check of the lake. `fit_on` is the dataset version the cleaning model is fitted to."""
    print_head()
    with played(world) as web:
        _fetch_crop_publish_train(road, web)
    _publish_again(road)
    _clean(road, fit_on)
    for method in METHODS:
        _compare(road, method)
        page = Path(road.go("report", f"faces-{method}")["report"])
        road.tell(f"{page.stat().st_size / 1e6:.2f} MB", f"report faces-{method}")
    for form in ("imagefolder", "hf-parquet"):
        told = road.go("export", "faces-mtcnn", str(road.folder / form), "--to", form)
        road.tell(f"{told['samples']:,} faces of {told['identities']} people", f"export --to {form}")
    _check(road)


def _fetch_crop_publish_train(road: Road, web: tuple[str, ...]) -> None:
    done = road.go("pipeline", *web)
    fetched, model = done["ingest"], done["train"]
    num_accepted = fetched["accepted"] + done["retry"]["accepted"]
    faces = ", ".join(f"{one['samples']:,} by {one['dataset'].split('-')[-1]}" for one in done["publish"])
    road.tell(
        f"{fetched['lines']:,} lines, {fetched['asked']:,} asked, {num_accepted:,} accepted; "
        f"samples: {faces}; AUC {model['auc']:.3f}, untrained {model['untrained_auc']:.3f}"
    )
    again = road.go("retry", "--now", *web)
    road.tell(f"{again['asked']:,} asked, {again['accepted']:,} accepted", "retry --now")
    done = road.go("pipeline", *web)
    road.tell(
        f"{done['ingest']['asked']:,} asked, {done['crop']['detected']:,} pictures searched, "
        f"{sum(one['is_new'] for one in done['publish'])} new versions",
        "pipeline again",
    )


def _publish_again(road: Road) -> None:
    before = _files(road.lake)
    published = road.go("publish")
    written = len(_files(road.lake).items() - before.items())
    road.tell(f"{sum(one['is_new'] for one in published)} new versions, {written} files written", "publish again")


def _clean(road: Road, fit_on: str) -> None:
    cleaned = road.go("clean", "--fit-on", fit_on)
    doubts = ", ".join(f"{one['wrong_person']:,} of {one['faces']:,} by {one['method']}" for one in cleaned)
    same = sum(len(one["same_person"]) for one in cleaned)
    road.tell(f"somebody else: {doubts}; {same} pairs of names are one person", f"clean --fit-on {fit_on}")
    published = road.go("publish", "--cleaned-by", "histograms", "--dataset", "cleaned")
    faces = ", ".join(f"{one['samples']:,} of {one['identities']} people" for one in published)
    road.tell(f"samples: {faces}", "publish --cleaned-by histograms")


def _compare(road: Road, method: str) -> None:
    names = f"faces-{method}", f"cleaned-{method}"
    found = road.go("diff", *names)
    changes = "; ".join(f"{change} {reasons}" for change, reasons in found["changes"].items() if reasons)
    road.tell(f"{found['kept']:,} kept; {changes}", "diff {} {}".format(*names))


def _check(road: Road) -> None:
    found = road.go("check")
    road.tell(f"{found['parts']:,} parts, {len(found['findings'])} findings", "check")


def take_down(road: Road) -> dict[str, Any]:
    """Take down a person, a link and a picture, purge the lake, and search for their data.

    Returns:
        The number of their samples, and how many are found afterwards.
    """
    version = road.version("mtcnn")
    samples = version.index(["identity", "url", "image_digest", "shard", "offset", "length"])
    person, *others = sorted(set(samples["identity"].to_pylist()))
    rest = samples.filter(pc.equal(samples["identity"], others[-1])).to_pylist()
    url, digest = rest[0]["url"], rest[-1]["image_digest"]
    theirs = [row for row in samples.to_pylist() if _is_theirs(row, person, url, digest)][: _SOUGHT // 2]
    sought = _pictures(road.lake, [digest, *(row["image_digest"] for row in theirs)])
    sought += [version.read(row["shard"], row["offset"], row["length"]) for row in theirs]
    asked = ("--identity", person, "--url", url, "--digest", digest.hex())
    told = road.go("forget", *asked)
    road.tell(f"recorded; samples covered: {sum(told['samples'].values()):,} in {len(told['samples'])} versions")
    still_listed = sum(_is_theirs(row, person, url, digest) for row in road.version("mtcnn").index().to_pylist())
    purged = road.go("forget", "--purge")["purged"]
    road.tell(
        f"{purged['pictures']:,} pictures gone, {len(purged['datasets'])} dataset versions redacted, "
        f"{len(purged['models'])} model versions named",
        "forget --purge",
    )
    _check(road)
    road.go("crop")
    road.tell("", "crop")
    published = road.go("publish")
    road.tell(", ".join(f"{one['samples']:,} of {one['identities']} people" for one in published), "publish")
    return {
        "samples covered": sum(told["samples"].values()),
        "still listed before the purge": still_listed,
        "pictures and crops looked for": len(sought),
        "of them found in the lake": sum(_is_in(road.lake, data) for data in sought),
        "samples of theirs published anew": sum(
            _is_theirs(row, person, url, digest)
            for method in METHODS
            for row in road.version(method).index().to_pylist()
        ),
    }


def _is_theirs(row: dict[str, Any], person: str, url: str, digest: bytes) -> bool:
    return row["identity"] == person or row["url"] == url or row["image_digest"] == digest


def _pictures(lake: Lake, digests: list[bytes]) -> list[bytes]:
    """The bytes of these pictures in the lake, each once."""
    ledger = accepted(read_ledger(lake, SOURCE, ["key", "outcome", "digest", "shard", "offset", "length"])).to_pylist()
    held = {row["digest"]: row for row in ledger}
    return [
        read_member(lake, f"{lake.images(SOURCE, row['shard'])}.tar", row["offset"], row["length"])
        for row in (held[digest] for digest in dict.fromkeys(digests))
    ]


def _is_in(lake: Lake, data: bytes) -> bool:
    """Whether any file of the lake contains these bytes."""
    return any(data in path.read_bytes() for path in Path(lake.root).rglob("*") if path.is_file())


def _files(lake: Lake) -> dict[str, int]:
    """Modification time of each file of the lake, without the work folder."""
    root = Path(lake.root)
    paths = (path for path in root.rglob("*") if path.is_file() and "work" not in path.relative_to(root).parts)
    return {str(path): path.stat().st_mtime_ns for path in paths}
