"""A page of another site in a real browser, beside a service in the next tab: it starts no run and reads nothing."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

from tests.chaos.service import Service, serving
from tests.flows.service.test_pages import open_browser
from tests.flows.service.test_pages import pytestmark as needs_browser

pytestmark = [*needs_browser, pytest.mark.attack(1)]
# Every way a page has to send a request: with a preflight and without, read or not, by form, by websocket.
SCRIPT = """
const [api, deployment, marker, done] = arguments;
const body = JSON.stringify({state: {type: "SCHEDULED"}, job_variables: {command: "touch " + marker}});
const run = `${api}/deployments/${deployment}/create_flow_run`;
const told = {};
const tried = async (name, ask) => { try { told[name] = await ask(); } catch (error) { told[name] = "failed"; } };
const read = async answer => [answer.type, answer.status, (await answer.text()).length];
(async () => {
  await tried("read", async () => read(await fetch(`${api}/deployments/filter`, {method: "POST", body: "{}"})));
  await tried("bare", async () => read(await fetch(run, {method: "POST", body: new Blob([body])})));
  await tried("text", async () => read(await fetch(run, {method: "POST", body})));
  const json = {"content-type": "application/json"};
  await tried("json", async () => read(await fetch(run, {method: "POST", body, headers: json})));
  await tried("no-cors", async () => read(await fetch(run, {method: "POST", mode: "no-cors", body: new Blob([body])})));
  await tried("password", async () => read(await fetch(`${api}/health`, {credentials: "include"})));
  await tried("beacon", async () => (navigator.sendBeacon(run, new Blob([body])), "sent"));
  await tried("form", () => new Promise(resolve => {
    const frame = Object.assign(document.createElement("iframe"), {name: "target", onload: () => resolve("sent")});
    document.body.append(frame);
    const sent = {method: "POST", action: run, target: "target", enctype: "text/plain"};
    const form = Object.assign(document.createElement("form"), sent);
    form.append(Object.assign(document.createElement("input"), {name: body.slice(0, -1) + ',"x":"', value: '"}'}));
    document.body.append(form);
    form.submit();
  }));
  await tried("websocket", () => new Promise(resolve => {
    const socket = new WebSocket(api.replace("http", "ws") + "/events/out", ["prefect"]);
    socket.onopen = () => resolve("open");
    socket.onerror = () => resolve("failed");
  }));
  done(told);
})();
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("service"), "--source", "synthetic", "--identities", "8") as service:
        yield service


@pytest.fixture
def foreign_site() -> Iterator[int]:
    """A site on another port, which is another origin; yields the port."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>a foreign page</title><body></body>")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def attack(browser: webdriver.Chrome, api: str, deployment: str, marker: Path) -> dict[str, Any]:
    browser.set_script_timeout(120)
    told: dict[str, Any] = browser.execute_async_script(SCRIPT, api, deployment, str(marker))
    return told


def runs_by_hand(service: Service) -> list[dict[str, Any]]:
    return [run for run in service.insist("/flow_runs/filter", {}) if not run["auto_scheduled"]]


def test_the_log_of_a_service_names_the_file_of_the_password_and_does_not_hold_it(service: Service) -> None:
    log = (service.folder / "serve.log").read_text()
    assert f"with the password in {service.folder / 'prefect' / 'facemill-password'}" in log
    assert service.password not in log


def test_a_page_of_another_site_starts_no_run_and_reads_nothing(
    service: Service, foreign_site: int, tmp_path: Path
) -> None:
    found = service.insist("/deployments/name/pipeline/pipeline")["id"]
    with open_browser() as browser:
        # As a person who has the pages open, logged in, in the same browser.
        browser.get(service.login)
        browser.get(f"http://127.0.0.1:{foreign_site}/")
        told = attack(browser, service.api, found, tmp_path / "owned")
    assert {name: told[name] for name in ("read", "bare", "text", "json", "websocket")} == dict.fromkeys(
        ("read", "bare", "text", "json", "websocket"), "failed"
    ), json.dumps(told)
    assert runs_by_hand(service) == []
    assert not (tmp_path / "owned").exists()


def test_a_name_that_turns_out_to_be_this_machine_reaches_nothing(service: Service, tmp_path: Path) -> None:
    found = service.insist("/deployments/name/pipeline/pipeline")["id"]
    # The browser takes the name for loopback, as after DNS rebinding; no name is looked up.
    with open_browser("--host-resolver-rules=MAP rebound.example 127.0.0.1") as browser:
        browser.get(f"http://rebound.example:{service.port}/api/health")
        assert "unknown host name of this server" in browser.page_source
        told = attack(browser, f"http://rebound.example:{service.port}/api", found, tmp_path / "owned")
    refused = [told[name] for name in ("read", "bare", "text", "json")]
    assert [answer == "failed" or answer[1] == 403 for answer in refused] == [True] * 4, json.dumps(told)
    assert told["websocket"] == "failed"
    assert runs_by_hand(service) == []


def test_the_link_of_serve_logs_a_browser_in(service: Service) -> None:
    with open_browser() as browser:
        browser.get(service.login)
        pages = WebDriverWait(browser, 120)
        pages.until(lambda _: re.search(r"Flow Runs|Dashboard", browser.find_element("tag name", "body").text))
        assert service.password not in browser.current_url
