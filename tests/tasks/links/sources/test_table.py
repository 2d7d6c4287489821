"""Lists of any form: every line is a link line or a rejected one, whatever it holds."""

from __future__ import annotations

import gzip
import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import SourceError
from storage.lake import Lake
from storage.records import LINK_LINES, REJECTED_LINES, Reason, url_key
from storage.tables import digest_of_lines, read_as, write_table
from tasks.links.recipes.recipe import Recipe, open_recipe
from tasks.links.sources import list_rows
from tasks.links.sources.source import SourceLines
from tasks.links.sources.table import list_files, read_list, source_of

NAMED = Recipe(url="url", identity="name")
URL = "http://a.example/x.jpg"
SHA = hashlib.sha256(b"x").hexdigest()


def read(folder: Path, data: bytes | str, recipe: Recipe = NAMED, name: str = "list.csv") -> SourceLines:
    file = folder / name
    file.write_bytes(data.encode() if isinstance(data, str) else data)
    found = read_list(recipe, file, None, name).lines
    assert found.lines.schema == LINK_LINES
    assert found.rejected.schema == REJECTED_LINES
    return found


def good(found: SourceLines) -> list[tuple[str, int, str]]:
    """(person, line, URL) in the order of the list."""
    rows = found.lines.select(["identity", "line", "url"]).sort_by("line").to_pylist()
    return [tuple(row.values()) for row in rows]


def bad(found: SourceLines) -> list[tuple[int, str, str]]:
    """(line, reason, detail) in the order of the list."""
    rows = found.rejected.select(["line", "reason", "detail"]).sort_by("line").to_pylist()
    return [tuple(row.values()) for row in rows]


# -- formats --


def parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue().to_pybytes()


ROWS = [{"name": "Ann B", "url": f"{URL}?{at},1"} for at in range(3)]
FORMS: dict[str, str | bytes] = {
    "csv": "name,url\n" + "".join(f'{row["name"]},"{row["url"]}"\n' for row in ROWS),
    "tsv": "name\turl\n" + "".join(f"{row['name']}\t{row['url']}\n" for row in ROWS),
    "jsonl": "".join(json.dumps(row) + "\n" for row in ROWS),
    "json": json.dumps(ROWS),
    "parquet": parquet(ROWS),
}


@pytest.mark.parametrize("packed", ["", "gz", "zst"])
@pytest.mark.parametrize("form", FORMS)
def test_every_format_reads_alike_packed_or_not_by_name_or_by_its_rows(tmp_path: Path, form: str, packed: str) -> None:
    data = FORMS[form]
    plain = data if isinstance(data, bytes) else data.encode()
    packed_data = {"": plain, "gz": gzip.compress(plain), "zst": pa.compress(plain, "zstd", asbytes=True)}[packed]
    said = read(tmp_path, packed_data, NAMED.model_copy(update={"format": form}), "list")
    told = read(tmp_path, packed_data, NAMED, "list")
    assert [(name, url) for name, _, url in good(told)] == [("Ann_B", row["url"]) for row in ROWS]
    assert good(said) == good(told)
    assert not bad(told)


def test_a_url_a_line_is_not_cut_at_commas(tmp_path: Path) -> None:
    found = read(tmp_path, f"{URL}?a,b\n{URL}?c\n\n", open_recipe("urls"))
    assert [url for _, _, url in good(found)] == [f"{URL}?a,b", f"{URL}?c"]


def test_columns_with_blanks_between_have_a_count_and_a_header_before_them(tmp_path: Path) -> None:
    found = read(tmp_path, "2\nimage_id x_1 y_1 width height\n1.jpg    95  71 226 313\n2.jpg 72 94 221 306\n",
                 open_recipe("celeba"), "list_bbox_celeba.txt")  # fmt: skip
    assert [row[1:] for row in good(found)] == [(3, "1.jpg"), (4, "2.jpg")]
    boxes = dict(zip(found.lines["url"].to_pylist(), found.lines["box_xyxy"].to_pylist(), strict=True))
    assert boxes["1.jpg"] == [95, 71, 321, 384]


