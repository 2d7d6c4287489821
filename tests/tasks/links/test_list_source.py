"""Which source a name means, and lists fetched from a server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from storage.errors import LakeError, SourceError, UsageError
from storage.files.lake import Lake
from tasks.links.collect import collect_links
from tasks.links.link_location import location_of
from tasks.links.list_source import open_source
from tasks.links.recipes.recipe import Recipe
from tasks.links.sources import source_named
from tasks.links.sources.table import source_of
from tasks.web.http import ConnectTo
from tests.tasks.web.link_host import serving

URL = "http://a.example/x.jpg"
LIST = f"name,url\nAnn,{URL}\n"
RECIPE = Recipe(url="url", identity="name")


async def test_a_list_kept_in_a_lake_is_opened_by_its_name_alone(tmp_path: Path) -> None:
    file, lake = tmp_path / "faces.csv", Lake(tmp_path / "lake")
    file.write_text(LIST)
    first = await collect_links(lake, open_source(lake, "mine", str(file), None), str(file))
    assert (first.num_accepted, first.changed) == (1, True)
    kept = open_source(lake, "mine", None, None)
    assert kept.location == str(file)
    assert source_named("mine", lake).recipe == kept.recipe
    assert not (await collect_links(lake, kept)).changed
    file.write_text(LIST + f"Bob,{URL}\n")
    assert (await collect_links(lake, kept)).num_accepted == 2


async def test_another_recipe_reads_an_unchanged_list_again(tmp_path: Path) -> None:
    file, lake = tmp_path / "faces.csv", Lake(tmp_path / "lake")
    file.write_text(LIST)
    await collect_links(lake, source_of("mine", RECIPE), str(file))
    found = await collect_links(lake, source_of("mine", RECIPE.model_copy(update={"keep": ["name"]})), str(file))
    assert found.changed
    assert source_named("mine", lake).recipe == {"url": "url", "identity": "name", "keep": ["name"]}


async def test_a_list_behind_a_url_is_fetched_once_and_again_when_it_has_changed(tmp_path: Path) -> None:
    lake, source = Lake(tmp_path / "lake"), source_of("mine", RECIPE)
    async with serving({"/lists/faces.csv": LIST.encode()}) as host:
        to = ConnectTo.parse(f"127.0.0.1:{host.port}")
        where = "http://lists.example/lists/faces.csv"
        assert (await collect_links(lake, source, where, connect_to=to)).num_accepted == 1
        assert not (await collect_links(lake, source_named("mine", lake), connect_to=to)).changed
        host.bodies["/lists/faces.csv"] = (LIST + f"Bob,{URL}\n").encode()
        assert (await collect_links(lake, source_named("mine", lake), connect_to=to)).num_accepted == 2


def test_a_list_of_files_is_read_from_this_machine_alone() -> None:
    source = source_of("mine", Recipe(file="{f}", identity="folder"))
    with pytest.raises(SourceError, match="from a folder on this machine"):
        location_of(source, "http://a.example/list.csv")


@pytest.mark.parametrize("recipe", ['{"url": 1.5}', "[]", "{"])
def test_a_damaged_recipe_in_the_lake_is_told_with_its_place(tmp_path: Path, recipe: str) -> None:
    lake = Lake(tmp_path / "lake")
    lake.begin()
    lake.write_json(lake.links("mine", "recipe.json"), {})
    (tmp_path / "lake" / "links" / "mine" / "recipe.json").write_text(recipe)
    with pytest.raises(LakeError, match=r"links/mine/recipe\.json"):
        source_named("mine", lake)


def test_a_name_that_leads_out_of_the_lake_is_no_source(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(json.dumps({"url": 1}))
    with pytest.raises(UsageError, match="is unknown"):
        source_named("../..", Lake(tmp_path / "lake"))
