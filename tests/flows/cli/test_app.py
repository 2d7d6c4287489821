"""The command line: exit codes, one clear line for what cannot be done, JSON for machines."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from errno import EACCES
from importlib.metadata import version
from io import BytesIO
from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from flows.cli.app import all_commands, app
from flows.cli.options import reporting
from storage.errors import UsageError
from storage.files.lake import Lake
from synthetic.origin import Origin
from tasks.fetch.ledger import read_ledger
from tests.tasks.web import origin as web_origin

runner = CliRunner()
Failed = tuple[list[str], web_origin.Origin]


def refused(*arguments: str) -> str:
    """The one line a refused command prints."""
    result = runner.invoke(app, list(arguments))
    assert result.exit_code == 2, result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("facemill: ")
    return lines[0]


def test_the_version_is_that_of_the_package() -> None:
    assert runner.invoke(app, ["--version"]).output == f"facemill {version('facemill')}\n"


def imported_by(*arguments: str) -> set[str]:
    """The modules that a new process has imported once a command has ended."""
    program = (
        "import sys; from typer.testing import CliRunner; from flows.cli.app import app; "
        "assert CliRunner().invoke(app, sys.argv[1:]).exit_code == 0; print(*sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    return set(ran.stdout.split())


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["datasets", "--help"]])
def test_the_list_of_commands_imports_no_heavy_library(arguments: list[str]) -> None:
    heavy = {"torch", "prefect", "pandas", "pyarrow", "numpy", "aiohttp", "PIL"}
    assert heavy & imported_by(*arguments) == set()


def test_the_list_of_dataset_versions_imports_no_more_than_it_reads_with(tmp_path: Path) -> None:
    Lake(tmp_path / "lake").begin()
    heavy = {"torch", "prefect", "pandas", "aiohttp", "PIL"}
    assert heavy & imported_by("datasets", "list", "--lake", str(tmp_path / "lake")) == set()


def test_the_list_of_commands_has_the_first_sentence_of_each_command() -> None:
    for typed, sentence, command in all_commands():
        assert command.help.replace("\n", " ").startswith(sentence) and sentence.endswith("."), typed


def test_a_mistyped_command_is_told_the_nearest() -> None:
    assert "Did you mean 'publish'?" in runner.invoke(app, ["publsh"]).stderr


def test_a_setting_that_does_not_exist_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    told = refused("ingest", "--lake", str(lake), "--set", "fetch.total=5")
    assert "there is no setting fetch.total. Did you mean fetch.total_s? `facemill settings ingest`" in told
    assert not lake.exists()


def test_shells_can_complete_commands() -> None:
    typed = {"COMP_WORDS": "facemill pip", "COMP_CWORD": "1", "_FACEMILL_COMPLETE": "complete_bash"}
    assert runner.invoke(app, [], prog_name="facemill", env=typed).output.split() == ["pipeline"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--links", "no/such/folder"], "no such file or folder"),
        (["--connect-to", "nowhere"], "must be HOST:PORT"),
        (["--identities", "0"], "selects nobody"),
        (["--source", "vggface2"], "--links"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line_and_nothing_is_written(
    tmp_path: Path, arguments: list[str], told: str
) -> None:
    lake = tmp_path / "lake"
    assert told in refused("ingest", "--lake", str(lake), *arguments)
    assert not lake.exists()


def test_an_empty_archive_is_told_in_one_line_and_nothing_is_written(tmp_path: Path) -> None:
    empty = tmp_path / "empty.tar.gz"
    empty.touch()
    assert "empty" in refused("ingest", "--lake", str(tmp_path / "lake"), "--links", str(empty))
    assert not (tmp_path / "lake").exists()


def test_a_lake_of_a_newer_format_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "lake.json").write_text('{"format": 99}')
    result = runner.invoke(app, ["status", "--lake", str(tmp_path)])
    assert result.exit_code == 1
    assert "format 99" in result.stderr
    assert "install a newer version" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["lake.json"]


def test_a_wrong_setting_in_the_environment_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEMILL_PER_HOST", "many")
    assert "FACEMILL_PER_HOST='many'" in refused("status")


def test_a_flow_runs_on_uvloop_and_its_error_is_told_in_one_line(
    tmp_path: Path, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def its_loop(*_: object, **__: object) -> None:
        raise UsageError(f"the loop of {type(asyncio.get_running_loop()).__module__}")

    monkeypatch.setattr("flows.ingest.ingest", its_loop)
    where = ["--links", str(world / "links"), "--connect-to", "127.0.0.1:9"]
    assert "the loop of uvloop" in refused("ingest", "--lake", str(tmp_path / "lake"), *where)


def test_a_list_of_names_that_is_not_there_is_refused_before_anything_starts(tmp_path: Path) -> None:
    assert "names.txt" in refused("publish", "--lake", str(tmp_path / "lake"), "--exclude", str(tmp_path / "names.txt"))
    assert not (tmp_path / "lake").exists()


def test_steps_that_come_too_early_say_what_comes_first(tmp_path: Path) -> None:
    lake = str(tmp_path / "lake")
    assert "no lake" in refused("status", "--lake", lake)
    assert "facemill ingest" in refused("crop", "--lake", lake)
    assert "facemill publish" in refused("train", "--lake", lake)


def test_a_world_can_be_made_and_one_folder_holds_one_world(tmp_path: Path) -> None:
    sized = ["--identities", "2", "--per-identity", "3", "--seed"]
    result = runner.invoke(app, ["synthetic", "make", str(tmp_path / "world"), *sized, "1", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["num_links"] == 6
    refused("synthetic", "make", str(tmp_path / "world"), *sized, "2")


def test_status_counts_what_an_ingest_brought(tmp_path: Path, world: Path, origin: Origin) -> None:
    lake = str(tmp_path / "lake")
    where = ["--lake", lake, "--connect-to", f"127.0.0.1:{origin.port}"]
    first = runner.invoke(app, ["ingest", *where, "--links", str(world / "links"), "--identities", "3", "--json"])
    assert first.exit_code == 0, first.output
    asked = json.loads(first.stdout)["asked"]

    counts = json.loads(runner.invoke(app, ["status", "--lake", lake, "--json"]).stdout)["sources"]["vggface1"]
    assert counts["links"] == 96
    assert counts["candidates"] == asked == counts["accepted"] + sum(counts["rejected"].values())

    again = runner.invoke(app, ["retry", *where, "--json"])
    assert json.loads(again.stdout)["asked"] == counts["due"]
    assert runner.invoke(app, ["status", "--lake", lake]).exit_code == 0
    assert Lake(lake).names("images/vggface1")


@pytest.fixture
def failed(tmp_path: Path) -> Iterator[Failed]:
    """The options of a lake whose links have failed in three ways, and the origin they were asked of."""
    links = tmp_path / "links"
    links.mkdir()
    urls = [*(f"http://busy.example/{n}.jpg" for n in range(2)), "http://no.example/a.jpg", "http://gone.example/a.jpg"]
    line = "{:08d} {} 1.00 1.00 90.00 90.00 3.00 2.00 1\n"
    (links / "Ada_Aal.txt").write_text("".join(line.format(n + 1, url) for n, url in enumerate(urls)))
    origin = web_origin.Origin({f"/{n}.jpg": web_origin.response(status="503 Later") for n in range(2)})
    with served(origin):
        where = ["--lake", str(tmp_path / "lake"), "--connect-to", f"127.0.0.1:{origin.port}"]
        assert runner.invoke(app, ["ingest", *where, "--links", str(links)]).exit_code == 0
        origin.heads.clear()
        yield where, origin


@contextmanager
def served(origin: web_origin.Origin) -> Iterator[None]:
    """The origin on a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    stack = AsyncExitStack()
    asyncio.run_coroutine_threadsafe(stack.enter_async_context(web_origin.serving(origin)), loop).result()
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_a_retry_says_first_how_much_is_due_and_can_be_narrowed_and_hurried(
    failed: Failed,
) -> None:
    where, origin = failed
    narrowed = runner.invoke(app, ["retry", *where, "--json", "--host", "BUSY.example,x", "--reason", "server_error"])
    assert "2 links are due for retry: server_error 2" in narrowed.stderr
    assert json.loads(narrowed.stdout)["asked"] == 2
    assert set(origin.headers("Host")) == {"busy.example"}
    # The first round may be repeated at once, the second one not before an hour has passed.
    assert json.loads(runner.invoke(app, ["retry", *where, "--json"]).stdout)["asked"] == 0
    hurried = runner.invoke(app, ["retry", *where, "--json", "--now"])
    assert json.loads(hurried.stdout)["due"] == {"server_error": 2}
    assert "gone.example" not in origin.headers("Host")
    assert "'tired' is unknown" in refused("retry", *where, "--reason", "tired")


