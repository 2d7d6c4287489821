"""What is asked of model versions: the commands, and the page on one. The people are drawn."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from flows.cli.app import app
from flows.reports.model_report import hardest_pairs, write_model_report
from model.configuration.config import TrainConfig
from model.training.training_loop import train
from storage.files.lake import Lake
from storage.versions.datasets import open_dataset
from storage.versions.models import ModelVersion, open_model, write_model
from tests.flows.reports.reader import read_page
from tests.flows.test_evaluate import write_lfw
from tests.model.conftest import write_dataset

runner = CliRunner()


FEW = "evaluated on 8 people; intervals and comparisons need at least 20"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelVersion:
    """A version that has hardly learned anything, and a copy of it under another name of version."""
    lake = Lake(tmp_path_factory.mktemp("models") / "lake")
    dataset = write_dataset(lake, "drawn", {"train": 8, "val": 4, "test": 8}, faces_each=6)
    config = TrainConfig(name="embedder", width=0.25, embedding_dim=16, image_px=32, steps=4, device="cpu")
    trained = train(lake, dataset, config, work_folder=lake.work_folder)
    files = {file: trained.read(file) for file in trained.manifest["files"]}
    write_model(lake, "embedder", "copy", files, trained.manifest)
    return trained


def asked(model: ModelVersion, command: str, *given: str) -> Result:
    return runner.invoke(app, ["models", command, *given, "--lake", model.lake.url])


def answered(model: ModelVersion, command: str, *given: str) -> dict[str, Any]:
    result = asked(model, command, *given, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_version_is_judged_on_its_dataset_or_on_lfw(model: ModelVersion, tmp_path: Path) -> None:
    own = answered(model, "evaluate", str(model))
    assert (own["model"], own["test"], own["num_people_seen"]) == (str(model), "drawn@v1", 0)
    lfw = answered(model, "evaluate", str(model), "--lfw", str(write_lfw(tmp_path / "lfw")))
    assert 0 <= lfw["accuracy"] <= 1
    assert (lfw["num_photos"], lfw["num_without_face"], len(lfw["folds"])) == (5, 5, 2)
    told = asked(model, "evaluate", str(model), "--lfw", str(tmp_path / "lfw"))
    assert "5 of 5 photos have no detected face" in " ".join(told.output.split())


def test_two_tests_at_once_are_wrong_usage(model: ModelVersion, tmp_path: Path) -> None:
    result = asked(model, "evaluate", str(model), "--lfw", str(tmp_path), "--dataset", "drawn")
    assert (result.exit_code, "exclude each other" in result.output) == (2, True)


def test_a_version_becomes_champion_its_copy_does_not_and_a_forced_one_is_rolled_back(model: ModelVersion) -> None:
    for version in (str(model), "embedder@copy"):
        refused = asked(model, "promote", version)
        assert refused.exit_code == 1
        assert FEW in " ".join(refused.output.split())
        if version == str(model):
            first = answered(model, "promote", version, "--why", "the first", "--force")
            assert (first["figures"], first["forced"]) == (None, True)
    assert answered(model, "promote", "embedder@copy", "--force")["forced"]
    assert open_model(model.lake, "embedder@champion").version == "copy"
    assert answered(model, "rollback", "embedder", "--why", "it was a copy")["version"] == model.version
    told = asked(model, "list").output
    assert f"{model.version} 20" in " ".join(told.split())
    assert "champion, trained on drawn@v1" in " ".join(told.split())
    shown = answered(model, "show", "embedder@champion")
    assert [event["action"] for event in shown["aliases"]] == ["promote", "rollback"]


def test_two_versions_are_told_apart_or_not(model: ModelVersion) -> None:
    found = answered(model, "diff", str(model), "embedder@copy")
    assert (found["made_of"], found["auc"]["difference"], found["auc"]["interval"]) == ({}, 0, None)
    told = " ".join(asked(model, "diff", str(model), "embedder@copy").output.split())
    assert f"+0.00000: {FEW}" in told
    assert "95%" not in told


def test_figures_from_few_people_have_no_interval_anywhere(model: ModelVersion) -> None:
    shown, judged = (asked(model, command, str(model)).output for command in ("show", "evaluate"))
    page = Path(answered(model, "report", str(model))["report"]).read_text()
    for told in (shown, judged, page):
        assert FEW in " ".join(told.split()).lower()
        assert not re.search(r"\d\.\d{3,} to \d\.\d{3,}", told)
    assert "with the 95% interval" not in page


def test_a_version_is_shown_with_its_figures_and_an_older_one_with_those_it_has(model: ModelVersion) -> None:
    told = asked(model, "show", str(model)).output
    assert "95% interval" in told
    assert "equal error rate" in told
    figures = model.read_json("metrics.json")
    kept = ("auc", "auc_interval", "eer", "accuracy", "tar_at_far", "rank_1")
    old = {state: {name: figures[state][name] for name in kept} for state in figures}
    files = {file: model.read(file) for file in ("config.json", "lineage.json")}
    write_model(model.lake, "old", "v1", {**files, "metrics.json": json.dumps(old).encode()}, model.manifest)
    assert "equal error rate" in asked(model, "show", "old").output


def test_the_page_is_where_the_command_says(model: ModelVersion) -> None:
    assert Path(answered(model, "report", str(model))["report"]).is_file()


def test_the_page_stands_by_itself_and_shows_every_part(model: ModelVersion) -> None:
    path = write_model_report(model, open_dataset(model.lake, "drawn"), device="cpu")
    text = path.read_text()
    assert path.is_relative_to(model.lake.work_folder)
    assert "<script" not in text
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", text)
    assert "http" not in re.sub(r"base64,[\w+/=]+", "", text)
    for part in (
        "ROC AUC",
        "Thresholds",
        "Same person, lowest similarity",
        "Different people, highest similarity",
        "Learning rate",
        f"against {model.read_json('metrics.json')['untrained']['auc']:.3f}; {FEW}",
        "Its probabilities were not checked: too few people.",
    ):
        assert part in text, part
    assert text.count("<img") == 2 * (12 + 12)
    assert text.count("<svg") == 5


def test_the_page_shows_settings_as_rows_and_what_the_version_was_made_of(model: ModelVersion) -> None:
    page = read_page(write_model_report(model, open_dataset(model.lake, "drawn"), device="cpu").read_text())
    assert "width 0.25 1 factor on the backbone's channels" in page.text
    assert (
        page.text.index("width 0.25") < page.text.index("settings with their defaults") < page.text.index("ema_decay")
    )
    assert "Trained on drawn@v1" in page.text
    assert f"torch {model.read_json('lineage.json')['libraries']['torch']}" in page.text
    assert "{" not in page.text


def test_the_page_names_the_version_before_and_what_changed(model: ModelVersion) -> None:
    files = {file: model.read(file) for file in model.manifest["files"]}
    changed = {**model.read_json("config.json"), "margin": 0.5}
    write_model(model.lake, "other", "v1", files, {**model.manifest, "trained_at": "2026-01-01T00:00:00+00:00"})
    later = {**model.manifest, "trained_at": "2026-01-02T00:00:00+00:00"}
    after = write_model(model.lake, "other", "v2", {**files, "config.json": json.dumps(changed).encode()}, later)
    page = read_page(write_model_report(after, open_dataset(model.lake, "drawn"), device="cpu").read_text())
    assert "The version before is other@v1" in page.text
    assert "Changes since other@v1 what before now margin 1 0.5 Settings" in page.text


def test_a_page_written_again_is_the_same(model: ModelVersion) -> None:
    first = write_model_report(model, open_dataset(model.lake, "drawn"), device="cpu").read_bytes()
    assert write_model_report(model, open_dataset(model.lake, "drawn"), device="cpu").read_bytes() == first


def test_the_hardest_pairs_show_each_face_once() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6], np.float32)
    left, right = np.array([0, 0, 2, 4]), np.array([1, 2, 3, 5])
    assert hardest_pairs(scores, left, right, 3) == [0, 2, 3]
    assert hardest_pairs(scores, left, right, 1) == [0]
