import numpy as np
import torch

from model.embedding.data import load_faces
from model.embedding.embed import embed
from model.training.training_loop import train
from model.versions.face_model import FaceModel
from model.versions.version import load_backbone

CPU = torch.device("cpu")
# Rounding moves an embedding by 1.5e-7 (measured with AVX2 and AVX-512), another face or side by 2.8e-3 and more.
SAME = 1e-5


def test_a_mirrored_version_gives_a_face_and_its_mirror_image_one_embedding(drawn, lake, tiny, tmp_path):
    model = train(lake, drawn, tiny(mirror=True), work_folder=tmp_path / "work")
    faces = load_faces(drawn, "test", 32).images[:4]
    one, other = (embed(load_backbone(model), images, CPU) for images in (faces, faces[:, :, ::-1].copy()))
    assert np.allclose(one, other, atol=SAME)
    assert not np.allclose(one[0], one[1], atol=10 * SAME)
    assert np.allclose(FaceModel(model).embed(faces), one, atol=SAME)


def test_a_version_that_is_not_tells_them_apart(drawn, lake, tiny, tmp_path):
    model = train(lake, drawn, tiny(), work_folder=tmp_path / "work")
    faces = load_faces(drawn, "test", 32).images[:4]
    one, other = (embed(load_backbone(model), images, CPU) for images in (faces, faces[:, :, ::-1].copy()))
    assert not np.allclose(one, other, atol=10 * SAME)
