"""One dataset of three lists, with copies of pictures and people across them, graded by the truth."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.grades import Truth
from flows.cli.app import app
from flows.reports.dataset_report import write_report
from storage.files.lake import Lake
from storage.records import LINK_LINES
from storage.tables.parquet import read_as
from storage.versions.datasets import DatasetVersion, open_dataset
from synthetic.origin import Origin, serving
from synthetic.world import make_world
from tasks.dataset.diff import diff
from tasks.maintenance.fsck.inspect_lake import inspect, jobs
from tests.flows.cli.test_app import refused
from tests.flows.test_lists import Row, listed, run, runner

SOURCES = ("crowd", "facescrub", "folder")
METHOD = ["--method", "mtcnn"]
CROWD = """
format = "parquet"
identity = "NAME"
url = "URL"
line = "LINE"
keep = ["TEXT"]
terms = "Made for a test."
"""


class Lists(NamedTuple):
    """A lake of three lists and of one that holds all their rows, and the truth about their pictures.

    Attributes:
        urls: of the pictures that the list of files names, by person and line.
    """

    lake: Lake
    truth: Truth
    urls: dict[str, str]

    def version(self, name: str = "faces-mtcnn") -> DatasetVersion:
        return open_dataset(self.lake, name)

    def where(self, *more: str) -> list[str]:
        return ["--lake", self.lake.root, *more]


def name_in(source: str, person: str) -> str:
    """The same person's name as each list spells it."""
    words = person.split("_")
    return {"crowd": " ".join(reversed(words)), "facescrub": " ".join(words), "folder": "_".join(words)}[source]


def rows_in(source: str, world: Path) -> list[Row]:
    """Every row of the world stands in two of the three lists."""
    without = SOURCES.index(source)
    return [row for row in listed(world) if row[1] % 3 != without]


def make_lists(world: Path, folder: Path, truth: Truth) -> dict[str, list[str]]:
    """Write the lists; returns the options of `ingest` for each."""
    rows = [
        {"NAME": name_in("crowd", name), "URL": url, "LINE": line, "TEXT": f"a portrait of {name}"}
        for name, line, url, _ in rows_in("crowd", world)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "crowd.parquet")
    (folder / "crowd.toml").write_text(CROWD)
    lines = ["name\timage_id\tface_id\turl\tbbox\tsha256"]
    for name, line, url, box in rows_in("facescrub", world):
        corners = ",".join(f"{value:.0f}" for value in box)
        lines.append(f"{name_in('facescrub', name)}\t{line}\t{line}\t{url}\t{corners}\t{'0' * 64}")
    (folder / "facescrub_made.txt").write_text("\n".join(lines) + "\n")
    for name, line, url, _ in rows_in("folder", world):
        body = world / "bodies" / truth.responses[url].body
        if truth.responses[url].expect == "accepted" and body.is_file():
            path = folder / "pictures" / name_in("folder", name) / f"{line}{body.suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body.read_bytes())
    names = sorted(path.relative_to(folder / "pictures").as_posix() for path in (folder / "pictures").rglob("*.*"))
    (folder / "pictures" / "metadata.csv").write_text("\n".join(["file_name", *names]) + "\n")
    return {
        "crowd": ["--links", str(folder / "crowd.parquet"), "--recipe", str(folder / "crowd.toml")],
        "facescrub": ["--links", str(folder / "facescrub_made.txt")],
        "folder": ["--links", str(folder / "pictures"), "--recipe", "imagefolder"],
    }


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Origin]]:
    folder = tmp_path_factory.mktemp("worlds") / "world"
    make_world(folder, num_identities=12, per_identity=10, seed=5)
    with serving(folder) as origin:
        yield folder, origin


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory, web: tuple[Path, Origin]) -> Lists:
    world, origin = web
    folder, truth = tmp_path_factory.mktemp("lists"), Truth.of(world)
    lake = Lake(folder / "lake")
    connect = ["--lake", lake.root, "--connect-to", f"127.0.0.1:{origin.port}"]
    for source, given in make_lists(world, folder, truth).items():
        run("ingest", *connect, "--source", source, *given)
        run("crop", "--lake", lake.root, "--source", source, *METHOD)
    run("ingest", *connect, "--source", "vggface1", "--links", str(world / "links"))
    run("crop", "--lake", lake.root, "--source", "vggface1", *METHOD)
    publish = ["publish", "--lake", lake.root, *METHOD, "--min-face", "40"]
    run(*publish, "--source", ",".join(SOURCES), "--keep", "TEXT")
    run(*publish, "--source", "vggface1", "--dataset", "whole")
    urls = {f"{name_in('folder', name)}/{line}": url for name, line, url, _ in listed(world)}
    return Lists(lake, truth, urls)


