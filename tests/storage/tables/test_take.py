from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from storage.tables.take import take, take_values

WORDS = [f"http://{n}.example/{'x' * (n % 7)}" if n % 11 else None for n in range(500)]
TABLE = pa.concat_tables(
    pa.table({"url": pa.array(WORDS[at : at + 60], pa.string()), "row": np.arange(at, min(at + 60, 500))})
    for at in range(0, 500, 60)
)


@pytest.fixture(params=[2**31, 100])
def most_bytes(request, monkeypatch) -> int:
    monkeypatch.setattr("storage.tables.take.MOST_BYTES", request.param)
    monkeypatch.setattr("storage.tables.take._ROWS_AT_A_TIME", 70)
    return int(request.param)


@pytest.mark.parametrize("num", [0, 1, 69, 70, 71, 900])
def test_rows_of_large_and_small_tables_are_those_that_arrow_takes(most_bytes, num):
    rows = np.random.default_rng(num).integers(0, len(TABLE), num)

    assert take(TABLE, rows).equals(TABLE.take(pa.array(rows)))
    assert take_values(TABLE["url"], rows).to_pylist() == [WORDS[row] for row in rows]


def test_all_rows_backwards(most_bytes):
    rows = np.arange(len(TABLE))[::-1]

    assert take(TABLE, rows)["url"].to_pylist() == WORDS[::-1]


@pytest.mark.parametrize(
    "chunk",
    [
        pa.array(np.arange(60_000)),
        pa.array([f"{n:09d}" for n in range(60_000)]),
        pa.array(["a"] * 60_000).dictionary_encode(),
    ],
    ids=["numbers", "words", "codes"],
)
def test_few_rows_of_a_long_column_do_not_copy_it(chunk):
    column, rows = pa.chunked_array([chunk] * 10), np.arange(5, len(chunk) * 10, 1000)
    usual, counted = pa.default_memory_pool(), pa.system_memory_pool()
    before = counted.max_memory()
    pa.set_memory_pool(counted)
    try:
        taken = take_values(column, rows)
    finally:
        pa.set_memory_pool(usual)

    assert taken.to_pylist()[:2] == [chunk[5].as_py(), chunk[1005].as_py()]
    assert counted.max_memory() - before < column.nbytes / 10
