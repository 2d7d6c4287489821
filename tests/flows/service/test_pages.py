"""The pages of the service as a person uses them, in a real browser: Debian's chromium and chromium-driver."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.chaos.service import Service, serving

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromium-driver are not installed"),
]
_WITHIN_S = 240.0
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1500,1200",
)


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setenv("FACEMILL_WORKERS", "1")
    with serving(tmp_path, "--source", "synthetic", "--identities", "8", "--per-identity", "8") as service:
        yield service


@contextmanager
def open_browser(*arguments: str) -> Iterator[webdriver.Chrome]:
    """A browser that asks for nothing by itself; `arguments` are more of its options."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in (*_OPTIONS, *arguments):
        options.add_argument(argument)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    try:
        yield browser
    finally:
        browser.quit()


@pytest.fixture
def browser(service: Service) -> Iterator[webdriver.Chrome]:
    """A browser that has followed the link with the password."""
    with open_browser() as browser:
        browser.get(service.login)
        WebDriverWait(browser, _WITHIN_S).until(lambda _: "/facemill/login" not in browser.current_url)
        yield browser


class Pages:
    """What a person does on the pages, told by the words they see."""

    def __init__(self, browser: webdriver.Chrome, service: Service) -> None:
        self._browser = browser
        self._wait = WebDriverWait(browser, _WITHIN_S)
        self._service = service

    def press(self, words: str, *, last: bool = False) -> None:
        """Press what bears exactly these words, the last of them where a dialog lies over the page."""
        path = f"//*[normalize-space(.)='{words}'][not(*[normalize-space(.)='{words}'])]"
        found: list[WebElement] = self._wait.until(lambda browser: browser.find_elements(By.XPATH, path))
        found[-1 if last else 0].click()

    def sees(self, *words: str) -> None:
        """Wait until the page shows all of the words."""
        try:
            self._wait.until(lambda browser: all(one in self.text for one in words))
        except TimeoutException as error:
            raise AssertionError(f"{words} are not all in: {self.text}") from error

    @property
    def text(self) -> str:
        return self._browser.find_element(By.TAG_NAME, "body").text

    def run(self, deployment: str) -> str:
        """Start a run from the deployment's page with the parameters it offers; the id of the run."""
        found = self._service.insist(f"/deployments/name/{deployment}")["id"]
        self._browser.get(f"http://127.0.0.1:{self._service.port}/deployments/deployment/{found}")
        self.press("Run")
        self.press("Quick run")
        self.sees("lake", "folder or URL of the lake", "Validate parameters")
        self.press("Run", last=True)
        return str(self._wait.until(lambda _: self._started_by_hand(found)))

    def _started_by_hand(self, deployment: str) -> str | None:
        runs = self._service.insist("/flow_runs/filter", {"flow_runs": {"deployment_id": {"any_": [deployment]}}})
        return next((str(run["id"]) for run in runs if not run["auto_scheduled"]), None)

    def open(self, run: str) -> None:
        """The page of a run."""
        self._browser.get(f"http://127.0.0.1:{self._service.port}/runs/flow-run/{run}")


def test_a_run_is_started_fails_with_its_reason_is_retried_and_finishes(
    service: Service, browser: webdriver.Chrome
) -> None:
    pages = Pages(browser, service)
    publish = pages.run("publish/publish")
    pages.open(publish)
    pages.sees("Failed", "publish faces both", "holds no links yet: run `facemill ingest` first")

    pipeline = pages.run("pipeline/pipeline")
    pages.open(pipeline)
    pages.sees("Running", "pipeline synthetic")
    pages.sees("Completed")
    pages.press("Artifacts")
    pages.sees("pipeline-funnel")

    pages.open(publish)
    pages.press("Retry")
    pages.press("Retry", last=True)
    pages.sees("Completed")
    pages.press("Artifacts")
    pages.sees("funnel-mtcnn", "dataset-mtcnn")
