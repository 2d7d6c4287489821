import pytest
import torch
from torch import nn

from model.backbones import BACKBONES, MobileFaceNet


def num_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("image_px", [32, 64, 96, 112])
def test_a_backbone_gives_one_embedding_a_face_at_any_size(name, image_px):
    network = BACKBONES[name](48, 0.25, image_px).eval()
    assert network(torch.zeros(3, 3, image_px, image_px)).shape == (3, 48)


def test_mobilefacenet_has_the_million_parameters_of_its_paper():
    assert 0.95e6 < num_parameters(MobileFaceNet()) < 1.1e6


def test_half_the_width_has_about_a_quarter_of_the_weights():
    assert num_parameters(MobileFaceNet(width=0.5)) < 0.35 * num_parameters(MobileFaceNet())


def test_a_face_gets_the_same_embedding_alone_and_in_a_batch():
    network = MobileFaceNet(32, 0.25, 32).eval()
    faces = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(network(faces)[2:3], network(faces[2:3]), atol=1e-5)