def picture_of(lists: Lists, row: dict[str, Any]) -> str:
    """An id of the picture that a sample was cut from, by the truth."""
    if row["source"] != "folder":
        return lists.truth.picture(row["url"])
    place = Path(row["url"])
    return lists.truth.picture(lists.urls[f"{place.parent.name}/{place.stem}"])


def words_of(name: str) -> str:
    return " ".join(sorted(name.replace("_", " ").split()))


@pytest.mark.slow
def test_a_picture_in_several_lists_is_one_sample_of_one_person(lists: Lists) -> None:
    rows = lists.version().index().to_pylist()
    claims = Counter((row["identity"], picture_of(lists, row)) for row in rows)
    assert max(claims.values()) == 1
    assert {row["source"] for row in rows} == set(SOURCES)
    people = {row["identity"] for row in rows}
    assert len({words_of(name) for name in people}) == len(people)


@pytest.mark.slow
def test_three_lists_give_the_samples_of_one_list_that_holds_all_their_rows(lists: Lists) -> None:
    def samples(name: str) -> set[tuple[str, str]]:
        rows = lists.version(name).index().to_pylist()
        return {(words_of(row["identity"]), picture_of(lists, row)) for row in rows}

    assert samples("faces-mtcnn") == samples("whole-mtcnn")
    assert len(samples("whole-mtcnn")) > 20


@pytest.mark.slow
def test_nothing_of_one_person_or_picture_is_on_two_sides_of_the_split(lists: Lists) -> None:
    version = lists.version()
    assert set(version.manifest["leaks"].values()) == {0}
    sides: defaultdict[str, set[str]] = defaultdict(set)
    for row in version.index().to_pylist():
        sides[picture_of(lists, row)].add(row["split"])
    assert {len(one) for one in sides.values()} == {1}


@pytest.mark.slow
def test_every_line_of_every_list_has_one_outcome_and_the_funnels_add_up(lists: Lists) -> None:
    version = lists.version()
    outcomes = version.outcomes().to_pylist()
    found = Counter((row["source"], row["identity"], row["line"]) for row in outcomes)
    planned = {
        (source, row["identity"], row["line"])
        for source in SOURCES
        for row in read_as(lists.lake, lists.lake.links(source, "lines.parquet"), LINK_LINES).to_pylist()
    }
    assert found.keys() == planned
    assert set(found.values()) == {1}
    whole, parts = version.manifest["funnel"]["stages"], version.manifest["funnels"]
    assert parts.keys() == set(SOURCES)
    for at, stage in enumerate(whole):
        for count in ("num_in", "num_out"):
            assert stage[count] == sum(part["stages"][at][count] for part in parts.values())
    assert inspect(jobs(lists.lake)) == []


@pytest.mark.slow
def test_each_sample_says_its_list_and_the_manifest_the_terms_of_each(lists: Lists) -> None:
    version = lists.version()
    assert version.manifest["source"] == "crowd+facescrub+folder"
    assert version.manifest["terms_by_source"]["crowd"] == "Made for a test."
    assert version.manifest["terms_by_source"].keys() == version.manifest["made_from"].keys() == set(SOURCES)
    for row in version.index().to_pylist():
        if row["source"] == "crowd":
            assert json.loads(row["kept"])["TEXT"].startswith("a portrait of ")
        else:
            assert row["kept"] is None
        if row["listed_identity"] is not None:
            assert sorted(row["listed_identity"].split("_")) == sorted(row["identity"].split("_"))


