"""A made world written as tars of img2dataset and as Parquet of Hugging Face: read in place, graded by the truth."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storage.files.lake import Lake
from storage.records import LINK_LINES, bytes_digest
from storage.tables.parquet import read_as
from storage.versions.datasets import all_versions
from tasks.fetch.ledger import accepted, read_ledger
from tests.flows.grading import read_truth
from tests.flows.test_lists import listed, run
from tests.tasks.links.sources.packed import sample, write_parquet, write_tar

TARS = """
format = "tar"
image = "*"
identity = "name"
box = "face"
digest = "sha256"
keep = ["url"]
terms = "Made."
"""
PARQUET = TARS.replace('"tar"', '"parquet"').replace('"*"', '"image"')


def bodies(world: Path) -> dict[str, bytes | None]:
    """The bytes that a download of each URL of a world's link files gave; None where it failed."""
    truth, found = read_truth(world), dict[str, bytes | None]()
    for _, _, url, _ in listed(world):
        body = world / "bodies" / truth[url]["body"]
        is_whole = truth[url]["status"] == "200" and truth[url]["kind"] in ("image", "html", "slow")
        is_taken = is_whole and truth[url]["expect"] != "policy" and body.is_file()
        found[url] = body.read_bytes() if is_taken else None
    return found


def as_tars(world: Path, folder: Path) -> str:
    """Two tars of img2dataset's form, a failed download without picture among their rows."""
    found = bodies(world)
    shards: list[list[tuple[str, bytes]]] = [[], []]
    for at, (name, _, url, box) in enumerate(listed(world)):
        data = found[url]
        fields: dict[str, Any] = {"url": url, "name": name, "face": box, "sha256": bytes_digest(data or b"").hex()}
        if data is None:
            fields |= {"status": "failed_to_download", "error_message": "HTTP Error 404: Not Found"}
        shards[at % 2] += sample(f"{at:09d}", data, **fields)
    for at, members in enumerate(shards):
        write_tar(folder / f"{at:05d}.tar", members)
    return str(folder)


def as_parquet(world: Path, folder: Path) -> str:
    """A file of Hugging Face's form, with a null picture where the download failed."""
    found, rows = bodies(world), listed(world)
    images = [None if found[url] is None else {"bytes": found[url], "path": None} for _, _, url, _ in rows]
    columns = {
        "name": [name for name, *_ in rows],
        "url": [url for _, _, url, _ in rows],
        "face": [box for *_, box in rows],
        "sha256": [bytes_digest(found[url] or b"").hex() for _, _, url, _ in rows],
    }
    return str(write_parquet(folder / "train-00000-of-00001.parquet", images, size=20, **columns))


@pytest.mark.slow
@pytest.mark.parametrize(("make", "recipe"), [(as_tars, TARS), (as_parquet, PARQUET)], ids=["tars", "parquet"])
def test_a_world_of_pictures_that_are_there_becomes_a_dataset_and_nobody_is_asked(
    tmp_path: Path, world: Path, make: Callable[[Path, Path], str], recipe: str
) -> None:
    (tmp_path / "list").mkdir()
    links, (where, given) = make(world, tmp_path / "list"), (["--lake", str(tmp_path / "lake")], tmp_path / "r.toml")
    guessed = run("links", links)
    assert guessed["recipe"]["image"] == ("*" if make is as_tars else "image")
    assert (guessed["recipe"]["identity"], guessed["recipe"]["digest"]) == ("name", "sha256")
    given.write_text(recipe)
    found = bodies(world)
    lost = sum(found[url] is None for _, _, url, _ in listed(world))
    first = run("ingest", *where, "--source", "mine", "--links", links, "--recipe", str(given))
    assert (first["lines"], first["rejected_lines"]) == (len(listed(world)) - lost, lost)
    assert lost > 0
    run("crop", *where, "--method", "bbox")
    run("publish", *where, "--method", "bbox")

    lake, truth = Lake(tmp_path / "lake"), read_truth(world)
    lines = read_as(lake, lake.links("mine", "lines.parquet"), LINK_LINES).to_pylist()
    url_of = {row["url"]: json.loads(row["kept"])["url"] for row in lines}
    held = {url_of[row["url"]] for row in accepted(read_ledger(lake, "mine")).to_pylist()}
    good = {url for url, data in found.items() if data and truth[url]["expect"] == "accepted"}
    # Only a placeholder, which is a whole picture of nobody, is held beside the good ones.
    assert good <= held < {url for url, data in found.items() if data}
    assert len({truth[url]["body"] for url in held - good}) <= 1
    [version] = all_versions(lake)
    index = version.index()
    assert {truth[url_of[url]]["expect"] for url in index["url"].to_pylist()} == {"accepted"}
    assert len(index) > 10
    assert version.manifest["terms"] == "Made."
    assert run("ingest", *where)["asked"] == 0
    assert run("check", *where)["findings"] == []

    taken = index["url"][0].as_py()
    run("forget", "--url", taken, *where)
    run("forget", "--purge", *where)
    assert run("check", *where)["findings"] == []
    data = found[url_of[taken]]
    assert data is not None
    assert not [one for one in (tmp_path / "lake" / "images").rglob("*.tar") if data in one.read_bytes()]
    assert run("ingest", *where)["accepted"] == 0
