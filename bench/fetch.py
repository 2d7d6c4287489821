"""Cost of fetching, validating and storing a picture: facemill and img2dataset against the same loopback origin.

    python -m bench.fetch                        6000 valid pictures, then 6000 links of which 40% fail
    python -m bench.fetch --keep-alive           the same, with keep-alive where supported
    python -m bench.fetch --memory               facemill's memory for 10,000 and 100,000 links
    python -m bench.fetch --environment FOLDER   keep or reuse img2dataset's environment in this folder

Each contender is a separate process, start-up included, in turn A B C ... A B C ...; the table gives the median of
the rounds. CPU time is that of the process tree, without the origin. Memory is the largest sum over the tree: `rss`
counts shared pages once per process, `pss` once. CPU time on busy cores is up to a third higher than on idle ones:
compare within a run.

- facemill: its stages (`bench.harvest`), all links sent to 127.0.0.1 by connect-to, with as many hosts as a real list
- img2dataset: configured as described in `bench.img2dataset_environment`; it decodes each picture, as facemill does
- bare aiohttp: GETs only, nothing validated or stored, error pages counted: the upper bound
- facemill ingest: the whole command, with reading and planning the link files, Prefect and its server
- img2dataset, unchecked: stores any response, error pages too

By default the origin closes each connection: in a real list of 124,402 hosts a host's links are far apart, so that a
connection is rarely reused, and img2dataset never reuses one. With keep-alive a bare GET takes less than a third of
what decoding a picture strictly enough to detect zeroed blocks takes. `bench.floor` prints the cost of the parts.

Of the 40% that fail, facemill retries transient failures (errors, resets, truncated) once after a second, img2dataset
does not; neither gets a picture from them. `--hang` adds hosts that never respond: img2dataset then takes minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import img2dataset_environment as img2dataset
from bench.harvest import SOURCE
from bench.loopback import origin
from bench.usage import Usage, measured
from storage.files.lake import Lake
from storage.tables.parquet import write_table
from tasks.fetch.ledger import accepted, read_ledger
from tasks.links.plan import plan
from tasks.links.sources import vggface1

PICTURE_BYTES = 58_000
SMALL_PICTURE_BYTES = 3000
# As in VGGFace1: 19 links per host, 1000 lines per person (906 distinct).
_LINKS_PER_HOST = 19
LINES_PER_IDENTITY = 100
# Percentage of failing links by kind.
_FAULTS = {"missing": 18, "error": 6, "reset": 5, "html": 6, "truncated": 5}
_HANGS = {"hang": 2, "drip": 2}
FACEMILL = [sys.executable, "-c", "from flows.cli.app import main; main()"]


@dataclass(frozen=True, slots=True)
class Job:
    """One list of links in the contenders' formats, in a separate folder."""

    folder: Path
    port: int
    num: int

    @property
    def links(self) -> Path:
        """The folder of link files."""
        return self.folder / "links"

    @property
    def urls(self) -> Path:
        """File with one loopback URL per line."""
        return self.folder / "urls.txt"

    def lake(self, *, planned: bool) -> Lake:
        """A new lake, with the plan or empty."""
        lake = Lake(tempfile.mkdtemp(prefix="lake-", dir=self.folder))
        if planned:
            lines = vggface1.read(self.links, None, "the links").lines
            write_table(lake, lake.plan(SOURCE), plan(lines))
        return lake


@dataclass(frozen=True, slots=True)
class Result:
    """One run of one contender."""

    name: str
    num_accepted: int
    usage: Usage