@pytest.mark.slow
def test_the_report_and_a_diff_know_the_lists(lists: Lists, tmp_path: Path) -> None:
    version = lists.version()
    page = write_report(version, tmp_path / "page.html").read_text()
    assert "crowd, facescrub, folder" in page
    assert "By source" in page
    run("publish", *lists.where("--source", "facescrub", *METHOD, "--min-face", "40", "--dataset", "alone"))
    changes = diff(lists.version("alone-mtcnn"), version).changes.to_pylist()
    why = {row["why"] for row in changes if row["change"] == "went"}
    assert why <= {"dedupe: exact_duplicate", "dedupe: near_duplicate", "dedupe: conflict", "select: cross_split"}


def test_a_version_of_several_lists_is_shown_with_a_row_for_each(lists: Lists) -> None:
    shown = runner.invoke(app, ["datasets", "show", "faces-mtcnn", "--lake", lists.lake.root]).stdout
    rows = [line for line in shown.splitlines() if line.startswith("│ ")]
    assert [source for source in SOURCES if any(f"│ {source}" in row for row in rows)] == list(SOURCES)
    assert '"funnels"' not in shown


@pytest.mark.slow
def test_publishing_the_same_lists_in_another_order_finds_the_version(lists: Lists) -> None:
    again = ["--source", "folder,facescrub,crowd,folder", *METHOD, "--min-face", "40", "--keep", "TEXT"]
    [result] = run("publish", *lists.where(*again))
    assert (result["version"], result["is_new"]) == (lists.version().version, False)


@pytest.mark.slow
def test_scores_of_several_lists_find_the_names_of_one_person_across_them(lists: Lists) -> None:
    dataset = lists.version()
    given = lists.where("--source", ",".join(SOURCES), *METHOD)
    [result] = run("clean", *given, "--fit-on", str(dataset))
    assert dataset.manifest["num_identities"] <= result["people"] <= 12
    model = result["model"]
    cleaned = ["--min-face", "40", "--dataset", "cleaned", "--cleaned-by", model, "--wrong-person-score", "0.5"]
    [published] = run("publish", *given, *cleaned)
    reasons = {reason for stage in published["funnel"]["stages"] for reason in stage["rejected"]}
    assert published["samples"] <= dataset.manifest["num_samples"]
    assert ("wrong_person" in reasons) == (published["samples"] < dataset.manifest["num_samples"])


@pytest.mark.slow
def test_the_pipeline_takes_several_lists_whose_places_the_lake_knows(lists: Lists, web: tuple[Path, Origin]) -> None:
    given = ["--source", "crowd,facescrub", "--connect-to", f"127.0.0.1:{web[1].port}", *METHOD, "--min-face", "40"]
    found = run("pipeline", *lists.where(*given, "--dataset", "two", "--steps", "1"))
    for stage in ("ingest", "retry", "crop"):
        assert found[stage]["sources"].keys() == {"crowd", "facescrub"}
    assert found["publish"][0]["funnels"].keys() == {"crowd", "facescrub"}
    assert found["train"]["model"] == "embedder-two-mtcnn"


def test_lists_and_recipes_of_several_sources_are_refused(lists: Lists) -> None:
    assert "belong to one source" in refused(
        "pipeline", *lists.where("--source", "crowd,folder", "--links", lists.lake.root)
    )
    assert ", not other: did you mean" in refused("publish", *lists.where("--source", "crowd,other"))
    unknown = refused("publish", *lists.where("--source", "crowd", "--keep", "HEIGHT"))
    assert "crowd has no kept column HEIGHT: it has TEXT" in unknown


@pytest.mark.slow
def test_a_takedown_under_one_name_covers_the_person_in_every_list(lists: Lists) -> None:
    version = lists.version()
    person = max(Counter(version.index()["identity"].to_pylist()).items(), key=lambda item: item[1])[0]
    run("forget", *lists.where("--identity", person, "--purge"))
    left = lists.version()
    assert person not in left.index()["identity"].to_pylist()
    assert left.manifest["num_samples"] == len(left.index()) < version.manifest["num_samples"]
    assert inspect(jobs(lists.lake)) == []
