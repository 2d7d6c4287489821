"""What a person sees on terminals of 80 and 120 columns, and what a pipe gets."""

from __future__ import annotations

import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from flows.cli.stage_screens import show_stage
from storage.files.lake import Lake
from synthetic.origin import Origin
from tasks.dataset.publish_request import Request
from tasks.dataset.publish_version import publish_source
from tasks.dataset.select import SelectRules
from tests.tasks.made_lake import SOURCE, make_lake
from tests.terminals import in_pipe, on_terminal

WIDTHS = pytest.mark.parametrize("columns", [80, 120])
# C0 and C1 controls but the line feed.
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Two versions of one dataset."""
    lake = make_lake(tmp_path_factory.mktemp("lake"))
    for rules in (SelectRules(min_face_px=40), SelectRules()):
        publish_source(lake, Request("faces-mtcnn", SOURCE, "mtcnn", rules))
    return lake


@WIDTHS
@pytest.mark.parametrize("group", [[], ["datasets"], ["models"], ["synthetic"]], ids=" ".join)
def test_help_has_the_width_of_the_terminal_and_whole_descriptions(group: list[str], columns: int) -> None:
    screen = on_terminal(*group, "--help", columns=columns)
    assert screen.code == 0
    assert max(map(cell_len, screen.lines)) <= columns
    commands = screen.text.split("Commands:")[1]
    assert "..." not in commands
    assert all(line.endswith(".") for line in commands.splitlines() if line.strip())


def test_help_of_a_command_uses_the_columns_there_are() -> None:
    narrow, wide = (on_terminal("publish", "--help", columns=columns).lines for columns in (80, 160))
    assert max(map(cell_len, narrow)) <= 80
    assert 120 < max(map(cell_len, wide)) <= 160
    assert len(wide) < len(narrow)


@WIDTHS
@pytest.mark.parametrize(
    "command", ["datasets list", "datasets show faces-mtcnn", "models list", "status", "publish --help", "settings"]
)
def test_a_screen_is_no_wider_than_the_terminal(lake: Lake, command: str, columns: int) -> None:
    place = [] if command in {"publish --help", "settings"} else ["--lake", lake.url]
    screen = on_terminal(*command.split(), *place, columns=columns)
    assert screen.code == 0
    if command != "settings":  # one line a setting, which a terminal wraps
        # The folder of the lake, a path of the test's, may be longer.
        assert [line for line in screen.lines if cell_len(line) > columns and lake.url not in line] == []
    assert "Traceback" not in screen.text


def test_a_list_ends_with_the_next_step_unless_it_is_for_machines_or_quiet(lake: Lake) -> None:
    follows = "next     facemill datasets show faces-mtcnn@"
    assert follows in in_pipe("datasets", "list", "--lake", lake.url).stderr
    for option in ("--json", "--quiet"):
        ran = in_pipe("datasets", "list", "--lake", lake.url, option)
        assert ran.stderr == ""
        assert "faces-mtcnn" in ran.stdout


@pytest.mark.parametrize("command", ["datasets list", "status", "datasets show faces-mtcnn"])
def test_neither_a_pipe_nor_ci_gets_a_control_character(lake: Lake, command: str) -> None:
    piped = in_pipe(*command.split(), "--lake", lake.url)
    assert piped.returncode == 0
    assert not CONTROL.search(piped.stdout + piped.stderr)
    in_ci = on_terminal(*command.split(), "--lake", lake.url, columns=80, env={"CI": "true"})
    assert not CONTROL.search(in_ci.written.replace("\r\n", "\n"))


def test_without_colour_a_terminal_gets_no_colour(lake: Lake) -> None:
    screen = on_terminal("status", "--lake", lake.url, columns=80, env={"NO_COLOR": "1"})
    assert not re.search(r"\x1b\[[0-9;]*[34][0-9]", screen.written)


TRAINED = {"model": "embedder", "version": "c" * 16, "is_new": True, "auc": 0.949, "untrained_auc": 0.708, "note": ""}
REFINED: dict[str, Any] = {
    "train": TRAINED | {"dataset": f"faces-mtcnn@{'a' * 16}"},
    "clean": [
        {"dataset": f"faces-{method}@{'a' * 16}", "model": f"embedder@{'c' * 16}", "samples": num, "doubtful": doubtful}
        for method, num, doubtful in (("bbox", 519, {}), ("mtcnn", 1407, {"wrong_person": 27, "same_person": 4}))
    ],
    "publish_cleaned": [
        {
            "dataset": "faces-mtcnn",
            "version": "d" * 16,
            "is_new": True,
            "samples": 1375,
            "identities": 39,
            "cleaned_from": {
                "samples": 1407,
                "identities": 40,
                "changes": {
                    "went": {"select: wrong_person": 27, "select: same_person": 5},
                    "came": {},
                    "recropped": {},
                    "moved": {"test to val": 3},
                },
            },
        }
    ],
    "train_cleaned": TRAINED | {"version": "e" * 16, "auc": 0.994, "untrained_auc": 0.738},
}


def shown(columns: int, result: dict[str, Any]) -> str:
    console = Console(file=StringIO(), width=columns)
    for stage, one in result.items():
        show_stage(console, stage, one)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_run_that_cleans_shows_what_is_doubtful_what_was_left_out_and_both_models() -> None:
    assert shown(80, REFINED) == (
        f"""\