def write_job(folder: Path, port: int, num: int, faults: dict[str, int], lines_each: int = LINES_PER_IDENTITY) -> Job:
    """Write lists of `num` links, `lines_each` a person, with the given percentages of faults, evenly mixed."""
    job = Job(folder, port, num)
    job.links.mkdir(parents=True)
    bad = [kind for kind, share in faults.items() for _ in range(share)]
    # 37 and 100 are coprime: the faults are spread evenly.
    kinds = (bad + ["good"] * (100 - len(bad))) * 2
    paths = [f"/{kinds[37 * number % 100]}/{number}.jpg" for number in range(num)]
    job.urls.write_text("".join(f"http://127.0.0.1:{port}{path}\n" for path in paths))
    num_hosts = max(num // _LINKS_PER_HOST, 1)
    for start in range(0, num, lines_each):
        lines = [
            f"{line:08d} http://h{(start + line) % num_hosts}.test{path} 10.00 10.00 90.00 90.00 3.00 2.00 1\n"
            for line, path in enumerate(paths[start : start + lines_each])
        ]
        (job.links / f"Person_{start // lines_each:05d}.txt").write_text("".join(lines))
    return job


def run_stages(job: Job) -> Result:
    """facemill's stages, without Prefect."""
    lake = job.lake(planned=True)
    usage = _measured(job, [sys.executable, "-m", "bench.harvest", lake.url, str(job.port)])
    return Result("facemill", len(accepted(read_ledger(lake, SOURCE))), usage)


def run_ingest(job: Job) -> Result:
    """`facemill ingest`, as a user runs it."""
    lake = job.lake(planned=False)
    connect_to = f"127.0.0.1:{job.port}"
    usage = _measured(
        job,
        [*FACEMILL, "ingest", "--lake", lake.url, "--links", str(job.links), "--connect-to", connect_to],
        {"PREFECT_HOME": str(job.folder / "prefect")},
    )  # fmt: skip
    return Result("facemill ingest", len(accepted(read_ledger(lake, "vggface1"))), usage)


def run_bare(job: Job) -> Result:
    """aiohttp alone; every complete response with status 200 counts as accepted."""
    usage = _measured(job, [sys.executable, "-m", "bench.bare", str(job.urls)])
    return Result("bare aiohttp", int((job.folder / "log").read_text()), usage)


def run_img2dataset(job: Job, program: Path, *, checked: bool) -> Result:
    """img2dataset with its best settings, with or without decoding."""
    output = Path(tempfile.mkdtemp(prefix="img2dataset-", dir=job.folder))
    command = img2dataset.command(program, job.urls, output, job.num, checked=checked)
    usage = _measured(job, command, img2dataset.quiet_environment(job.folder))
    name = "img2dataset" if checked else "img2dataset, unchecked"
    return Result(name, img2dataset.num_accepted(output), usage)


def _measured(job: Job, command: list[str], env: dict[str, str] | None = None) -> Usage:
    return measured(command, job.folder / "log", {**os.environ, **(env or {})})


def compared(job: Job, contenders: list[Callable[[Job], Result]], rounds: int) -> list[dict[str, Any]]:
    """Run all in turn, `rounds` times; the medians of each as a row."""
    results = [run(job) for _ in range(rounds) for run in contenders]
    names = list(dict.fromkeys(result.name for result in results))
    return [_row([result for result in results if result.name == name]) for name in names]


def _row(runs: list[Result]) -> dict[str, Any]:
    def median(value: Callable[[Result], float]) -> float:
        return statistics.median(map(value, runs))

    return {
        "contender": runs[0].name,
        "accepted": round(median(lambda run: run.num_accepted)),
        "images/s": round(median(lambda run: run.num_accepted / run.usage.wall_s)),
        "CPU-ms/image": round(median(lambda run: 1000 * run.usage.cpu_s / max(run.num_accepted, 1)), 2),
        "rss MB": round(median(lambda run: run.usage.rss_bytes / 1e6)),
        "pss MB": round(median(lambda run: run.usage.pss_bytes / 1e6)),
        "runs": [asdict(run.usage) | {"num_accepted": run.num_accepted} for run in runs],
    }


def ratios(rows: list[dict[str, Any]]) -> list[str]:
    """The ratios of facemill to the others, as text."""
    found = {row["contender"]: row for row in rows}
    ours = found["facemill"]

    def times(value: str, other: str) -> float:
        return float(ours[value] / max(found[other][value], 1e-9))

    words = [f"CPU {times('CPU-ms/image', 'bare aiohttp'):.1f} x bare aiohttp (at most 7)"]
    for other in ("img2dataset", "img2dataset, unchecked"):
        words.append(
            f"{other}: CPU {times('CPU-ms/image', other):.2f} x (at most 0.50), memory {times('rss MB', other):.2f} x "
            f"by rss, {times('pss MB', other):.2f} x by pss (at most 0.33), images/s {times('images/s', other):.2f} x "
            "(at least 1)"
        )
    return words


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print the rows without their single runs."""
    names = [name for name in rows[0] if name != "runs"]
    cells = [names, *([f"{row[name]:,}" if name != "contender" else row[name] for name in names] for row in rows)]
    for line in cells:
        print("".join(f"{cell:>{24 if name == 'contender' else 14}}" for name, cell in zip(names, line, strict=True)))


@contextmanager
def job_of(options: argparse.Namespace, num: int, faults: dict[str, int], num_bytes: int) -> Iterator[Job]:
    """An origin and a list for it, deleted at the end."""
    with (
        tempfile.TemporaryDirectory(prefix="facemill-bench-") as folder,
        origin(num_bytes, close=not options.keep_alive) as port,
    ):
        yield write_job(Path(folder), port, num, faults)


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Compare on both lists; prints a table each."""
    with tempfile.TemporaryDirectory(prefix="facemill-bench-") as folder:
        program = img2dataset.program(options.environment or Path(folder) / "img2dataset")
        contenders: list[Callable[[Job], Result]] = [
            run_stages,
            lambda job: run_img2dataset(job, program, checked=True),
            run_bare,
            run_ingest,
            lambda job: run_img2dataset(job, program, checked=False),
        ]
        found = {}
        for name, faults in {"good": {}, "40% faults": _FAULTS | (_HANGS if options.hang else {})}.items():
            with job_of(options, options.num, faults, PICTURE_BYTES) as job:
                found[name] = rows = compared(job, contenders, options.rounds)
            print(f"\n{options.num:,} links, {name}")
            print_table(rows)
            print("\n".join(ratios(rows)))
    return found


def compare_memory(options: argparse.Namespace) -> dict[str, Any]:
    """facemill's memory for a list of small pictures and for one ten times as long."""
    rows = []
    for num in (10_000, 100_000):
        with job_of(options, num, {}, SMALL_PICTURE_BYTES) as job:
            rows.append({"links": num, **compared(job, [run_stages], 1)[0]})
    print_table(rows)
    return {"memory": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=6000, help="links in a list")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--environment", type=Path, help="folder of img2dataset's environment")
    parser.add_argument("--keep-alive", action="store_true", help="the origin keeps connections open")
    parser.add_argument("--hang", action="store_true", help="another 4%% of the links never respond")
    parser.add_argument("--memory", action="store_true", help="only measure facemill's memory, for two list lengths")
    parser.add_argument("--json", type=Path, help="write all results to this file")
    options = parser.parse_args()
    found = compare_memory(options) if options.memory else compare(options)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
