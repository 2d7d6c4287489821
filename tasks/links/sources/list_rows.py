"""Read the rows of a list of any format: blocks of columns by name, and the invalid lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from storage.errors import SourceError
from tasks.links.recipes.recipe import Recipe
from tasks.links.sources.json_rows import json_rows, jsonl_rows
from tasks.links.sources.list_bytes import read_head, unbroken
from tasks.links.sources.list_format import check_kind, format_of
from tasks.links.sources.parquet_rows import parquet_rows
from tasks.links.sources.rows import Rows
from tasks.links.sources.text_rows import text_rows


def read_rows(path: Path, recipe: Recipe, shown: str) -> Iterator[Rows]:
    """The rows of one file, in order.

    Args:
        shown: the file as shown in errors.

    Raises:
        SourceError: it has another format, is damaged, or lacks a column of the recipe.
        OSError: it cannot be read.
    """
    with unbroken(shown):
        head = read_head(path)
        kind = recipe.format or format_of(head, path, recipe)
        check_kind(kind, head, shown)
        if recipe.image is not None and kind != "parquet":
            raise SourceError(
                f"{shown} is {kind}, which does not contain pictures: give url or file in place of image in the recipe"
            )
        if kind == "parquet":
            yield from parquet_rows(path, recipe, shown)
        elif kind == "json":
            yield from json_rows(path, recipe, shown)
        elif kind == "jsonl":
            yield from jsonl_rows(path, recipe, shown)
        else:
            yield from text_rows(path, recipe, kind, shown)