def test_one_object_of_all_rows_and_names_within_objects(tmp_path: Path) -> None:
    data = {str(at): {"wild": {"file": f"{URL}?{at}", "rect": [1, 2, 30, 40]}} for at in range(2)}
    recipe = Recipe(url="wild.file", box="wild.rect")
    found = read(tmp_path, json.dumps(data), recipe, "faces.json")
    assert [url for _, _, url in good(found)] == [f"{URL}?0", f"{URL}?1"]
    assert found.lines["box_xyxy"].to_pylist() == [[1, 2, 30, 40]] * 2


def test_the_rows_are_believed_and_not_the_name(tmp_path: Path) -> None:
    assert len(good(read(tmp_path, FORMS["tsv"], NAMED, "list.csv"))) == 3


# -- damage --


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
def test_lines_end_in_lf_crlf_or_cr(tmp_path: Path, end: str) -> None:
    found = read(tmp_path, end.join(["name,url", f"A,{URL}", f"B,{URL}"]))
    assert good(found) == [("A", 2, URL), ("B", 3, URL)]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_marks_and_encodings_of_unicode_are_no_part_of_the_text(tmp_path: Path, encoding: str) -> None:
    assert good(read(tmp_path, f"name,url\nÁnn,{URL}\n".encode(encoding))) == [("Ánn", 2, URL)]


def test_latin_1_is_told_and_not_guessed_and_only_where_it_is_read(tmp_path: Path) -> None:
    found = read(tmp_path, f"name,url,note\nÁnn,{URL},x\nBob,{URL},é\nCyd,{URL},x\n".encode("latin-1"))
    assert [name for name, _, _ in good(found)] == ["Bob", "Cyd"]
    [(line, reason, detail)] = bad(found)
    assert (line, reason) == (2, Reason.MALFORMED_LINE)
    assert "perhaps Latin-1" in detail


def test_cells_padded_with_blanks_and_blanks_inside_urls(tmp_path: Path) -> None:
    found = read(tmp_path, f"url, name\n {URL} ,  A  B \nhttp://a.example/x y.jpg,B\n")
    assert good(found) == [("A_B", 2, URL), ("B", 3, "http://a.example/x%20y.jpg")]


def test_a_stray_quote_costs_its_own_line(tmp_path: Path) -> None:
    lines = ["name,url", f"A,{URL}", f'"B,{URL}', *(f'"C {at}",{URL}' for at in range(3)), f"D,{URL}"]
    found = read(tmp_path, "\n".join(lines))
    assert [name for name, _, _ in good(found)] == ["A", "C_0", "C_1", "C_2", "D"]
    assert [(line, reason) for line, reason, _ in bad(found)] == [(3, Reason.MALFORMED_LINE)]


def test_quotes_within_a_cell_are_letters(tmp_path: Path) -> None:
    assert good(read(tmp_path, f'name,url\nBo "Ace" 5",{URL}\n')) == [('Bo_"Ace"_5"', 2, URL)]


def test_quotes_that_pyarrow_would_take_for_the_start_of_a_long_cell_cost_their_own_line(tmp_path: Path) -> None:
    found = read(tmp_path, f'name,url,x\n"a"b",{URL},"x\nB,{URL},y\nC,{URL},z\n')
    assert [name for name, _, _ in good(found)] == ["B", "C"]


def test_cells_may_hold_line_ends_and_lines_keep_their_numbers(tmp_path: Path) -> None:
    found = read(tmp_path, f'name,url,bio\nA,{URL},"one\n\ntwo, ""three"""\nB,{URL},x\n')
    assert good(found) == [("A", 2, URL), ("B", 5, URL)]
    assert not bad(found)


def test_a_cell_of_too_many_lines_is_none(tmp_path: Path) -> None:
    many = "x\n" * list_rows.MAX_ROW_LINES
    found = read(tmp_path, f'name,url\n"A\n{many}",{URL}\nB,{URL}\n')
    assert [name for name, _, _ in good(found)] == ["B"]
    assert len(bad(found)) == list_rows.MAX_ROW_LINES + 2


