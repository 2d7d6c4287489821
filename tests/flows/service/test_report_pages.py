"""The reports of a lake on the service: for who is logged in, and as documents that can do nothing."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from pathlib import Path

import httpx
import pytest
from starlette.responses import PlainTextResponse

from flows.reports.link import REPORTS, report_link
from flows.service.report_pages import SESSION, ReportPages
from flows.service.request_guard import Guard

PASSWORD = "facemill:s3cret"
TOKEN = {"Authorization": f"Basic {base64.b64encode(PASSWORD.encode()).decode()}"}
PAGE = "<!doctype html><title>faces</title><script>1</script></html>"
NAME = "faces-mtcnn-0123456789abcdef.html"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "lake" / "work" / "reports"
    folder.mkdir(parents=True)
    (folder / NAME).write_text(PAGE)
    return folder


@pytest.fixture
def client(folder: Path) -> httpx.AsyncClient:
    return visitor(folder)


def visitor(folder: Path, scheme: str = "http") -> httpx.AsyncClient:
    app = Guard(PlainTextResponse("Prefect's"), "127.0.0.1", [], ReportPages(folder, PASSWORD))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"{scheme}://127.0.0.1:4200")


async def test_who_is_logged_in_reads_a_report_by_its_cookie_alone(client: httpx.AsyncClient) -> None:
    given = await client.post(SESSION, headers=TOKEN)
    assert given.status_code == 204
    cookie = given.headers["set-cookie"].lower()
    assert {"httponly", f"path={REPORTS}", "samesite=strict"} <= set(cookie.split("; "))
    assert "s3cret" not in cookie
    answer = await client.get(REPORTS + NAME)
    assert (answer.status_code, answer.text) == (200, PAGE)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


async def test_the_cookie_is_for_tls_alone_where_the_pages_are(folder: Path) -> None:
    assert "Secure" in (await visitor(folder, "https").post(SESSION, headers=TOKEN)).headers["set-cookie"]


@pytest.mark.attack(20)
@pytest.mark.parametrize("path", [REPORTS, REPORTS + NAME, REPORTS + "none.html", REPORTS + "..%2f" * 9 + "etc/passwd"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Cookie": "facemill-reports=0"},
        {"Cookie": "facemill-reports="},
        {"Cookie": "a b;;=,\x7f"},
        {"Authorization": "Basic OnM="},
        {"Authorization": "Basic "},
    ],
    ids=str,
)
async def test_who_is_not_logged_in_learns_nothing(
    client: httpx.AsyncClient, path: str, headers: dict[str, str]
) -> None:
    answer = await client.get(path, headers=headers)
    assert answer.status_code == 403
    assert "faces" not in answer.text
    assert "set-cookie" not in answer.headers


@pytest.mark.attack(20)
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic OnM="}], ids=str)
async def test_without_the_password_there_is_no_session(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    answer = await client.post(SESSION, headers=headers)
    assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)


@pytest.mark.attack(20)
async def test_a_page_of_another_site_gets_neither_session_nor_report(client: httpx.AsyncClient) -> None:
    for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
        assert (await client.post(SESSION, headers=TOKEN | headers)).status_code == 403
        assert (await client.get(REPORTS + NAME, headers=TOKEN | headers)).status_code == 403


@pytest.mark.attack(20)
async def test_a_report_is_a_document_of_no_origin_that_loads_and_sends_nothing(client: httpx.AsyncClient) -> None:
    headers = (await client.get(REPORTS + NAME, headers=TOKEN)).headers
    policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["sandbox"] == "allow-scripts"
    assert not {"connect-src", "frame-src", "object-src"} & policy.keys()
    assert policy["img-src"] == "data:"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"


@pytest.mark.attack(20)
@pytest.mark.parametrize(
    "name",
    [
        "..%2fsecret.html",
        "%2e%2e/secret.html",
        "..\\secret.html",
        "sub/page.html",
        "/etc/passwd",
        "link.html",
        "folder.html",
        "pipe.html",
        "notes.txt",
        ".hidden.html",
        "none.html",
        NAME + "%00",
        NAME + "%0a",
        "a" * 300 + ".html",
    ],
)
async def test_only_the_regular_html_files_of_the_folder_itself_are_served(
    client: httpx.AsyncClient, folder: Path, name: str
) -> None:
    (folder.parent / "secret.html").write_text("secret")
    (folder / "link.html").symlink_to(folder.parent / "secret.html")
    (folder / "folder.html").mkdir()
    os.mkfifo(folder / "pipe.html")
    for path in ("notes.txt", ".hidden.html"):
        (folder / path).write_text("secret")
    (folder / "sub").mkdir()
    (folder / "sub" / "page.html").write_text("secret")
    answer = await client.get(REPORTS + name, headers=TOKEN)
    assert answer.status_code == 404
    assert "secret" not in answer.text


@pytest.mark.attack(20)
async def test_a_folder_that_is_a_link_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").symlink_to(folder)
    answer = await visitor(tmp_path / "elsewhere").get(REPORTS + NAME, headers=TOKEN)
    assert answer.status_code == 404


async def test_a_missing_report_is_told_with_the_command_that_writes_it(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"{REPORTS}none.html", headers=TOKEN)
    assert "`facemill report NAME@VERSION` writes one" in answer.text


async def test_the_list_has_the_newest_report_first(client: httpx.AsyncClient, folder: Path, tmp_path: Path) -> None:
    (folder / "model-embedder-b.html").write_text("")
    os.utime(folder / NAME, (1, 1))
    (folder / "<b>.html").write_text("")
    answer = await client.get(REPORTS, headers=TOKEN)
    assert re.findall('href="([^"]+)"', answer.text) == [f"{REPORTS}model-embedder-b.html", f"{REPORTS}{NAME}"]
    assert "None has been written yet" in (await visitor(tmp_path / "none").get(REPORTS, headers=TOKEN)).text


async def test_the_list_leaves_out_a_report_that_is_pruned_meanwhile(
    client: httpx.AsyncClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "old-mtcnn-0123456789abcdef.html").write_text(PAGE)
    listed = Path.glob

    def then_pruned(path: Path, pattern: str) -> list[Path]:
        found = list(listed(path, pattern))
        (folder / "old-mtcnn-0123456789abcdef.html").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(Path, "glob", then_pruned)
    answer = await client.get(REPORTS, headers=TOKEN)
    assert (answer.status_code, answer.text.count("<li>")) == (200, 1)


async def test_a_report_can_only_be_read(client: httpx.AsyncClient) -> None:
    assert (await client.delete(REPORTS + NAME, headers=TOKEN)).status_code == 405
    assert (await client.head(REPORTS + NAME, headers=TOKEN)).status_code == 200
    assert (await client.get("/api/health")).text == "Prefect's"


async def test_the_page_before_the_login_runs_its_own_script_and_no_other(client: httpx.AsyncClient) -> None:
    answer = await client.get(REPORTS + NAME)
    (script,) = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in answer.headers["content-security-policy"]


def test_a_link_to_a_report_names_no_host() -> None:
    assert report_link(Path("/lake/work/reports/a+b.html")) == f"[a+b.html]({REPORTS}a%2Bb.html)"
