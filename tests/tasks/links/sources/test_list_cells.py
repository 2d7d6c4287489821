"""Cells of lists: a column is read as its cells are one by one."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.records import url_key
from tasks.links.sources.list_cells import trimmed, url_keys, urls

PARTS = [
    "http://",
    "https://",
    "HTTP://",
    "a.example",
    ":80",
    ":",
    "@",
    "[::1]",
    "\\",
    "/",
    "?",
    " ",
    "\x00",
    "\x7f",
    "é",
]
URLS = st.one_of(
    st.lists(st.sampled_from(PARTS), max_size=5).map("".join),
    st.sampled_from(["http://a.example/1.jpg", "https://b.example/2.jpg"]),
)


@settings(deadline=None)
@given(st.lists(URLS, min_size=1, max_size=8))
def test_any_url_is_judged_in_a_column_as_alone(cells: list[str]) -> None:
    together, refused = urls(pa.array(cells, pa.string()))
    for at, cell in enumerate(cells):
        [url], why = urls(pa.array([cell], pa.string()))
        assert (together[at].as_py(), refused.get(at)) == (url.as_py(), why.get(0))


@settings(deadline=None)
@given(st.lists(st.text(" \t!~a\x7fé\u3000", max_size=4), min_size=1))
def test_any_cells_are_trimmed_as_pythons_strings_are(cells: list[str]) -> None:
    assert trimmed(pa.array(cells, pa.string())).to_pylist() == [cell.strip() for cell in cells]


def test_keys_of_a_sliced_column_are_those_of_its_urls() -> None:
    cells = [f"http://a.example/{at}.jpg" for at in range(5)]
    assert url_keys(pa.array(cells).slice(2)).to_pylist() == [url_key(cell) for cell in cells[2:]]
