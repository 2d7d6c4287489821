import bz2
import gzip
import io
import lzma
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import SourceError
from storage.records import LINK_LINES, REJECTED_LINES, Reason, url_key
from storage.text.encodings import as_utf8
from tasks.links.sources import vggface1
from tasks.links.sources.vggface1 import fingerprint, parse_file, read

GOOD = b"00000001 http://a.example/x.jpg 10.50 20.25 110.50 120.25 4.00 3.59 1"
DATA = Path(__file__).parents[4].parent / "shared" / "data" / "vgg_face_dataset.tar.xz"


def line(**changed: str) -> bytes:
    names = ["id", "url", "left", "top", "right", "bottom", "pose", "score", "curation"]
    fields = dict(zip(names, GOOD.decode().split(), strict=True))
    return " ".join({**fields, **changed}.values()).encode()


def only_reject(data: bytes) -> tuple[str, str]:
    found = parse_file(data)
    assert len(found.lines) == 0
    [row] = found.rejected.to_pylist()
    return row["reason"], row["detail"]


def tar_of(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def test_a_nine_field_line_becomes_a_row_with_all_its_columns():
    [row] = parse_file(GOOD).lines.to_pylist()
    assert row == {
        "line": 1,
        "url": "http://a.example/x.jpg",
        "key": url_key("http://a.example/x.jpg"),
        "box_xyxy": [10.5, 20.25, 110.5, 120.25],
        "pose": 4.0,
        "score": pytest.approx(3.59),
        "curated": True,
        "listed_width": None,
        "listed_height": None,
        "listed_digest": None,
        "kept": None,
    }


def test_a_ten_field_line_means_the_same_as_without_its_digest():
    fields = GOOD.split()
    ten = b" ".join([fields[0], b"0123456789abcdef0123456789ABCDEF", *fields[1:]])
    assert parse_file(ten).lines == parse_file(GOOD).lines


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n", b"\n\n\n", b"\r\n \r\n"])
def test_line_ends_and_blank_lines_at_the_end_do_not_matter(ending):
    second = line(id="2")
    found = parse_file(b"\r\n".join([GOOD, second]) + ending)
    assert found.lines["line"].to_pylist() == [1, 2]
    assert len(found.rejected) == 0
    assert found.lines["curated"].to_pylist() == [True, True]


def test_a_byte_order_mark_is_no_part_of_the_first_id():
    assert len(parse_file(b"\xef\xbb\xbf" + GOOD).lines) == 1


@pytest.mark.case(15)
@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "utf-8-sig"]
)
def test_a_file_of_notepad_or_powershell_is_read_line_by_line(encoding):
    text = "\r\n".join([GOOD.decode(), line(id="2", url="http://münchen.example/ä.jpg").decode(), "junk", ""])
    found = parse_file(text.encode(encoding))
    assert found.lines["url"].to_pylist() == ["http://a.example/x.jpg", "http://münchen.example/ä.jpg"]
    assert found.rejected["line"].to_pylist() == [3]


@pytest.mark.case(15)
def test_lines_that_end_in_cr_alone_are_lines():
    assert parse_file(b"\r".join([GOOD, line(id="2"), b""])).lines["line"].to_pylist() == [1, 2]


@pytest.mark.case(15)
@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (line(url="http://a.example/caf\u00e9.jpg").decode().encode("latin-1"), "Latin-1"),
        (line(id="2").decode().encode("utf-16")[:-1], "curation|NUL|not UTF-8"),
        (b"\0" * 70, "NUL"),
        (GOOD.replace(b"x.jpg", b"x\0.jpg"), "NUL"),
        (b"\0" + GOOD, "NUL"),
    ],
)
def test_bytes_that_are_no_text_are_rejected_with_what_they_are(data, detail):
    reason, found = only_reject(data)
    assert reason == Reason.MALFORMED_LINE
    assert re.search(detail, found)


def test_a_form_feed_between_pages_of_a_list_is_a_blank():
    assert parse_file(GOOD + b"\n\x0c" + line(id="2")).lines["line"].to_pylist() == [1, 2]


def test_an_empty_file_has_no_lines():
    found = parse_file(b" \n\n")
    assert len(found.lines) == len(found.rejected) == 0


def test_percent_escapes_of_a_url_are_left_as_they_are():
    url = "http://a.example/%2541%20b%E4.jpg?q=%7E"
    assert parse_file(line(url=url)).lines["url"].to_pylist() == [url]


