import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load

from model.configuration.config import model_version_id
from model.embedding.data import load_faces
from model.training.training_loop import train
from model.versions.face_model import FaceModel
from model.versions.version import load_backbone
from storage.errors import LakeError
from storage.records import bytes_digest
from storage.stamps.code_version import code_version
from storage.versions.models import open_model

FILES = {
    "weights.safetensors",
    "model.onnx",
    "config.json",
    "metrics.json",
    "thresholds.json",
    "history.json",
    "lineage.json",
    "card.md",
}


def test_a_version_holds_its_files_and_their_digests(trained):
    assert set(trained.manifest["files"]) == FILES
    assert trained.lake.names(trained.folder) == sorted([*FILES, "manifest.json"])
    assert open_model(trained.lake, "tiny").version == trained.version


def test_the_id_follows_from_dataset_and_recipe_alone(trained, drawn, tiny):
    assert trained.version == model_version_id(drawn, tiny(device="auto"))
    assert trained.version != model_version_id(drawn, tiny(seed=1))


def test_the_manifest_answers_what_when_and_how_good(trained, tiny):
    manifest = trained.manifest
    assert manifest["dataset"] == "drawn@v1"
    assert manifest["config"] == tiny().recipe()
    assert manifest["trained_at"].endswith("+00:00")
    assert 0 < manifest["auc"] <= 1


def test_lineage_leads_back_to_the_very_manifest_of_the_data(trained, drawn):
    lineage = trained.read_json("lineage.json")
    manifest = drawn.lake.read(f"{drawn.folder}/manifest.json")
    assert lineage["dataset_manifest_sha256"] == bytes_digest(manifest).hex()
    assert lineage["code"] == code_version()
    assert lineage["libraries"]["torch"] == str(torch.__version__)
    assert lineage["libraries"]["onnxruntime"]
    assert lineage["seed"] == 0


def test_loaded_weights_are_the_saved_ones_and_in_evaluation_mode(trained):
    backbone, saved = load_backbone(trained), load(trained.read("weights.safetensors"))
    assert not backbone.training
    assert all(torch.equal(tensor, saved[name]) for name, tensor in backbone.state_dict().items())


def test_the_card_states_figures_thresholds_terms_use_and_what_an_embedding_is(trained):
    card, metrics = trained.read("card.md").decode(), trained.read_json("metrics.json")["trained"]
    # Its test has 8 people: too few for intervals.
    for figure in ("auc", "eer", "accuracy", "rank_1"):
        assert f"| {metrics[figure]:.3f} |" in card
    assert "It was evaluated on 8 people; intervals and comparisons need at least 20." in card
    assert "95% interval" not in card
    assert f"{2 - 2 * trained.read_json('thresholds.json')['accuracy']:.3f}" in card
    assert "Drawn for a test; free of terms." in card
    for heading in ("Use", "Data", "Training", "Metrics", "Thresholds", "Limits", "Biometric data"):
        assert f"\n## {heading}\n" in card


def test_where_onnx_is_not_installed_a_version_says_so_and_is_used_through_torch(
    trained, drawn, tiny, lake, tmp_path, monkeypatch
):
    monkeypatch.setattr("model.versions.onnx_export._PACKAGES", ("no_such_package",))
    bare = train(lake, drawn, tiny(), work_folder=tmp_path / "work")
    assert bare.manifest["onnx"] is None
    assert set(bare.manifest["files"]) == FILES - {"model.onnx"}
    assert bare.version == trained.version
    faces = load_faces(drawn, "test", 32).images
    assert np.abs(FaceModel(bare).embed(faces) - FaceModel(trained).embed(faces)).max() < 1e-5


def test_no_file_of_a_version_names_a_place_on_this_machine(trained, drawn):
    for file in FILES:
        assert drawn.lake.url.encode() not in trained.read(file)
        assert str(Path(__file__).parents[3]).encode() not in trained.read(file)


def test_the_config_file_is_the_recipe(trained, tiny):
    assert json.loads(trained.read("config.json")) == tiny().recipe()


def test_changed_weights_are_not_loaded(drawn, tiny, lake, tmp_path):
    version = train(lake, drawn, tiny(steps=2), work_folder=tmp_path / "work")
    lake.write(f"{version.folder}/weights.safetensors", b"other")
    with pytest.raises(LakeError, match="does not match its manifest"):
        load_backbone(version)
