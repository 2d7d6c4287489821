from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from model.embedding.data import load_faces
from storage.errors import LakeError
from storage.files.lake import Lake
from storage.records import SAMPLES, Takedown, TakedownKind, identity_key
from storage.tables.parquet import rows_to_table, write_table
from storage.versions.datasets import DatasetVersion
from storage.versions.takedowns import record
from tests.model.conftest import sample_row, write_dataset

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_split_has_its_own_people_only(drawn):
    faces = load_faces(drawn, "test", 32)
    assert faces.images.shape == (48, 32, 32, 3)
    assert faces.images.dtype == np.uint8
    assert faces.identities == tuple(f"Person_{number:03}" for number in range(20, 28))
    assert np.bincount(faces.labels).tolist() == [6] * 8
    assert faces.samples[0] == "0000002000000000"


def test_a_split_without_samples_gives_no_faces(lake):
    dataset = write_dataset(lake, "lone", {"train": 2}, faces_each=2)
    assert len(load_faces(dataset, "val", 32)) == 0


def test_landmarks_and_box_put_a_face_in_different_places(drawn):
    faces = load_faces(drawn, "train", 64)
    # Blobs move by up to 6 px from picture to picture: landmarks undo that, the box does not.
    aligned, boxed = faces.images[faces.labels == 0][0::2], faces.images[faces.labels == 0][1::2]
    assert aligned.std(0).mean() < boxed.std(0).mean()


def test_a_second_load_reads_the_cache_and_not_the_shards(lake, tmp_path):
    dataset = write_dataset(lake, "gone", {"train": 2}, faces_each=2)
    first = load_faces(dataset, "train", 32, cache_folder=tmp_path / "cache")
    lake.remove(f"{dataset.folder}/train-000.tar")
    again = load_faces(dataset, "train", 32, cache_folder=tmp_path / "cache")
    assert np.array_equal(first.images, again.images)
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".npy"]


def test_the_cache_and_the_plain_load_give_the_same_pixels(drawn, tmp_path):
    cached = load_faces(drawn, "val", 32, cache_folder=tmp_path)
    assert np.array_equal(cached.images, load_faces(drawn, "val", 32).images)


@pytest.mark.parametrize("cache", [None, "cache"])
def test_a_face_taken_down_is_not_learnt_from_though_it_has_not_been_purged(lake, tmp_path, cache):
    folder = tmp_path / cache if cache else None
    dataset = write_dataset(lake, "less", {"train": 3}, faces_each=2)
    before, state = load_faces(dataset, "train", 32, cache_folder=folder), dataset.state
    record(lake, [Takedown(TakedownKind.IDENTITY, identity_key("Person_001"), None, NOW, "")])
    after = load_faces(dataset, "train", 32, cache_folder=folder)

    left = before.labels != 1
    assert after.identities == ("Person_000", "Person_002")
    assert np.array_equal(after.images, before.images[left])
    assert after.samples == tuple(np.array(before.samples)[left])
    assert (state, dataset.state) == ("less@v1", "less@v1-less-2")


def test_faces_are_not_kept_as_those_of_a_takedown_that_is_recorded_meanwhile(lake, tmp_path, monkeypatch):
    dataset, real = write_dataset(lake, "less", {"train": 3}, faces_each=2), DatasetVersion.index
    requests = [Takedown(TakedownKind.IDENTITY, identity_key("Person_001"), None, NOW, "")]

    def then_recorded(version: DatasetVersion, columns: list[str]) -> pa.Table:
        found = real(version, columns)
        while requests:
            record(lake, [requests.pop()])
        return found

    monkeypatch.setattr(DatasetVersion, "index", then_recorded)
    for _ in range(2):
        faces = load_faces(dataset, "train", 32, cache_folder=tmp_path / "cache")
        assert (len(faces.images), faces.identities) == (4, ("Person_000", "Person_002"))


def test_a_damaged_sample_is_named_and_leaves_no_cache(lake, tmp_path):
    dataset = write_dataset(lake, "bad", {"train": 2}, faces_each=2)
    rows = [sample_row(0, 0, "train", (0, 512), landmarks=None)]
    write_table(lake, f"{dataset.folder}/index.parquet", rows_to_table(rows, SAMPLES))
    with pytest.raises(LakeError, match="0000000000000000 of bad@v1"):
        load_faces(dataset, "train", 32, cache_folder=tmp_path)
    assert list(tmp_path.glob("*.npy")) + list(tmp_path.glob(".tmp-*")) == []


def test_the_faces_of_a_split_in_a_bucket_take_one_request(bucket, faults):
    lake = Lake(f"{bucket}/lake")
    dataset = write_dataset(lake, "drawn", {"train": 3}, faces_each=4)
    with faults.asking() as asked:
        faces = load_faces(dataset, "train", 32)
    assert len(faces) == 12
    assert sum(path.endswith(".tar") for _, path in asked) == 1
