from __future__ import annotations

import pytest

from storage.files.lake import Lake
from storage.versions.tombstones import remains, write_tombstone
from tasks.maintenance.disk_usage import disk_usage
from tests.tasks.maintenance.prune.versions import contents, dataset, model, sharing_dataset, tag


@pytest.fixture
def lake(lake_anywhere: Lake) -> Lake:
    return lake_anywhere


def test_every_byte_is_counted_once_by_kind_and_by_version(lake):
    for number in range(2):
        dataset(lake, f"v{number}", 9 - number)
    model(lake, "m0", 1, "faces-mtcnn@v0")
    tag(lake, "golden", "v0")
    lake.write("images/made/0000-0-abcdef.tar", bytes(700))
    lake.write("strange/file", bytes(30))
    found = disk_usage(lake)

    files = contents(lake)
    assert (found["bytes"], found["files"]) == (sum(map(len, files.values())), len(files))
    assert sum(one["bytes"] for one in found["kinds"].values()) == found["bytes"]
    assert list(found["kinds"]) == ["images", "datasets", "models", "evaluations", "other"]
    assert found["kinds"]["images"] == {"bytes": 700, "files": 1}
    assert found["kinds"]["other"]["bytes"] == 30 + len(files["lake.json"])
    versions = {one["version"]: one["bytes"] for kind in found["versions"].values() for one in kind}
    assert versions.keys() == {"faces-mtcnn@v0", "faces-mtcnn@v1", "embedder@m0"}
    first = sum(len(data) for path, data in files.items() if path.startswith("datasets/faces-mtcnn/v0/"))
    assert versions["faces-mtcnn@v0"] == first
    assert (found["free_bytes"] is None) == (not lake.is_local)


def test_a_pruned_version_is_told_by_what_is_left_of_it(lake):
    dataset(lake, "v0", 9)
    folder = "datasets/faces-mtcnn/v0"
    write_tombstone(lake, folder, {"at": "2026-11-28", "why": "old", "by": "ada", "bytes": 1})
    for path in remains(lake, folder):
        lake.remove(path)
    (found,) = disk_usage(lake)["versions"]["datasets"]
    assert (found["version"], found["pruned"], found["files"]) == ("faces-mtcnn@v0", True, 1)


def test_the_work_folder_of_this_machine_counts(lake):
    lake.begin()
    path = lake.work_folder / "embeddings" / "x.npy"
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(99))
    assert disk_usage(lake)["kinds"]["work"] == {"bytes": 99, "files": 1}


def test_what_versions_share_is_told_apart_from_their_own(lake):
    sharing_dataset(lake, "v0", 9, "ab")
    sharing_dataset(lake, "v1", 8, "bc")
    files = contents(lake)
    found = {one["version"]: one for one in disk_usage(lake)["versions"]["datasets"]}

    shards = {path: len(data) for path, data in files.items() if "/shards/" in path}
    first, second = found["faces-mtcnn@v0"], found["faces-mtcnn@v1"]
    assert first["shared_bytes"] == second["shared_bytes"] > 0
    own = first["bytes"] + second["bytes"] + first["shared_bytes"]
    assert own == sum(len(data) for path, data in files.items() if path.startswith("datasets/"))
    assert sum(shards.values()) > first["shared_bytes"]
