"""A made world behind lists of other forms: the same pictures and faces come out, graded by the truth."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from storage.files.lake import Lake
from storage.records import LINK_LINES, Fit, bytes_digest
from storage.tables.parquet import read_as
from storage.versions.datasets import all_versions
from synthetic.origin import Origin
from tasks.dataset.source_tables import read_faces
from tasks.fetch.ledger import read_ledger
from tests.flows.cli.test_app import refused
from tests.flows.grading import accepted_urls, dataset_urls, expected, linked_urls, read_truth

runner = CliRunner()
Row = tuple[str, int, str, list[float]]
LAION = """
format = "parquet"
identity = "NAME"
url = "URL"
box = "bboxes"
box_of = "relative"
keep = ["TEXT"]
terms = "Made."
"""


def listed(world: Path) -> list[Row]:
    """(person, line, URL, box) of every good line of a world's link files."""
    rows = []
    for path in sorted((world / "links").glob("*.txt")):
        for line in path.read_text().splitlines():
            fields = line.split()
            rows.append((path.stem, int(fields[0]), fields[1], [float(one) for one in fields[2:6]]))
    return rows


def as_facescrub(world: Path, folder: Path) -> str:
    """A file of FaceScrub's form, with the SHA-256 of the bytes that the world serves."""
    truth = read_truth(world)
    lines = ["name\timage_id\tface_id\turl\tbbox\tsha256"]
    for name, line, url, box in listed(world):
        body = world / "bodies" / truth[url]["body"]
        digest = bytes_digest(body.read_bytes() if body.is_file() else url.encode()).hex()
        corners = ",".join(f"{value:.0f}" for value in box)
        lines.append(f"{name.replace('_', ' ')}\t{line}\t{line}\t{url}\t{corners}\t{digest}")
    (folder / "facescrub_made.txt").write_text("\n".join(lines) + "\n")
    return str(folder)


def as_pubfig(world: Path, folder: Path) -> str:
    """A file of PubFig's form, with the MD5 of the bytes that the world serves, and of others for every fourth."""
    truth = read_truth(world)
    lines = ["# PubFig made, as of today", "#\tperson\timagenum\turl\trect\tmd5sum"]
    for at, (name, line, url, box) in enumerate(listed(world)):
        body = world / "bodies" / truth[url]["body"]
        data = body.read_bytes() if body.is_file() and at % 4 else url.encode()
        corners = ",".join(f"{value:.0f}" for value in box)
        digest = hashlib.new("md5", data, usedforsecurity=False).hexdigest()
        lines.append(f"{name.replace('_', ' ')}\t{line}\t{url}\t{corners}\t{digest}")
    (folder / "dev_urls.txt").write_text("\n".join(lines) + "\n")
    return str(folder / "dev_urls.txt")


def as_laion(world: Path, folder: Path) -> str:
    """A Parquet file of LAION's columns, a name, and a box in shares of the picture as it was drawn."""
    truth = read_truth(world)
    rows = []
    for name, _, url, (left, top, right, bottom) in listed(world):
        width, height = map(int, (truth[url]["size"] or "1000x1000").lower().split("x"))
        box = [left / width, top / height, right / width, bottom / height]
        rows.append({"URL": url, "TEXT": f"a portrait of {name}", "NAME": name, "bboxes": [box]})
    pq.write_table(pa.Table.from_pylist(rows), folder / "part-0.parquet")
    return str(folder / "part-0.parquet")


def run(*arguments: str) -> Any:
    result = runner.invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "recipe", "source"),
    [(as_facescrub, None, "facescrub"), (as_pubfig, None, "pubfig"), (as_laion, LAION, "mine")],
    ids=["facescrub", "pubfig", "parquet"],
)
def test_a_world_behind_a_list_gives_its_pictures_and_faces(
    tmp_path: Path, world: Path, origin: Origin, make: Callable[[Path, Path], str], recipe: str | None, source: str
) -> None:
    (tmp_path / "list").mkdir()
    links, given = make(world, tmp_path / "list"), []
    if recipe is not None:
        (tmp_path / "recipe.toml").write_text(recipe)
        given = ["--recipe", str(tmp_path / "recipe.toml")]
    where = ["--lake", str(tmp_path / "lake")]
    connect = ["--connect-to", f"127.0.0.1:{origin.port}"]
    first = run("ingest", *where, "--source", source, "--links", links, *given, *connect)
    assert (first["lines"], first["rejected_lines"]) == (len(listed(world)), 0)
    (tmp_path / "recipe.toml").unlink(missing_ok=True)

    # From here on the name of the source is enough, or not even that is needed.
    run("retry", *where, *connect, "--now")
    run("crop", *where, "--method", "bbox")
    [published] = run("publish", *where, "--source", source, "--method", "bbox")
    lake, truth = Lake(tmp_path / "lake"), read_truth(world)
    assert {row["url"] for row in read_ledger(lake, source).to_pylist()} == linked_urls(world)
    assert expected(world, "accepted") <= accepted_urls(lake, source)
    assert_boxes_are_confirmed(lake, source, world)
    for urls in dataset_urls(lake).values():
        assert {truth[url]["expect"] for url in urls} == {"accepted"}
    [version] = all_versions(lake)
    terms = {"mine": "Made.", "facescrub": "For research only, under the terms of FaceScrub", "pubfig": "For non-comm"}
    assert version.manifest["terms"].startswith(terms[source])
    assert published["samples"] > 0
    assert_digests_are_evidence(lake, source, world, where)

    asked = origin.num_requests
    again = run("ingest", *where, *connect)
    assert origin.num_requests == asked
    assert (again["lines"], again["asked"]) == (first["lines"], 0)


