"""The world that a synthetic lake is fetched from: one of its own, or one that the command names; no other folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from flows.selection import Selection
from flows.synthetic_web import web_for
from storage.errors import LakeError, UsageError
from storage.files.lake import Lake
from synthetic.response_table import read_responses

pytestmark = pytest.mark.attack(6)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake with a world of its own, which its origin names."""
    lake = Lake(tmp_path / "lake")
    with web_for(lake, Selection("synthetic", identities=2, per_identity=2)) as web:
        assert web.links == str(tmp_path / "lake/world/2x2/links")
        name(lake, web.links)
    return lake


def name(lake: Lake, location: str | None) -> None:
    lake.write_json(lake.links("synthetic", "origin.json"), {"digest": "x", "location": location})


def test_a_lake_is_fetched_from_its_own_world_wherever_it_was_copied_to(lake: Lake, tmp_path: Path) -> None:
    copy = Lake(shutil.move(lake.root, tmp_path / "elsewhere"))
    with web_for(copy, Selection("synthetic")) as web:
        assert web.links == str(tmp_path / "elsewhere/world/2x2/links")


@pytest.mark.parametrize(
    "location",
    [
        "{outside}/links",
        "{outside}/world/9x9/links",
        "{lake}/links",
        "{lake}/world/../../outside/links",
        "{lake}/world/2x2/../../../outside/links",
        "/etc/passwd",
        "a\nb/world/\x9b/links",
        "http://127.0.0.1/world/a/links",
        "",
        None,
    ],
)
def test_a_world_outside_of_the_lake_is_played_only_when_the_command_names_it(
    lake: Lake, tmp_path: Path, location: str | None
) -> None:
    outside = tmp_path / "outside"
    shutil.copytree(tmp_path / "lake/world/2x2", outside)
    name(lake, location and location.format(lake=lake.root, outside=outside))
    with (
        pytest.raises(UsageError, match="which is no dataset in the lake") as error,
        web_for(lake, Selection("synthetic")),
    ):
        pass
    assert "\n" not in str(error.value)
    named = Selection("synthetic", str(outside / "links"), connect_to="127.0.0.1:9")
    with web_for(lake, named) as web:
        assert web == named


@pytest.mark.parametrize(
    "place", ["world", "world/2x2", "world/2x2/bodies", "world/2x2/links/{first}", "world/2x2/responses.csv"]
)
@pytest.mark.parametrize("asked", [None, 2])
def test_no_link_leads_out_of_a_world(lake: Lake, tmp_path: Path, place: str, asked: int | None) -> None:
    first = next((tmp_path / "lake/world/2x2/links").iterdir()).name
    path = tmp_path / "lake" / place.format(first=first)
    target = shutil.move(path, tmp_path / "outside")
    path.symlink_to(target)
    with (
        pytest.raises(LakeError, match="link") as error,
        web_for(lake, Selection("synthetic", identities=asked, per_identity=asked)),
    ):
        pass
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("body", "../../../outside"),
        ("body", "/etc/passwd"),
        ("status", "many"),
        ("headers", "{"),
        ("headers", "[" * 100_000),
    ],
)
def test_an_answer_of_a_world_names_a_file_of_its_own_and_is_whole(
    lake: Lake, tmp_path: Path, column: str, value: str
) -> None:
    path = tmp_path / "lake/world/2x2/responses.csv"
    one = next(read_responses(path.parent))._replace(**dict[str, Any]({column: value}))
    lines = [",".join(one._fields), ",".join(json.dumps(str(field)).replace('\\"', '""') for field in one)]
    path.write_text("\n".join(lines) + "\n")
    words = r"responses.csv, line 2: .*run `facemill synthetic make` again"
    with pytest.raises(UsageError, match=words) as error, web_for(lake, Selection("synthetic")):
        pass
    assert "\n" not in str(error.value)
