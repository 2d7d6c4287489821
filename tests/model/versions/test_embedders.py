import dataclasses
import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from facenet_pytorch import InceptionResnetV1

from model.embedding.embed import embed
from model.training.training_loop import train
from model.versions.embedders import Embedder, embed_crops, facenet_embedder, histogram_embedder, model_embedder
from storage.errors import LakeError, UsageError
from storage.files.lake import Lake
from storage.records import FACES, bytes_digest
from storage.tables.parquet import rows_to_table
from storage.tables.shards import create_shard
from storage.versions.datasets import DatasetVersion
from tests.model.conftest import CROP_PX, draw_face, write_dataset

CPU = torch.device("cpu")
TAR = "faces/mtcnn/made/000-0.tar"


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 8))
    return Embedder("tiny", "1", 32, partial(embed, network))


def write_crops(lake: Lake, people: int = 2, each: int = 3) -> pa.Table:
    rows = []
    with create_shard(lake, TAR) as shard:
        for person in range(people):
            for line in range(each):
                jpeg, landmarks = draw_face(person, line)
                offset, length = shard.add(f"{person}-{line}.jpg", jpeg)
                rows.append(
                    {"identity": f"Person_{person}", "line": line, "key": bytes(16), "image_digest": bytes(32)}
                    | {"outcome": "accepted", "num_faces": 1, "crop_digest": bytes_digest(jpeg)}
                    | {"face_box_xyxy": (10, 10, 70, 70), "landmarks": landmarks, "offset": offset, "length": length}
                )
    return rows_to_table(rows, FACES).append_column("shard", pa.array([TAR] * len(rows)))


def test_crops_become_unit_rows_in_their_order(lake, embedder, tmp_path):
    rows = write_crops(lake)
    found = embed_crops(lake, rows, embedder, CPU, tmp_path / "work")
    assert found.shape == (6, 8)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    turned = embed_crops(lake, rows.take(pa.array([5, 0])), embedder, CPU, tmp_path / "work")
    assert np.allclose(turned, found[[5, 0]], atol=1e-5)


def test_what_is_embedded_is_not_embedded_again_and_another_model_embeds_anew(lake, embedder, tmp_path):
    rows, work = write_crops(lake), tmp_path / "work"
    first = embed_crops(lake, rows, embedder, CPU, work)
    lake.remove(TAR)
    assert np.array_equal(embed_crops(lake, rows, embedder, CPU, work), first)
    with pytest.raises(LakeError, match="is missing"):
        embed_crops(lake, rows, dataclasses.replace(embedder, version="2"), CPU, work)


def test_a_crop_that_is_no_picture_is_named(lake, embedder, tmp_path):
    rows = write_crops(lake).to_pylist()
    rows[0] |= {"length": 100, "crop_digest": bytes_digest(lake.read(TAR, rows[0]["offset"], 100))}
    cut_short = rows_to_table(rows, FACES).append_column("shard", pa.array([TAR] * len(rows)))
    with pytest.raises(LakeError, match=r"Person_0 0 in faces/mtcnn.* crop again"):
        embed_crops(lake, cut_short, embedder, CPU, tmp_path / "work")


def test_crops_that_another_run_has_replaced_are_neither_embedded_nor_kept(lake, embedder, tmp_path):
    rows = write_crops(lake)
    with create_shard(lake, TAR) as shard:
        for person in (1, 0):
            for line in range(3):
                shard.add(f"{person}-{line}.jpg", draw_face(person, line)[0])
    with pytest.raises(LakeError, match=r"has another crop of Person_0 0 .*; run the same command again"):
        embed_crops(lake, rows, embedder, CPU, tmp_path / "work")
    assert not list((tmp_path / "work").rglob("*.npy"))


def test_a_model_version_sees_aligned_squares_of_its_size(lake, drawn, tiny, tmp_path):
    model = train(drawn.lake, drawn, tiny(name="seen", steps=1), work_folder=tmp_path)
    found = model_embedder(model)
    jpeg, landmarks = draw_face(0, 0)
    assert str(found) == str(model)
    assert found.square(jpeg, (10, 10, 70, 70), landmarks).shape == (32, 32, 3)
    aligned, boxed = (found.square(jpeg, (10, 10, 70, 70), points) for points in (landmarks, None))
    assert not np.array_equal(aligned, boxed)


def counted(dataset: DatasetVersion, people: int) -> DatasetVersion:
    """The version with a manifest that counts its people, as `publish` writes it."""
    dataset.manifest["splits"] = {"train": {"identities": people}}
    return dataset


def test_histograms_are_fitted_once_and_named_by_the_dataset(lake, tmp_path):
    dataset = counted(write_dataset(lake, "people", {"train": 12}, faces_each=3), 12)
    work = tmp_path / "work"
    found = histogram_embedder(dataset, work)
    assert not work.exists(), "not before it is asked for"
    jpeg, landmarks = draw_face(0, 0)
    square = found.square(jpeg, (10, 10, 70, 70), landmarks)[None]
    first = found.embed(square, CPU)
    lake.remove(dataset.folder)
    again = histogram_embedder(dataset, work)
    assert (again.model, again.version) == (found.model, found.version)
    assert np.allclose(again.embed(square, CPU), first, atol=1e-5)


def test_too_few_people_to_fit_to_are_refused(drawn, tmp_path):
    with pytest.raises(UsageError, match="has 9 people, but fitting the projection needs at least 10"):
        histogram_embedder(counted(DatasetVersion(drawn.lake, drawn.name, drawn.version), 9), tmp_path)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights as facenet-pytorch's files hold them, with the classifier the network was trained with."""
    torch.manual_seed(0)
    state = InceptionResnetV1(classify=True, num_classes=10).state_dict()
    path = tmp_path_factory.mktemp("weights") / "facenet.pt"
    torch.save(state, path)
    return path


def test_facenet_embeds_by_the_box_at_its_own_size_and_range(weights):
    found = facenet_embedder(weights)
    assert str(found) == f"facenet@{bytes_digest(weights.read_bytes()).hex()[:16]}"
    jpeg, landmarks = draw_face(0, 0)
    square = found.square(jpeg, (0, 0, CROP_PX, CROP_PX), landmarks)
    assert np.array_equal(square, found.square(jpeg, (0, 0, CROP_PX, CROP_PX), None))
    assert square.shape == (160, 160, 3)
    reference = InceptionResnetV1().eval()
    reference.load_state_dict({k: v for k, v in torch.load(weights).items() if not k.startswith("logits")})
    pixels = torch.tensor(square).permute(2, 0, 1)[None].float()
    ours = found.embed(np.stack([square, square[:, ::-1]]), CPU)
    with torch.inference_mode():
        one, mirrored = (reference((side - 127.5) / 128) for side in (pixels, pixels.flip(3)))
    expected = torch.nn.functional.normalize(one + mirrored).numpy()
    assert np.allclose(ours, np.concatenate([expected, expected]), atol=1e-4)


class _Evil:
    def __reduce__(self):
        return Path.touch, (Path("evil"),)


@pytest.mark.parametrize("content", ["missing", "text", "pickle", "other"])
def test_weights_that_are_none_are_refused_without_running_what_they_hold(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pt"
    if content == "text":
        path.write_text("no weights")
    elif content == "pickle":
        path.write_bytes(pickle.dumps(_Evil()))
    elif content == "other":
        torch.save({"layer.weight": torch.zeros(2)}, path)
    with pytest.raises(UsageError, match="must be a state dict of facenet-pytorch's InceptionResnetV1"):
        facenet_embedder(path)
    assert not Path("evil").exists()
