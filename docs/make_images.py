"""Makes the pictures of the documents, docs/img/*.png, from a run of the pipeline on the synthetic dataset.

    make images

The run takes some minutes, in a temporary folder, and its output is printed. Needs Debian's chromium and
chromium-driver, which contact loopback only. The pages show drawn people and invented hosts; a page that shows a path
of this machine is refused.
"""

from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urljoin

import typer
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from flows.service.password import new_password
from flows.service.request_guard import login_link
from flows.service.work import is_healthy

FOLDER = Path(__file__).with_name("img")
# Everybody who opens the README loads them.
MAX_BYTES = 150_000
_WIDTH_PX, _HEIGHT_PX = 1100, 1400
_WITHIN_S = 240.0
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",  # or the page is wider in a shot than when it was measured
    "--enable-unsafe-swiftshader",  # the graph of a run is drawn by WebGL
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--window-size={_WIDTH_PX},{_HEIGHT_PX}",
)
# Left, top, right and bottom in CSS pixels of the page.
Box = tuple[float, float, float, float]


def dataset_report(browser: webdriver.Chrome, folder: Path, _: str) -> Image.Image:
    """The report on faces-mtcnn: its funnel, and faces of some of its people."""
    report = folder / "report.html"
    facemill(folder, "report", "faces-mtcnn", "--lake", str(folder / "lake"), "--out", str(report))
    browser.get(report.as_uri())
    refuse_paths(browser, folder)
    funnel = box_of(browser, "//div[@class='funnel']/..")
    heading = box_of(browser, "//h2[text()='Sample faces']")
    person = box_of(browser, "//h2[text()='Sample faces']/following-sibling::div[@class='pair']/div[1]")
    left, right = funnel[0] - 16, funnel[2] + 16
    return stacked(
        [
            shot(browser, (left, 0, right, funnel[3] + 8)),
            shot(browser, (left, heading[1] - 8, right, person[3] + 12)),
        ]
    )


def flow_run(browser: webdriver.Chrome, folder: Path, login: str) -> Image.Image:
    """The page of the pipeline's run, on the server that recorded it."""
    browser.set_window_size(_WIDTH_PX, 2400)  # only what is in the window is drawn of a log
    log_in(browser, login)
    browser.get(urljoin(login, "/runs"))
    found = wait_for(browser, "//a[contains(@href, '/runs/flow-run/') and contains(., 'pipeline synthetic')]")
    browser.get(str(found.get_attribute("href")))
    wait_for(browser, "//*[contains(text(), 'Completed')]")
    last = box_of(browser, "//span[contains(., 'Finished in state')]")
    time.sleep(5)  # until the graph has moved to its place
    refuse_paths(browser, folder)
    return shot(browser, (0, 0, _WIDTH_PX, last[3] + 12))


def pipeline_page(browser: webdriver.Chrome, folder: Path, login: str) -> Image.Image:
    """The artifact `pipeline` of that run: faces of its datasets, and the links to their reports."""
    log_in(browser, login)
    found = browser.execute_async_script(
        """const done = arguments[0], method = "POST", body = '{"artifacts": {"key": {"any_": ["pipeline"]}}}';
        const token = localStorage.getItem("prefect-password");
        const headers = {Authorization: "Basic " + token, "Content-Type": "application/json"};
        fetch("/api/artifacts/filter", {method, body, headers}).then(got => got.json()).then(got => done(got[0].id));"""
    )
    browser.get(urljoin(login, f"/v2/artifacts/artifact/{found}"))
    second = "(//a[contains(@href, '/facemill/reports/')])[2]"
    wait_for(browser, second)
    time.sleep(3)  # until the page has been drawn for the last time
    last = box_of(browser, second)
    refuse_paths(browser, folder)
    return shot(browser, (0, 0, _WIDTH_PX, last[3] + 56))


IMAGES = {"dataset-report.png": dataset_report, "flow-run.png": flow_run, "pipeline-page.png": pipeline_page}


def main() -> None:
    """Run the pipeline once, and write every picture."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        with server(folder) as (pages, password):
            recorded = {"PREFECT_API_URL": f"{pages}/api", "PREFECT_API_AUTH_STRING": password}
            lake = str(folder / "lake")
            facemill(folder, "pipeline", "--source", "synthetic", "--report", "--lake", lake, **recorded)
            for image, draw in IMAGES.items():
                with open_browser(folder) as browser:
                    write(FOLDER / image, draw(browser, folder, login_link(pages, password)))


def facemill(folder: Path, *arguments: str, **variables: str) -> None:
    """Run a command with Prefect's files in `folder`."""
    command = [sys.executable, "-m", "facemill", *arguments]
    subprocess.run(command, env=environment(folder) | variables, check=True)


