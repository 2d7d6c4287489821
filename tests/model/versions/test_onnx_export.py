"""The ONNX graph computes what the network does, whatever it is made of, for any number of faces."""

import warnings

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from model.backbones import BACKBONES, set_activations
from model.embedding.embed import embed, embed_raw
from model.versions.onnx_export import OPSET, TOLERANCE, make_graph
from model.versions.onnx_session import open_session
from storage.errors import TrainingError


def settled(backbone: nn.Module, image_px: int) -> nn.Module:
    """As after some training: its running means and variances are those of what it saw."""
    torch.manual_seed(0)
    backbone.train()
    for _ in range(3):
        backbone(torch.randn(8, 3, image_px, image_px))
    return backbone.eval()


@pytest.fixture(scope="module", params=[*((name, "paper") for name in BACKBONES), ("mobilefacenet", "relu")], ids=str)
def backbone(request):
    name, activation = request.param
    return settled(set_activations(BACKBONES[name](32, 0.25, 32), activation), 32)


@pytest.fixture(scope="module")
def graph(backbone):
    return make_graph(backbone, 32, {"model": "tiny@v1"})


@pytest.mark.parametrize("num", [1, 5])
def test_any_number_of_faces_gives_the_embeddings_of_the_network(backbone, graph, num):
    faces = np.random.default_rng(num).integers(0, 256, (num, 32, 32, 3), np.uint8)
    unit, raw = open_session(graph.onnx, threads=1).run(["embeddings", "raw"], {"faces": faces})
    assert np.abs(unit - embed(backbone, faces, torch.device("cpu"))).max() < TOLERANCE
    assert np.allclose(raw, embed_raw(backbone, faces, torch.device("cpu")), atol=1e-4)
    assert graph.largest_difference < TOLERANCE


def test_a_graph_says_of_itself_what_it_was_told_and_is_the_same_every_time(backbone, graph):
    model = onnx.load_model_from_string(graph.onnx)
    onnx.checker.check_model(model)
    assert {one.key: one.value for one in model.metadata_props} == {"model": "tiny@v1"}
    assert model.opset_import[0].version == OPSET
    assert make_graph(backbone, 32, {"model": "tiny@v1"}).onnx == graph.onnx


def test_the_network_is_left_as_it_was_and_nothing_is_said(backbone, capfd):
    backbone.train()
    with warnings.catch_warnings(action="error"):
        make_graph(backbone, 32, {})
    assert backbone.training
    backbone.eval()
    assert capfd.readouterr() == ("", "")


def test_a_graph_that_computes_something_else_is_refused(backbone, monkeypatch):
    class Wrong:
        def run(self, names, inputs):
            return [np.full((len(inputs["faces"]), 32), 0.1, np.float32) for _ in names]

    monkeypatch.setattr("model.versions.onnx_session.open_session", lambda *_, **__: Wrong())
    with pytest.raises(TrainingError, match="more than 1e-05"):
        make_graph(backbone, 32, {})
