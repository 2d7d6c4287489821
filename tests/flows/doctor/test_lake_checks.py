"""What the checks of a lake decide, and what they find in real lakes."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.doctor.lake_checks import check_clock, check_disk, check_lake
from flows.doctor.lake_facts import Disk, LakeFound, disks, look_at_lake
from flows.doctor.verdict import Level
from storage.files.lake import Lake
from tests.buckets import Faults
from tests.tasks.made_lake import make_lake

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
FOUND = LakeFound("lake", exists=True, can_tell_writes=True, file_lag_s=0.0)


@pytest.mark.parametrize(
    ("free_bytes", "free_files", "level", "value"),
    [
        (50e9, 10**6, Level.OK, "50.0 GB free"),
        (50e9, None, Level.OK, "50.0 GB free"),
        (5e9, 10**6, Level.WARN, "5.0 GB free"),
        (5e8, 10**6, Level.FAIL, "500.0 MB free"),
        (50e9, 900, Level.FAIL, "900 files free"),
    ],
)
def test_a_disk_has_room_for_bytes_and_for_files(
    free_bytes: float, free_files: int | None, level: Level, value: str
) -> None:
    verdict = check_disk(Disk("the lake", "/lake", int(free_bytes), free_files))
    assert (verdict.level, verdict.value) == (level, value)


def test_the_disks_are_those_of_the_lake_and_of_prefect(tmp_path: Path) -> None:
    home = {"PREFECT_HOME": str(tmp_path / "prefect"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    found = disks(str(tmp_path / "none" / "lake"), home)
    assert [(one.of, one.folder) for one in found] == [
        ("the lake", str(tmp_path / "none" / "lake")),
        ("Prefect", str(tmp_path / "prefect")),
    ]
    assert found[0].free_bytes > 0
    assert disks("s3://bucket/lake", home)[0].of == "the work folder"
    assert list(tmp_path.iterdir()) == []


def test_a_lake_is_read_and_its_disk_written_without_leaving_anything(tmp_path: Path) -> None:
    lake = make_lake(tmp_path / "lake")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    found = look_at_lake(lake.url)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert check_lake(found).value == f"{lake.url} is readable and writable"
    assert found.newest_row is not None
    assert found.file_lag_s is not None and abs(found.file_lag_s) < 60
    assert check_lake(look_at_lake(str(tmp_path / "none"))).level is Level.OK
    assert not (tmp_path / "none").exists()


def test_a_lake_that_a_run_is_writing_to_is_read(tmp_path: Path) -> None:
    lake = make_lake(tmp_path / "lake")
    newest = look_at_lake(lake.url).newest_row
    for source in lake.names("images"):
        (tmp_path / "lake" / lake.images(source, ".tmp-0123.parquet")).write_bytes(b"PAR1")
    found = look_at_lake(lake.url)
    assert (found.error, found.newest_row) == ("", newest)


def test_a_folder_that_is_no_lake_fails(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear Bob")
    verdict = check_lake(look_at_lake(str(tmp_path)))
    assert verdict.level is Level.FAIL
    assert str(tmp_path) in verdict.value


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_lake_that_cannot_be_written_fails(tmp_path: Path) -> None:
    Lake(tmp_path / "lake").begin()
    (tmp_path / "lake").chmod(0o500)
    assert check_lake(look_at_lake(str(tmp_path / "lake"))).level is Level.FAIL


def test_a_disk_that_refuses_a_file_fails_with_its_cause() -> None:
    verdict = check_lake(replace(FOUND, write_error="/lake: No space left on device"))
    assert (verdict.level, "No space left" in verdict.value) == (Level.FAIL, True)


@pytest.mark.parametrize(
    ("found", "level"),
    [
        (FOUND, Level.OK),
        (replace(FOUND, newest_row=NOW - timedelta(days=9)), Level.OK),
        (replace(FOUND, newest_row=NOW + timedelta(hours=2)), Level.WARN),
        (replace(FOUND, file_lag_s=-90.0), Level.WARN),
        (replace(FOUND, store_lag_s=300.0), Level.WARN),
        (replace(FOUND, store_lag_s=-1000.0), Level.FAIL),
    ],
)
def test_a_clock_that_is_off_is_told(found: LakeFound, level: Level) -> None:
    assert check_clock(found, NOW).level is level


def test_a_bucket_is_asked_once_and_tells_its_time(bucket: str, faults: Faults) -> None:
    Lake(f"{bucket}/lake").begin()
    found = look_at_lake(f"{bucket}/lake")
    assert found.exists and found.store_lag_s is not None and abs(found.store_lag_s) < 60
    assert "no write was tried" in check_lake(found).value
    faults.plan("GET", "503")
    faults.asked.clear()
    verdict = check_lake(look_at_lake(f"{bucket}/lake"))
    assert (verdict.level, faults.num_requests) == (Level.FAIL, 1)
    assert "asked once" in verdict.value


def test_a_bucket_that_does_not_exist_fails(bucket: str) -> None:
    verdict = check_lake(look_at_lake(f"{bucket}-none/lake"))
    assert verdict.level is Level.FAIL
    assert "bucket" in verdict.value


def test_credentials_that_are_missing_are_named(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/none")
    assert "AWS_ACCESS_KEY_ID" in check_lake(look_at_lake(f"{bucket}/lake")).value
