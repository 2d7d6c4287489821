"""The links that a run of `ingest` asks for."""

from __future__ import annotations

import asyncio
from pathlib import Path

from flows.ingest import _plan
from flows.selection import Selection
from storage.files.lake import Lake


def test_the_links_of_a_run_are_of_its_own_selection_though_the_next_run_plans_another(tmp_path: Path) -> None:
    links = tmp_path / "links"
    links.mkdir()
    for name in ("Ada", "Bo", "Cy"):
        (links / f"{name}.txt").write_text(f"1 http://{name}.example/1.jpg 40 40 140 140 2.8 3.1 1\n")
    lake = Lake(tmp_path / "lake")

    async def planned(people: int) -> list[str]:
        found = await _plan(lake, Selection("vggface1", str(links), identities=people), {})
        return sorted(found.pending["url"].to_pylist())

    async def both() -> list[list[str]]:
        return list(await asyncio.gather(planned(3), planned(1)))

    urls = [f"http://{name}.example/1.jpg" for name in ("Ada", "Bo", "Cy")]
    assert asyncio.run(planned(2)) == urls[:2]
    assert asyncio.run(both()) == [urls, urls[:1]]
