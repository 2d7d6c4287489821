"""What a command looks at before Prefect starts: who is asked for, the lake's source, and a first contact's yes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from flows.cli.options import chosen_people, share, source_for
from flows.ingest import agree_to_contact, ingest, is_first_contact
from flows.selection import Selection
from storage.errors import UsageError
from storage.files.lake import Lake
from storage.records import CANDIDATES, Reason
from storage.tables.parquet import read_as, write_table
from tasks.links.plan import plan
from tasks.links.sources import source_named
from tests.flows.telemetry.test_run_summary import published
from tests.tasks.builders import NOW, attempt, attempts
from tests.tasks.image_shards import link_lines

LINE = "{:08d} http://{}.example/{}.jpg 1.00 1.00 90.00 90.00 3.00 2.00 1\n"
PEOPLE = ["0000045", "0000099", "5", "Ada_Aal", "Bo", "Cy", "Di"]
LOOPBACK = ["--connect-to", "127.0.0.1:9"]
Asked = dict[str, Any]


@pytest.fixture
def links(tmp_path: Path) -> Path:
    """A folder of link files, some of whose people are called by numbers; two links each."""
    folder = tmp_path / "links"
    folder.mkdir()
    for name in PEOPLE:
        (folder / f"{name}.txt").write_text("".join(LINE.format(n, name.lower(), n) for n in (1, 2)))
    return folder


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Asked]:
    """What the flows are asked to do, which they do not."""
    found: list[Asked] = []

    async def flow(lake: str, **parameters: Any) -> Asked:
        found.append(parameters)
        return {"lines": 0, "rejected_lines": 0, "candidates": 0, "asked": 0, "accepted": 0, "rejected": {}}

    monkeypatch.setattr("flows.ingest.ingest", flow)
    return found


def run(command: str, lake: Path, *arguments: str, **options: Any) -> Any:
    return CliRunner().invoke(app, [command, "--lake", str(lake), *arguments], **options)


def refused(command: str, lake: Path, *arguments: str) -> str:
    """The one line of a command that cannot be done, and has made no lake."""
    was_there = lake.exists()
    result = run(command, lake, *arguments)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    (line,) = result.stderr.strip().splitlines()
    assert lake.exists() == was_there
    return str(line)


# -- who is asked for --


@pytest.mark.case(11)
@pytest.mark.parametrize(
    ("text", "people"),
    [
        ("99", 99),
        (" 99 ", 99),
        ("first:99", 99),
        ("0000099", ["0000099"]),
        ("00", ["00"]),
        ("99,", ["99"]),
        ("0,", ["0"]),
        ("-5,", ["-5"]),
        ("5,Ada", ["5", "Ada"]),
        ("Ada, Bo ,Ada,,", ["Ada", "Bo"]),
        ("0000045,0000099", ["0000045", "0000099"]),
        ("infinity", ["infinity"]),
        (None, None),
    ],
)
def test_a_whole_number_alone_is_a_number_of_people_and_all_else_are_names(text: str, people: Any) -> None:
    assert chosen_people(text) == people


@pytest.mark.case(11)
@pytest.mark.parametrize(
    "text", ["0", "-5", "+5", "1e3", "5.0", "1_000", "\uff15", "\u0665", "", " ", ",", "first:", "first:0", "first:x"]
)
def test_what_is_neither_a_number_of_people_nor_a_name_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--identities"):
        chosen_people(text)


@pytest.mark.case(11)
@pytest.mark.parametrize(
    ("text", "people"), [("0000099", ["0000099"]), ("5,", ["5"]), ("first:5", 5), ("5,Bo", ["5", "Bo"]), ("3", 3)]
)
def test_a_person_called_by_a_number_is_the_one_who_is_fetched(
    tmp_path: Path, links: Path, asked: list[Asked], text: str, people: Any
) -> None:
    result = run("ingest", tmp_path / "lake", "--links", str(links), *LOOPBACK, "--identities", text)
    assert result.exit_code == 0, result.output
    assert asked[0]["identities"] == people
    if isinstance(people, int):
        assert f"the first {people} of 7: 0000045 to " in result.stderr


@pytest.mark.case(11)
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("5", "may mean the first 5 people or the person named '5': write first:5"),
        ("0000007", "no link file 0000007.txt"),
        ("99,Bo", "no link file 99.txt"),
        ("1e3", "not a number of people"),
    ],
)
def test_a_number_that_may_mean_two_things_or_nobody_is_refused(
    tmp_path: Path, links: Path, text: str, told: str
) -> None:
    assert told in refused("ingest", tmp_path / "lake", "--links", str(links), *LOOPBACK, "--identities", text)


@pytest.mark.parametrize("chosen", [["--identities", "3"], ["--identities", "Bo,Cy"], ["--identities", "first:5"]])
def test_too_few_people_for_a_training_are_told_before_the_work(tmp_path: Path, links: Path, chosen: list[str]) -> None:
    told = refused("pipeline", tmp_path / "lake", "--links", str(links), *LOOPBACK, *chosen)
    assert "needs at least 6 people" in told


def test_a_folder_of_too_few_people_is_told_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "album" / "Ada").mkdir(parents=True)
    (tmp_path / "album" / "Ada" / "1.jpg").touch()
    told = refused("pipeline", tmp_path / "lake", "--source", "vggface2", "--links", str(tmp_path / "album"))
    assert "at least 6 people, 2 per split, and 1 were requested" in told


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["pipeline", "--dataset", "fa/ces"], "the name 'fa/ces-both' may have only letters"),
        (["publish", "--dataset", ".."], "may have only letters"),
        (["train", "--dataset", "fases"], "there is no dataset version fases"),
        (["pipeline", "--source", "vggface2", "--links", "{empty}"], "contains no folder with pictures"),
        (["ingest", "--links", "{empty}"], "contains no link file"),
    ],
)
def test_what_can_be_judged_before_prefect_starts_leaves_nothing_behind(
    tmp_path: Path, command: list[str], told: str
) -> None:
    (tmp_path / "empty").mkdir()
    arguments = [one.format(empty=tmp_path / "empty") for one in command[1:]]
    assert told in refused(command[0], tmp_path / "lake", *arguments)


# -- the lake's source --


def lake_of(folder: Path, *sources: str) -> Lake:
    lake = Lake(folder)
    for source in sources:
        lines = link_lines(("Ada", 1, "http://a.example/1", None))
        write_table(lake, lake.links(source, "lines.parquet"), lines)
        write_table(lake, lake.plan(source), plan(lines))
    return lake


@pytest.mark.parametrize(
    ("held", "given", "starts", "chosen"),
    [
        ([], None, True, "vggface1"),
        ([], "synthetic", True, "synthetic"),
        (["synthetic"], None, True, "synthetic"),
        (["synthetic"], None, False, "synthetic"),
        (["synthetic"], "vggface2", True, "vggface2"),
        (["synthetic", "vggface2"], "vggface2", False, "vggface2"),
    ],
)
def test_a_lake_knows_its_only_source(
    tmp_path: Path, held: list[str], given: str | None, starts: bool, chosen: str
) -> None:
    lake = lake_of(tmp_path / "lake", *held)
    assert source_for(lake, given, starts=starts) == chosen


@pytest.mark.parametrize("command", ["crop", "publish", "clean", "retry"])
def test_a_source_that_the_lake_does_not_hold_is_answered_with_those_it_does(tmp_path: Path, command: str) -> None:
    lake = tmp_path / "lake"
    lake_of(lake, "synthetic")
    told = refused(command, lake, "--source", "vggface1")
    assert "holds synthetic, not vggface1: did you mean --source synthetic?" in told
    lake_of(lake, "vggface2")
    told = refused(command, lake)
    assert "holds vggface2 and synthetic: choose one with --source vggface2 or --source synthetic" in told


# -- the first contact with hosts outside --


def test_a_first_contact_without_a_terminal_is_refused_with_what_it_would_be(tmp_path: Path, links: Path) -> None:
    told = refused("ingest", tmp_path / "lake", "--links", str(links))
    assert "would now request 14 links on 7 hosts, about 455 KB in 1 min" in told
    assert "--yes" in told
    assert "at least 6" not in refused("pipeline", tmp_path / "lake", "--links", str(links))


@pytest.mark.parametrize("arguments", [[], ["--links", "https://lists.example/links.tar.gz"]])
def test_link_files_outside_are_not_asked_for_without_a_yes_either(tmp_path: Path, arguments: list[str]) -> None:
    assert "would now request the links of https://" in refused("ingest", tmp_path / "lake", *arguments)


def test_a_yes_is_asked_for_once_and_remembered(
    tmp_path: Path, links: Path, asked: list[Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.cli.startup._has_terminal", lambda: True)
    for answer in ("n\n", ""):
        no = run("ingest", tmp_path / "lake", "--links", str(links), input=answer)
        assert no.exit_code == 2
        assert "14 links on 7 hosts" in no.stderr
        assert "nothing was requested" in no.stderr
    assert not (tmp_path / "lake").exists()
    for said in ("y\n", None):
        assert run("ingest", tmp_path / "lake", "--links", str(links), input=said).exit_code == 0
    assert len(asked) == 2
    told = json.loads((tmp_path / "lake" / "links" / "vggface1" / "consent.json").read_text())["told"]
    assert told.startswith("14 links on 7 hosts")


def test_an_option_says_yes_and_loopback_needs_none(tmp_path: Path, links: Path, asked: list[Asked]) -> None:
    assert run("ingest", tmp_path / "one", "--links", str(links), "--yes", "--json").exit_code == 0
    assert run("ingest", tmp_path / "one", "--links", str(links), "--json").exit_code == 0
    assert run("ingest", tmp_path / "two", "--links", str(links), *LOOPBACK).exit_code == 0
    assert len(asked) == 3
    assert not (tmp_path / "two" / "links" / "vggface1" / "consent.json").exists()
    assert "has sent no request outside" in refused("ingest", tmp_path / "two", "--links", str(links))


def test_a_retry_that_would_be_the_first_contact_wants_a_yes(tmp_path: Path) -> None:
    lake = lake_of(tmp_path / "lake", "vggface1")
    failed = attempt("http://a.example/1", Reason.CONNECT, next_try=NOW)
    write_table(lake, f"{lake.images('vggface1', '0000-0')}.parquet", attempts(failed))
    assert "would now request 1 links on 1 hosts" in refused("retry", tmp_path / "lake", "--now")


def test_a_run_that_no_command_started_wants_the_yes_as_a_parameter(tmp_path: Path, links: Path) -> None:
    lake = Lake(tmp_path / "lake")
    outside, here = (Selection("vggface1", str(links), connect_to=one) for one in (None, "127.0.0.1:9"))
    pending = pa.table({"url": ["http://a.example/1"]})
    assert is_first_contact(lake, source_named("vggface1"), outside)
    assert not is_first_contact(lake, source_named("vggface1"), here)
    with pytest.raises(UsageError, match="in a deployment, the parameter `allow_outside`"):
        agree_to_contact(lake, "vggface1", pending, allowed=False)
    agree_to_contact(lake, "vggface1", pending, allowed=True)
    assert not is_first_contact(lake, source_named("vggface1"), outside)


def test_a_lake_without_consent_in_which_all_was_requested_wants_none(tmp_path: Path, links: Path) -> None:
    lake = Lake(tmp_path / "lake")
    with pytest.raises(UsageError, match="would now request 14 links on 7 hosts"):
        asyncio.run(ingest(lake.url, links=str(links)))
    candidates = read_as(lake, lake.plan("vggface1"), CANDIDATES)
    rows = [attempt(url, Reason.GONE) for url in candidates["url"].to_pylist()]
    write_table(lake, f"{lake.images('vggface1', '0000-0')}.parquet", attempts(*rows))
    assert asyncio.run(ingest(lake.url, links=str(links)))["asked"] == 0


# -- what a pipeline shows --


@pytest.fixture
def broken_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipeline whose last stage fails."""
    from flows.telemetry.stage_summaries import part_ended, stage_ended

    async def flow(lake: str, **parameters: Any) -> None:
        counts = {"lines": 14, "rejected_lines": 0, "candidates": 14}
        stage_ended("ingest", {**counts, "asked": 14, "accepted": 0, "rejected": {"connect": 14}})
        part_ended("publish", published("bbox", {"box_out_of_image": 6}))
        raise UsageError("the last stage cannot be done")

    monkeypatch.setattr("flows.pipeline.pipeline", flow)


@pytest.mark.usefixtures("broken_pipeline")
def test_a_failure_in_the_last_stage_hides_no_stage_before_it(tmp_path: Path, links: Path) -> None:
    result = run("pipeline", tmp_path / "lake", "--links", str(links), *LOOPBACK)
    assert result.exit_code == 2
    assert "14 requested, 0 accepted; connect 14" in result.stdout
    assert result.stderr == "facemill: the last stage cannot be done\n"
    # Of the stage that failed, the dataset that was published before.
    assert "dataset  faces-bbox@ffffffffffffffff: 233 faces of 40 people" in result.stdout
    assert "not found 214, unknown host 84" in result.stdout
    as_json = run("pipeline", tmp_path / "lake", "--links", str(links), *LOOPBACK, "--json")
    done = json.loads(as_json.stdout)
    assert done["ingest"]["rejected"] == {"connect": 14}
    assert [one["dataset"] for one in done["publish"]] == ["faces-bbox"]


@pytest.mark.parametrize(("given", "value"), [("1%", 0.01), ("0.5", 0.5), (0.0, 0.0)])
def test_a_share_is_read_as_typed_and_as_the_default_that_typer_passes(given: str | float, value: float) -> None:
    assert share(given) == value
