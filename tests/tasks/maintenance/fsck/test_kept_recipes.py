"""`check` reads the recipe that a lake keeps of a list."""

from __future__ import annotations

import asyncio
from pathlib import Path

from storage.files.lake import Lake
from tasks.links.collect import collect_links
from tasks.links.recipes.recipe import Recipe
from tasks.links.sources.table import source_of
from tasks.maintenance.fsck.findings import Kind
from tasks.maintenance.fsck.inspect_lake import inspect, jobs


def test_a_damaged_recipe_is_found(tmp_path: Path) -> None:
    (tmp_path / "faces.csv").write_text("name,url\nAnn,http://a.example/x.jpg\n")
    lake = Lake(tmp_path / "lake")
    asyncio.run(collect_links(lake, source_of("mine", Recipe(url="url", identity="name")), str(tmp_path / "faces.csv")))
    assert inspect(jobs(lake)) == []
    (tmp_path / "lake" / "links" / "mine" / "recipe.json").write_text('{"url": 1.5}')
    [found] = inspect(jobs(lake))
    assert (found.kind, found.path) == (Kind.UNREADABLE, "links/mine")
    assert "recipe.json" in found.detail
