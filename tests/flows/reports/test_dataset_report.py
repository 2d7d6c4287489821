from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from flows.reports import dataset_report as pages
from flows.reports.dataset_report import write_report
from storage.files.lake import Lake
from storage.records import Takedown, TakedownKind, identity_key, url_key
from storage.versions.datasets import DatasetVersion, open_dataset
from storage.versions.takedowns import record
from tasks.dataset.publish_request import Request
from tasks.dataset.publish_version import publish_source
from tests.flows.reports.reader import read_page
from tests.layout_1 import to_layout_1
from tests.tasks.builders import NOW
from tests.tasks.made_lake import LINES, MALFORMED, PEOPLE, SOURCE, STEM, ends, make_lake
from tests.waiting import GUARD_S

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def agreed(tmp_path_factory: pytest.TempPathFactory) -> DatasetVersion:
    return publish_source(make_lake(tmp_path_factory.mktemp("lake")), Request("faces", SOURCE, "agree")).dataset


@pytest.fixture(scope="module")
def html(agreed: DatasetVersion) -> str:
    return write_report(agreed).read_text(encoding="utf-8")


def test_the_page_is_whole_and_loads_nothing(agreed, html):
    page = read_page(html)

    assert str(agreed) in page.text
    assert {"from-link-lines-to-samples", "hosts", "sample-faces", "no-face"} <= page.links
    assert write_report(agreed).read_text(encoding="utf-8") == html
    assert write_report(agreed).is_relative_to(agreed.lake.work_folder)


def test_the_funnel_adds_up_from_link_lines(html):
    text, whole = read_page(html).text, MALFORMED + len(PEOPLE) * len(LINES)
    samples = ends("agree")["sample"]
    stopped = {reason: num for reason, num in ends("agree").items() if reason != "sample"} | {
        "malformed_line": MALFORMED
    }

    assert f"{whole} link lines gave {samples} samples; {whole - samples} lines were rejected." in text
    assert sum(stopped.values()) == whole - samples
    for reason, num in stopped.items():
        assert f"{reason} {num}" in text, reason


def test_what_was_turned_away_is_shown_by_reason_as_crop_or_picture(html):
    text = read_page(html).text
    turned_away = ("exact_duplicate", "no_face", "methods_disagree", "box_disagrees", "face_too_small")

    for reason in turned_away:
        assert f"{reason}: {len(PEOPLE)}" in text, reason
    # A copy is shown with what it copies.
    num_sheets = (len(turned_away) + 1) * len(PEOPLE)
    assert read_page(html).num_pictures == num_sheets + ends("agree")["sample"]
    assert "blank" not in html.split("</style>")[1]
    pairs = re.findall(r"Person (.) ([34]), same picture as Person \1 ([34])", text)
    assert len(pairs) == len(PEOPLE)
    assert all({one, other} == {"3", "4"} for _, one, other in pairs)


def test_who_loses_most_is_named_with_what_was_not_fetched(html):
    text = read_page(html).text

    assert f"dead.example {len(PEOPLE)} {len(PEOPLE)} 0 0% gone {len(PEOPLE)}" in text
    assert f"Person A {len(LINES)} 1 2 22%" in text
    assert "gone 8 11.1% http://dead.example/Person_A/1.jpg" in text
    assert "same face 32 (57.1%)" in text


def test_many_people_and_lines_make_no_larger_page(agreed, monkeypatch, html):
    monkeypatch.setattr(pages, "PEOPLE", 3)
    monkeypatch.setattr(pages, "FIGURES", 2)
    monkeypatch.setattr(pages, "ROWS", 1)
    page = read_page(write_report(agreed).read_text(encoding="utf-8"))

    assert page.num_pictures == 6 * 2 + 3 * 2
    assert f"3 of {len(PEOPLE)} people" in page.text
    assert f"no_face: {len(PEOPLE)}" in page.text


