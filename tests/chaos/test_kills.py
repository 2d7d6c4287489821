"""SIGKILL of runs, workers and the server at random moments; what comes out is what an undisturbed run gives.

`make chaos` kills 50 times; CHAOS_KILLS and CHAOS_SEED choose otherwise.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest

from storage.files.lake import Lake
from storage.versions.datasets import all_versions
from synthetic.origin import Origin
from synthetic.origin import serving as origin_of
from synthetic.world import make_world
from tests.chaos.calm import assert_same, facemill, links_of, num_lost, num_twice
from tests.chaos.service import ENDED, PARTS, Service, serving

pytestmark = pytest.mark.chaos

KILLS = int(os.environ.get("CHAOS_KILLS", "3"))
SEED = int(os.environ.get("CHAOS_SEED", "1"))
# Kills a lake gets before it may finish: each round fetches, crops, publishes and trains from nothing.
_KILLS_A_ROUND = {"pipeline/pipeline": 14, "refine/refine": 5}
_POOLS = {"pipeline/pipeline": "cpu", "refine/refine": "gpu"}
# A run may come far within this, so that kills meet all its stages.
_LONGEST_WAIT_S = 8.0
_WITHIN_S = 1800.0
_STEPS = 20
# What a lake holds after each stage; a kill is counted under the first that is not there yet.
_STAGES = {
    "fetch": "images/*/*.parquet",
    "detect": "detections/*/*.parquet",
    "crop": "faces/mtcnn/*/*.parquet",
    "publish": "datasets/faces-mtcnn/*/manifest.json",
    "train": "models/*/*/manifest.json",
    "clean": "cleaned/mtcnn/*/*/*/faces.parquet",
}


@dataclass
class Killer:
    """Kills a part of a service at a random moment of a run, as often as it may."""

    service: Service
    rng: np.random.Generator
    parts: Counter[str] = field(default_factory=Counter)
    stages: Counter[str] = field(default_factory=Counter)

    def disturb(self, deployment: str, parameters: dict[str, Any], kills: int) -> None:
        """Start a run again and again until it has ended well, with up to `kills` kills on the way."""
        until, left = time.monotonic() + _WITHIN_S, min(_KILLS_A_ROUND[deployment], kills)
        run = self.service.start_run(deployment, **parameters)
        while time.monotonic() < until:
            state = self.service.wait_for(run, lambda state: state == "RUNNING" or state in ENDED)
            if state == "COMPLETED":
                return
            if state in ENDED:
                run = self.service.start_run(deployment, **parameters)
            elif left:
                time.sleep(self.rng.uniform(0, _LONGEST_WAIT_S))
                left -= self.kill(_POOLS[deployment], Path(parameters["lake"]))
            time.sleep(0.2)
        raise AssertionError(f"{deployment} is not done within {_WITHIN_S:.0f} s, after {self.parts}")

    def kill(self, pool: str, lake: Path) -> bool:
        """Kill one part of those that are there, if any is."""
        stage = next((name for name, pattern in _STAGES.items() if not any(lake.glob(pattern))), "done")
        order = [str(part) for part in self.rng.permutation(sorted(PARTS))]
        part = next((part for part in order if self.service.kill(part, pool)), None)
        if part is None:
            return False
        self.parts[part] += 1
        self.stages[stage] += 1
        print(f"{time.strftime('%X')} {part} killed, next is {stage}", flush=True)  # noqa: T201
        return True


@contextmanager
def counted(world: Path, repeated: list[float], asked: int) -> Iterator[Origin]:
    with origin_of(world) as origin:
        yield origin
        repeated.append(origin.num_requests / asked - 1)


def test_what_a_service_makes_is_the_same_however_often_it_is_killed(
    tmp_path: Path, calm_limits: None, capsys: pytest.CaptureFixture[str]
) -> None:
    world, calm = tmp_path / "world", tmp_path / "calm"
    make_world(world, num_identities=6, per_identity=12, seed=2)
    with origin_of(world) as origin:
        facemill("pipeline", "--lake", str(calm), *links_of(world, origin), "--steps", str(_STEPS), "--clean")
        asked = origin.num_requests
    repeated, lakes = list[float](), list[Path]()
    with serving(tmp_path) as service:
        killer = Killer(service, np.random.default_rng(SEED))
        while (missing := KILLS - killer.parts.total()) > 0:
            lake = tmp_path / f"lake-{len(lakes)}"
            lakes.append(lake)
            with counted(world, repeated, asked) as origin:
                web = {"links": str(world / "links"), "connect_to": f"127.0.0.1:{origin.port}"}
                here: dict[str, Any] = {"lake": str(lake), "steps": _STEPS}
                service.pause("gpu")
                killer.disturb("pipeline/pipeline", {**here, "source": "vggface1", **web}, missing)
                # Every pipeline that ended asked for one of these; instead, one runs that kills meet.
                service.withdraw("refine/refine")
                service.pause("gpu", is_paused=False)
                plain = [str(one) for one in all_versions(Lake(lake)) if "cleaning" not in one.manifest]
                killer.disturb("refine/refine", {**here, "versions": plain}, missing)
            assert_same(lake, calm)
        assert 'facemill_attempts_total{outcome="accepted"} ' in service.metrics()
        run = service.start_run("pipeline/pipeline", lake=str(tmp_path / "stopped"), source="synthetic", identities=8)
        service.wait_for(run, "RUNNING".__eq__)
        assert service.stop() == 0
        assert service.processes() == []
    with pytest.raises(URLError):
        service.ask("/health")
    told = {
        "kills survived": f"{killer.parts.total()} ({counts(killer.parts)})",
        "in the stages": counts(killer.stages),
        "lakes": f"{len(lakes)}, each with the versions of the undisturbed one, and nothing that a check finds",
        "pictures lost": str(sum(num_lost(lake, calm) for lake in lakes)),
        "pictures twice": str(sum(num_twice(Lake(str(lake))) for lake in lakes)),
        "requests repeated": f"{sum(repeated) / len(repeated):.1%}",
        "seed": str(SEED),
    }
    with capsys.disabled():
        sys.stdout.write("\n" + "".join(f"{name:<20}{text}\n" for name, text in told.items()))


def counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {num}" for name, num in sorted(counter.items()))
