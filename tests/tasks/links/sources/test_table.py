"""Lists by a recipe: every line is a link line or a rejected one, whatever it holds."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import SourceError
from storage.files.lake import Lake
from storage.records import LINK_LINES, Reason, url_key
from storage.tables.digests import digest_of_lines
from storage.tables.parquet import read_as, write_table
from tasks.links.recipes.recipe import Recipe, open_recipe
from tasks.links.sources import list_bytes
from tasks.links.sources.table import list_files, read_list, source_of
from tests.tasks.links.sources.lists import NAMED, SHA, URL, bad, good, parquet, read

# -- URLs, files and people --


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "the URL is missing"),
        ("x-raw-image:///77", "x-raw-image: is not supported"),
        ("data:image/png;base64\u2010AA", "data: contains the picture"),
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
        "n 7 is used by an earlier line of this person",
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
    assert "2 boxes in one row: list one row per face" in bad(found)[0][2]


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
    with pytest.raises(SourceError, match='are empty as "xyxy", none is empty as "xywh"'):
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


@settings(deadline=None)
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
    monkeypatch.setattr(list_bytes, "BLOCK_BYTES", 300)
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


@settings(deadline=None)
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
