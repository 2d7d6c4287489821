from __future__ import annotations

from pathlib import Path

import pytest

from storage.files.lake import Lake
from storage.records import bytes_digest
from storage.versions.tombstones import is_pruned, refusal, remains, write_tombstone

ENTRY = {"at": "2026-11-28T04:00:00.000+00:00", "why": "not among the newest 3", "by": "ada", "bytes": 7}
FOLDER = "datasets/faces/v1"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    for file in ("train-00000.tar", "index.parquet", "outcomes.parquet"):
        lake.write(f"{FOLDER}/{file}", b"x")
    lake.write_json(f"{FOLDER}/manifest.json", {"published_at": "2026", "num_samples": 3})
    return lake


def test_a_tombstone_keeps_the_manifest_and_its_digest_and_gives_back_what_was_there(lake):
    before = lake.read(f"{FOLDER}/manifest.json")
    assert not is_pruned(lake, FOLDER)
    assert write_tombstone(lake, FOLDER, ENTRY) == before
    assert is_pruned(lake, FOLDER)
    pruned = {**ENTRY, "manifest_sha256": bytes_digest(before).hex()}
    assert lake.read_json(f"{FOLDER}/manifest.json") == {"published_at": "2026", "num_samples": 3, "pruned": pruned}


def test_the_index_goes_first_and_the_manifest_stays(lake):
    assert remains(lake, FOLDER) == [f"{FOLDER}/{name}" for name in (
        "index.parquet", "outcomes.parquet", "train-00000.tar",
    )]  # fmt: skip


def test_the_refusal_is_one_line_with_the_day_the_reason_and_what_to_do():
    told = str(refusal("faces@v1", ENTRY, "publish it again"))
    assert told == "faces@v1 was pruned on 2026-11-28 (not among the newest 3): publish it again"
