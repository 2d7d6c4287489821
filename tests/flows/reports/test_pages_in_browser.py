"""Every page of the reports in Chromium, on a narrow and on a wide screen, light and dark.

A page fits its width, is not endless, has text of a size that can be read, loads nothing, and has no violation of WCAG
A and AA that axe finds, contrasts among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver

from flows.reports.crop_report import write_report as write_crop_report
from flows.reports.dataset_report import write_report as write_dataset_report
from flows.reports.doubtful_faces import write_doubts
from flows.reports.experiment_page import write_experiment_page
from flows.reports.model_report import write_model_report
from model.configuration.config import TrainConfig
from model.training.training_loop import train
from storage.files.lake import Lake
from tasks.dataset.publish_request import Request
from tasks.dataset.publish_version import publish_source
from tests.flows.reports.experiments import cell, difference, experiment
from tests.flows.reports.judged import CLEANING, faces_of, scores_of
from tests.flows.reports.largest_page import write_largest_page
from tests.flows.service.test_pages import CHROMIUM, DRIVER, open_browser
from tests.model.conftest import write_dataset
from tests.tasks.made_lake import SOURCE, make_lake

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromium-driver are not installed"),
    pytest.mark.skipif(find_spec("axe_playwright_python") is None, reason="axe-playwright-python is not installed"),
]
_HEIGHT_PX, _MAX_SCREENS = 800, 40
_MIN_TEXT_PX, _MIN_CHART_TEXT_PX = 14, 11
# Of the background, from 0 to 255.
_MID_GREY = 128

_MEASURED = """
const text = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let node = walker.nextNode(); node; node = walker.nextNode()) {
  const parent = node.parentElement;
  if (!node.data.trim() || parent.closest("script, style, svg") || !parent.getClientRects().length) continue;
  const px = parseFloat(getComputedStyle(parent).fontSize);
  text.push([px, !!parent.closest(".plot, .ends"), node.data.trim().slice(0, 40)]);
}
const name = (element) => `${element.tagName} ${element.className}: ${element.textContent.trim().slice(0, 60)}`;
return {
  width: document.documentElement.scrollWidth,
  inner: innerWidth,
  height: document.documentElement.scrollHeight,
  cut: [...document.querySelectorAll(".card, table, td")].filter((one) => one.scrollWidth > one.clientWidth + 1)
    .map(name),
  text,
  loaded: performance.getEntriesByType("resource").map((one) => one.name).filter((one) => !one.startsWith("data:")),
  broken: [...document.images].filter((one) => !one.naturalWidth).map(name),
  background: getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number),
};
"""
_AXE = """
const done = arguments[0];
const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"];
axe.run(document, {runOnly: tags, resultTypes: ["violations"]}).then(({violations}) => done(
  violations.map(({id, nodes}) => [id, nodes.slice(0, 3).map(({html, failureSummary}) => [html, failureSummary])])
), (error) => done([["axe itself", String(error)]]));
"""


def dataset_page(folder: Path) -> Path:
    return write_dataset_report(publish_source(made(folder), Request("faces", SOURCE, "agree")).dataset)


def crop_page(folder: Path) -> Path:
    return write_crop_report(made(folder), SOURCE)


def doubts_page(folder: Path) -> Path:
    faces = faces_of(made(folder))
    page = write_doubts(made(folder), faces, scores_of(faces), CLEANING, source=SOURCE, method="mtcnn", state="a")
    assert page is not None
    return page


def model_page(folder: Path) -> Path:
    """Of a model that has hardly learned anything, with as many test people as intervals need."""
    lake = Lake(folder / "models")
    dataset = write_dataset(lake, "drawn", {"train": 6, "val": 4, "test": 20}, faces_each=3)
    config = TrainConfig(name="embedder", width=0.25, embedding_dim=16, image_px=32, steps=4, device="cpu")
    return write_model_report(train(lake, dataset, config, work_folder=lake.work_folder), dataset, device="cpu")


def experiment_page(folder: Path) -> Path:
    lake = Lake(folder / "experiments")
    lake.begin()
    runs = [cell("bbox", 1, auc=0.8), cell("bbox", 2, auc=0.81), cell("mtcnn", 1, auc=0.9), cell("mtcnn", 2, auc=0.9)]
    pairs = [difference(runs[first], runs[second], 0.05) for first, second in ((0, 1), (0, 2), (1, 3), (2, 3))]
    return write_experiment_page(lake, lake.experiment("0123456789abcdef"), experiment(runs, pairs))


PAGES: dict[str, Callable[[Path], Path]] = {
    "dataset": dataset_page,
    "largest dataset": lambda folder: write_largest_page(folder / "largest.html"),
    "crop": crop_page,
    "doubts": doubts_page,
    "model": model_page,
    "experiment": experiment_page,
}


def made(folder: Path) -> Lake:
    """The made lake, once for all pages of it."""
    return Lake(folder / "made") if (folder / "made").exists() else make_lake(folder / "made")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The path of a page, which is written at its first use."""
    folder, paths = tmp_path_factory.mktemp("pages"), dict[str, Path]()

    def path(name: str) -> Path:
        if name not in paths:
            paths[name] = PAGES[name](folder)
        return paths[name]

    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    # No name can be resolved: what a page asked for outside would fail, and is seen in its list of resources.
    with open_browser("--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND") as browser:
        yield browser


