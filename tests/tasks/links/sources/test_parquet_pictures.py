"""Parquet files with pictures as lists: a row a picture, and no picture is read for it."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.errors import SourceError
from tasks.links.recipes.recipe import Recipe
from tasks.links.sources.parquet_pictures import GroupCache, PictureFile
from tasks.links.sources.table import read_list
from tests.tasks.links.sources.packed import IMAGE, write_parquet

RECIPE = Recipe(format="parquet", image="image", identity="label")
ONE = {"bytes": b"1", "path": "1.jpg"}


def read(path: Path, recipe: Recipe = RECIPE) -> list[tuple[str, str]]:
    found = read_list(recipe, path, None, "here").lines.lines
    return [(row["identity"], row["url"]) for row in found.to_pylist()]


def test_a_row_is_named_by_file_and_number(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write_parquet(tmp_path / "data" / "train.parquet", [ONE, ONE, ONE], label=["Ann", "Ann", "Bob"])
    expected = [("Ann", 1), ("Ann", 2), ("Bob", 3)]
    deep = RECIPE.model_copy(update={"files": "**/*.parquet"})
    assert read(tmp_path, deep) == [(name, f"data/train.parquet/{row}") for name, row in expected]
    assert read(tmp_path / "data" / "train.parquet") == [(name, f"train.parquet/{row}") for name, row in expected]


def test_a_row_whose_picture_is_null_is_rejected(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", [ONE, None, {"bytes": b"3", "path": None}], label=["A", "A", "B"])
    found = read_list(RECIPE, path, None, "here").lines
    assert found.lines["url"].to_pylist() == ["a.parquet/1", "a.parquet/3"]
    assert [(row["line"], row["detail"]) for row in found.rejected.to_pylist()] == [
        (2, "image is null: the row has no picture")
    ]


@pytest.mark.parametrize(
    ("kind", "values", "asked"),
    [
        (pa.binary(), [b"1", b"2"], "image"),
        (pa.large_binary(), [b"1", b"2"], 1),
        (pa.struct([("bytes", pa.binary())]), [{"bytes": b"1"}, {"bytes": b"2"}], "image"),
        (pa.struct([("inner", IMAGE)]), [{"inner": ONE}, {"inner": {"bytes": b"2"}}], "image.inner"),
    ],
)
def test_pictures_may_be_binary_or_in_structs(
    tmp_path: Path, kind: pa.DataType, values: list[object], asked: str
) -> None:
    path = write_parquet(tmp_path / "a.parquet", values, kind, label=["A", "B"])
    assert len(read(path, RECIPE.model_copy(update={"image": asked}))) == 2
    assert PictureFile(path, asked).read(0).to_pylist() == [b"1", b"2"]


def test_numbers_of_a_class_label_become_its_names(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", [ONE] * 3, label=[1, 0, -1])
    features = {"label": {"names": ["Ann", "Bob"], "_type": "ClassLabel"}}
    about = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    pq.write_table(pq.read_table(path).replace_schema_metadata(about), path)
    assert read(path) == [("Ann", "a.parquet/2"), ("Bob", "a.parquet/1")]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("picture", "no column 'picture'"),
        ("label", "must be binary"),
        ("image.inner", "no 'inner'"),
        (9, "no column 9"),
    ],
)
def test_a_column_that_holds_no_pictures_is_refused(tmp_path: Path, asked: str, told: str) -> None:
    path = write_parquet(tmp_path / "a.parquet", [ONE], label=["A"])
    with pytest.raises(SourceError, match=told):
        read(path, Recipe(format="parquet", image=asked, identity="label"))


def test_a_list_is_read_without_the_bytes_of_its_pictures(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", [{"bytes": b"x" * 100_000, "path": None}] * 4, label=["A"] * 4)
    meta = pq.ParquetFile(path).metadata
    data = bytearray(path.read_bytes())
    for group in range(meta.num_row_groups):
        column = meta.row_group(group).column(0)
        start = column.dictionary_page_offset or column.data_page_offset
        data[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(data)
    assert len(read(path)) == 4


def test_row_groups_are_kept_up_to_a_number_of_bytes(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", [b"x" * 1000] * 6, pa.binary(), label=["A"] * 6)
    file, cache = PictureFile(path, "image"), GroupCache(2500)
    first = cache.get("a", 0, file)
    assert cache.get("a", 0, file) is first
    cache.get("a", 1, file)
    assert cache.get("a", 0, file) is not first
