"""Rows of text: blocks whose lines are all rows, and blocks that are searched for their lines, are read alike."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tasks.links.sources.rows import Rows
from tasks.links.sources.text_rows import _Cutter


def cut(text: str, kind: Any, *, is_plain: bool) -> list[tuple[Any, ...]]:
    """Cells, numbers and text of the rows, and the invalid lines, of a text cut as one block."""
    cutter = _Cutter(kind, ["a", "b"], {"a": 0, "b": 1}, is_plain=is_plain)
    rows, rest = cutter.rows(text.encode(), is_last=True)
    assert rest == b""
    return [*shown(rows), *[(cutter.num_lines, *cutter.blank)], *rows.bad]


def shown(rows: Rows) -> list[tuple[Any, ...]]:
    columns = [rows.cells[name].to_pylist() for name in ("a", "b")]
    return [
        (number, *cells, rows.text(at))
        for at, (number, *cells) in enumerate(zip(rows.numbers.tolist(), *columns, strict=True))
    ]


@pytest.mark.parametrize("kind", ["csv", "tsv"])
@settings(deadline=None)
@given(lines=st.lists(st.text('a",é\t\n', max_size=6), max_size=5))
@example(lines=["x,y", 'x,"abc'])
@example(lines=['a"z,b', 'x,"abc'])
@example(lines=['a,"b', 'c",d'])
@example(lines=["", "a,b", ""])
@example(lines=["a,b", ",", "c,d"])
def test_a_block_is_read_as_if_its_lines_had_been_searched(kind: Any, lines: list[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    assert cut(text, kind, is_plain=True) == cut(text, kind, is_plain=False)


def test_blocks_are_searched_for_lines_from_the_first_that_has_others_than_rows() -> None:
    cutter = _Cutter("csv", ["a", "b"], {"a": 0, "b": 1})
    assert len(cutter.rows(b"1,2\n3,4\n", is_last=False)[0].numbers) == 2
    assert cutter.is_plain
    rows, _ = cutter.rows(b"5,6\n7\n", is_last=False)
    assert (rows.numbers.tolist(), [number for number, *_ in rows.bad]) == ([3], [4])
    assert not cutter.is_plain
