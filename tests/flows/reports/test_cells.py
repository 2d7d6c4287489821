"""Cells carry the name of their column, and URLs break after their separators."""

from __future__ import annotations

import re

from markupsafe import Markup

from flows.reports.cells import breakable, labelled
from flows.reports.page import macros


def labels(html: str) -> list[str]:
    return re.findall(r'<td data-label="([^"]*)"', html)


def test_every_cell_has_the_name_of_its_column():
    rows = macros("parts.html").row(["a", "1"]) + macros("parts.html").row(["b", ["2", "3"]])
    assert labels(labelled(rows, ["who", "num"])) == ["who", "num"] * 2


def test_a_table_labels_its_cells_whether_given_rows_or_called():
    assert labels(macros("parts.html").table(["who", ""], [["a", "1"]])) == ["who", ""]


def test_a_column_name_is_text_in_an_attribute_too():
    html = labelled(macros("parts.html").row(["a"]), ['"><b>'])
    assert "&#34;&gt;&lt;b&gt;" in html
    assert "<b>" not in html


def test_a_url_breaks_after_its_separators_and_other_words_do_not():
    assert breakable("http://a.example/b_c?d=1") == ("http://<wbr>a.<wbr>example/<wbr>b_<wbr>c?<wbr>d=<wbr>1")
    assert breakable("a.b/c_d") == "a.b/c_d"
    assert breakable("<b>://\x9b") == r"&lt;b&gt;://\x9b".replace("://", "://<wbr>")
    assert breakable(Markup("<b>http://a</b>")) == "<b>http://a</b>"
