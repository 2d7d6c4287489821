"""A model version put to use from its folder alone."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from model.embedding.data import load_faces
from model.embedding.embed import embed
from model.versions.face_model import FaceModel
from model.versions.version import load_backbone
from storage.errors import LakeError, UsageError
from storage.versions.models import ModelFolder


@pytest.fixture(scope="module")
def copied(trained, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("elsewhere") / "model"
    shutil.copytree(trained.url, folder)
    return folder


@pytest.fixture(scope="module")
def faces(drawn):
    return load_faces(drawn, "test", 32)


def test_a_copied_folder_gives_the_embeddings_of_the_network(copied, trained, faces):
    model = FaceModel(ModelFolder(copied))
    assert str(model.version) == str(trained)
    expected = embed(load_backbone(trained), faces.images, torch.device("cpu"))
    assert np.abs(model.embed(faces.images) - expected).max() < 1e-5
    assert model.embed(faces.images[:0]).shape == (0, 32)


def test_pairs_are_judged_at_the_threshold_and_the_nearer_are_the_likelier(copied, faces):
    model = FaceModel(ModelFolder(copied))
    first, *others = model.embed(faces.images)
    verdicts = sorted((model.compare(first, other) for other in others), key=lambda verdict: verdict.distance)
    # Twice the rounding of a sum of 32 products: 2 * 32 * 2**-24 = 3.8e-6.
    assert model.compare(first, first).distance == pytest.approx(0, abs=1e-5)
    assert all(verdict.is_same == (verdict.distance <= verdict.threshold) for verdict in verdicts)
    assert {verdict.threshold for verdict in verdicts} == {2 - 2 * model.thresholds.accuracy}
    probabilities = [verdict.probability for verdict in verdicts]
    assert probabilities == sorted(probabilities, reverse=True)
    assert 0 < probabilities[-1] < probabilities[0] < 1
    assert [verdicts[0].is_same, verdicts[-1].is_same] == [True, False]


def test_faces_of_another_size_are_refused(copied):
    with pytest.raises(UsageError, match=r"takes faces uint8 \[n, 32, 32, 3\], not uint8 \[2, 64, 64, 3\]"):
        FaceModel(ModelFolder(copied)).embed(np.zeros((2, 64, 64, 3), np.uint8))


def test_a_folder_without_a_manifest_is_no_version_and_a_changed_file_is_not_used(copied, tmp_path):
    with pytest.raises(UsageError, match=r"manifest\.json is missing"):
        ModelFolder(tmp_path)
    changed = tmp_path / "changed"
    shutil.copytree(copied, changed)
    (changed / "model.onnx").write_bytes(b"other")
    with pytest.raises(LakeError, match=r"model\.onnx does not match its manifest"):
        FaceModel(ModelFolder(changed))


def test_using_a_version_takes_no_torch(copied):
    program = (
        "import sys, numpy as np\n"
        "from model.versions.face_model import FaceModel; from storage.versions.models import ModelFolder\n"
        "model = FaceModel(ModelFolder(sys.argv[1]))\n"
        "one, other = model.embed(np.zeros((2, 32, 32, 3), np.uint8))\n"
        "assert model.compare(one, other).is_same and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, str(copied)], cwd=Path(__file__).parents[3], check=True)
