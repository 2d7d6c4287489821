"""SIGKILL at five points of a run; started again, it ends with the same dataset versions as an undisturbed run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.files.lake import Lake
from synthetic.origin import Origin, serving
from tests.flows.grading import version_ids
from tests.flows.test_pipeline import run
from tests.waiting import committed, wait_until

pytestmark = pytest.mark.slow

_STEPS = 40


def start(lake: Path, world: Path, port: int, server: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from flows.cli.app import main; main()", "pipeline", "--lake", str(lake)]
    command += ["--links", str(world / "links"), "--connect-to", f"127.0.0.1:{port}", "--steps", str(_STEPS), "--json"]
    return subprocess.Popen(
        command,
        env={**os.environ, "PREFECT_API_URL": server, "FACEMILL_WORKERS": "2"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def kill_when(process: subprocess.Popen[bytes], point: str, reached: Callable[[], bool]) -> None:
    def reached_alive() -> bool:
        assert process.poll() is None, f"it ended before the kill: {process.stderr and process.stderr.read().decode()}"
        return reached()

    wait_until(point, reached_alive)
    workers = children_of(process.pid)
    process.kill()
    process.communicate()
    wait_until(
        f"{workers} end with the run that started them",
        lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers),
    )


def test_a_run_killed_at_five_points_ends_like_an_undisturbed_one(
    tmp_path: Path, world: Path, origin: Origin, prefect_server: str
) -> None:
    with serving(world) as undisturbed:
        run(tmp_path / "calm", world, undisturbed, _STEPS)

    lake = tmp_path / "killed"
    points: dict[str, Callable[[], bool]] = {
        "while pictures are fetched": lambda: origin.num_requests > 40,
        "when the images are in, before any face is looked for": lambda: bool(committed(lake, "images/*/*.parquet")),
        "when faces were found, before they are cut out": lambda: bool(committed(lake, "detections/*/*.parquet")),
        "while a dataset version is written": lambda: any(lake.glob("datasets/*/*/*.tar")),
        "while the model is trained": lambda: bool(committed(lake, "work/**/*.safetensors")),
    }
    for point, reached in points.items():
        kill_when(start(lake, world, origin.port, prefect_server), point, reached)
    run(lake, world, origin, _STEPS)

    assert version_ids(Lake(lake)) == version_ids(Lake(tmp_path / "calm"))
    assert not list(lake.rglob(".tmp-*"))
    assert Lake(lake).names("models/embedder") == Lake(tmp_path / "calm").names("models/embedder")