@pytest.mark.parametrize(
    "url",
    [
        "https://a.example",
        "HTTP://A.example:8080/x",
        "http://10.0.0.8/x",
        "http://[::1]:80/x",
        "http://a.example:/x",
        "http://a.example/a@b:c",
        "http://a.example?x=@",
        "http://münchen.example/ä.jpg",
    ],
)
def test_unusual_but_well_formed_urls_are_accepted_for_the_address_policy_to_judge(url):
    assert parse_file(line(url=url)).lines["url"].to_pylist() == [url]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example/x",
        "file:///etc/passwd",
        "a.example/x.jpg",
        "http:///x.jpg",
        "http://:80/x.jpg",
        "http://user@a.example/x",
        "http://user:secret@a.example/x",
        "http://a.example:80@b.example/x",
        "http://a.example\\@b.example/x",
        "http://a.example:99999/x",
        "http://a.example:12a/x",
        "http://a.example/\x01.jpg",
        "http://a.example/" + "x" * 9000,
    ],
)
def test_a_url_that_is_not_plain_http_is_a_bad_url(url):
    assert only_reject(line(url=url))[0] == Reason.BAD_URL


@pytest.mark.parametrize(
    ("changed", "detail"),
    [
        ({"id": "x1"}, "id"),
        ({"id": "-1"}, "id"),
        ({"id": "1234567890"}, "id"),
        ({"left": "ten"}, "not a number"),
        ({"left": "nan"}, "not finite"),
        ({"score": "inf"}, "not finite"),
        ({"bottom": "1e300"}, "not finite"),
        ({"right": "10.50"}, "empty box"),
        ({"bottom": "0"}, "empty box"),
        ({"curation": "2"}, "curation"),
        ({"score": ""}, "8 fields"),
        ({"curation": "1 1"}, "10 fields"),
    ],
)
def test_a_malformed_line_is_rejected_with_what_is_wrong_with_it(changed, detail):
    reason, found = only_reject(line(**changed))
    assert reason == Reason.MALFORMED_LINE
    assert detail in found


def test_bytes_that_are_no_utf8_are_rejected_and_kept_readable():
    found = parse_file(GOOD.replace(b"x.jpg", b"\xff\xfe.jpg"))
    [row] = found.rejected.to_pylist()
    assert row["reason"] == Reason.MALFORMED_LINE
    assert "a.example/��.jpg" in row["text"]


def test_a_rejected_line_is_known_by_its_number_in_the_file_and_a_blank_one_inside_counts():
    found = parse_file(b"\n".join([line(id="7"), b"", b"junk", line(id="9")]))
    assert found.lines["line"].to_pylist() == [7, 9]
    assert found.rejected["line"].to_pylist() == [2, 3]


def test_the_first_of_two_lines_with_one_id_wins():
    found = parse_file(b"\n".join([line(), line(url="http://b.example/y.jpg")]))
    assert found.lines["url"].to_pylist() == ["http://a.example/x.jpg"]
    assert found.rejected["detail"].to_pylist() == ["id 1 is used by an earlier line"]


_FIELD = st.sampled_from([*GOOD.split(), b"", b"nan", b"-1e999", b"\xff", b"2", b"http://", b"a" * 32, b"1_0"])
_LINES = st.lists(st.lists(_FIELD, min_size=7, max_size=11).map(b" ".join), max_size=8).map(b"\n".join)


@given(
    st.one_of(
        st.binary(max_size=300),
        st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")),
        _LINES,
    )
)
def test_any_file_gives_rows_and_every_line_is_accepted_or_rejected(data):
    found = parse_file(data)
    body = as_utf8(data).rstrip()
    assert len(found.lines) + len(found.rejected) == (len(re.split(rb"\r*\n|\r", body)) if body else 0)
    boxes = np.array(found.lines["box_xyxy"].to_pylist()).reshape(-1, 4)
    assert np.isfinite(boxes).all() and (boxes[:, 2:] > boxes[:, :2]).all()
    assert len(set(found.lines["line"].to_pylist())) == len(found.lines)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress, bz2.compress])
def test_an_archive_is_read_in_every_packing_and_in_order_of_identity(tmp_path, pack):
    members = {
        "vgg/files/B.txt": GOOD,
        "vgg/files/A.txt": b"\n".join([line(id="2"), GOOD]),
        "vgg/README": b"hello",
    }
    path = tmp_path / "links"
    path.write_bytes(pack(tar_of(members)))
    found = read(path, None, "links")
    assert found.lines.schema == LINK_LINES and found.rejected.schema == REJECTED_LINES
    pairs = list(zip(found.lines["identity"].to_pylist(), found.lines["line"].to_pylist(), strict=True))
    assert pairs == [("A", 1), ("A", 2), ("B", 1)]
    assert (found.num_files, found.num_lines) == (2, 3)


