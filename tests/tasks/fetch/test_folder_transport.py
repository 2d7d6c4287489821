from __future__ import annotations

from pathlib import Path

import pytest

from storage.records import Reason
from tasks.fetch.folder_transport import FolderTransport
from tasks.web.responses import FetchResult


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with one picture of one person, and a secret beside it."""
    (tmp_path / "root" / "n1").mkdir(parents=True)
    (tmp_path / "root" / "n1" / "é 1.jpg").write_bytes(b"picture")
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    return tmp_path / "root"


async def got(root: Path, url: str, max_bytes: int = 100) -> FetchResult:
    return await FolderTransport(root, max_bytes).get(url)


async def test_a_picture_is_read_as_it_lies_on_disk(root: Path) -> None:
    assert await got(root, "n1/é 1.jpg") == FetchResult("n1/é 1.jpg", b"picture")


@pytest.mark.parametrize("url", ["n1/2.jpg", "n2/1.jpg", "n1", "", "n1/é 1.jpg/x"])
async def test_what_is_not_a_file_is_gone(root: Path, url: str) -> None:
    answer = await got(root, url)
    assert (answer.reason, answer.data) == (Reason.GONE, b"")


@pytest.mark.parametrize(
    "url", ["../secret.jpg", "n1/../../secret.jpg", "/etc/passwd", "n1/out.jpg", "n1/\0.jpg", "out/secret.jpg"]
)
async def test_a_path_that_leads_out_is_refused(root: Path, url: str) -> None:
    (root / "n1" / "out.jpg").symlink_to(root.parent / "secret.jpg")
    (root / "out").symlink_to(root.parent)
    answer = await got(root, url)
    assert (answer.reason, answer.data) == (Reason.NOT_PUBLIC, b"")


async def test_links_to_itself_and_long_names_are_a_reason(root: Path) -> None:
    (root / "n1" / "loop.jpg").symlink_to(root / "n1" / "loop.jpg")
    for url in ["n1/loop.jpg", "n1/" + "x" * 300, "n1/\ud800.jpg"]:
        assert (await got(root, url)).reason is not None


async def test_a_file_over_the_cap_is_too_large(root: Path) -> None:
    assert (await got(root, "n1/é 1.jpg", max_bytes=7)).data == b"picture"
    answer = await got(root, "n1/é 1.jpg", max_bytes=6)
    assert (answer.reason, answer.data) == (Reason.TOO_LARGE, b"")
