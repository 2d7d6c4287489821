"""Text reaches a page escaped, and a value that is missing is an error."""

from __future__ import annotations

import base64
from io import BytesIO

import numpy as np
import pytest
from jinja2 import UndefinedError
from PIL import Image

from flows.reports.page import PICTURE_BYTES, PICTURE_PX, most_first, thumbnail, write
from flows.reports.reason_glossary import explained
from storage.records import Reason


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


def test_a_picture_has_at_most_so_many_pixels_and_bytes_even_of_noise():
    file = BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (400, 300, 3), np.uint8)
    Image.fromarray(noise).save(file, "PNG")
    uri = thumbnail(file.getvalue()) or ""
    data = base64.b64decode(uri.partition(",")[2])
    assert len(data) <= PICTURE_BYTES
    assert max(Image.open(BytesIO(data)).size) == PICTURE_PX


def test_reasons_are_explained_in_the_order_of_the_pipeline_without_markup():
    words = [one.reason for one in explained(["conflict", "of another release", "gone", "pending"])]
    assert words == ["gone", "conflict", "pending"]
    assert not [one for one in explained(Reason) if "`" in one.text]
