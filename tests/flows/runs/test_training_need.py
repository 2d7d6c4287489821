"""Whether a dataset version is worth a training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.runs.training_need import why_not_needed
from model.configuration.config import TrainConfig, model_version_id
from storage.files.lake import Lake
from storage.versions.datasets import DatasetVersion
from storage.versions.models import write_model
from tasks.dataset.publish_request import Request
from tasks.dataset.publish_version import publish_source
from tasks.dataset.select import SelectRules
from tests.tasks.dataset.test_version_change import lose
from tests.tasks.made_lake import PEOPLE, SOURCE, make_lake, url_of

CONFIG = TrainConfig(name="embedder", steps=2)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return make_lake(tmp_path)


def publish(lake: Lake, **rules: Any) -> DatasetVersion:
    request = Request(name="faces-mtcnn", source=SOURCE, method="mtcnn", select=SelectRules(**rules))
    return publish_source(lake, request).dataset


def keep_model(dataset: DatasetVersion, config: TrainConfig = CONFIG, at: str = "2026-11-01") -> None:
    """A model version as a training leaves it, without weights."""
    facts = {"dataset": str(dataset), "trained_at": at, "config": config.recipe()}
    lineage = json.dumps({"dataset_state": dataset.state}).encode()
    version = model_version_id(dataset, config)
    write_model(dataset.lake, config.name, version, {"lineage.json": lineage}, facts)


def test_a_change_below_the_share_needs_no_training_and_says_since_which_model(lake: Lake) -> None:
    before = publish(lake)
    keep_model(before)
    lose(lake, url_of(PEOPLE[0], 3))
    after = publish(lake)
    assert why_not_needed(lake, after, CONFIG, 0.04) == (
        f"0 faces added and 1 removed of 32, 0 people added and 0 removed of 8 since {before}, "
        f"of embedder@{model_version_id(before, CONFIG)}: less than 4.0%"
    )
    assert why_not_needed(lake, after, CONFIG, 1 / 32) == ""
    assert why_not_needed(lake, after, CONFIG, 0.0) == ""


def test_small_changes_add_up_since_the_version_that_was_trained_on(lake: Lake) -> None:
    keep_model(publish(lake))
    for person in PEOPLE[:3]:
        lose(lake, url_of(person, 9))
        after = publish(lake)
    assert why_not_needed(lake, after, CONFIG, 3 / 32) == ""
    assert "3 removed of 32" in why_not_needed(lake, after, CONFIG, 0.1)


def test_a_model_that_exists_is_found_however_small_the_change(lake: Lake) -> None:
    before = publish(lake)
    keep_model(before)
    lose(lake, url_of(PEOPLE[0], 3))
    keep_model(publish(lake), at="2026-11-02")
    assert why_not_needed(lake, before, CONFIG, 1.0) == ""


def test_other_settings_of_training_or_publication_need_one(lake: Lake) -> None:
    keep_model(publish(lake))
    lose(lake, url_of(PEOPLE[0], 3))
    after = publish(lake)
    assert why_not_needed(lake, after, CONFIG, 1.0)
    assert why_not_needed(lake, after, TrainConfig(name="embedder", steps=3), 1.0) == ""
    assert why_not_needed(lake, publish(lake, min_face_px=99), CONFIG, 1.0) == ""


def test_a_newer_model_on_other_settings_does_not_hide_the_one_to_compare_with(lake: Lake) -> None:
    before = publish(lake)
    keep_model(before)
    keep_model(publish(lake, min_face_px=99), at="2026-11-02")
    lose(lake, url_of(PEOPLE[0], 3))
    assert f"since {before}" in why_not_needed(lake, publish(lake), CONFIG, 1.0)


def test_without_a_version_to_compare_with_a_training_is_needed(lake: Lake) -> None:
    before = publish(lake)
    keep_model(before)
    lose(lake, url_of(PEOPLE[0], 3))
    after = publish(lake)
    lake.remove(f"{before.folder}/manifest.json")
    assert why_not_needed(lake, after, CONFIG, 1.0) == ""