def test_empty_lines_count_but_for_those_at_the_end(tmp_path: Path) -> None:
    found = read(tmp_path, f"name,url\nA,{URL}\n\nB,{URL}\n\n\n")
    assert bad(found) == [(3, Reason.MALFORMED_LINE, "an empty line")]


def test_a_line_that_is_cut_off_is_rejected_with_its_text(tmp_path: Path) -> None:
    recipe = open_recipe("facescrub")
    row = f"Ann B\t1\t2\t{URL}\t1,2,30,40\t{SHA}\n"
    found = read(tmp_path, row + "Ann B\t1\t3\thttp://a.exam", recipe, "facescrub_x.txt")
    assert good(found) == [("Ann_B", 2, URL)]
    assert found.lines["listed_digest"].to_pylist() == [bytes.fromhex(SHA)]
    assert found.rejected.to_pylist() == [
        {
            "identity": "",
            "line": 2,
            "text": r"Ann B\t1\t3\thttp://a.exam",
            "reason": "malformed_line",
            "detail": "4 fields, expected 6",
        }
    ]


def test_a_header_may_be_there_lost_or_behind_a_number_sign(tmp_path: Path) -> None:
    recipe = open_recipe("pubfig")
    row = f"Ann\t7\t{URL}\t1,2,30,40\t{SHA[:32]}\n"
    for head in ("", "person\timagenum\turl\trect\tmd5sum\n", "# PubFig\n#\tperson\timagenum\turl\trect\tmd5sum\n"):
        found = read(tmp_path, head + row, recipe, "dev_urls.txt")
        assert good(found) == [("Ann", 7, URL)]
        assert not bad(found)


def test_a_header_behind_a_number_sign_names_the_columns(tmp_path: Path) -> None:
    assert good(read(tmp_path, f"# a list\n#\turl\tname\n{URL}\tAnn\n", NAMED, "x.tsv")) == [("Ann", 3, URL)]


def test_names_of_columns_are_found_without_case(tmp_path: Path) -> None:
    assert good(read(tmp_path, f"NAME,URL\nAnn,{URL}\n")) == [("Ann", 2, URL)]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is empty"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", "is a picture"),
        (b"<!DOCTYPE html><html>", "is a page of HTML"),
        (b"PK\x03\x04rest", "ZIP archive"),
        (b"name;url\nA;http://a.example/x.jpg\n", "has no column 'name'"),
        (b"name,url\n", "holds not one line"),
        (b"\x1f\x8b\x08\x00cut", "broken or cut off"),
        (b"{", "no JSON"),
    ],
)
def test_a_wrong_file_under_the_right_name_is_refused_in_one_line(tmp_path: Path, data: bytes, told: str) -> None:
    with pytest.raises(SourceError, match=told):
        read(tmp_path, data)


def test_tabs_that_became_blanks_are_named_as_the_reason(tmp_path: Path) -> None:
    row = f"Ann B    1  2   {URL}   1,2,30,40  {SHA}\n"
    with pytest.raises(SourceError, match=r"none of its 3 lines .* the tabs between its columns became blanks"):
        read(tmp_path, row * 3, open_recipe("facescrub"), "facescrub_x.txt")


@pytest.mark.parametrize("block", [1, 7, 64])
def test_blocks_may_be_cut_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    text = f'name,url,bio\r\nÁ,{URL},"a\r\nb"\r\n\r\n"B,{URL}\r\nC,{URL},x\r\n\r\n'
    whole = read(tmp_path, text)
    assert [name for name, _, _ in good(whole)] == ["Á", "C"]
    monkeypatch.setattr(list_rows, "BLOCK_BYTES", max(block, 8))
    parts = read(tmp_path, text)
    assert (good(parts), bad(parts)) == (good(whole), bad(whole))