def test_only_txt_files_at_the_top_one_folder_deep_or_in_files_are_link_files(tmp_path):
    names = ["A.txt", "x/B.txt", "files/C.txt", "x/files/D.txt", "./files/E.txt"]
    others = ["README.txt", "x/licence.txt", ".hidden.txt", "x/y/F.txt", "a/b/files/G.txt", "H.csv"]
    path = tmp_path / "links.tar"
    path.write_bytes(tar_of(dict.fromkeys(names + others, GOOD)))
    assert read(path, None, "links.tar").lines["identity"].to_pylist() == ["A", "B", "C", "D", "E"]


def test_members_that_point_out_of_the_archive_or_are_links_are_ignored(tmp_path):
    path = tmp_path / "links.tar.xz"
    with tarfile.open(path, "w:xz") as tar:
        for name in ["../Up.txt", "files/../../Out.txt", "/Root.txt", "files/Real.txt"]:
            info = tarfile.TarInfo(name)
            info.size = len(GOOD)
            tar.addfile(info, io.BytesIO(GOOD))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            info = tarfile.TarInfo(f"files/Link{kind.decode()}.txt")
            info.type, info.linkname = kind, "/etc/hostname"
            tar.addfile(info)
    assert read(path, None, "links").lines["identity"].to_pylist() == ["Real"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["links.tar.xz"]


def test_a_folder_is_read_as_an_archive_is(tmp_path):
    for name in ["vgg_face_dataset/files/A.txt", "B.txt", "vgg_face_dataset/README", "too/deep/C.txt"]:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(GOOD)
    (tmp_path / "Link.txt").symlink_to("/etc/hostname")
    assert read(tmp_path, None, "here").lines["identity"].to_pylist() == ["A", "B"]


@pytest.mark.attack(18)
@pytest.mark.parametrize("place", ["extra", "x/files", "Named.txt", "x/Named.txt", "x/files/Named.txt", "loop"])
def test_a_symbolic_link_in_a_folder_is_not_followed_and_leaves_a_row(tmp_path, place):
    outside, folder = tmp_path / "notes", tmp_path / "links"
    (outside / "files").mkdir(parents=True)
    (outside / "diary.txt").write_bytes(GOOD)
    (outside / "files" / "diary.txt").write_bytes(GOOD)
    folder.mkdir()
    (folder / "A.txt").write_bytes(GOOD)
    before = fingerprint(folder)
    link = folder / place
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside / "diary.txt" if place.endswith(".txt") else folder if place == "loop" else outside)

    found = read(folder, None, "here")
    assert (found.lines["identity"].to_pylist(), found.num_files) == (["A"], 1)
    told = [(row["identity"], row["text"], row["reason"]) for row in found.rejected.to_pylist()]
    assert told == [(link.stem, place, "symbolic_link")]
    assert fingerprint(folder) != before


@pytest.mark.attack(18)
def test_a_folder_of_nothing_but_links_says_so(tmp_path):
    (tmp_path / "extra").symlink_to("/etc")
    with pytest.raises(SourceError, match=r"no link file.* 1 symbolic links are not followed"):
        read(tmp_path, None, "here")


@pytest.mark.attack(15)
@pytest.mark.parametrize("letter", ["\x85", "\x9b", "\u202e", "\u2066", "\u200f", "\u2028"], ids=ascii)
def test_a_url_with_a_control_or_bidi_character_is_no_url(letter):
    parsed = parse_file(line(url=f"http://a.example/{letter}2J.jpg"))
    assert (len(parsed.lines), parsed.rejected["reason"].to_pylist()) == (0, ["bad_url"])


def test_one_identity_in_two_files_keeps_the_first_of_each_id(tmp_path):
    path = tmp_path / "links.tar"
    path.write_bytes(tar_of({"a/A.txt": line(id="2"), "b/A.txt": b"\n".join([line(), line(id="2"), b"junk"])}))
    found = read(path, None, "links.tar")
    assert found.lines["line"].to_pylist() == [1, 2]
    assert found.rejected["line"].to_pylist() == [2, 3]
    assert found.num_lines == 4