def test_an_archive_is_asked_for_what_is_gone_for_good_if_one_is_set(
    failed: Failed, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, origin = failed
    assert "FACEMILL_ARCHIVE_URL" in refused("retry", *where, "--archive-fallback")
    monkeypatch.setenv("FACEMILL_ARCHIVE_URL", "http://archive.example/raw/{url}")
    picture = BytesIO()
    Image.linear_gradient("L").save(picture, "JPEG")
    origin.replies["/raw/http://gone.example/a.jpg"] = web_origin.response(picture.getvalue())
    result = runner.invoke(app, ["retry", *where, "--archive-fallback", "--json"])
    counts = json.loads(result.stdout)
    assert (counts["due"], counts["accepted"], counts["rejected"]) == ({"gone": 2}, 1, {"gone": 1})
    assert set(origin.headers("Host")) == {"archive.example"}
    rows = {row["url"]: row for row in read_ledger(Lake(where[1]), "vggface1").to_pylist()}
    found = rows["http://gone.example/a.jpg"]
    assert (found["outcome"], found["via"]) == ("accepted", "archive")
    assert found["final_url"] == "http://archive.example/raw/http://gone.example/a.jpg"
    again = runner.invoke(app, ["retry", *where, "--archive-fallback", "--json"])
    assert json.loads(again.stdout)["asked"] == 0


def test_limits_of_requests_and_pictures_can_be_set_for_one_run(failed: Failed) -> None:
    where, origin = failed
    picture = BytesIO()
    Image.linear_gradient("L").save(picture, "JPEG")
    origin.replies |= {f"/{n}.jpg": web_origin.response(picture.getvalue()) for n in range(2)}
    for value, reason in (("fetch.max_bytes=1000", "too_large"), ("images.min_side_px=300", "too_small")):
        retried = runner.invoke(
            app, ["retry", *where, "--also-final", "--host", "busy.example", "--set", value, "--json"]
        )
        assert json.loads(retried.stdout)["rejected"] == {reason: 2}, retried.output
    retried = runner.invoke(app, ["retry", *where, "--also-final", "--host", "busy.example", "--json"])
    assert json.loads(retried.stdout)["accepted"] == 2


def test_status_shows_the_hosts_with_the_most_failures(failed: Failed) -> None:
    lake = failed[0][:2]
    found = json.loads(runner.invoke(app, ["status", *lake, "--hosts", "--json"]).stdout)["vggface1"]
    assert (found["hosts"], found["links"], found["failures"]) == (3, 4, 4)
    assert next((row["host"], row["failures"]) for row in found["worst"]) == ("busy.example", 2)
    assert found["worst"][0]["rejected"] == {"server_error": 2}
    assert 0 < found["first_byte_s"]["p50"] <= found["first_byte_s"]["p99"] < 5
    table = runner.invoke(app, ["status", *lake, "--hosts"])
    assert table.exit_code == 0
    assert "busy.exam" in table.stdout


def test_progress_can_be_lines_of_json(failed: Failed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEMILL_LOG", "bar")  # so that what the command sets is undone
    result = runner.invoke(app, ["retry", *failed[0], "--log", "json", "--json"])
    events = [json.loads(line) for line in result.stderr.splitlines() if line.startswith("{")]
    assert [event["event"] for event in events] == ["unit", "progress"]
    assert (events[0]["unit"], events[0]["links"]) == (0, 2)
    last = events[-1]
    assert (last["name"], last["done"], last["total"], last["left_s"]) == ("retry", 2, 2, 0.0)
    assert (last["accepted"], last["rejected"]) == (0, {"server_error": 2})
    assert last["hosts"] == {"known": 1, "slowed": 1, "down": 0}


def test_what_cannot_be_written_is_named_also_where_the_error_names_no_file() -> None:
    program = typer.Typer()

    @program.command()
    @reporting
    def pool() -> None:
        raise PermissionError(EACCES, "Permission denied")

    result = runner.invoke(program)

    assert result.exit_code == 1
    assert "/dev/shm, which must be writable: Permission denied; fix this" in result.stderr
    assert "None" not in result.stderr
