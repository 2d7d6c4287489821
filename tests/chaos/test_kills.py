"""SIGKILL of runs, workers and the server at random moments; what comes out is what an undisturbed run gives.

`make chaos` kills 50 times; CHAOS_KILLS and CHAOS_SEED choose otherwise.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest

from tasks.sources.synthetic.origin import serving as origin_of
from tasks.sources.synthetic.world import make_world
from tests.chaos.calm import assert_same, facemill, links_of
from tests.chaos.service import ENDED, PARTS, Service, serving

pytestmark = pytest.mark.chaos

KILLS = int(os.environ.get("CHAOS_KILLS", "3"))
SEED = int(os.environ.get("CHAOS_SEED", "1"))
# Kills a lake gets before it may finish: each round fetches, crops and publishes from nothing.
_KILLS_A_ROUND = 5
_WITHIN_S = 900.0


def run_to_the_end(service: Service, parameters: dict[str, Any], rng: np.random.Generator, kills: int) -> Counter[str]:
    """A lake filled by the service, with `kills` kills on the way; the parts that were killed."""
    killed: Counter[str] = Counter()
    until = time.monotonic() + _WITHIN_S
    run = service.start_run("pipeline/pipeline", **parameters)
    while time.monotonic() < until:
        if killed.total() < kills:
            service.wait_for(run, lambda state: state == "RUNNING" or state in ENDED)
            time.sleep(rng.uniform(0.2, 6))
            part = str(rng.choice(sorted(PARTS)))
            killed[part] += service.kill(part)
        state = service.state_of(run)
        if state == "COMPLETED" and killed.total() >= kills:
            return killed
        if state in ENDED:
            run = service.start_run("pipeline/pipeline", **parameters)
        time.sleep(0.5)
    raise AssertionError(f"not done within {_WITHIN_S:.0f} s, after {killed}")


def test_what_a_service_makes_is_the_same_however_often_it_is_killed(
    tmp_path: Path, calm_limits: None, capsys: pytest.CaptureFixture[str]
) -> None:
    world, calm = tmp_path / "world", tmp_path / "calm"
    make_world(world, num_identities=8, per_identity=16, seed=SEED)
    with origin_of(world) as origin:
        facemill("pipeline", "--lake", str(calm), *links_of(world, origin), "--steps", "20")
        asked = origin.num_requests
    rng, killed, repeated = np.random.default_rng(SEED), Counter[str](), list[float]()
    with serving(tmp_path) as service:
        while killed.total() < KILLS:
            lake = tmp_path / f"lake-{len(repeated)}"
            with origin_of(world) as origin:
                web = {"links": str(world / "links"), "connect_to": f"127.0.0.1:{origin.port}"}
                parameters = {"lake": str(lake), "source": "vggface1", "steps": 20, **web}
                kills = min(_KILLS_A_ROUND, KILLS - killed.total())
                killed += run_to_the_end(service, parameters, rng, kills)
                repeated.append(origin.num_requests / asked - 1)
            assert_same(lake, calm)
        assert 'facemill_attempts_total{outcome="accepted"} ' in service.metrics()
        assert service.stop() == 0
    with pytest.raises(URLError):
        service.ask("/health")
    with capsys.disabled():
        parts = ", ".join(f"{part} {num}" for part, num in sorted(killed.items()))
        sys.stdout.write(
            f"\nkills survived {killed.total()} ({parts}) in {len(repeated)} rounds; rows lost 0; "
            f"requests repeated {sum(repeated) / len(repeated):.1%}\n"
        )
