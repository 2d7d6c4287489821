"""A web that goes away while it is asked, and comes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthetic.origin import serving as origin_of
from synthetic.world import make_world
from tests.chaos.calm import assert_same, facemill, links_of
from tests.chaos.service import free_port

pytestmark = pytest.mark.chaos


def test_what_could_not_be_had_while_the_web_was_away_is_had_when_it_is_back(tmp_path: Path, calm_limits: None) -> None:
    world, lake, calm = tmp_path / "world", tmp_path / "lake", tmp_path / "calm"
    make_world(world, num_identities=6, per_identity=12, seed=2)
    with origin_of(world) as origin:
        facemill("pipeline", "--lake", str(calm), *links_of(world, origin), "--steps", "4")
    nobody = ["--links", str(world / "links"), "--connect-to", f"127.0.0.1:{free_port()}"]
    away = facemill("ingest", "--lake", str(lake), *nobody)
    assert away["asked"] > 0
    assert away["accepted"] == 0
    assert set(away["rejected"]) <= {"connect", "host_down", "dns", "bad_url", "not_public"}
    with origin_of(world) as origin:
        # The first is the round that was missed, the second the one that every pipeline run asks for.
        for _ in range(2):
            facemill("retry", "--lake", str(lake), *links_of(world, origin), "--now")
        facemill("pipeline", "--lake", str(lake), *links_of(world, origin), "--steps", "4")
    assert_same(lake, calm)
