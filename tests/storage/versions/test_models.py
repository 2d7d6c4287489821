from __future__ import annotations

from pathlib import Path

import pytest

from storage.errors import LakeError, UsageError, VersionPruned
from storage.files.lake import Lake
from storage.versions.models import ModelFolder, find_model, has_model, model_versions, open_model, write_model
from storage.versions.tombstones import write_tombstone


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def write(lake: Lake, name: str, version: str, trained_at: str = "2026-01-01", weights: bytes = b"weights") -> None:
    files = {"weights.safetensors": weights, "metrics.json": b'{"trained": {"auc": 0.5}, "untrained": {}}'}
    write_model(lake, name, version, files, {"trained_at": trained_at})


def test_a_model_gives_its_files_back(lake):
    write(lake, "small", "v1")
    model = open_model(lake, "small@v1")

    assert str(model) == "small@v1"
    assert model.read("weights.safetensors") == b"weights"
    assert model.read_json("metrics.json") == {"trained": {"auc": 0.5}, "untrained": {}}
    assert model.manifest["trained_at"] == "2026-01-01"


def test_a_file_that_is_not_what_its_manifest_says_is_refused(lake):
    write(lake, "small", "v1")
    lake.write("models/small/v1/weights.safetensors", b"Weights")
    with pytest.raises(LakeError, match=r"small/v1/weights\.safetensors does not match its manifest"):
        open_model(lake, "small@v1").read("weights.safetensors")


def test_a_finished_version_is_left_as_it_is(lake):
    write(lake, "small", "v1", weights=b"first")
    write(lake, "small", "v1", weights=b"second")

    assert open_model(lake, "small@v1").read("weights.safetensors") == b"first"


def test_a_version_killed_before_its_manifest_is_not_there_and_can_be_written_again(lake):
    lake.write("models/small/v1/weights.safetensors", b"half of")
    assert not has_model(lake, "small", "v1")
    assert model_versions(lake) == []

    write(lake, "small", "v1")
    assert has_model(lake, "small", "v1")
    assert open_model(lake, "small@v1").read("weights.safetensors") == b"weights"


def test_the_newest_model_is_the_one_trained_last(lake):
    write(lake, "small", "aaa", "2026-02-01")
    write(lake, "small", "zzz", "2026-01-01")
    write(lake, "large", "v1", "2026-03-01")

    assert [str(one) for one in model_versions(lake)] == ["small@zzz", "small@aaa", "large@v1"]
    assert open_model(lake, "small").version == "aaa"


@pytest.mark.parametrize("asked", ["tiny", "small@v9"])
def test_asking_for_a_model_that_is_not_there_names_those_that_are(lake, asked):
    write(lake, "small", "v1")
    write(lake, "large", "v2", "2026-02-01")
    with pytest.raises(UsageError) as error:
        open_model(lake, asked)

    for word in (asked, "small@v1", "large@v2", lake.url):
        assert word in str(error.value)
    assert "\n" not in str(error.value)


def test_asking_an_empty_lake_says_what_makes_a_model(lake):
    with pytest.raises(UsageError, match="none yet; `facemill train` makes one"):
        open_model(lake, "small")


def prune(lake: Lake, version: str) -> None:
    entry = {"at": "2026-11-28T04:00:00+00:00", "why": "old", "by": "ada", "bytes": 1}
    write_tombstone(lake, lake.model("small", version), entry)


def test_a_pruned_model_is_not_listed_and_is_refused_with_when_why_and_what_to_do(lake):
    write(lake, "small", "v1", "2026-01-01")
    write(lake, "small", "v2", "2026-01-02")
    prune(lake, "v2")
    assert [str(one) for one in model_versions(lake)] == ["small@v1"]
    assert [str(one) for one in model_versions(lake, pruned=True)] == ["small@v1", "small@v2"]
    assert open_model(lake, "small").version == "v1"
    assert not has_model(lake, "small", "v2")
    with pytest.raises(VersionPruned, match=r"small@v2 was pruned on 2026-11-28 \(old\): train it again with"):
        open_model(lake, "small@v2")
    assert find_model(lake, "small@v2").manifest["pruned"]["by"] == "ada"


def test_a_copied_folder_of_a_pruned_model_and_one_opened_before_say_so(lake):
    write(lake, "small", "v1")
    opened = open_model(lake, "small")
    prune(lake, "v1")
    assert opened.read("weights.safetensors") == b"weights"  # still whole
    with pytest.raises(VersionPruned, match="was pruned"):
        ModelFolder(f"{lake.url}/models/small/v1").read("weights.safetensors")
    lake.remove("models/small/v1/weights.safetensors")
    with pytest.raises(VersionPruned, match="was pruned"):
        opened.read("weights.safetensors")


def test_writing_a_pruned_model_again_restores_it(lake):
    write(lake, "small", "v1", weights=b"first")
    prune(lake, "v1")
    lake.write("models/small/v1/left", b"by a killed prune")
    lake.remove("models/small/v1/weights.safetensors")
    write(lake, "small", "v1", weights=b"second")
    assert open_model(lake, "small@v1").read("weights.safetensors") == b"second"
    assert lake.names("models/small/v1") == ["manifest.json", "metrics.json", "weights.safetensors"]