def test_only_wanted_identities_are_read_and_a_missing_one_is_named(tmp_path):
    for name in "ABC":
        (tmp_path / f"{name}.txt").write_bytes(GOOD)
    assert read(tmp_path, ["C", "A"], "here").lines["identity"].to_pylist() == ["A", "C"]
    with pytest.raises(SourceError, match=r"here has no link file Z\.txt"):
        read(tmp_path, ["A", "Z"], "here")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a tar archive"),
        (b"<html>not here</html>" * 100, "is not a tar archive"),
        (gzip.compress(b"text" * 1000), "is not a tar archive"),
        (tar_of({}), "contains no link file"),
        (tar_of({"README": b"x"}), "contains no link file"),
        (gzip.compress(tar_of({"A.txt": GOOD, "B.txt": GOOD}))[:-30], "is not a tar archive, or is damaged"),
        (lzma.compress(tar_of({"A.txt": GOOD}))[:-12], "is not a tar archive, or is damaged"),
        (gzip.compress(tar_of({"A.txt": GOOD}))[:-8] + bytes(8), "is not a tar archive, or is damaged"),
        (tar_of({"A\x07.txt": GOOD}), "rename it"),
    ],
    ids=["nothing", "html", "gzip", "no member", "no link file", "cut", "cut xz", "wrong checksum", "unprintable name"],
)
def test_what_is_no_whole_archive_of_link_files_is_one_clear_line(tmp_path, content, message):
    path = tmp_path / "links.tar.gz"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=message) as raised:
        read(path, None, str(path))
    assert "\n" not in str(raised.value) and str(path) in str(raised.value)


def test_a_missing_path_and_a_folder_without_link_files_are_named(tmp_path):
    with pytest.raises(SourceError, match="nowhere does not exist"):
        read(tmp_path / "nowhere", None, "nowhere")
    with pytest.raises(SourceError, match="contains no link file"):
        read(tmp_path, None, "here")


def test_an_archive_or_file_beyond_its_limit_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "links.tar.gz"
    path.write_bytes(gzip.compress(tar_of({"big.bin": bytes(3_000_000), "A.txt": GOOD * 20})))
    monkeypatch.setattr(vggface1, "MAX_UNPACKED_BYTES", 1_000_000)
    with pytest.raises(SourceError, match="over 1,000,000 bytes when decompressed"):
        read(path, None, "links")
    monkeypatch.undo()
    monkeypatch.setattr(vggface1, "MAX_FILE_BYTES", 1000)
    with pytest.raises(SourceError, match="a link file has at most 1,000"):
        read(path, None, "links")


def test_the_fingerprint_follows_names_and_contents_and_nothing_else(tmp_path):
    file = tmp_path / "A.txt"
    file.write_bytes(GOOD)
    before = fingerprint(tmp_path)
    (tmp_path / "notes.md").write_text("x")
    assert fingerprint(tmp_path) == before
    file.write_bytes(GOOD.replace(b"3.59", b"3.60"))
    changed = fingerprint(tmp_path)
    file.rename(tmp_path / "B.txt")
    assert len({before, changed, fingerprint(tmp_path)}) == 3
    assert fingerprint(tmp_path / "nowhere") == ""


@pytest.mark.data
@pytest.mark.slow
def test_a_million_real_lines_are_read_and_none_is_rejected():
    if not DATA.exists():
        pytest.skip("the real link files are not in ../shared/data")
    found = read(DATA, None, DATA.name)
    assert (found.num_files, len(found.lines), len(found.rejected)) == (1000, 993_364, 0)


@pytest.mark.case(13)
def test_a_name_is_found_in_any_normal_form_and_one_that_resembles_is_suggested(tmp_path):
    (tmp_path / "Zoe\u0308_Aal.txt").write_bytes(GOOD)
    assert set(read(tmp_path, ["Zo\u00eb_Aal"], "here").lines["identity"].to_pylist()) == {"Zoe\u0308_Aal"}
    with pytest.raises(SourceError, match="did you mean 'Zoe\u0308_Aal'"):
        read(tmp_path, ["Zoe Aal"], "here")
    (tmp_path / "Zo\u00eb_Aal.txt").write_bytes(GOOD)
    with pytest.raises(SourceError, match="look alike"):
        read(tmp_path, ["Zo\u00eb_Aal"], "here")


def test_lines_are_the_same_however_many_of_them_are_put_together(tmp_path, monkeypatch):
    for person in range(9):
        lines = [line(id=str(number), url=f"http://a.example/{person}/{number}") for number in range(person)]
        (tmp_path / f"Person_{person}.txt").write_bytes(b"\n".join([*lines, b"malformed"]))
    whole = read(tmp_path, None, "")
    monkeypatch.setattr("tasks.links.sources.vggface1.ROWS_TO_GATHER", 5)
    monkeypatch.setattr("tasks.links.sources.source._ROWS_AT_A_TIME", 7)
    parts = read(tmp_path, None, "")

    assert parts.lines.equals(whole.lines)
    assert parts.rejected.to_pylist() == whole.rejected.to_pylist()
    assert (parts.num_files, len(parts.lines), len(parts.rejected)) == (9, 36, 9)
    assert parts.lines["url"].num_chunks > whole.lines["url"].num_chunks
