import os

import pytest

from storage.errors import SourceError
from storage.records import LINK_LINES, Reason, url_key
from tasks.sources.vggface2 import fingerprint, read, read_picture


@pytest.fixture
def people(tmp_path):
    root = tmp_path / "train"
    for name in [
        "n2/0002_01.jpg",
        "n2/0001_01.jpg",
        "n1/a b%20#.PNG",
        "n1/notes.txt",
        "n1/.hidden.jpg",
        "list.csv",
    ]:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(name.encode())
    (root / "empty").mkdir()
    return root


def test_every_picture_becomes_a_line_numbered_by_file_name(people):
    found = read(people, None, "train")
    assert found.lines.schema == LINK_LINES
    assert found.lines.select(["identity", "line", "url"]).to_pylist() == [
        {"identity": "n1", "line": 1, "url": "n1/a b%20#.PNG"},
        {"identity": "n2", "line": 1, "url": "n2/0001_01.jpg"},
        {"identity": "n2", "line": 2, "url": "n2/0002_01.jpg"},
    ]
    assert found.lines["key"].to_pylist()[1] == url_key("n2/0001_01.jpg")
    for name in ["box_xyxy", "pose", "score", "curated"]:
        assert found.lines[name].null_count == 3
    assert (found.num_files, found.num_lines, len(found.rejected)) == (2, 3, 0)


def test_what_a_line_says_is_what_read_picture_reads(people):
    for url in read(people, None, "train").lines["url"].to_pylist():
        assert read_picture(people, url) == url.encode()


def test_links_that_leave_the_folder_are_not_followed_and_those_that_stay_are(people, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.jpg").write_bytes(b"secret")
    (people / "n1" / "out.jpg").symlink_to(outside / "secret.jpg")
    (people / "n3").symlink_to(outside)
    (people / "n1" / "loop.jpg").symlink_to(people / "n1" / "loop.jpg")
    (people / "n1" / "in.jpg").symlink_to(people / "n2" / "0001_01.jpg")
    urls = read(people, None, "train").lines["url"].to_pylist()
    assert urls == ["n1/a b%20#.PNG", "n1/in.jpg", "n2/0001_01.jpg", "n2/0002_01.jpg"]


@pytest.mark.parametrize("url", ["../outside.jpg", "/etc/hostname", "n1/../../outside.jpg", "n1/out.jpg", "n1/\0.jpg"])
def test_read_picture_refuses_paths_that_leave_the_folder(people, tmp_path, url):
    (tmp_path / "outside.jpg").write_bytes(b"secret")
    (people / "n1" / "out.jpg").symlink_to(tmp_path / "outside.jpg")
    with pytest.raises(SourceError, match="leaves the folder"):
        read_picture(people, url)


@pytest.mark.parametrize("url", ["n1/none.jpg", "n1"])
def test_read_picture_says_that_a_file_is_missing(people, url):
    with pytest.raises(FileNotFoundError):
        read_picture(people, url)


def test_a_file_name_that_is_no_text_is_a_rejected_line(people):
    (people / "n2" / os.fsdecode(b"0001_\xff.jpg")).touch()
    found = read(people, ["n2"], "train")
    assert found.lines["line"].to_pylist() == [1, 3]
    [row] = found.rejected.to_pylist()
    assert (row["identity"], row["line"], row["reason"]) == ("n2", 2, Reason.BAD_URL)
    assert found.num_lines == 3


def test_a_wrong_folder_is_one_clear_line(people, tmp_path):
    with pytest.raises(SourceError, match="holds no folder with pictures"):
        read(tmp_path, None, "here")
    with pytest.raises(SourceError, match="is no folder"):
        read(people / "list.csv", None, "list.csv")
    with pytest.raises(SourceError, match="has no pictures in n9/"):
        read(people, ["n1", "n9"], "train")


def test_the_fingerprint_follows_the_names_of_pictures(people):
    before = fingerprint(people)
    (people / "n1" / "more.txt").write_text("x")
    assert fingerprint(people) == before
    (people / "n1" / "more.jpg").write_text("x")
    assert fingerprint(people) != before