def test_a_version_without_outcomes_and_funnel_and_lake_around_it_has_a_page_too(agreed, tmp_path):
    lake = Lake(tmp_path)
    lake.begin()
    folder = Path(lake.full(lake.dataset("old", agreed.version)))
    shutil.copytree(agreed.lake.full(agreed.lake.dataset(agreed.name)), folder.parent)
    to_layout_1(open_dataset(lake, "old"))
    (folder / "outcomes.parquet").unlink()
    kept = {"published_at", "source", "method", "num_samples", "num_identities", "splits"}
    lake.write_json(
        f"{lake.dataset('old', agreed.version)}/manifest.json",
        {name: value for name, value in agreed.manifest.items() if name in kept},
    )
    path = write_report(open_dataset(lake, "old"), tmp_path / "pages" / "old.html")
    page = read_page(path.read_text(encoding="utf-8"))

    assert page.num_pictures == ends("agree")["sample"]
    assert "Largest losses" in page.text
    assert "link lines" not in page.text


def test_when_every_face_must_be_forgotten_the_page_shows_none_of_them_and_still_why(tmp_path):
    dataset = publish_source(make_lake(tmp_path), Request("faces", SOURCE, "mtcnn")).dataset
    people = [Takedown(TakedownKind.IDENTITY, identity_key(name), None, NOW, "") for name in PEOPLE]
    record(dataset.lake, people)
    page = read_page(write_report(dataset).read_text(encoding="utf-8"))

    assert page.num_pictures == 0
    assert "Sample faces" not in page.text
    assert not [name for name in PEOPLE if name.replace("_", " ") in page.text or f"/{name}/" in page.text]
    assert f"gone {len(PEOPLE)}" in page.text


def test_a_url_that_was_taken_down_since_is_not_on_the_page(tmp_path):
    dataset = publish_source(make_lake(tmp_path), Request("faces", SOURCE, "mtcnn")).dataset
    urls = [f"http://dead.example/{name}/1.jpg" for name in PEOPLE]
    assert urls[0] in read_page(write_report(dataset).read_text(encoding="utf-8")).text
    record(dataset.lake, [Takedown(TakedownKind.URL, url_key(url), None, NOW, "") for url in urls])
    text = read_page(write_report(dataset).read_text(encoding="utf-8")).text
    assert not [url for url in urls if url in text]
    assert f"gone {len(PEOPLE)}" in text


def test_pictures_that_have_gone_since_leave_a_blank(tmp_path):
    dataset = publish_source(make_lake(tmp_path), Request("faces", SOURCE, "mtcnn")).dataset
    dataset.lake.remove(f"{dataset.lake.images(SOURCE, STEM)}.tar")
    html = write_report(dataset).read_text(encoding="utf-8")

    assert html.count("<i class=blank></i>") == 3 * len(PEOPLE)
    assert read_page(html).num_pictures == len(PEOPLE) + ends("mtcnn")["sample"]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium; on Debian: apt install chromium")
@pytest.mark.parametrize("width", [1200, 480])
def test_a_browser_shows_it_without_a_word_of_complaint_and_nothing_overflows(agreed, tmp_path, width):
    measured = tmp_path / "measured.html"
    measured.write_text(
        write_report(agreed)
        .read_text(encoding="utf-8")
        .replace(
            "</body>",
            "<script>const wide = [...document.querySelectorAll('body *')].filter("
            "one => one.getBoundingClientRect().right > innerWidth && !one.closest('.card'));"
            "const broken = [...document.images].filter(one => !one.complete || !one.naturalWidth);"
            "document.title = JSON.stringify([document.images.length, wide.length, broken.length])</script></body>",
        ),
        encoding="utf-8",
    )
    options = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        f"--window-size={width},2000",
        "--enable-logging=stderr",
    ]
    run = subprocess.run(
        [str(CHROMIUM), *options, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", measured.as_uri()],
        capture_output=True,
        text=True,
        timeout=GUARD_S,
        check=True,
    )

    assert "CONSOLE" not in run.stderr
    num_pictures = 6 * len(PEOPLE) + ends("agree")["sample"]
    assert re.findall(r"<title>(.*?)</title>", run.stdout)[:1] == [f"[{num_pictures},0,0]"]
