"""Tars of WebDataset's form as lists: every member becomes part of a row, or is rejected with a reason."""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path
from typing import Any

import pytest

from storage.errors import SourceError
from storage.records import Reason
from tasks.links.recipes.guess import guess_recipe
from tasks.links.recipes.recipe import Recipe, open_recipe
from tasks.links.sources.table import list_files, read_list
from tests.tasks.links.sources.packed import sample, write_tar

RECIPE = Recipe(format="tar", image="*", identity="name")


def read(path: Path, recipe: Recipe = RECIPE) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """(identity, reference) of the good lines, and the details of the rejected ones by their text."""
    found = read_list(recipe, path, None, "here").lines
    good = [(row["identity"], row["url"]) for row in found.lines.to_pylist()]
    return good, {row["text"]: f"{row['reason']}: {row['detail']}" for row in found.rejected.to_pylist()}


def good_and(
    path: Path, members: list[tuple[str, bytes]], extra: list[tarfile.TarInfo] | None = None
) -> dict[str, str]:
    """What is rejected of members beside one good row."""
    good, bad = read(write_tar(path / "0.tar", [*sample("good", name="Ann"), *members], extra))
    assert good == [("Ann", "0.tar/good.jpg")]
    return bad


def test_a_picture_and_its_json_are_a_row_whatever_the_ending(tmp_path: Path) -> None:
    members = [
        *sample("1", name="Ann"),
        *sample("2", ending="JPEG", name="Bob"),
        *sample("3", ending="webp", name="Cy"),
    ]
    good, bad = read(write_tar(tmp_path / "0.tar", [*members, ("1.txt", b"a caption")]))
    assert good == [("Ann", "0.tar/1.jpg"), ("Bob", "0.tar/2.JPEG"), ("Cy", "0.tar/3.webp")]
    assert not bad


def test_members_of_a_row_may_stand_apart_and_begin_with_a_dot_and_slash(tmp_path: Path) -> None:
    members = [*sample("./1", name="Ann"), *sample("./2", name="Bob")]
    good, _ = read(write_tar(tmp_path / "0.tar", sorted(members, key=lambda one: one[0][-1])))
    assert good == [("Ann", "0.tar/1.jpg"), ("Bob", "0.tar/2.jpg")]


def test_a_folder_of_tars_is_one_list_without_the_tables_beside_them(tmp_path: Path) -> None:
    for at in (1, 0):
        write_tar(tmp_path / f"{at}.tar", sample("a", name="Ann"))
        (tmp_path / f"{at}.parquet").write_bytes(b"PAR1")
    assert [one.name for one in list_files(RECIPE, tmp_path)] == ["0.tar", "1.tar"]
    assert read(tmp_path)[0] == [("Ann", "0.tar/a.jpg"), ("Ann", "1.tar/a.jpg")]


def test_columns_are_json_fields_text_members_and_folders(tmp_path: Path) -> None:
    members = [*sample("Ann/1", url="http://a.example/1.jpg", sha256="ab" * 32), ("Ann/1.cls", b"Bob\n")]
    path = write_tar(tmp_path / "0.tar", members)
    assert read(path, Recipe(format="tar", image="jpg", identity="folder"))[0] == [("Ann", "0.tar/Ann/1.jpg")]
    assert read(path, Recipe(format="tar", image="jpg", identity="cls"))[0] == [("Bob", "0.tar/Ann/1.jpg")]
    found = read_list(
        open_recipe("img2dataset").model_copy(update={"digest": "sha256"}), path, None, "here"
    ).lines.lines
    assert found["listed_digest"].to_pylist() == [bytes.fromhex("ab" * 32)]
    assert found["kept"].to_pylist() == ['{"url": "http://a.example/1.jpg"}']


def test_a_row_without_picture_is_rejected_with_what_the_downloader_said(tmp_path: Path) -> None:
    bad = good_and(tmp_path, sample("2", None, status="failed_to_download", error_message="HTTP 404"))
    assert bad == {"2": "malformed_line: no picture with this key: failed_to_download: HTTP 404"}


@pytest.mark.parametrize("name", ["../x.jpg", "/etc/x.jpg", "a/../../x.jpg"])
def test_a_name_that_leads_out_is_rejected(tmp_path: Path, name: str) -> None:
    assert good_and(tmp_path, [(name, b"x")])[name].startswith("bad_url")


def test_names_that_are_no_text_or_hidden_or_too_long_are_rejected(tmp_path: Path) -> None:
    bad = good_and(
        tmp_path, [("a\x1b.jpg", b"x"), ("._good.jpg", b"x"), ("x" * 2000 + ".jpg", b"x"), ("a\\b.jpg", b"x")]
    )
    assert sorted(why.split(":")[0] for why in bad.values()) == ["bad_url", "bad_url", "bad_url", "not_listed"]


