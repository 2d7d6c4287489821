import numpy as np
import pytest
import torch

from model.backbones import MobileFaceNet
from model.embedding.data import load_faces
from model.embedding.embed import embed, unit_rows

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def backbone() -> MobileFaceNet:
    torch.manual_seed(0)
    return MobileFaceNet(32, 0.25, 32)


@pytest.fixture(scope="module")
def images(drawn) -> np.ndarray:
    return load_faces(drawn, "val", 32).images


def test_embeddings_are_unit_rows(backbone, images):
    rows = embed(backbone, images, CPU)
    assert rows.shape == (24, 32)
    assert rows.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


def test_the_batch_size_changes_nothing_but_memory(backbone, images):
    assert np.allclose(embed(backbone, images, CPU, 5), embed(backbone, images, CPU, 64), atol=1e-5)


def test_with_flip_average_a_face_and_its_mirror_are_the_same(backbone, images):
    faces, mirrored = (embed(backbone, one, CPU, flip_average=True) for one in (images, images[:, :, ::-1].copy()))
    assert np.allclose(faces, mirrored, atol=1e-5)
    assert not np.allclose(faces, embed(backbone, images, CPU), atol=1e-3)


def test_a_row_of_zeros_stays_zero():
    assert unit_rows(np.zeros((1, 4), np.float32)).tolist() == [[0, 0, 0, 0]]
