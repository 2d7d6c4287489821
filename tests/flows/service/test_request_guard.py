"""What a page of another site can do with the API of the service: nothing."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from typing import Any

import httpx
import prefect.settings
import pytest
from prefect.settings import temporary_settings
from starlette.types import ASGIApp, Message

from flows.service.prefect_server import guarded_app
from flows.service.request_guard import LOGIN, login_link, refusal
from flows.service.serve import Address, server_environment

PASSWORD = "facemill:s3cret"
TOKEN = {"Authorization": f"Basic {base64.b64encode(PASSWORD.encode()).decode()}"}
# What the trial sent: a run of a deployment whose worker is to run a command of the page's choice.
RUN = "/api/deployments/00000000-0000-0000-0000-000000000000/create_flow_run"
BODY = '{"state": {"type": "SCHEDULED"}, "job_variables": {"command": "touch /tmp/owned"}}'
EVIL = {"Origin": "http://evil.example"}


@pytest.mark.parametrize(
    ("host", "bound_to", "is_refused"),
    [
        ("127.0.0.1:4200", "127.0.0.1", False),
        ("localhost:4200", "127.0.0.1", False),
        ("LOCALHOST", "127.0.0.1", False),
        ("[::1]:4200", "::1", False),
        ("192.0.2.7:4200", "192.0.2.7", False),
        ("192.0.2.7:4200", "0.0.0.0", False),
        ("mill.example:4200", "mill.example", False),
        ("proxied.example", "127.0.0.1", False),
        ("x.example:4200", "127.0.0.1", True),
        ("x.example:4200", "0.0.0.0", True),
        ("192.0.2.7:4200", "127.0.0.1", True),
        ("0.0.0.0:4200", "127.0.0.1", True),
        ("0.0.0.0:4200", "0.0.0.0", True),
        ("localhost.evil.example", "127.0.0.1", True),
        ("127.0.0.1.evil.example", "127.0.0.1", True),
        ("localhost.", "127.0.0.1", True),
        ("evil.example@localhost", "127.0.0.1", True),
        ("localhost/evil.example", "127.0.0.1", True),
        ("localhost#", "127.0.0.1", True),
        ("localhost:port", "127.0.0.1", True),
        ("[::1", "127.0.0.1", True),
        ("", "127.0.0.1", True),
    ],
)
@pytest.mark.attack(1)
def test_only_a_request_that_names_this_server_as_its_host_is_let_in(
    host: str, bound_to: str, is_refused: bool
) -> None:
    assert (refusal([host], [], bound_to, {"proxied.example"}) is not None) == is_refused


@pytest.mark.parametrize("hosts", [[], ["localhost", "localhost"], ["localhost", "x.example"]])
def test_a_request_that_names_no_host_or_several_is_refused(hosts: list[str]) -> None:
    assert refusal(hosts, [], "127.0.0.1", []) is not None


@pytest.mark.parametrize(
    ("origin", "is_refused"),
    [
        ("http://localhost:4200", False),
        ("https://localhost:4200", False),
        ("http://localhost:8000", True),
        ("http://127.0.0.1:4200", True),
        ("http://evil.example", True),
        ("null", True),
        ("", True),
    ],
)
@pytest.mark.attack(1)
def test_only_the_servers_own_pages_may_send_requests(origin: str, is_refused: bool) -> None:
    assert (refusal(["localhost:4200"], [origin], "127.0.0.1", []) is not None) == is_refused


@pytest.fixture(scope="module")
def service() -> Iterator[ASGIApp]:
    """Prefect's application with the settings of `facemill serve`; not started, since refusals need no database."""
    environment = server_environment(Address(), PASSWORD)
    names = ("PREFECT_SERVER_API_AUTH_STRING", "PREFECT_SERVER_CORS_ALLOWED_ORIGINS")
    with temporary_settings({getattr(prefect.settings, name): environment[name] for name in names}):
        yield guarded_app("127.0.0.1", [])


@pytest.fixture
def client(service: ASGIApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(service), base_url="http://127.0.0.1:4200")


async def first_answer_of_websocket(app: ASGIApp, path: str, headers: dict[str, str]) -> str:
    """The type of the message with which the application answers a websocket."""
    answers: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        answers.append(message)

    fields = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "websocket", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": fields}
    await app({**scope, "scheme": "ws", "subprotocols": [], "root_path": "", "extensions": {}}, receive, send)
    return str(answers[0]["type"])


@pytest.mark.parametrize(
    "sent",
    [
        {"content": BODY, "headers": EVIL},
        {"content": BODY, "headers": {**EVIL, "Content-Type": "text/plain"}},
        {"content": BODY, "headers": {**EVIL, "Content-Type": "application/json"}},
        {"data": {"state": "SCHEDULED"}, "headers": EVIL},
        {"content": BODY, "headers": {"Origin": "null"}},
        {"content": BODY, "headers": {"Host": "x.example:4200"}},
        {"content": BODY, "headers": {"Host": "x.example:4200", "Origin": "http://x.example:4200"}},
        {"content": BODY, "headers": {**EVIL, **TOKEN}},
        {"content": BODY, "headers": {"Host": "x.example:4200", **TOKEN}},
        {"content": BODY, "headers": {}},
        {"content": BODY, "headers": {"Authorization": "Basic OnM="}},
    ],
    ids=str,
)
@pytest.mark.attack(1)
async def test_a_run_that_a_page_of_another_site_asks_for_is_refused(
    client: httpx.AsyncClient, sent: dict[str, Any]
) -> None:
    answer = await client.post(RUN, **sent)
    assert answer.status_code in {401, 403}
    assert "access-control-allow-origin" not in answer.headers
    # It is the page that is refused, not the request: with the password and no page it reaches the database.
    assert (await client.get("/api/admin/version", headers=TOKEN)).status_code == 200


@pytest.mark.attack(1)
async def test_a_page_of_another_site_is_told_nothing_by_the_check_before_its_request(
    client: httpx.AsyncClient,
) -> None:
    asked = {**EVIL, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    answer = await client.options(RUN, headers=asked)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("headers", [EVIL, {"Host": "x.example:4200"}, {}], ids=str)
@pytest.mark.parametrize("path", ["/api/events/in", "/api/events/out", "/api/logs/out"])
@pytest.mark.attack(1)
async def test_a_websocket_of_a_page_of_another_site_is_closed_before_it_opens(
    service: ASGIApp, path: str, headers: dict[str, str]
) -> None:
    asked = {"Host": "127.0.0.1:4200", **headers}
    assert await first_answer_of_websocket(service, path, asked) == "websocket.close"


async def test_no_page_may_be_framed_or_loaded_by_another_site(client: httpx.AsyncClient) -> None:
    for path in (LOGIN, "/api/health"):
        headers = (await client.get(path)).headers
        assert headers["x-frame-options"] == "DENY"
        assert headers["cross-origin-resource-policy"] == "same-origin"


async def test_the_login_page_runs_its_own_script_and_no_other(client: httpx.AsyncClient) -> None:
    answer = await client.get(LOGIN)
    (script,) = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in answer.headers["content-security-policy"]


def test_the_password_of_a_login_link_is_in_no_request() -> None:
    link = login_link("http://127.0.0.1:4200", "me:p#/ %")
    before, _, after = link.partition("#")
    assert before == f"http://127.0.0.1:4200{LOGIN}"
    assert after == "me%3Ap%23%2F%20%25"