train    embedder@{"c" * 16}: verification AUC on unseen people 0.949,
         untrained 0.708
clean    0 of 519 faces of faces-bbox,
         31 of 1,407 faces of faces-mtcnn may show somebody else,
         according to embedder@{"c" * 16}
cleaned  faces-mtcnn@{"d" * 16}: 1,375 faces of 39 people,
         before 1,407 of 40, left out: 27 wrong person, 5 one person, two names,
         in another split: 3 test to val
train    embedder@{"e" * 16}: verification AUC on unseen people 0.994,
         untrained 0.738, on the cleaned test faces
"""
    )


@pytest.mark.parametrize(
    ("cleans", "told"), [(True, "which then cleans"), (False, "after which no face is scored yet")]
)
def test_a_training_that_another_run_does_is_told_and_whether_that_cleans(cleans: bool, told: str) -> None:
    scheduled = {"train": {"flow_run": "swift-owl", "id": "1", "cleans": cleans}}
    assert shown(80, scheduled) == f"train    scheduled on the server as swift-owl, {told}\n"


@WIDTHS
def test_a_run_that_cleans_fits_the_terminal_and_says_why_nothing_was_trained(columns: int) -> None:
    why = "0 faces added and 1 removed of 1,407, 0 people added and 0 removed of 40 since faces-mtcnn@a: less than 1.0%"
    for result in (REFINED, {"train": {"model": "embedder", "left_out": why}}):
        assert max(map(cell_len, shown(columns, result).splitlines())) <= columns
    assert f"left out: {why[:40]}" in shown(200, {"train": {"model": "embedder", "left_out": why}})


@pytest.fixture
def asked(tmp_path: Path, world: Path, origin: Origin) -> list[str]:
    """An ingest from a made web into a new lake."""
    where = ["--links", str(world / "links"), "--connect-to", f"127.0.0.1:{origin.port}", "--identities", "3"]
    return ["ingest", "--lake", str(tmp_path / "lake"), *where]


@pytest.mark.slow
@WIDTHS
def test_a_bar_keeps_count_rate_and_time_and_never_exceeds_the_line(asked: list[str], columns: int) -> None:
    screen = on_terminal(*asked, columns=columns)
    assert screen.code == 0, screen.text
    bars = [line for line in screen.lines if re.match(r"fetch +\d+/\d+ ", line)]
    assert bars
    assert max(map(cell_len, bars)) <= columns
    assert re.search(r"fetch +(\d+)/\1 \u2501+ +[\d.]+/s in \d+ ", bars[-1])
    assert "accepted" in bars[-1]
    assert "next     facemill crop --lake" in screen.text


@pytest.mark.slow
@pytest.mark.parametrize("quiet", [[], ["--quiet"]], ids=["told", "quiet"])
def test_a_run_in_a_pipe_writes_no_control_character(asked: list[str], quiet: list[str]) -> None:
    ran = in_pipe(*asked, *quiet)
    assert ran.returncode == 0, ran.stderr
    assert not CONTROL.search(ran.stdout + ran.stderr)
    assert "requested" in ran.stdout
    assert ("facemill crop" in ran.stderr) == (not quiet)
    assert not quiet or ran.stderr == ""


@pytest.mark.slow
def test_a_quiet_run_on_a_terminal_shows_its_result_alone(asked: list[str]) -> None:
    screen = on_terminal(*asked, "--quiet", columns=80)
    assert [line.split()[0] for line in screen.lines if line[:1].strip()] == ["links", "fetch"]


@pytest.mark.slow
def test_a_run_for_machines_is_json_and_nothing_else(asked: list[str]) -> None:
    ran = in_pipe(*asked, "--json", "--quiet")
    assert json.loads(ran.stdout)["asked"] > 0
    assert ran.stderr == ""
