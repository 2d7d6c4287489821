"""What holds for every entry of BACKBONES."""

import pytest
import torch

from model.backbones import ACTIVATIONS, BACKBONES, set_activations


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("image_px", [32, 48, 112])
def test_a_backbone_gives_one_embedding_a_face_at_any_size(name, image_px):
    network = BACKBONES[name](48, 0.25, image_px).eval()
    assert network(torch.zeros(3, 3, image_px, image_px)).shape == (3, 48)


@pytest.mark.parametrize("name", BACKBONES)
def test_a_face_gets_the_same_embedding_alone_and_in_a_batch(name):
    network = BACKBONES[name](32, 0.25, 32).eval()
    faces = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    alone, together = network(faces[2:3]), network(faces)
    # Untrained outputs are small: rounding is held against the largest, and another face is further off.
    bound = 1e-4 * float(alone.detach().abs().max())
    assert torch.allclose(together[2:3], alone, rtol=0, atol=bound)
    assert not torch.allclose(together[3:4], alone, rtol=0, atol=10 * bound)


@pytest.mark.parametrize("name", BACKBONES)
def test_a_million_parameters_at_full_width_and_fewer_at_half(name):
    full, half = (sum(one.numel() for one in BACKBONES[name](128, width, 112).parameters()) for width in (1.0, 0.5))
    assert 0.95e6 < full < 1.1e6
    assert half < 0.45 * full


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_activation_asked_for_is_the_only_one(name, activation):
    network = set_activations(BACKBONES[name](32, 0.25, 32), activation)
    kinds = {type(one).__name__ for one in network.modules()} & {"PReLU", "ReLU", "Hardswish"}
    wanted = {"relu": {"ReLU"}, "hardswish": {"Hardswish"}}
    papers = {"mobilefacenet": {"PReLU"}, "mobilenetv3_small": {"ReLU", "Hardswish"}}
    assert kinds == wanted.get(activation, papers[name])
