from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from storage.errors import VersionPruned
from storage.files.lake import Lake
from storage.leases.leases import held
from storage.versions.datasets import DatasetVersion, open_dataset
from storage.versions.models import ModelVersion, write_model
from storage.versions.readers import read_version, reader_leases, reading
from storage.versions.tombstones import write_tombstone

LONG_S = 3600.0


@pytest.fixture(params=["local", "memory"])
def lake(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Lake(tmp_path / "lake" if request.param == "local" else f"memory://{uuid.uuid4().hex}")


def dataset(lake: Lake, version: str = "v1") -> DatasetVersion:
    lake.write_json(f"datasets/faces-mtcnn/{version}/manifest.json", {"published_at": "2026"})
    return open_dataset(lake, f"faces-mtcnn@{version}")


def model(lake: Lake) -> ModelVersion:
    return write_model(lake, "embedder", "0123456789abcdef", {}, {"trained_at": "2026"})


def test_versions_are_held_for_the_block_and_no_longer(lake):
    with reading(lake, datasets=[dataset(lake), dataset(lake, "v2")], models=[model(lake)], good_for_s=LONG_S):
        assert sorted(filter(None, map(read_version, held(lake)))) == [
            "datasets/faces-mtcnn@v1", "datasets/faces-mtcnn@v2", "models/embedder@0123456789abcdef",
        ]  # fmt: skip
        assert len(reader_leases(lake, "datasets", "faces-mtcnn@v1")) == 1
        assert reader_leases(lake, "datasets", "faces-mtcnn@v") == []
    assert held(lake) == []


def test_two_readers_of_a_version_do_not_wait_for_each_other(lake):
    version = dataset(lake)
    with reading(lake, datasets=[version], good_for_s=LONG_S):
        with reading(lake, datasets=[version], good_for_s=LONG_S):
            assert len(reader_leases(lake, "datasets", "faces-mtcnn@v1")) == 2
        assert len(reader_leases(lake, "datasets", "faces-mtcnn@v1")) == 1


def test_a_version_that_was_pruned_since_it_was_opened_is_refused_and_not_held(lake):
    version = dataset(lake)
    write_tombstone(lake, version.folder, {"at": "2026-11-28", "why": "old", "by": "ada", "bytes": 1})
    with pytest.raises(VersionPruned):  # noqa: SIM117
        with reading(lake, datasets=[version], good_for_s=LONG_S):
            raise AssertionError("it was read")
    assert held(lake) == []


def test_nothing_to_read_needs_no_lease(lake):
    with reading(lake, good_for_s=LONG_S):
        assert held(lake) == []
