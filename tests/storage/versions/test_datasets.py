from __future__ import annotations

from pathlib import Path

import pytest

from storage.errors import LakeError, UsageError, VersionPruned
from storage.files.lake import Lake
from storage.records import LINE_OUTCOMES, SAMPLES
from storage.tables.parquet import rows_to_table, write_table
from storage.versions.datasets import all_versions, find_dataset, has_dataset, open_dataset, versions
from storage.versions.tombstones import write_tombstone
from tests.one_sample import write_one_sample


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def write(lake: Lake, name: str, version: str, published_at: str | None) -> None:
    """A version of one sample; without a date it is torn: all there but the manifest."""
    folder = lake.dataset(name, version)
    write_one_sample(lake, folder, "one.jpg", version.encode())
    if published_at:
        lake.write_json(f"{folder}/manifest.json", {"published_at": published_at})


def test_a_version_gives_its_samples_by_the_columns_of_its_index(lake):
    write(lake, "faces", "v1", "2026-01-01")
    dataset = open_dataset(lake, "faces@v1")
    row = dataset.index(["shard", "offset", "length"]).to_pylist()[0]

    assert str(dataset) == "faces@v1"
    assert dataset.index().schema == SAMPLES
    assert dataset.read(**row) == b"v1"


def test_a_version_written_before_the_newest_columns_and_tables_is_read(lake):
    write(lake, "faces", "v1", "2026-01-01")
    dataset = open_dataset(lake, "faces")
    write_table(lake, f"{dataset.folder}/index.parquet", dataset.index().drop_columns(["yaw_deg", "roll_deg"]))

    assert dataset.index().schema == SAMPLES
    assert dataset.index(["roll_deg", "identity"]).to_pylist() == [{"roll_deg": None, "identity": "x"}]
    assert dataset.outcomes(["stage", "reason"]).num_rows == 0


def test_outcomes_of_the_first_releases_are_read_with_the_reasons_of_today(lake: Lake) -> None:
    write(lake, "faces", "v1", "2026-01-01")
    dataset = open_dataset(lake, "faces")
    row = {"identity": "Ada", "line": 1, "url": "http://a.example/1.jpg", "stage": "select", "reason": "straddles"}
    write_table(lake, f"{dataset.folder}/fates.parquet", rows_to_table([row], LINE_OUTCOMES))
    assert dataset.outcomes(["reason"])["reason"].to_pylist() == ["cross_split"]


def test_the_newest_version_is_the_one_published_last(lake):
    write(lake, "faces", "aaa", "2026-03-01T00:00:00.001+00:00")
    write(lake, "faces", "zzz", "2026-03-01T00:00:00.000+00:00")

    assert [one.version for one in versions(lake, "faces")] == ["zzz", "aaa"]
    assert open_dataset(lake, "faces").version == "aaa"
    assert open_dataset(lake, "faces@zzz").version == "zzz"


def test_a_version_without_a_manifest_is_not_there(lake):
    write(lake, "faces", "v1", "2026-01-01")
    write(lake, "faces", "torn", None)

    assert [str(one) for one in versions(lake, "faces")] == ["faces@v1"]
    with pytest.raises(UsageError):
        open_dataset(lake, "faces@torn")


@pytest.mark.parametrize("asked", ["people", "faces@v9"])
def test_asking_for_a_version_that_is_not_there_names_those_that_are(lake, asked):
    write(lake, "faces", "v1", "2026-01-01")
    write(lake, "other", "v2", "2026-01-01")
    with pytest.raises(UsageError) as error:
        open_dataset(lake, asked)

    assert [str(one) for one in all_versions(lake)] == ["faces@v1", "other@v2"]
    for word in (asked, "faces@v1", "other@v2", lake.url):
        assert word in str(error.value)
    assert "\n" not in str(error.value)


def test_asking_an_empty_lake_says_what_makes_a_dataset(lake):
    with pytest.raises(UsageError, match="none yet; `facemill publish` makes one"):
        open_dataset(lake, "faces")


def prune(lake: Lake, name: str, version: str) -> None:
    entry = {"at": "2026-11-28T04:00:00+00:00", "why": "old", "by": "ada", "bytes": 1}
    write_tombstone(lake, lake.dataset(name, version), entry)


def test_a_pruned_version_is_not_listed_and_is_refused_with_when_why_and_what_to_do(lake):
    for version in ("v1", "v2"):
        write(lake, "faces", version, f"2026-01-0{version[1]}")
    prune(lake, "faces", "v2")
    assert [one.version for one in versions(lake, "faces")] == ["v1"]
    assert [str(one) for one in all_versions(lake)] == ["faces@v1"]
    assert [one.version for one in versions(lake, "faces", pruned=True)] == ["v1", "v2"]
    assert open_dataset(lake, "faces").version == open_dataset(lake, "faces@latest").version == "v1"
    assert (has_dataset(lake, "faces", "v1"), has_dataset(lake, "faces", "v2")) == (True, False)
    with pytest.raises(VersionPruned, match=r"faces@v2 was pruned on 2026-11-28 \(old\): publish it again with"):
        open_dataset(lake, "faces@v2")
    assert find_dataset(lake, "faces@v2").manifest["pruned"]["by"] == "ada"


def test_a_version_opened_before_it_was_pruned_says_so_when_a_file_is_missing(lake):
    write(lake, "faces", "v1", "2026-01-01")
    dataset = open_dataset(lake, "faces")
    row = dataset.index(["shard", "offset", "length"]).to_pylist()[0]
    prune(lake, "faces", "v1")
    assert dataset.read(**row) == b"v1"  # still whole
    for file in ("index.parquet", "train-00000.tar"):
        lake.remove(f"{dataset.folder}/{file}")
    for read in (dataset.index, dataset.outcomes, lambda: dataset.read(**row)):
        with pytest.raises(VersionPruned, match="faces@v1 was pruned"):
            read()


def test_a_file_that_is_missing_without_a_tombstone_is_damage(lake):
    write(lake, "faces", "v1", "2026-01-01")
    dataset = open_dataset(lake, "faces")
    lake.remove(f"{dataset.folder}/index.parquet")
    with pytest.raises(LakeError, match="run `facemill check`"):
        dataset.index()
