"""The author's experiment as one command: trained once, compared, stored, told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from typer.testing import CliRunner

from flows.cli.app import app
from flows.reports.experiment_report import difference_rows, figure_rows, markdown
from flows.reports.link import report_link
from model.configuration.config import PRESETS, TrainConfig
from storage.files.lake import Lake
from storage.versions.models import model_versions
from tests.flows.reports.reader import read_page
from tests.model.conftest import write_dataset

runner = CliRunner()


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    tiny = TrainConfig(width=0.25, embedding_dim=16, image_px=32, identities_per_batch=4, faces_per_identity=3)
    monkeypatch.setitem(PRESETS, "smoke", tiny)
    lake = Lake(tmp_path / "lake")
    for method in ("bbox", "mtcnn"):
        write_dataset(lake, f"faces-{method}", {"train": 5, "val": 3, "test": 3}, faces_each=3)
    return lake


def run(lake: Lake, *more: str) -> str:
    arguments = ["experiment", "--lake", lake.url, "--preset", "smoke", "--steps", "3", "--margins", "2", *more]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_grid_is_trained_once_and_told_as_table_page_and_file(lake: Lake) -> None:
    told = json.loads(run(lake, "--json"))
    assert [(cell["method"], cell["margin"]) for cell in told["cells"]] == [("bbox", 2.0), ("mtcnn", 2.0)]
    assert len(model_versions(lake, "experiment")) == 2
    (name,) = lake.names("experiments")
    page = lake.work_folder / "reports" / f"experiment-{name.removesuffix('.json')}.html"
    assert told == {
        **lake.read_json(f"experiments/{name}"),
        "path": f"{lake.url}/experiments/{name}",
        "report": str(page),
    }

    before = [version.manifest["trained_at"] for version in model_versions(lake)]
    page.unlink()
    again = run(lake)
    assert "No verdict: evaluated on 3 people" in read_page(page.read_text()).text
    assert f"report {page}" in " ".join(again.split())
    assert [version.manifest["trained_at"] for version in model_versions(lake)] == before
    few = "Its models were evaluated on 3 people; intervals and comparisons need at least 20."
    assert f"The common test has 9 faces of 3 people. {few}" in " ".join(again.split())
    with get_client(sync_client=True) as client:
        shown = {artifact.key: str(artifact.data) for artifact in client.read_latest_artifacts()}
    assert shown["experiment-page"] == f"Report: {report_link(page)}, shown by `facemill serve`.\n\n{markdown(told)}"
    assert len(json.loads(shown["experiment"])) == 4


def test_what_is_not_there_is_told_before_anything_is_trained(lake: Lake) -> None:
    for arguments, told in (
        (["--methods", "bbox,agree"], "there is no dataset version faces-agree"),
        (["--margins", "one"], "must be numbers"),
        (["--set", "train.margin=1"], "train.margin varies in an experiment: use --margins and --seeds"),
        (["--margins", "9"], "margin must be between"),
    ):
        result = runner.invoke(app, ["experiment", "--lake", lake.url, "--preset", "smoke", *arguments])
        assert result.exit_code == 2
        assert told in result.stderr
    assert model_versions(lake) == []


def report(auc: float, low: float, high: float) -> dict[str, object]:
    losses = {"unit": {"1": 0.5}, "unit_interval": {"1": [0.4, 0.6]}, "raw": {}, "raw_interval": {}}
    tars = {"tar_at_far": {"0.01": None, "0.001": None}, "tar_at_far_interval": {"0.01": None, "0.001": None}}
    return {
        **{"auc": auc, "auc_interval": [low, high], "accuracy": 0.8, "accuracy_interval": [0.7, 0.9]},
        **tars,
        "triplet": losses,
    }


def test_several_seeds_become_one_row_of_means_and_what_is_not_told_a_dash() -> None:
    cell = {"method": "bbox", "margin": 1.0, "own": report(0.5, 0.4, 0.6)}
    other = {"method": "mtcnn", "margin": 1.0}
    result = {
        "common_test": {"num_identities": 30, "num_faces": 90},
        "cells": [
            {**cell, "seed": 0, "dataset": "faces-bbox@1", "common": report(0.8, 0.7, 0.9)},
            {**cell, "seed": 1, "dataset": "faces-bbox@1", "common": report(0.9, 0.8, 1.0)},
        ],
        "differences": [
            {
                "from": cell,
                "to": other,
                "auc": {"difference": difference, "interval": [difference - 0.1, difference + 0.1]},
            }
            for difference in (0.02, 0.04)
        ],
    }
    common, own = figure_rows(result)
    assert common["AUC"] == "0.850 (0.750 to 0.950), seeds 0.800 to 0.900"
    assert common["triplet loss, unit"] == "0.500 (0.400 to 0.600), seeds 0.500 to 0.500"
    assert (common["triplet loss, raw"], common["TAR at FAR 0.01"]) == ("-", "-")
    assert own["test"] == "own"
    (row,) = difference_rows(result)
    assert row["AUC"] == "+0.030 (-0.070 to +0.130), seeds +0.020 to +0.040"
    assert row["from"] == "bbox, margin 1"
    (few,) = difference_rows({**result, "common_test": {"num_identities": 19, "num_faces": 90}})
    assert few["AUC"] == "+0.030, seeds +0.020 to +0.040"
    assert "| test | method | margin |" in markdown(result)
