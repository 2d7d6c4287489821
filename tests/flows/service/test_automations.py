"""Messages of a real Prefect server to a webhook on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.blocks.system import Secret
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.states import Crashed, Running

from flows.service.automations import make_automations
from flows.service.service_watch import BACKLOG_GROWS, DISK_LOW, emit_to_server
from storage.errors import UsageError
from tests.waiting import wait_until

DISK = {"lake": "/lake", "days": 3.5, "limit_days": 7.0, "free_bytes": 5, "hours": 24}
BACKLOG = {"lake": "/lake", "due": 30_000, "grown": 20_000, "limit": 10_000, "hours": 24}


@pytest.fixture(scope="module")
def client(prefect_server: str) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client
        make_automations(client)
        for one in client.read_deployments():
            client.delete_deployment(one.id)


@pytest.fixture(scope="module")
def told(client: SyncPrefectClient) -> Iterator[list[dict[str, str]]]:
    """The messages that reach a webhook, for which all automations have been made twice."""
    messages: list[dict[str, str]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    Thread(target=server.serve_forever, daemon=True).start()
    block = CustomWebhookNotificationBlock(
        name="ops",
        url=f"http://127.0.0.1:{server.server_port}",
        json_data={"subject": "{{subject}}", "body": "{{body}}"},
    )
    block.save("ops", overwrite=True)
    for _ in range(2):
        make_automations(client, "custom-webhook/ops")
    yield messages
    server.shutdown()
    server.server_close()


def names(client: SyncPrefectClient) -> list[str]:
    found = client.request("POST", "/automations/filter", json={}).json()
    return sorted(one["name"] for one in found if one["name"].endswith((" is told", " is crashed")))


@pytest.mark.slow
def test_events_of_a_lake_and_failed_runs_reach_the_webhook_once_each(
    client: SyncPrefectClient, told: list[dict[str, str]]
) -> None:
    run = failing_run(client, "pipeline")
    other = failing_run(client, "ingest")
    emit_to_server(DISK_LOW, DISK)
    emit_to_server(BACKLOG_GROWS, BACKLOG)
    emit_to_server("lake.broken", {"lake": "/lake", "findings": 12, "at_work": 0})
    wait_until("all messages are there", lambda: len(told) >= 4, every_s=0.1)
    subjects = {one["subject"]: one["body"] for one in told}
    assert set(subjects) == {
        "facemill: the disk of /lake has room for 3.5 days",
        "facemill: 30000 links are due for retry in /lake",
        "facemill: 12 findings in /lake",
        f"facemill: {run} Crashed",
    }
    assert other not in str(told)
    assert "the disk is full" in subjects[f"facemill: {run} Crashed"]
    assert "enough for 3.5 days (limit: 7.0)" in subjects["facemill: the disk of /lake has room for 3.5 days"]
    assert len(told) == 4


@pytest.mark.slow
def test_without_a_block_nobody_is_told_and_silent_runs_are_still_crashed(
    client: SyncPrefectClient, told: list[dict[str, str]]
) -> None:
    make_automations(client, "custom-webhook/ops")
    assert len(names(client)) == 5
    make_automations(client)
    assert names(client) == ["a run whose heartbeat stops is crashed"]


@pytest.mark.parametrize(
    ("notify", "words"),
    [
        ("ops", "is no block: write TYPE/NAME"),
        ("slack-webhook/none", "the server has no such block"),
        ("secret/word", "sends no notifications"),
    ],
)
def test_a_block_that_cannot_be_used_is_refused_in_one_line_and_nothing_is_changed(
    client: SyncPrefectClient, notify: str, words: str
) -> None:
    Secret(value="x").save("word", overwrite=True)
    make_automations(client)
    before = names(client)
    with pytest.raises(UsageError, match=words) as refused:
        make_automations(client, notify)
    assert "\n" not in str(refused.value)
    assert names(client) == before


def failing_run(client: SyncPrefectClient, deployment: str) -> str:
    """The name of a run of a deployment that has crashed."""
    made = client.create_deployment(client.create_flow_from_name(deployment), deployment)
    run = client.create_flow_run_from_deployment(made)
    client.set_flow_run_state(run.id, Running(), force=True)
    client.set_flow_run_state(run.id, Crashed(message="the disk is full"), force=True)
    return run.name
