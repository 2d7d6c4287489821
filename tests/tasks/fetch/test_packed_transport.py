from __future__ import annotations

import os
from pathlib import Path

import pytest

from storage.records import Reason
from tasks.fetch.packed_transport import PackedTransport
from tasks.links.sources import parquet_pictures
from tasks.web.responses import FetchResult
from tests.tasks.links.sources.packed import sample, write_parquet, write_tar


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tar and a Parquet file with pictures, and a secret beside their folder."""
    folder = tmp_path / "root"
    folder.mkdir()
    write_tar(folder / "0.tar", [*sample("./a/1", b"one"), *sample("2", b"two"), ("2.jpg", b"another")])
    images = [{"bytes": b"one"}, {"bytes": b"two"}, {"bytes": b"three"}, {"bytes": None}, None]
    write_parquet(folder / "p.parquet", images)
    write_tar(tmp_path / "secret.tar", sample("1", b"secret"))
    return folder


async def got(root: Path, url: str, max_bytes: int = 100) -> FetchResult:
    return await PackedTransport(root, "image", max_bytes).get(url)


@pytest.mark.parametrize(
    ("url", "data"),
    [("0.tar/a/1.jpg", b"one"), ("0.tar/2.jpg", b"two"), ("p.parquet/1", b"one"), ("p.parquet/3", b"three")],
)
async def test_a_picture_is_read_where_it_lies(root: Path, url: str, data: bytes) -> None:
    assert await got(root, url) == FetchResult(url, data)


@pytest.mark.parametrize("url", ["p.parquet/4", "p.parquet/5"])
async def test_a_null_picture_has_no_bytes(root: Path, url: str) -> None:
    assert await got(root, url) == FetchResult(url, b"")


@pytest.mark.parametrize("url", ["0.tar/3.jpg", "p.parquet/0", "p.parquet/6", "0.tar", "no.tar/1.jpg", "", "0.tar/"])
async def test_what_is_not_there_is_gone(root: Path, url: str) -> None:
    assert (await got(root, url)).reason == Reason.GONE


@pytest.mark.parametrize(
    "url", ["../secret.tar/1.jpg", "/etc/passwd/1", "out.tar/1.jpg", "out/secret.tar/1.jpg", "\0/1"]
)
async def test_a_reference_that_leads_out_is_refused(root: Path, url: str) -> None:
    (root / "out.tar").symlink_to(root.parent / "secret.tar")
    (root / "out").symlink_to(root.parent)
    answer = await got(root, url)
    assert (answer.reason, answer.data) == (Reason.NOT_PUBLIC, b"")


@pytest.mark.parametrize("url", ["0.tar/2.jpg", "p.parquet/2"])
async def test_a_picture_over_the_cap_is_too_large(root: Path, url: str) -> None:
    assert (await got(root, url, 2)).reason == Reason.TOO_LARGE


async def test_a_row_group_that_claims_too_much_is_not_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_pictures, "MAX_GROUP_BYTES", 3)
    assert (await got(root, "p.parquet/1")).reason == Reason.TOO_LARGE


async def test_a_damaged_file_is_a_reason(root: Path) -> None:
    os.truncate(root / "p.parquet", 50)
    answer = await got(root, "p.parquet/1")
    assert answer.reason is not None
    assert "p.parquet/x" not in answer.detail
    assert (await got(root, "p.parquet/x")).reason is not None
