from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from flows.reports.crop_report import cropped_methods, write_report
from flows.reports.page import macros
from storage.files.lake import Lake
from storage.records import FoundFace
from tasks.faces.crop_shard import crop_shard
from tasks.faces.lines_by_key import LinesByKey
from tasks.faces.methods import CropSettings
from tests.flows.reports.reader import read_page
from tests.tasks.faces.test_crop_shard import BOX, FACE, SECOND, write_detections
from tests.tasks.image_shards import SOURCE, STEM, link_lines, png, write_images

ONE, TWO, NOBODY = (f"http://a.example/{name}.png" for name in "120")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path)
    data = png(Image.effect_noise((400, 300), 80).convert("RGB"))
    write_images(lake, {ONE: data, TWO: data, NOBODY: data})
    small = FoundFace((10, 10, 35, 42), 0.95, (20, 30) * 5)
    write_detections(lake, {ONE: (FACE, small), TWO: (FACE, SECOND), NOBODY: ()})
    return lake


LINES = link_lines(
    ("<b>Ada & Co</b>", 1, ONE, BOX),
    ("Bo", 1, ONE, small_box := (7.0, 11.0, 37.0, 41.0)),
    ("Bo", 2, TWO, BOX),
    ("Bo", 3, NOBODY, small_box),
)


def test_the_page_tells_how_the_methods_compare_and_loads_nothing(lake: Lake) -> None:
    crop_shard(lake, SOURCE, STEM, LinesByKey(LINES), ["bbox", "mtcnn"], settings=CropSettings())
    path = write_report(lake, SOURCE)
    assert path.is_relative_to(lake.work_folder)
    html = path.read_text()
    assert read_page(html).num_pictures
    for told in (
        "bbox against mtcnn",
        "Different faces, bbox left and mtcnn right: 1",
        "Face by bbox only: 1",
        "Box not confirmed by a face: 1",
        "same face <b>1</b> (25.0%)",
        "neither <b>1</b>",
    ):
        assert told in html, told
    assert "&lt;b&gt;Ada &amp; Co&lt;/b&gt;" in html
    assert write_report(lake, SOURCE).read_text() == html


def test_one_method_and_none_make_a_page_too(lake: Lake) -> None:
    assert "no method" in write_report(lake, SOURCE).read_text()
    crop_shard(lake, SOURCE, STEM, LinesByKey(LINES), ["mtcnn"], settings=CropSettings())
    assert list(cropped_methods(lake, SOURCE)) == ["mtcnn"]
    assert "several_people 1" in write_report(lake, SOURCE).read_text()


def test_cells_are_text_not_markup() -> None:
    assert "&lt;script&gt;" in macros("parts.html").table(["a"], [["<script>"]])


def test_crops_that_another_run_makes_again_meanwhile_are_left_blank(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crop(size: float) -> None:
        settings = CropSettings(margin=size)
        crop_shard(lake, SOURCE, STEM, LinesByKey(LINES), ["bbox", "mtcnn"], settings=settings)

    crop(0.1)
    before = read_page(write_report(lake, SOURCE).read_text()).num_pictures

    def then_cropped_again(lake: Lake, source: str) -> dict[str, pa.Table]:
        found = cropped_methods(lake, source)
        crop(0.5)
        return found

    monkeypatch.setattr("flows.reports.crop_report.cropped_methods", then_cropped_again)
    page = write_report(lake, SOURCE).read_text()
    assert (before > 0, read_page(page).num_pictures) == (True, 0)
