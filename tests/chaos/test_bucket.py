"""A lake in a bucket whose service answers 503 for a while, or until it is mended."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.files.lake import Lake
from synthetic.origin import serving as origin_of
from synthetic.world import make_world
from tests.buckets import Faults
from tests.chaos.calm import assert_same, facemill, links_of, running, wait_until

pytestmark = pytest.mark.chaos

# A request is tried up to twelve times.
_FOR_A_WHILE, _FOR_GOOD = 8, 100_000


def test_a_store_that_is_busy_for_a_while_delays_a_run_and_one_that_stays_so_is_told_in_a_line(
    tmp_path: Path, bucket: str, faults: Faults, calm_limits: None
) -> None:
    world, lake, calm = tmp_path / "world", f"{bucket}/lake", tmp_path / "calm"
    make_world(world, num_identities=6, per_identity=12, seed=2)
    with origin_of(world) as origin:
        facemill("pipeline", "--lake", str(calm), *links_of(world, origin), "--steps", "4")
    with origin_of(world) as origin:
        command = ["pipeline", "--lake", lake, *links_of(world, origin), "--steps", "4"]
        with running(*command) as refused:
            wait_until(refused, lambda: origin.num_requests > 30)
            for method in ("PUT", "GET"):
                faults.plan(method, *["503"] * _FOR_A_WHILE)
            wait_until(refused, lambda: bool(Lake(lake).names("detections/vggface1")))
            assert faults.planned == []
            faults.plan("PUT", *["503"] * _FOR_GOOD)
            _, errors = refused.communicate(timeout=1800)
        assert refused.returncode == 1
        assert "the store refused: " in errors.splitlines()[-1], errors[-3000:]
        assert errors.splitlines()[-1].startswith("facemill: s3://")
        faults.planned.clear()
        facemill(*command)
    assert_same(lake, calm)