def environment(folder: Path) -> dict[str, str]:
    """The environment without settings of Prefect, whose files are in `folder`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return kept | {"PREFECT_HOME": str(folder / "prefect"), "COLUMNS": "100"}


@contextmanager
def server(folder: Path) -> Iterator[tuple[str, str]]:
    """A server of Prefect with its pages: their URL and the password."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    pages, password = f"http://127.0.0.1:{port}", new_password()
    own = {
        "PREFECT_SERVER_API_AUTH_STRING": password,
        "PREFECT_SERVER_UI_API_URL": "/api",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": pages,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    command = [sys.executable, "-m", "flows.service.prefect_server", "start", "--port", str(port)]
    command += ["--reports", str(folder / "lake" / "work" / "reports")]
    process = subprocess.Popen(command, env=environment(folder) | own)
    try:
        until = time.monotonic() + _WITHIN_S
        while not is_healthy(f"{pages}/api"):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the server does not respond (exit code {process.poll()})")
            time.sleep(0.5)
        yield pages, password
    finally:
        process.terminate()
        process.wait()


@contextmanager
def open_browser(folder: Path) -> Iterator[webdriver.Chrome]:
    """A browser with a new profile, which contacts nothing by itself."""
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        raise SystemExit("chromium or chromedriver is missing; on Debian: apt install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = str(programs[0])
    with TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as profile:
        for argument in (*_OPTIONS, f"--user-data-dir={profile}"):
            options.add_argument(argument)
        browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(programs[1])))
        try:
            yield browser
        finally:
            browser.quit()


def log_in(browser: webdriver.Chrome, login: str) -> None:
    """Follow the link with the password."""
    browser.get(login)
    WebDriverWait(browser, _WITHIN_S).until(lambda _: "/facemill/login" not in browser.current_url)


def wait_for(browser: webdriver.Chrome, path: str) -> WebElement:
    """The first element at an XPath, once there is one."""
    found: list[WebElement] = WebDriverWait(browser, _WITHIN_S).until(lambda one: one.find_elements(By.XPATH, path))
    return found[0]


def box_of(browser: webdriver.Chrome, path: str) -> Box:
    """Where the first element at an XPath is."""
    rect = wait_for(browser, path).rect
    return rect["x"], rect["y"], rect["x"] + rect["width"], rect["y"] + rect["height"]


def refuse_paths(browser: webdriver.Chrome, folder: Path) -> None:
    """Raise if the page shows a path of this machine."""
    text = browser.find_element(By.TAG_NAME, "body").text
    for path in (str(folder), str(Path.cwd()), str(Path.home())):
        if path != "/" and path in text:
            raise RuntimeError(f"{browser.title}: the page shows {path}")


def shot(browser: webdriver.Chrome, box: Box) -> Image.Image:
    """A part of the page, also beyond the window."""
    left, top, right, bottom = box
    clip = {"x": left, "y": top, "width": right - left, "height": bottom - top, "scale": 1}
    answer = browser.execute_cdp_cmd("Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True})
    return Image.open(BytesIO(base64.b64decode(answer["data"]))).convert("RGB")


def stacked(parts: list[Image.Image]) -> Image.Image:
    """Pictures of one width, one above the other."""
    whole = Image.new("RGB", (parts[0].width, sum(part.height for part in parts)))
    top = 0
    for part in parts:
        whole.paste(part, (0, top))
        top += part.height
    return whole


def write(path: Path, image: Image.Image) -> None:
    """Write a PNG in as many colours as fit.

    Raises:
        RuntimeError: it is larger than `MAX_BYTES` in 64 colours.
    """
    path.parent.mkdir(exist_ok=True)
    for colours in (256, 128, 64):
        image.quantize(colours).save(path, optimize=True)
        if path.stat().st_size <= MAX_BYTES:
            typer.echo(f"{path.name}: {image.width}x{image.height}, {colours} colours, {path.stat().st_size} bytes")
            return
    raise RuntimeError(f"{path.name} has {path.stat().st_size} bytes, at most {MAX_BYTES} are allowed: show less")


if __name__ == "__main__":
    main()
