"""Cost of a fetched picture by this working tree and by another commit of it, in turn.

    python -m bench.against 9e3fbf5
    python -m bench.against 9e3fbf5 --num 6000 --rounds 15

Each round fetches, validates and stores the same valid pictures from a loopback origin with either code, in a process
of its own (`bench.harvest`), in the same environment of packages. CPU time includes start-up, without the origin.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.fetch import PICTURE_BYTES, Job, write_job
from bench.loopback import origin
from bench.usage import measured

_HERE = Path(__file__).parents[1]
# Run by either code, since a lake's plan belongs to the code that reads it.
_PLAN = """
import sys
from pathlib import Path
from bench.fetch import Job
folder, port, num = sys.argv[1:]
print(Job(Path(folder), int(port), int(num)).lake(planned=True).url)
"""


@contextmanager
def checkout(commit: str, folder: Path) -> Iterator[Path]:
    """The files of a commit in a temporary worktree."""
    git = ["git", "-C", str(_HERE), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(folder), commit], check=True)
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


def cpu_ms_per_picture(root: Path, job: Job) -> float:
    """The cost of fetching all of the job's pictures with the code in `root`."""
    env = os.environ | {"PYTHONPATH": str(root)}
    planned = subprocess.run(
        [sys.executable, "-c", _PLAN, str(job.folder), str(job.port), str(job.num)],
        cwd=root, env=env, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    command = [sys.executable, "-m", "bench.harvest", planned.stdout.strip(), str(job.port)]
    return 1000 * measured(command, job.folder / "log", env, cwd=root).cpu_s / job.num


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit")
    parser.add_argument("--num", type=int, default=6000, help="pictures per round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="facemill-bench-") as folder,
        checkout(options.commit, Path(folder) / "other") as other,
        origin(PICTURE_BYTES, close=True) as port,
    ):
        job = write_job(Path(folder) / "job", port, options.num, {})
        rounds = []
        for number in range(options.rounds):
            rounds.append((cpu_ms_per_picture(other, job), cpu_ms_per_picture(_HERE, job)))
            print(f"round {number + 1}: {rounds[-1][0]:.3f} and {rounds[-1][1]:.3f} CPU-ms per picture", flush=True)
    before, after = map(statistics.median, zip(*rounds, strict=True))
    pairs = statistics.median(new / old for old, new in rounds)
    print(f"median: {options.commit} {before:.3f}, here {after:.3f} CPU-ms per picture")
    print(f"ratio: {after / before:.3f} of the medians, {pairs:.3f} in the median round")


if __name__ == "__main__":
    main()
