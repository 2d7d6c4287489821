from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from storage.tables.stored_rows import StoredRows

WORDS = ["Ada", "Bo", "Cy"]
TABLE = pa.table(
    {
        "name": pa.array([WORDS[row % 3] for row in range(50)]).dictionary_encode(),
        "row": np.arange(50),
        "url": [f"http://a.example/{row}" for row in range(50)],
    }
)


def in_blocks(asked: list[list[str]] | None = None) -> StoredRows:
    """`TABLE` in blocks of seven rows, each with a dictionary of its own."""

    def blocks(columns: list[str]) -> Iterator[pa.Table]:
        if asked is not None:
            asked.append(columns)
        for start in range(0, 50, 7):
            some = TABLE.slice(start, 7)
            yield some.set_column(0, "name", some["name"].cast(pa.string()).dictionary_encode()).select(columns)

    return StoredRows(blocks)


@pytest.mark.parametrize("rows", [[], [49], [3, 3, 20], list(range(50)), list(range(49, -1, -2))])
def test_rows_come_in_the_order_in_which_they_are_asked_for(rows):
    found = in_blocks().take(np.array(rows, np.int64), ["url", "name"])
    assert found.to_pylist() == TABLE.take(pa.array(rows, pa.int64())).select(["url", "name"]).to_pylist()


def test_only_the_columns_that_are_needed_are_read():
    asked: list[list[str]] = []
    in_blocks(asked).take(np.array([1]), ["row"])
    in_blocks(asked).table(["name"])
    assert asked == [["row"], ["name"]]


def test_a_whole_table_has_one_dictionary():
    found = in_blocks().table(["name", "row"])
    assert found["name"].to_pylist() == TABLE["name"].to_pylist()
    assert len({tuple(chunk.dictionary.to_pylist()) for chunk in found["name"].chunks}) == 1


def test_a_mask_leaves_the_chosen_rows():
    mask = pa.chunked_array([np.arange(50) % 5 == 0])
    found = in_blocks().filtered(mask)

    assert found.table(["row"])["row"].to_pylist() == list(range(0, 50, 5))
    assert found.take(np.array([9, 0]), ["row"])["row"].to_pylist() == [45, 0]
    whole = in_blocks()
    assert whole.filtered(pa.chunked_array([[True] * 50])) is whole


def test_each_block_is_changed_as_it_is_read():
    found = in_blocks().changed(lambda block: block.append_column("half", pa.array(np.full(len(block), 0.5))))
    assert found.table(["row"])["half"].to_pylist() == [0.5] * 50


def test_a_table_in_memory_is_one_block():
    assert StoredRows.of(TABLE).take(np.array([4]), ["row"])["row"].to_pylist() == [4]