def assert_digests_are_evidence(lake: Lake, source: str, world: Path, where: list[str]) -> None:
    """Lines on the listed bytes are marked, and only they are left on request; other bytes reject nothing."""
    rows = read_faces(lake, source, "bbox").select(["identity", "line", "same_bytes"]).to_pylist()
    same = {row["same_bytes"] for row in rows}
    if source == "mine":
        assert same == {None}
        only = refused("publish", *where, "--method", "bbox", "--only-as-listed")
        assert "the list of mine has no digests" in only
        return
    assert True in same
    run("publish", *where, "--method", "bbox", "--only-as-listed", "--dataset", "only")
    (only_version,) = (one for one in all_versions(lake) if one.name == "only-bbox")
    marked = {(row["identity"], row["line"]) for row in rows if row["same_bytes"]}
    left = only_version.index(["identity", "line"]).to_pylist()
    assert {(row["identity"], row["line"]) for row in left} <= marked
    assert len(left) > 0
    if source == "pubfig":
        assert "not_as_listed" in only_version.outcomes(["reason"])["reason"].to_pylist()
        (every,) = (one for one in all_versions(lake) if one.name == "faces-bbox")
        assert len(every.index()) > len(left)
    lake.remove(only_version.folder)


def assert_boxes_are_confirmed(lake: Lake, source: str, world: Path) -> None:
    """Nearly every box that frames a face is confirmed where it was listed, and no other is."""
    with (world / "boxes.csv").open(newline="") as file:
        is_ok = {(row["identity"], int(row["line"])): row["box_ok"] == "1" for row in csv.DictReader(file)}
    place = {(row["identity"], row["url"]): (row["identity"], row["line"]) for row in rows_of(world)}
    lines = read_as(lake, lake.links(source, "lines.parquet"), LINK_LINES)
    urls = {(row["identity"], row["line"]): row["url"] for row in lines.select(["identity", "line", "url"]).to_pylist()}
    truth = read_truth(world)
    fits: dict[bool, list[bool]] = {True: [], False: []}
    for face in read_faces(lake, source, "bbox").select(["identity", "line", "reason", "fit"]).to_pylist():
        url = urls[face["identity"], face["line"]]
        if truth[url]["expect"] == "accepted":
            fits[is_ok[place[face["identity"], url]]].append(face["fit"] == Fit.AS_LISTED)
    # Boxes are jittered, pictures shown at another size: `fit.py` has .997 of the boxes that frame a face.
    assert sum(fits[True]) >= 0.8 * len(fits[True]) > 10
    assert sum(fits[False]) <= 0.2 * max(len(fits[False]), 5)


def rows_of(world: Path) -> list[dict[str, Any]]:
    return [{"identity": name, "line": line, "url": url} for name, line, url, _ in listed(world)]


def test_a_recipe_is_kept_beside_the_links_and_a_new_one_reads_them_again(tmp_path: Path, world: Path) -> None:
    links = as_laion(world, tmp_path)
    (tmp_path / "r.toml").write_text(LAION)
    where = ["--lake", str(tmp_path / "lake"), "--source", "mine", "--connect-to", "127.0.0.1:9", "--per-identity", "1"]
    run("ingest", *where, "--links", links, "--recipe", str(tmp_path / "r.toml"))
    lake = Lake(tmp_path / "lake")
    path = tmp_path / "lake" / "links" / "mine" / "recipe.json"
    assert json.loads(path.read_text())["identity"] == "NAME"
    assert path.stat().st_mode & 0o077 == 0
    lines = read_as(lake, lake.links("mine", "lines.parquet"), LINK_LINES)
    assert set(lines["listed_width"].to_pylist()) == {1.0}
    assert json.loads(lines["kept"][0].as_py())["TEXT"].startswith("a portrait of ")

    (tmp_path / "r.toml").write_text(LAION.replace('identity = "NAME"', 'identity = "TEXT"'))
    run("ingest", *where, "--recipe", str(tmp_path / "r.toml"))
    lines = read_as(lake, lake.links("mine", "lines.parquet"), LINK_LINES)
    assert lines["identity"][0].as_py().startswith("a_portrait_of_")