# -- URLs, files and people --


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "the URL is missing"),
        ("x-raw-image:///77", "x-raw-image: is no address of the web"),
        ("data:image/png;base64\u2010AA", "data: holds a picture"),
        ("file:///etc/passwd", "file: is a path"),
        ("s3://bucket/x.jpg", "in a bucket"),
        ("http://u:p@a.example/x.jpg", "without user name"),
        ("http:///x.jpg", "not http"),
        ("http://", "not http"),
        ("//a.example/x.jpg", "not http"),
        ("http://a.example:99999/x", "port 99999"),
        ("http://a.example\\@b/x", "not http"),
        ("http://a.example/\u202egpj.x", "bidi"),
        ("http://a.example/" + "x" * 8000, "at most 8000"),
    ],
)
def test_what_is_no_address_of_a_picture_is_told_in_its_own_words(tmp_path: Path, url: str, told: str) -> None:
    found = read(tmp_path, f"name,url\nA,{URL}\nB,{url}\n")
    [(line, reason, detail)] = bad(found)
    assert (line, reason) == (3, Reason.BAD_URL)
    assert told in detail


@pytest.mark.parametrize(
    "url", ["HTTPS://a.example", "http://[::1]/x", "http://a.example:8080?q", "http://ä.example/ü", "http://a.b/c:d@e"]
)
def test_odd_urls_that_may_be_asked_for_are_kept_as_they_are(tmp_path: Path, url: str) -> None:
    found = read(tmp_path, f"name,url\nA,{url}\n")
    assert found.lines["url"].to_pylist() == [url]
    assert found.lines["key"].to_pylist() == [url_key(url)]


@pytest.mark.parametrize("path", ["../x.jpg", "/x.jpg", "a/../x.jpg", "a//x.jpg", "a\\x.jpg", "./", "a/"])
def test_a_path_that_leaves_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    found = read(tmp_path, f"file\nok.jpg\n{path}\n", Recipe(format="csv", file="{file}"))
    assert [reason for _, reason, _ in bad(found)] == [Reason.BAD_URL]


def test_paths_are_put_together_and_their_folder_is_the_person(tmp_path: Path) -> None:
    recipe = Recipe(file="pics/{id}/{n}.jpg", identity="folder")
    assert good(read(tmp_path, "id,n\nAnn B,1\n", recipe)) == [("Ann_B", 2, "pics/Ann B/1.jpg")]