@pytest.fixture(scope="module")
def axe() -> str:
    return resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")


def opened(browser: webdriver.Chrome, path: Path, width: int, theme: str) -> dict[str, Any]:
    """What a page measures on a screen of this width and theme."""
    screen = {"width": width, "height": _HEIGHT_PX, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    features = [{"name": "prefers-color-scheme", "value": theme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(path.as_uri())
    found: dict[str, Any] = browser.execute_script(_MEASURED)
    return found


def unfold(browser: webdriver.Chrome) -> dict[str, Any]:
    """The same with everything shown that is folded, but for enlarged pictures."""
    browser.execute_script("for (const one of document.querySelectorAll('details:not(.zoom)')) one.open = true;")
    found: dict[str, Any] = browser.execute_script(_MEASURED)
    return found


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_can_be_read(
    browser: webdriver.Chrome, axe: str, written: Callable[[str], Path], name: str, width: int, theme: str
) -> None:
    folded = opened(browser, written(name), width, theme)
    assert folded["inner"] == width
    assert folded["height"] <= _MAX_SCREENS * _HEIGHT_PX
    for found in (folded, unfold(browser)):
        assert found["width"] <= width
        assert (found["cut"], found["loaded"], found["broken"]) == ([], [], [])
        assert (sum(found["background"]) / 3 < _MID_GREY) == (theme == "dark")
        small = [
            (px, words)
            for px, in_chart, words in found["text"]
            if px < (_MIN_CHART_TEXT_PX if in_chart else _MIN_TEXT_PX)
        ]
        assert small == []
    browser.execute_script(axe)
    assert browser.execute_async_script(_AXE) == []


def test_what_is_measured_sees_a_page_that_is_too_wide_small_loads_and_lacks_contrast(
    browser: webdriver.Chrome, axe: str, tmp_path: Path
) -> None:
    """Without this the others would say nothing if the measuring were broken."""
    page = tmp_path / "bad.html"
    wide, faint = "<p style='width:900px'>wide</p>", "<p style='font-size:9px;color:#ccc;background:#fff'>faint</p>"
    page.write_text(f"<!doctype html><body>{wide}{faint}<img src='http://127.0.0.1:9/a.png'></body>", "utf-8")
    found = opened(browser, page, 400, "light")
    assert found["width"] > 400
    assert [9, False, "faint"] in found["text"]
    assert found["loaded"] == ["http://127.0.0.1:9/a.png"]
    browser.execute_script(axe)
    violations = {one[0] for one in browser.execute_async_script(_AXE)}
    assert {"color-contrast", "image-alt", "html-has-lang"} <= violations
