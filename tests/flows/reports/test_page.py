"""Text reaches a page escaped, and a value that is missing is an error."""

from __future__ import annotations

import pytest
from jinja2 import UndefinedError

from flows.reports.page import most_first, write


def test_a_template_without_its_values_writes_no_page(tmp_path):
    path = tmp_path / "page.html"
    with pytest.raises(UndefinedError, match="source"):
        write(path, "crop.html", num_lines=0)
    assert not path.exists()


def test_a_page_shows_a_name_as_text(tmp_path):
    values = {"num_lines": 0, "methods": [], "measures": [], "digests": None, "listed": None, "pairs": []}
    html = write(tmp_path / "page.html", "crop.html", source="<b>\x9b'", **values).read_text()
    assert r"link lines of &lt;b&gt;\x9b&#39; with" in html


def test_counts_are_ordered_by_number_and_then_by_word():
    assert most_first({"b": 1, "a": 1, "c": 2}) == [("c", 2), ("a", 1), ("b", 1)]
