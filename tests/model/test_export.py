import json

import pytest
import torch
from safetensors.torch import load

from model.export import load_backbone, model_version_id
from model.train import train
from storage.errors import LakeError
from storage.lake import Lake
from storage.models import open_model
from storage.records import bytes_digest

FILES = {
    "weights.safetensors",
    "config.json",
    "metrics.json",
    "thresholds.json",
    "history.json",
    "lineage.json",
    "card.md",
}


@pytest.fixture(scope="module")
def model(drawn, tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    return train(Lake(folder / "lake"), drawn, tiny(), work_folder=folder / "work")


def test_a_version_holds_its_files_and_their_digests(model):
    assert set(model.manifest["files"]) == FILES
    assert model.lake.names(model.folder) == sorted([*FILES, "manifest.json"])
    assert open_model(model.lake, "tiny").version == model.version


def test_the_id_follows_from_dataset_and_recipe_alone(model, drawn, tiny):
    assert model.version == model_version_id(drawn, tiny(device="auto"))
    assert model.version != model_version_id(drawn, tiny(seed=1))


def test_the_manifest_answers_what_when_and_how_good(model, tiny):
    manifest = model.manifest
    assert manifest["dataset"] == "drawn@v1"
    assert manifest["config"] == tiny().recipe()
    assert manifest["trained_at"].endswith("+00:00")
    assert 0 < manifest["auc"] <= 1


def test_lineage_leads_back_to_the_very_manifest_of_the_data(model, drawn):
    lineage = model.read_json("lineage.json")
    manifest = drawn.lake.read(f"{drawn.folder}/manifest.json")
    assert lineage["dataset_manifest_sha256"] == bytes_digest(manifest).hex()
    assert lineage["torch"] == str(torch.__version__)
    assert lineage["seed"] == 0


def test_loaded_weights_are_the_saved_ones_and_in_evaluation_mode(model):
    backbone, saved = load_backbone(model), load(model.read("weights.safetensors"))
    assert not backbone.training
    assert all(torch.equal(tensor, saved[name]) for name, tensor in backbone.state_dict().items())


def test_the_card_states_figures_terms_and_what_an_embedding_is(model):
    card = model.read("card.md").decode()
    assert f"{model.manifest['auc']:.3f}" in card
    assert "Drawn for a test; free of terms." in card
    assert "biometric data" in card


def test_no_file_of_a_version_names_a_place_on_this_machine(model, drawn):
    for file in FILES - {"weights.safetensors"}:
        assert drawn.lake.url not in model.read(file).decode()


def test_the_config_file_is_the_recipe(model, tiny):
    assert json.loads(model.read("config.json")) == tiny().recipe()


def test_changed_weights_are_not_loaded(drawn, tiny, lake, tmp_path):
    version = train(lake, drawn, tiny(steps=2), work_folder=tmp_path / "work")
    lake.write(f"{version.folder}/weights.safetensors", b"other")
    with pytest.raises(LakeError, match="not what its manifest says"):
        load_backbone(version)
