"""The train flow: found again, alone with its checkpoint, and to be looked at while it goes on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client

from flows.configuration.setting_groups import SettingValues
from flows.train import train
from model.configuration.config import PRESETS, TrainConfig
from model.training import training_loop
from storage.files.lake import Lake
from storage.versions.aliases import aliases
from storage.versions.models import model_versions
from tests.model.conftest import write_dataset


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A lake with drawn people, and a preset that trains on them in a second."""
    tiny = TrainConfig(width=0.25, embedding_dim=16, image_px=32, identities_per_batch=4, faces_per_identity=4)
    monkeypatch.setitem(PRESETS, "smoke", tiny)
    lake = Lake(tmp_path / "lake")
    write_dataset(lake, "drawn", {"train": 5, "val": 3, "test": 3}, faces_each=4)
    return lake


def test_a_training_shows_its_loss_as_it_goes_and_its_card_and_figures_in_the_end(lake: Lake) -> None:
    result = train(lake.url, "drawn", preset="smoke", steps=4, report=True)
    with get_client(sync_client=True) as client:
        shown = {artifact.key: str(artifact.data) for artifact in client.read_latest_artifacts()}
    assert "Step 4 of 4: loss" in shown["training"]
    assert "![loss by step](data:image/svg+xml;base64," in shown["training"]
    assert "95%" in shown["model-figures"]
    page = Path(result["report"])
    assert "</html>" in page.read_text()
    assert f"](/facemill/reports/{page.name})" in shown["model"]
    assert "## Biometric data" in shown["model"]
    assert f"{result['model']}@{result['version']}" in shown["model"]


def test_of_two_runs_of_one_training_at_a_time_the_second_finds_what_the_first_made(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, real = [], training_loop.train

    def counted(*args, **kwargs):
        return real(*args, on_progress=lambda now: trained.append(now.step), work_folder=kwargs["work_folder"])

    monkeypatch.setattr(training_loop, "train", counted)
    with ThreadPoolExecutor(2) as both:
        results = list(both.map(lambda _: train(lake.url, "drawn", preset="smoke", steps=4), range(2)))
    assert trained == [1, 2, 3, 4]
    assert len(model_versions(lake)) == 1
    assert aliases(lake, "embedder") == {"candidate": model_versions(lake)[0].version}
    assert {result["version"] for result in results} == {model_versions(lake)[0].version}


def test_settings_of_a_training_take_precedence_and_stand_in_the_version(lake: Lake) -> None:
    settings: SettingValues = {"train.learning_rate": 0.01, "train.steps": 2}
    told = train(lake.url, "drawn", preset="smoke", steps=4, settings=settings)
    config = model_versions(lake, told["model"])[0].read_json("config.json")
    assert (config["learning_rate"], config["steps"], config["width"]) == (0.01, 2, 0.25)
