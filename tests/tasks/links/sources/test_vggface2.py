import os
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from storage.errors import SourceError
from storage.records import LINK_LINES, Reason, url_key
from tasks.links.sources.vggface2 import fingerprint, read, read_picture

NFC, NFD = "Zo\u00eb", "Zoe\u0308"


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
        write(root / name, name.encode())
    (root / "empty").mkdir()
    return root


def write(file, data=b""):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)


def picture(kind):
    buffer = BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, kind)
    return buffer.getvalue()


def rejected(found):
    return {row["text"]: row["reason"] for row in found.rejected.to_pylist()}


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
    assert rejected(found) == {
        "list.csv": Reason.NOT_LISTED,
        "n1/.hidden.jpg": Reason.NOT_LISTED,
        "n1/notes.txt": Reason.NOT_AN_IMAGE,
    }
    assert found.rejected.select(["identity", "line"]).to_pylist() == [
        {"identity": "", "line": 1},
        {"identity": "n1", "line": 2},
        {"identity": "n1", "line": 3},
    ]
    assert (found.num_files, found.num_lines) == (2, 6)


@pytest.mark.case(12)
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.jfif", "JPEG"),
        ("a.jpe", "JPEG"),
        ("a.pjpeg", "JPEG"),
        ("a.JPG", "JPEG"),
        ("a.tif", "TIFF"),
        ("a.avif", "AVIF"),
        ("a", "PNG"),
        ("a.jpg.bak", "WEBP"),
        ("a.txt", "GIF"),
        ("a.png_original", "PNG"),
    ],
)
def test_a_picture_is_a_line_whatever_its_name(people, name, kind):
    write(people / "n1" / name, picture(kind))
    assert f"n1/{name}" in read(people, None, "train").lines["url"].to_pylist()


@pytest.mark.case(12)
@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("n1/list.csv", b"a,b", Reason.NOT_AN_IMAGE),
        ("n1/a.heic", b"\0\0\0\x18ftypheic", Reason.NOT_AN_IMAGE),
        ("n1/Thumbs.db", b"\xd0\xcf\x11\xe0", Reason.NOT_AN_IMAGE),
        ("n1/nothing", b"", Reason.EMPTY),
        ("n1/.DS_Store", b"\0\0\0\x01Bud1", Reason.NOT_LISTED),
        ("n1/._a.jpg", b"\0\x05\x16\x07", Reason.NOT_LISTED),
        ("n1/2019/a.jpg", b"\xff\xd8\xff", Reason.NOT_LISTED),
        ("n1/.thumbs/a.jpg", b"\xff\xd8\xff", Reason.NOT_LISTED),
        ("n3/deep/er/a.jpg", b"\xff\xd8\xff", Reason.NOT_LISTED),
        (".git/config", b"x", Reason.NOT_LISTED),
        ("__MACOSX/n1/._a.jpg", b"\0\x05\x16\x07", Reason.NOT_LISTED),
        ("a.jpg", b"\xff\xd8\xff", Reason.NOT_LISTED),
    ],
)
def test_any_other_file_below_the_folder_is_a_rejected_row_that_names_it(people, name, data, reason):
    before = read(people, None, "train").lines.to_pylist()
    write(people / name, data)
    found = read(people, None, "train")
    assert rejected(found)[name] == reason
    assert found.lines.to_pylist() == before


@pytest.mark.case(12)
def test_lines_and_rejected_rows_are_all_the_files_there_are(people):
    for name in ["n1/a.jfif", "n1/b.jpg", "n2/x/y.jpg", "n9/.a", os.fsdecode(b"n2/\xff.jfif"), "top", "\u202e.jpg"]:
        write(people / name, picture("JPEG"))
    (people / "n1" / "out.jpg").symlink_to("/nowhere")
    os.mkfifo(people / "n1" / "pipe.jpg")
    files = sum(not path.is_dir() for path in people.rglob("*"))
    found = read(people, None, "train")
    assert found.num_lines == files
    assert all(found.rejected["detail"].to_pylist())


@pytest.mark.case(12)
def test_a_file_that_cannot_be_read_stays_a_line_for_fetching_to_tell(people, monkeypatch):
    write(people / "n1" / "a.jfif", picture("JPEG"))

    def refuse(path, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)  # a test may run as root, who may read everything
    assert "n1/a.jfif" in read(people, None, "train").lines["url"].to_pylist()


@pytest.mark.case(13)
@pytest.mark.parametrize(("asked", "there"), [(NFC, NFD), (NFD, NFC)])
def test_a_name_is_found_in_any_normal_form(people, asked, there):
    write(people / there / "1.jpg")
    assert read(people, [asked], "train").lines["url"].to_pylist() == [f"{there}/1.jpg"]


@pytest.mark.case(13)
def test_two_folders_that_look_alike_are_named_and_can_be_asked_for_together(people):
    for name in (NFC, NFD):
        write(people / name / "1.jpg")
    for asked in (NFC, NFD):
        with pytest.raises(SourceError, match=r"look alike .'Zoe\\u0308' and 'Zo\\xeb'"):
            read(people, [asked], "train")
    assert len(read(people, [NFC, NFD], "train").lines) == 2
    assert len(read(people, None, "train").lines) == 5


@pytest.mark.case(13)
@pytest.mark.parametrize(
    "asked", ["Ada_Aal", "ada aal", "Ada Aal ", "\uff21da Aal", "ADA-AAL", "Ada Aall", "\u00c1da Aal"]
)
def test_a_name_that_resembles_one_is_told_which(people, asked):
    write(people / "Ada Aal" / "1.jpg")
    with pytest.raises(SourceError, match="did you mean 'Ada Aal'"):
        read(people, [asked], "train")


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
    links = {text for text, reason in rejected(read(people, None, "train")).items() if reason == Reason.SYMBOLIC_LINK}
    assert links == {"n1/out.jpg", "n1/loop.jpg", "n3"}


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
    row = found.rejected.to_pylist()[0]
    assert (row["identity"], row["line"], row["reason"]) == ("n2", 2, Reason.BAD_URL)
    assert found.num_lines == 3


def test_a_wrong_folder_is_one_clear_line(people, tmp_path):
    with pytest.raises(SourceError, match="contains no folder with pictures"):
        read(tmp_path, None, "here")
    with pytest.raises(SourceError, match="is not a folder"):
        read(people / "list.csv", None, "list.csv")
    with pytest.raises(SourceError, match="has no pictures in n9/"):
        read(people, ["n1", "n9"], "train")


@pytest.mark.case(12)
def test_the_fingerprint_follows_the_names_of_files_and_what_unnamed_ones_hold(people):
    seen = {fingerprint(people)}
    for name, data in [("more.txt", b"x"), ("more.txt", picture("JPEG")), ("more.jpg", b"x")]:
        (people / "n1" / name).write_bytes(data)
        seen.add(fingerprint(people))
    assert len(seen) == 4
    (people / "n1" / "more.jpg").write_bytes(b"other bytes of a file that is not opened")
    assert fingerprint(people) in seen
