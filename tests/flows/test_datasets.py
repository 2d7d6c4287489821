"""What the command line shows of dataset versions, and hands on of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from flows.configuration.setting_groups import SettingValues
from flows.publish import publish
from flows.telemetry.stage_summaries import watching
from storage.errors import UsageError
from storage.files.lake import Lake
from tasks.dataset.publish_request import Request
from tasks.dataset.publish_version import publish_source
from tasks.dataset.select import SelectRules
from tests.tasks.made_lake import LINES, PEOPLE, SOURCE, ends, make_lake

runner = CliRunner()


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Two versions of faces-mtcnn and one of faces-agree."""
    lake = make_lake(tmp_path_factory.mktemp("lake"))
    for name, method, rules in (
        ("faces-mtcnn", "mtcnn", SelectRules(min_face_px=40)),
        ("faces-mtcnn", "mtcnn", SelectRules()),
        ("faces-agree", "agree", SelectRules()),
    ):
        publish_source(lake, Request(name, SOURCE, method, rules))
    return lake


def shown(lake: Lake, *arguments: str, code: int = 0) -> str:
    result = runner.invoke(app, [*arguments, "--lake", lake.url], terminal_width=200)
    assert result.exit_code == code, result.output
    return result.stderr if code else result.stdout


def told(lake: Lake, *arguments: str) -> Any:
    return json.loads(shown(lake, *arguments, "--json"))


def test_the_versions_are_listed_and_each_can_be_shown(lake: Lake) -> None:
    listed = told(lake, "datasets", "list")
    assert [one["dataset"] for one in listed] == ["faces-agree", "faces-mtcnn", "faces-mtcnn"]
    assert all(one["version"] in shown(lake, "datasets", "list") for one in listed)
    whole = told(lake, "datasets", "show", "faces-agree")
    assert whole["num_samples"] == listed[0]["samples"] == ends("agree")["sample"]
    page = shown(lake, "datasets", "show", "faces-agree")
    assert f"methods_disagree {ends('agree')['methods_disagree']}" in " ".join(page.split())
    assert "no dataset version magic" in shown(lake, "datasets", "show", "magic", code=2)


def test_a_version_is_named_by_its_tag_in_every_command_until_the_tag_is_removed(lake: Lake) -> None:
    older = told(lake, "datasets", "list")[1]["version"]
    given = told(lake, "datasets", "tag", f"faces-mtcnn@{older}", "golden", "--why", "the paper's")
    assert (given["version"], given["over"], given["why"]) == (older, None, "the paper's")
    assert [one["tags"] for one in told(lake, "datasets", "list")] == [["latest"], ["golden"], ["latest"]]
    lines = shown(lake, "datasets", "list").splitlines()
    after = next(place for place, line in enumerate(lines) if older in line) + 1
    assert lines[after].strip().startswith("golden, select.min_face_px=40")
    assert told(lake, "datasets", "show", "faces-mtcnn@golden")["version"] == older
    assert "tag golden" in shown(lake, "datasets", "show", "faces-mtcnn@golden")
    found = told(lake, "diff", "faces-mtcnn@golden", "faces-mtcnn@latest")
    assert found["before"] == f"faces-mtcnn@{older}" != found["after"]
    assert "reserved" in shown(lake, "datasets", "tag", "faces-mtcnn", "latest", code=2)
    assert "write it as NAME@TAG" in shown(lake, "datasets", "untag", "faces-mtcnn", code=2)
    assert f"faces-mtcnn@{older} no longer has the tag golden" in shown(lake, "datasets", "untag", "faces-mtcnn@golden")
    assert "no dataset version faces-mtcnn@golden" in shown(lake, "datasets", "show", "faces-mtcnn@golden", code=2)


def test_two_versions_are_compared_by_count_and_line_by_line(lake: Lake) -> None:
    older = f"faces-mtcnn@{told(lake, 'datasets', 'list')[1]['version']}"
    found = told(lake, "diff", older, "faces-mtcnn", "--lines")
    assert found["before"] == older
    assert {"name": "select.min_face_px", "before": 40, "after": 100} in found["settings"]
    assert found["changes"]["went"] == {"select: face_too_small": len(PEOPLE)}
    assert {(row["identity"], LINES[row["line"]]) for row in found["lines"]} == {(one, "small") for one in PEOPLE}
    table = shown(lake, "diff", older, "faces-mtcnn", "--lines")
    assert "select.min_face_px: 40 to 100" in table
    assert found["lines"][0]["url"] in table


def test_a_version_is_exported_into_a_folder_once(lake: Lake, tmp_path: Path) -> None:
    where = ["export", "faces-agree", str(tmp_path / "out"), "--to", "imagefolder"]
    result = told(lake, *where)
    assert result["samples"] == len(list((tmp_path / "out").rglob("*.jpg"))) == ends("agree")["sample"]
    assert "is not empty" in shown(lake, *where, code=2)
    assert "choose from imagefolder, hf-parquet" in shown(lake, "export", "faces-agree", "x", "--to", "magic", code=2)


def test_a_page_is_written_where_it_is_asked_for(lake: Lake, tmp_path: Path) -> None:
    written = Path(shown(lake, "report", "faces-agree").strip())
    assert written.parent == lake.work_folder / "reports"
    asked = told(lake, "report", "faces-agree", "--out", str(tmp_path / "page.html"))
    assert Path(asked["report"]).read_text() == written.read_text()


def test_publishing_by_both_methods_makes_two_datasets_and_where_they_agree_one(lake: Lake) -> None:
    two = publish(lake.url, source=SOURCE)
    assert [(one["dataset"], one["is_new"]) for one in two] == [("faces-bbox", True), ("faces-mtcnn", False)]
    (one,) = publish(lake.url, source=SOURCE, method="agree")
    assert (one["dataset"], one["is_new"], one["samples"]) == ("faces-agree", False, ends("agree")["sample"])


def test_each_dataset_is_reported_as_soon_as_it_is_published(lake: Lake) -> None:
    parts: list[tuple[str, str]] = []
    with watching(lambda stage, result: None, lambda stage, part: parts.append((stage, part["dataset"]))):
        publish(lake.url, source=SOURCE)
    assert parts == [("publish", "faces-bbox"), ("publish", "faces-mtcnn")]


def test_a_limit_that_is_set_makes_another_version_and_its_default_the_same(lake: Lake) -> None:
    def published(settings: SettingValues | None = None) -> str:
        (one,) = publish(lake.url, source=SOURCE, method="mtcnn", settings=settings)
        return f"{one['dataset']}@{one['version']}"

    plain, sharp = published(), published({"select.min_sharpness": 100, "split.test_share": 0.15})
    assert published({"select.min_sharpness": 0, "dedupe.near_distance": 6}) == published({}) == plain != sharp
    assert told(lake, "datasets", "show", sharp)["select"]["min_sharpness"] == 100
    assert "min_sharpness=100" in shown(lake, "datasets", "show", sharp)
    found = told(lake, "diff", plain, sharp)["settings"]
    assert found == [{"name": "select.min_sharpness", "before": 0.0, "after": 100.0}]


def test_settings_that_would_have_no_effect_are_refused(lake: Lake) -> None:
    with pytest.raises(UsageError, match=r"cleaning.same_person_score has no effect without --cleaned-by"):
        publish(lake.url, source=SOURCE, settings={"cleaning.same_person_score": 0.5})
    with pytest.raises(UsageError, match=r"crop.margin is not a setting of publish, but of crop, pipeline"):
        publish(lake.url, source=SOURCE, settings={"crop.margin": 0.1})
