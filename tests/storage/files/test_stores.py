"""A lake in a bucket, and a service that is busy, breaks off, refuses, or knows no conditions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from storage.errors import LakeError, UsageError
from storage.files.lake import Lake
from storage.files.stores import abort_upload, lost_uploads
from storage.tables.parquet import read_table
from storage.versions.models import ModelFolder
from tests.buckets import SECRET, Faults

# A store tells the time of its answer in whole seconds, so what was begun just now may seem to be yet to come.
_AT_ONCE = timedelta(seconds=-1)


@pytest.fixture
def new_clients() -> Iterator[None]:
    """Clients know the environment they were made in: none from before the test, and none after it."""
    from s3fs import S3FileSystem

    S3FileSystem.clear_instance_cache()
    yield
    S3FileSystem.clear_instance_cache()


@pytest.fixture
def few_tries(monkeypatch: pytest.MonkeyPatch, new_clients: None) -> None:
    """A store that refuses is asked three times, not twelve."""
    from storage.files import stores

    monkeypatch.setattr(stores, "_ROUNDS", 1)
    monkeypatch.setattr(stores, "_TRIES", 3)
    monkeypatch.setitem(stores._S3["config_kwargs"]["retries"], "total_max_attempts", 3)


def test_an_upload_that_is_refused_for_a_while_or_broken_off_is_tried_again(bucket: str, faults: Faults) -> None:
    lake = Lake(f"{bucket}/lake")
    lake.begin()
    faults.plan("PUT", "503", "reset", "lost")
    lake.write("plan/made.parquet", b"whole")

    assert faults.planned == []
    assert lake.read("plan/made.parquet") == b"whole"


def test_what_is_read_is_asked_for_again_too(bucket: str, faults: Faults) -> None:
    lake = Lake(f"{bucket}/lake")
    lake.write("plan/made.parquet", b"whole")
    faults.plan("GET", "503", "reset", "503", "503")

    assert lake.read("plan/made.parquet") == b"whole"
    assert lake.names("plan") == ["made.parquet"]


def test_a_store_that_goes_on_refusing_is_told_in_a_line_and_nothing_half_written_counts(
    bucket: str, few_tries: None, faults: Faults
) -> None:
    lake = Lake(f"{bucket}/lake")
    lake.begin()
    asked = faults.num_requests
    faults.plan("PUT", *["503"] * 9)
    with pytest.raises(
        LakeError, match=r"plan/made\.parquet: the store refused: .*reduce.*; asked up to 3 times"
    ) as error:
        lake.write("plan/made.parquet", b"whole")

    assert "\n" not in str(error.value)
    assert faults.num_requests - asked == 3
    faults.planned.clear()
    assert lake.names("plan") == []


def test_a_table_that_cannot_be_had_from_the_store_is_told_as_one_that_cannot_be_read(
    bucket: str, few_tries: None, faults: Faults
) -> None:
    lake = Lake(f"{bucket}/lake")
    lake.write("plan/made.parquet", b"0" * 100)
    faults.plan("GET", *["reset"] * 20)
    with pytest.raises(LakeError, match=r"plan/made\.parquet"):
        read_table(lake, "plan/made.parquet")


def test_a_bucket_that_is_not_there_is_told(bucket: str) -> None:
    with pytest.raises(LakeError, match=r"the bucket no-such-bucket does not exist; create it"):
        Lake("s3://no-such-bucket/lake").write("plan/made.parquet", b"")


def test_a_service_that_is_not_there_is_told(bucket: str, few_tries: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(LakeError, match=r"lake.json: the store refused: .*127\.0\.0\.1:9.*; asked up to 3 times"):
        Lake(f"{bucket}/lake")


def test_credentials_that_are_missing_are_told_with_where_they_are_looked_for(
    bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, new_clients: None
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(LakeError, match=r"set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"):
        Lake(f"{bucket}/lake")


@pytest.mark.parametrize(
    "url", ["s3://an-id:s3cr3t@bucket/lake", "s3://an-id:s3cr3t@bucket", "https://u:s3cr3t@host/x"]
)
@pytest.mark.parametrize("what", [Lake, ModelFolder])
def test_a_url_with_credentials_in_it_is_refused_without_showing_them(what: type, url: str) -> None:
    with pytest.raises(UsageError, match="holds credentials") as error:
        what(url)
    assert "s3cr3t" not in str(error.value) and "an-id" not in str(error.value)
    assert "\n" not in str(error.value)


def test_the_first_of_several_that_write_a_file_once_stays_and_the_others_are_told(bucket: str) -> None:
    lake = Lake(f"{bucket}/lake")
    assert lake.write_once("datasets/faces/v1/manifest.json", b"first")
    assert not lake.write_once("datasets/faces/v1/manifest.json", b"second")
    assert lake.read("datasets/faces/v1/manifest.json") == b"first"


def test_a_write_whose_answer_was_lost_finds_that_it_was_the_first(bucket: str, faults: Faults) -> None:
    lake = Lake(f"{bucket}/lake")
    lake.begin()
    faults.plan("PUT", "lost")
    assert lake.write_once("datasets/faces/v1/manifest.json", b"mine")
    assert faults.planned == []


def test_a_store_without_conditional_puts_is_looked_at_first(bucket: str, faults: Faults) -> None:
    lake = Lake(f"{bucket}/lake")
    faults.knows_conditions = False
    assert lake.write_once("datasets/faces/v1/manifest.json", b"first")
    assert not lake.write_once("datasets/faces/v1/manifest.json", b"second")
    assert lake.read("datasets/faces/v1/manifest.json") == b"first"


def test_what_another_machine_writes_is_seen_at_once(bucket: str) -> None:
    from s3fs import S3FileSystem

    lake, other = Lake(f"{bucket}/lake"), S3FileSystem(skip_instance_cache=True)
    lake.write("images/made/0000-0000-aaaaaa.parquet", b"")
    assert lake.names("images/made") == ["0000-0000-aaaaaa.parquet"]
    other.pipe_file(lake.full("images/made/0001-0000-bbbbbb.parquet"), b"")
    assert lake.names("images/made") == ["0000-0000-aaaaaa.parquet", "0001-0000-bbbbbb.parquet"]
    assert lake.exists("images/made/0001-0000-bbbbbb.parquet")


def test_the_parts_of_an_upload_whose_writer_was_killed_are_found_and_dropped(bucket: str) -> None:
    lake = Lake(f"{bucket}/lake")
    lake.write("plan/made.parquet", b"")
    for key in ("lake/datasets/faces/v1/train-00000.tar", "elsewhere/a.tar"):
        begun = lake.fs.call_s3("create_multipart_upload", Bucket=bucket.removeprefix("s3://"), Key=key)
        place = {"Bucket": begun["Bucket"], "Key": key, "UploadId": begun["UploadId"], "PartNumber": 1}
        lake.fs.call_s3("upload_part", **place, Body=b"half")
    (lost,) = lost_uploads(lake.fs, lake.root, _AT_ONCE)

    assert lost.path == "datasets/faces/v1/train-00000.tar"
    assert lost_uploads(lake.fs, lake.root, timedelta(days=365_000)) == []
    assert not lake.exists(lost.path)
    abort_upload(lake.fs, lake.root, lost)
    assert lost_uploads(lake.fs, lake.root, _AT_ONCE) == []
    assert len(lost_uploads(lake.fs, bucket.removeprefix("s3://"), _AT_ONCE)) == 1


def test_a_lake_holds_no_credentials(bucket: str) -> None:
    lake = Lake(f"{bucket}/lake")
    lake.write_json("links/made/origin.json", {"digest": "0"})
    for path in lake.fs.find(lake.root):
        assert SECRET.encode() not in lake.fs.cat_file(path)
    assert SECRET not in repr(lake.__reduce__())
