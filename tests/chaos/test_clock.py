"""The machine's clock is set a day ahead and an hour back, between the commands and in the middle of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from synthetic.origin import Origin
from synthetic.origin import serving as origin_of
from synthetic.world import make_world
from tests.chaos.calm import assert_same, links_of, wait_until
from tests.chaos.wrong_clock import COMPILER, WrongClock
from tests.flows.grading import expected

pytestmark = [pytest.mark.chaos, pytest.mark.skipif(COMPILER is None, reason="there is no C compiler, cc")]

_A_DAY_AHEAD, _AN_HOUR_BACK = 86_400, -3_600
_WITHIN_S = 1800.0
_IN_A_ROW = """
import json, sys
from flows.cli.app import app
for words in json.loads(sys.argv[1]):
    if code := app(words, standalone_mode=False):
        sys.exit(code)
"""


def commands(world: Path, origin: Origin, lake: Path) -> list[list[str]]:
    """A run in single steps, with all the rounds a link may get, and two takedowns on the way."""
    where, web = ["--lake", str(lake)], links_of(world, origin)
    first, second = sorted(expected(world, "accepted"))[:2]
    again = ["retry", *where, *web]
    return [
        ["ingest", *where, *web],
        again,
        *([[*again, "--now"]] * 4),
        ["forget", *where, "--url", first],
        ["forget", *where, "--url", second, "--purge"],
        ["crop", *where],
        ["publish", *where],
        ["train", *where, "--steps", "40"],
    ]


def run(words: list[list[str]], environment: dict[str, str]) -> subprocess.Popen[str]:
    """Run commands in a row."""
    command = [sys.executable, "-c", _IN_A_ROW, json.dumps(words)]
    return subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate(timeout=_WITHIN_S)
    assert process.returncode == 0, errors[-3000:]


def test_a_clock_that_is_set_loses_nothing_and_repeats_nothing(tmp_path: Path, calm_limits: None) -> None:
    world, lake, calm = tmp_path / "world", tmp_path / "lake", tmp_path / "calm"
    make_world(world, num_identities=6, per_identity=12, seed=2)
    clock = WrongClock(tmp_path / "clock")
    with origin_of(world) as origin:
        finish(run(commands(world, origin, calm), {**os.environ}))
    with origin_of(world) as origin:
        points: dict[str, tuple[Callable[[], bool], int]] = {
            "while pictures are fetched": (lambda: origin.num_requests > 30, _A_DAY_AHEAD),
            "after the first round": (lambda: num(lake, "images/*/*.parquet") > 0, _AN_HOUR_BACK),
            "after the second": (lambda: num(lake, "images/*/*.parquet") > 1, _A_DAY_AHEAD),
            "between two takedowns": (lambda: num(lake, "takedowns/*.parquet") > 0, _AN_HOUR_BACK),
            "before faces are cut out": (lambda: num(lake, "detections/*/*.parquet") > 0, _A_DAY_AHEAD),
            "between two dataset versions": (lambda: num(lake, "datasets/*/*/manifest.json") > 0, _AN_HOUR_BACK),
            "while the model is trained": (lambda: num(lake, "work/checkpoint-*") > 0, _A_DAY_AHEAD),
        }
        process = run(commands(world, origin, lake), os.environ | clock.environment)
        for reached, wrong_by_s in points.values():
            wait_until(process, reached)
            clock.set(wrong_by_s)
        finish(process)
    assert_same(lake, calm)


def num(lake: Path, pattern: str) -> int:
    return len(list(lake.glob(pattern)))