@pytest.mark.slow
def test_a_list_without_names_becomes_a_dataset_without_copies_on_which_nothing_is_trained(
    tmp_path: Path, world: Path, origin: Origin
) -> None:
    links, truth = as_laion(world, tmp_path), read_truth(world)
    (tmp_path / "recipe.toml").write_text(LAION.replace('identity = "NAME"\n', ""))
    where, connect = ["--lake", str(tmp_path / "lake")], ["--connect-to", f"127.0.0.1:{origin.port}"]
    given = ["--source", "crowd", "--links", links, "--recipe", str(tmp_path / "recipe.toml"), *connect]
    found = run("pipeline", *where, *given, "--method", "bbox")
    assert found["train"] == {"left_out": "crowd names nobody, so there is nothing to train on"}
    lake = Lake(tmp_path / "lake")
    assert expected(world, "accepted") <= accepted_urls(lake, "crowd")

    [version] = all_versions(lake)
    assert version.manifest["names_people"] is False
    assert set(version.manifest["leaks"].values()) == {0}
    index = version.index()
    assert all(name.startswith("unnamed-") for name in index["identity"].to_pylist())
    assert {truth[url]["expect"] for url in index["url"].to_pylist()} == {"accepted"}
    # A group photo may give several faces, and no picture is there in two copies.
    assert len(set(index["cluster"].to_pylist())) == len(set(index["image_digest"].to_pylist())) > 10
    assert len(set(index["crop_digest"].to_pylist())) == len(index)

    assert "names nobody" in refused("train", "--dataset", "faces-bbox", *where)
    assert "crowd contains no names" in refused("clean", "--source", "crowd", "--fit-on", "faces-bbox", *where)
    assert not lake.names("models")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--source", "mine"], "the source 'mine' is unknown"),
        (["--source", "vggface1", "--recipe", "facescrub"], "is not read by a recipe"),
        (["--source", "mine", "--links", "LIST"], "no column is certain to contain names; candidates: species"),
        (["--source", "mine", "--links", "LIST", "--recipe", "no.toml"], "--recipe no.toml is not a file"),
        (["--source", "mine", "--links", "http://a.example/x.csv"], "give --recipe"),
    ],
)
def test_what_a_list_cannot_be_read_by_is_told_in_one_line_and_nothing_is_written(
    tmp_path: Path, arguments: list[str], told: str
) -> None:
    (tmp_path / "list.csv").write_text("species,url\nx,http://a.example/1.jpg\ny,http://a.example/2.jpg\n")
    given = [str(tmp_path / "list.csv") if one == "LIST" else one for one in arguments]
    assert told in refused("ingest", "--lake", str(tmp_path / "lake"), *given)
    assert not (tmp_path / "lake").exists()


@pytest.mark.slow
def test_an_imagefolder_with_metadata_gives_its_pictures_and_faces(tmp_path: Path, world: Path) -> None:
    truth, pictures, places = read_truth(world), tmp_path / "pictures", {}
    for name, line, url, _ in listed(world):
        body = world / "bodies" / truth[url]["body"]
        if body.is_file():
            path = pictures / name / f"{line}{body.suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body.read_bytes())
            places[path.relative_to(pictures).as_posix()] = url
    (pictures / "metadata.csv").write_text("\n".join(["file_name", *places, "Nobody_Here/1.jpg"]) + "\n")
    where = ["--lake", str(tmp_path / "lake")]
    given = ["--source", "mine", "--links", str(pictures), "--recipe", "imagefolder", "--method", "mtcnn"]
    run("ingest", *where, *given[:-2])
    run("crop", *where, "--method", "mtcnn")
    [published] = run("publish", *where, "--method", "mtcnn", "--min-face", "40")
    lake = Lake(tmp_path / "lake")
    ledger = {row["url"]: row["outcome"] for row in read_ledger(lake, "mine", ["key", "url", "outcome"]).to_pylist()}
    # What is in a file was not cut off on its way, and is judged by its bytes alone.
    sure = {place: url for place, url in places.items() if truth[url]["expect"] == "accepted"}
    assert len(ledger) == len(places) + 1
    for place, url in sure.items():
        assert [out for name, out in ledger.items() if name.endswith(place)] == ["accepted"], url
    [version] = all_versions(lake)
    assert published["samples"] > 10
    for row in version.index(["identity", "url"]).to_pylist():
        [url] = [url for place, url in places.items() if row["url"].endswith(place)]
        assert truth[url]["body"]
        assert row["url"].split("/")[-2] == row["identity"]


def test_a_list_of_files_is_read_from_its_folder_and_nobody_is_asked(tmp_path: Path, world: Path) -> None:
    truth = read_truth(world)
    bodies = sorted({row["body"] for row in truth.values() if row["expect"] == "accepted" and row["body"]})[:6]
    (tmp_path / "pics" / "Ann").mkdir(parents=True)
    for name in bodies:
        (tmp_path / "pics" / "Ann" / name).write_bytes((world / "bodies" / name).read_bytes())
    (tmp_path / "pics" / "metadata.csv").write_text("file_name\n" + "".join(f"Ann/{name}\n" for name in bodies))
    where = ["--lake", str(tmp_path / "lake")]
    found = run("ingest", *where, "--source", "imagefolder", "--links", str(tmp_path / "pics"))
    assert (found["lines"], found["accepted"]) == (len(bodies), len(bodies))
    assert run("ingest", *where)["asked"] == 0
