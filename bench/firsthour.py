"""CPU time of commands with nothing to do, and of mistakes, as a multiple of importing what every flow needs.

    python -m bench.firsthour
    python -m bench.firsthour --lake LAKE --rounds 5 --json

The lake is a finished run of `facemill pipeline --source synthetic`; without --lake one is made first, which takes
minutes. The commands take turns, each with its child processes; medians. `recorded` is the pipeline with a Prefect
server that is started for it and stopped after it, on which its run is recorded. `first` is the time until the first
character of output. The bars: 1.2 for a mistake, 2.5 for the pipeline.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

_IMPORTS = "import prefect.flows, pyarrow, aiohttp"
_FACEMILL = (sys.executable, "-m", "facemill")
# What a command cost when it started a server for itself: start-up, and a request for every state of every run.
_RECORDED = """
import os, socket, subprocess, sys, time
from flows.service.work import is_healthy
with socket.socket() as listener:
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
server = subprocess.Popen([sys.executable, "-m", "flows.service.prefect_server", "start", "--port", str(port)])
api = f"http://127.0.0.1:{port}/api"
while not is_healthy(api):
    time.sleep(0.1)
done = subprocess.run(sys.argv[1:], env=os.environ | {"PREFECT_API_URL": api})
server.terminate()
server.wait()
sys.exit(done.returncode)
"""


def commands(lake: str) -> dict[str, Sequence[str]]:
    """The measured commands by the name of their row."""
    of_lake = ("--lake", lake, "--source", "synthetic")
    pipeline = (*_FACEMILL, "pipeline", *of_lake)
    return {
        "imports": (sys.executable, "-c", _IMPORTS),
        "torch": (sys.executable, "-c", "import torch"),
        "mistake: no such dataset": (*_FACEMILL, "train", "--lake", lake, "--dataset", "fases-mtcnn"),
        "mistake: no such source": (*_FACEMILL, "publish", "--lake", lake, "--source", "vggface2"),
        "datasets list": (*_FACEMILL, "datasets", "list", "--lake", lake),
        "ingest": (*_FACEMILL, "ingest", *of_lake),
        "retry": (*_FACEMILL, "retry", *of_lake),
        "crop": (*_FACEMILL, "crop", *of_lake),
        "publish": (*_FACEMILL, "publish", *of_lake),
        "train": (*_FACEMILL, "train", "--lake", lake),
        "pipeline": pipeline,
        "pipeline, recorded": (sys.executable, "-c", _RECORDED, *pipeline),
    }


def run(command: Sequence[str], folder: Path) -> tuple[float, float]:
    """(CPU-s of the command and its children, seconds until its first output)."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment = kept | {"PREFECT_HOME": str(folder), "DO_NOT_TRACK": "1"}
    started = time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    select.select([process.stdout], [], [])
    first_s = time.monotonic() - started
    process.stdout.read()
    _, _, used = os.wait4(process.pid, 0)
    process.returncode = 0
    return used.ru_utime + used.ru_stime, first_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lake", help="a finished lake of the synthetic source")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="facemill-bench-")))
        lake = options.lake or str(folder / "lake")
        if not options.lake:
            subprocess.run(commands(lake)["pipeline"], check=True, stdout=sys.stderr)
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in commands(lake)}
        for _ in range(options.rounds):
            for name, command in commands(lake).items():
                taken[name].append(run(command, folder / "prefect"))
    medians = {name: [statistics.median(column) for column in zip(*runs, strict=True)] for name, runs in taken.items()}
    imports = medians["imports"][0]
    if options.json:
        keys = ("cpu_s", "ratio", "first_s")
        rows = {
            name: dict(zip(keys, (cpu, cpu / imports, first), strict=True)) for name, (cpu, first) in medians.items()
        }
        print(json.dumps(rows, indent=2))
        return
    for name, (cpu, first) in medians.items():
        print(f"{name:26} {cpu:6.2f} CPU-s  {cpu / imports:5.2f} x imports  first output after {first:5.1f} s")


if __name__ == "__main__":
    main()