def test_lists_in_folders_have_their_pictures_beside_them(tmp_path: Path) -> None:
    for name in ("train", "test"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metadata.csv").write_text(f"file_name\n{name[0]}/1.jpg\n")
    found = read_list(open_recipe("imagefolder"), tmp_path, None, "here").lines
    assert good(found) == [("t", 2, "test/t/1.jpg"), ("t", 4, "train/t/1.jpg")]


def test_names_are_composed_trimmed_and_joined_by_underscores(tmp_path: Path) -> None:
    found = read(tmp_path, f"name,url\nA\u0301nn  B,{URL}\nÁnn_B,{URL}\n")
    assert {name for name, _, _ in good(found)} == {"Ánn_B"}


@pytest.mark.parametrize("name", ["", "a/b", "..", "x\u202ey", "x" * 201])
def test_what_can_be_nobodys_name_is_refused(tmp_path: Path, name: str) -> None:
    found = read(tmp_path, f"name,url\nA,{URL}\n{name},{URL}\n")
    assert [(line, reason) for line, reason, _ in bad(found)] == [(3, Reason.MALFORMED_LINE)]


def test_a_list_without_names_is_grouped_by_its_urls(tmp_path: Path) -> None:
    found = read(tmp_path, f"{URL}\n", open_recipe("urls"))
    assert good(found) == [(f"unnamed-{url_key(URL).hex()[:3]}", 1, URL)]


def test_the_numbers_of_a_person_are_there_once(tmp_path: Path) -> None:
    recipe = NAMED.model_copy(update={"line": "n"})
    found = read(tmp_path, f"name,url,n\nA,{URL},7\nB,{URL},7\nA,{URL}?2,7\nA,{URL},x\n", recipe)
    assert good(found) == [("A", 7, URL), ("B", 7, URL)]
    details = {detail for _, _, detail in bad(found)}
    assert details == {
        "n 7 stands on an earlier line of this person",
        "the number of the line is not 1 to 9 digits",
    }


def test_other_columns_are_kept_as_json(tmp_path: Path) -> None:
    recipe = NAMED.model_copy(update={"keep": ["age", "url"]})
    found = read(tmp_path, f"name,url,age\nA,{URL},7\n", recipe)
    assert [json.loads(one) for one in found.lines["kept"].to_pylist()] == [{"age": "7", "url": URL}]


def test_what_is_missing_in_a_kept_column_of_numbers_is_null(tmp_path: Path) -> None:
    rows = [{"name": "A", "url": URL, "age": 7.5}, {"name": "B", "url": URL, "age": float("nan")}]
    found = read(tmp_path, parquet(rows), NAMED.model_copy(update={"keep": ["age"]}))
    assert [json.loads(one) for one in found.lines["kept"].to_pylist()] == [{"age": 7.5}, {"age": None}]


# -- boxes and digests --

BOXES = {
    "xyxy": "10,20,110,220",
    "xywh": "10,20,100,200",
    "xxyy": "10,110,20,220",
    "cxcywh": "60,120,100,200",
}


@pytest.mark.parametrize("order", BOXES)
@pytest.mark.parametrize(
    "written", ["{0},{1},{2},{3}", "{0} {1} {2} {3}", "[{0}, {1}, {2}, {3}]", "[[{0},{1},{2},{3}]]"]
)
def test_a_box_in_one_cell_reads_in_every_order_and_spelling(tmp_path: Path, order: Any, written: str) -> None:
    recipe = NAMED.model_copy(update={"box": "box", "box_is": order})
    found = read(tmp_path, f"name\turl\tbox\nA\t{URL}\t{written.format(*BOXES[order].split(','))}\n", recipe)
    assert found.lines["box_xyxy"].to_pylist() == [[10, 20, 110, 220]]


def test_a_box_in_four_columns_or_in_lists_of_parquet(tmp_path: Path) -> None:
    recipe = NAMED.model_copy(update={"box": ["l", "t", "r", "b"]})
    found = read(tmp_path, f"name,url,l,t,r,b\nA,{URL},10,20,110.5,220\nB,{URL},,,,\n", recipe)
    assert found.lines["box_xyxy"].to_pylist() == [[10, 20, 110.5, 220], None]
    rows = [{"name": "A", "url": f"{URL}?{at}", "box": box} for at, box in enumerate([[1, 2, 30, 40], [], None])]
    found = read(tmp_path, parquet(rows), NAMED.model_copy(update={"box": "box"}))
    assert found.lines["box_xyxy"].to_pylist() == [[1, 2, 30, 40], None, None]


def test_relative_boxes_are_of_a_picture_of_one_by_one(tmp_path: Path) -> None:
    recipe = NAMED.model_copy(update={"box": "boxes", "box_of": "relative"})
    rows = [
        {"name": "A", "url": URL, "boxes": [[0.25, 0.5, 0.75, 1.0]]},
        {"name": "B", "url": URL, "boxes": [[5, 5, 90, 90]]},
    ]
    found = read(tmp_path, parquet(rows), recipe)
    [row] = found.lines.to_pylist()
    assert (row["box_xyxy"], row["listed_width"], row["listed_height"]) == ([0.25, 0.5, 0.75, 1.0], 1, 1)
    assert "not relative" in bad(found)[0][2]


def test_several_boxes_of_one_row_are_no_box(tmp_path: Path) -> None:
    rows = [{"name": "A", "url": URL, "box": [[1, 2, 30, 40]]}, {"name": "B", "url": URL, "box": [[1, 2, 30, 40]] * 2}]
    found = read(tmp_path, parquet(rows), NAMED.model_copy(update={"box": "box"}))
    assert "2 boxes: list a row for each face" in bad(found)[0][2]


def test_the_listed_size_of_a_picture_may_be_one_cell_with_the_height_first(tmp_path: Path) -> None:
    head = "name,index,image,rect,height width,url\n"
    found = read(tmp_path, f"{head}Ann,nm1,1.jpg,127 113 209 190,400 300,{URL}\n", open_recipe("imdb-face"))
    [row] = found.lines.to_pylist()
    assert (row["identity"], row["listed_width"], row["listed_height"]) == ("nm1", 300, 400)
    assert json.loads(row["kept"]) == {"name": "Ann"}


@pytest.mark.parametrize("box", ["1,2,3", "a,b,c,d", "1,2,nan,4", "1,2,1e9,1e9", "5,5,5,9", "1,2,3,4,5"])
def test_what_is_no_box_costs_its_line(tmp_path: Path, box: str) -> None:
    recipe = NAMED.model_copy(update={"box": "box"})
    rows = "".join(f"A\t{URL}\t1,2,30,40\n" for _ in range(150))
    found = read(tmp_path, f"name\turl\tbox\n{rows}B\t{URL}\t{box}\n", recipe)
    assert [(line, reason) for line, reason, _ in bad(found)] == [(152, Reason.MALFORMED_LINE)]


def test_a_recipe_with_the_wrong_order_is_refused_with_the_right_one(tmp_path: Path) -> None:
    recipe = NAMED.model_copy(update={"box": "box"})
    (tmp_path / "x.tsv").write_text("name\turl\tbox\n" + f"A\t{URL}\t95,71,26,30\n" * 10)
    with pytest.raises(SourceError, match='are empty as "xyxy", none is as "xywh"'):
        source_of("mine", recipe).read(tmp_path / "x.tsv", None, "x.tsv")
    fits = recipe.model_copy(update={"box_is": "xywh"})
    assert len(source_of("mine", fits).read(tmp_path / "x.tsv", None, "x.tsv").lines) == 10


@pytest.mark.parametrize("name", ["md5", "sha1", "sha256", "sha512"])
def test_digests_are_hex_or_base64_and_told_by_their_length(tmp_path: Path, name: str) -> None:
    from base64 import b64encode

    digest = hashlib.new(name, b"x").digest()
    recipe = NAMED.model_copy(update={"digest": "d"})
    for written in (digest.hex(), digest.hex().upper(), b64encode(digest).decode()):
        found = read(tmp_path, f"name,url,d\nA,{URL},{written}\nB,{URL},\n", recipe)
        assert found.lines["listed_digest"].to_pylist() == [digest, None]


@pytest.mark.parametrize("digest", ["mismatch", SHA[:20], "z" * 64, "=" * 24])
def test_what_is_no_digest_costs_its_line(tmp_path: Path, digest: str) -> None:
    recipe = NAMED.model_copy(update={"digest": "d"})
    found = read(tmp_path, f"name,url,d\nA,{URL},{SHA}\nB,{URL},{digest}\n", recipe)
    assert [(line, reason) for line, reason, _ in bad(found)] == [(3, Reason.MALFORMED_LINE)]


# -- the list as a whole --


def test_a_missing_column_is_named_with_those_there_are(tmp_path: Path) -> None:
    for data in (b"name,link\nA,x\n", json.dumps([{"name": 1, "link": 2}]).encode(), parquet([{"name": 1, "link": 2}])):
        with pytest.raises(SourceError, match=r"no column 'url'.*name, link"):
            read(tmp_path, data)


def test_only_the_people_asked_for_are_kept_and_the_unknown_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(f"name,url\nAnnabella,{URL}\nBob,{URL}\nAnnabella,\nBob,\n")
    found = read_list(NAMED, tmp_path, ["Annabella"], "here").lines
    assert good(found) == [("Annabella", 2, URL)]
    assert [row["identity"] for row in found.rejected.to_pylist()] == ["Annabella"]
    with pytest.raises(SourceError, match=r"Annabela.*Annabella"):
        read_list(NAMED, tmp_path, ["Annabela"], "here")


def test_the_files_of_a_folder_are_numbered_in_one_count(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "README.txt", "picture.jpg", ".hidden.csv"):
        (tmp_path / name).write_text(f"name,url\nA,{URL}?{name}\n")
    (tmp_path / "link.csv").symlink_to(tmp_path / "a.csv")
    assert [file.name for file in list_files(NAMED, tmp_path)] == ["a.csv", "b.csv"]
    assert good(read_list(NAMED, tmp_path, None, "here").lines) == [("A", 2, f"{URL}?a.csv"), ("A", 4, f"{URL}?b.csv")]


@given(
    runs=st.lists(st.tuples(st.sampled_from("CAB"), st.integers(1, 40)), min_size=1, max_size=6),
    are_mixed=st.booleans(),
)
def test_any_order_of_a_list_gives_the_same_table(*, runs: list[tuple[str, int]], are_mixed: bool) -> None:
    names = [name for name, num in runs for _ in range(num)]
    order = sorted(range(len(names)), key=lambda at: (at * 7) % len(names)) if are_mixed else list(range(len(names)))
    rows = [f"{names[at]},{URL}?{at},{at}\n" for at in order]
    with tempfile.TemporaryDirectory() as folder:
        recipe = NAMED.model_copy(update={"line": "n"})
        lines = read(Path(folder), "name,url,n\n" + "".join(rows), recipe).lines
    found = list(zip(*(lines[name].to_pylist() for name in ("identity", "line", "url")), strict=True))
    assert found == sorted((name, at, f"{URL}?{at}") for at, name in enumerate(names))


@given(st.text('a",\n', max_size=80))
def test_any_line_has_its_end_and_its_number_of_quotes(text: str) -> None:
    data = np.frombuffer(f"{text}\n".encode(), np.uint8)
    ends, num_quotes = list_rows._line_ends(data)
    lines = f"{text}\n".split("\n")[:-1]
    assert num_quotes.tolist() == [line.count('"') for line in lines]
    assert np.diff(ends, prepend=-1).tolist() == [len(line) + 1 for line in lines]


def test_the_fingerprint_changes_with_the_list_and_with_the_recipe(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text(f"name,url\nA,{URL}\n")
    before = source_of("mine", NAMED).fingerprint(file)
    assert before == source_of("mine", NAMED).fingerprint(file) != ""
    assert source_of("mine", NAMED.model_copy(update={"identity": None})).fingerprint(file) != before
    file.write_text(f"name,url\nB,{URL}\n")
    assert source_of("mine", NAMED).fingerprint(file) != before


def test_what_is_read_back_from_a_lake_has_the_digest_of_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_rows, "BLOCK_BYTES", 300)
    recipe = NAMED.model_copy(update={"box": "box", "digest": "d", "keep": ["d"]})
    boxes, digests = ["1;2;30;40", "", ""], [SHA, ""]
    rows = "".join(f"A{at % 7},{URL}?{at},{boxes[at % 3]},{digests[at % 2]}\n" for at in range(100))
    lines = read(tmp_path, f"name,url,box,d\n{rows}", recipe).lines
    lake = Lake(tmp_path / "lake")
    lake.begin()
    write_table(lake, lake.links("mine", "lines.parquet"), lines)
    back = read_as(lake, lake.links("mine", "lines.parquet"), LINK_LINES)
    assert len(back) == 100
    assert digest_of_lines(back) == digest_of_lines(lines)


@given(st.binary(max_size=300))
def test_any_bytes_end_as_rows_or_as_rejected_lines(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "list.csv"
        file.write_bytes(f"name,url\nA,{URL}\n".encode() + data)
        recipe = NAMED.model_copy(update={"format": "csv"})
        try:
            found = read_list(recipe, file, None, "here").lines
        except SourceError:
            return
        numbers = found.lines["line"].to_pylist() + found.rejected["line"].to_pylist()
        assert len(set(numbers)) == len(numbers)
        assert np.min(numbers) == 2