def test_links_and_devices_are_rejected(tmp_path: Path) -> None:
    extra = []
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        info = tarfile.TarInfo(f"x{kind.decode()}.jpg")
        info.type, info.linkname = kind, "/etc/passwd"
        extra.append(info)
    bad = good_and(tmp_path, [], extra)
    assert [bad[one.name].split(":")[0] for one in extra] == [Reason.SYMBOLIC_LINK] * 2 + [Reason.NOT_LISTED] * 2


def test_a_second_member_of_one_name_is_rejected(tmp_path: Path) -> None:
    assert "earlier member" in good_and(tmp_path, [("good.jpg", b"other")])["good.jpg"]


def test_a_second_picture_under_a_key_is_rejected(tmp_path: Path) -> None:
    assert "a second picture" in good_and(tmp_path, [("good.mask.png", b"x")])["good.mask.png"]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b'{"name": "\xe9"}', "not UTF-8"),
        (b"{", "not valid JSON"),
        (b"[]", "expected an object"),
        (b" " * 1_000_001, "at most"),
    ],
)
def test_json_that_cannot_be_read_rejects_its_row(tmp_path: Path, data: bytes, told: str) -> None:
    assert told in good_and(tmp_path, [("2.jpg", b"x"), ("2.json", data)])["2"]


def test_of_a_tar_that_is_cut_off_the_whole_rows_are_read_and_the_end_is_rejected(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "0.tar", [*sample("1", name="Ann"), *sample("2", b"x" * 5000, name="Bob")])
    data = path.read_bytes()
    for end in (2048 + 100, 2048 + 512, 2048 + 1024, 2048):
        path.write_bytes(data[:end])
        good, bad = read(path)
        assert good == [("Ann", "0.tar/1.jpg")]
        assert any("download" in why for why in bad.values())


def test_a_damaged_header_ends_the_tar_and_says_so(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "0.tar", [*sample("1", name="Ann"), *sample("2", name="Bob")])
    data = bytearray(path.read_bytes())
    data[2048 : 2048 + 200] = b"\xff" * 200
    path.write_bytes(data)
    good, bad = read(path)
    assert good == [("Ann", "0.tar/1.jpg")]
    assert "damaged or truncated" in " ".join(bad.values())


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
@pytest.mark.parametrize("size", [2**60, 2**34])
def test_a_huge_claimed_size_is_rejected_and_never_read(tmp_path: Path, kind: bytes, size: int) -> None:
    path = write_tar(tmp_path / "0.tar", sample("1", name="Ann"))
    info = tarfile.TarInfo("2.jpg")
    info.type, info.size = kind, size
    data = path.read_bytes()[:2048] + info.tobuf(tarfile.GNU_FORMAT) + b"x" * 512
    path.write_bytes(data)
    good, bad = read(path)
    assert good == [("Ann", "0.tar/1.jpg")]
    assert "download" in " ".join(bad.values())


def test_a_size_below_zero_ends_the_tar(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "0.tar", sample("1", name="Ann"))
    info = tarfile.TarInfo("2.jpg")
    info.size = -2048
    path.write_bytes(path.read_bytes()[:2048] + info.tobuf(tarfile.GNU_FORMAT) + b"x" * 512)
    assert read(path)[0] == [("Ann", "0.tar/1.jpg")]


def test_what_is_no_tar_or_is_read_by_a_recipe_of_urls_is_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "0.tar", sample("1", name="Ann"))
    with pytest.raises(SourceError, match="image ="):
        read_list(Recipe(url="url"), path, None, "here")
    with pytest.raises(SourceError, match="no column 'person'"):
        read_list(Recipe(format="tar", image="*", identity="person"), path, None, "here")
    (tmp_path / "0.tar.gz").write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(SourceError, match="is a compressed tar"):
        guess_recipe(tmp_path / "0.tar.gz", "here")
    (tmp_path / "1.tar").write_bytes(b"not an uncompressed tar" * 1000)
    with pytest.raises(SourceError, match="not an uncompressed tar"):
        read_list(RECIPE, tmp_path / "1.tar", None, "here")


def test_the_recipe_of_a_folder_of_img2dataset_is_guessed(tmp_path: Path) -> None:
    fields: dict[str, Any] = {
        "url": "http://a.example/1.jpg",
        "sha256": "ab" * 32,
        "error_message": None,
        "exif": "{}",
        "caption": "c",
    }
    for at in range(2):
        write_tar(tmp_path / f"{at}.tar", sample("1", **fields))
        (tmp_path / f"{at}.parquet").write_bytes(b"PAR1")
    guess = guess_recipe(tmp_path, "here")
    assert guess.recipe == Recipe(format="tar", image="*", digest="sha256", keep=["url"])
    assert not guess.doubts
