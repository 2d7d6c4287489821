"""Lists of any format, damaged or not: the rows, and the lines that are rejected."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest

from storage.errors import SourceError
from storage.records import Reason
from tasks.links.recipes.recipe import Recipe, open_recipe
from tasks.links.sources import list_bytes, text_lines
from tests.tasks.links.sources.lists import NAMED, SHA, URL, bad, good, parquet, read

# -- formats --


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
    many = "x\n" * text_lines.MAX_ROW_LINES
    found = read(tmp_path, f'name,url\n"A\n{many}",{URL}\nB,{URL}\n')
    assert [name for name, _, _ in good(found)] == ["B"]
    assert len(bad(found)) == text_lines.MAX_ROW_LINES + 2


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
        (b"<!DOCTYPE html><html>", "is an HTML or XML page"),
        (b"PK\x03\x04rest", "ZIP archive"),
        (b"name;url\nA;http://a.example/x.jpg\n", "has no column 'name'"),
        (b"name,url\n", "contains no row"),
        (b"\x1f\x8b\x08\x00cut", "damaged or truncated"),
        (b"{", "not valid JSON"),
    ],
)
def test_a_wrong_file_under_the_right_name_is_refused_in_one_line(tmp_path: Path, data: bytes, told: str) -> None:
    with pytest.raises(SourceError, match=told):
        read(tmp_path, data)


def test_tabs_that_became_blanks_are_named_as_the_reason(tmp_path: Path) -> None:
    row = f"Ann B    1  2   {URL}   1,2,30,40  {SHA}\n"
    with pytest.raises(
        SourceError, match=r"none of its 3 lines.* the tabs between its columns were replaced by blanks"
    ):
        read(tmp_path, row * 3, open_recipe("facescrub"), "facescrub_x.txt")


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\r\r\n"], ids=repr)
@pytest.mark.parametrize("block", [1, 7, 9, 64])
def test_blocks_may_be_cut_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, end: str) -> None:
    text = f'name,url,bio\nÁ,{URL},"a\nb"\n\n"B,{URL}\nC,{URL},x\n\n'
    whole = read(tmp_path, text)
    assert [name for name, _, _ in good(whole)] == ["Á", "C"]
    text = text.replace("\n", end)
    monkeypatch.setattr(list_bytes, "BLOCK_BYTES", max(block, 8))
    parts = read(tmp_path, text)
    assert (good(parts), bad(parts)) == (good(whole), bad(whole))
