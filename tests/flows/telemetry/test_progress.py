"""What a run shows of itself while it goes on."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from flows.telemetry.progress import Track, track
from flows.telemetry.tally import Tally
from storage.records import Attempt, Outcome, Reason
from tasks.web.host_queue import HostCounts


def tally(*reasons: Reason | None) -> Tally:
    made = Tally(lambda: HostCounts(known=9, slowed=2, down=1))
    for reason in reasons:
        outcome = Outcome.REJECTED if reason else Outcome.ACCEPTED
        now = datetime.now(UTC)
        made.add(Attempt(b"", "u", outcome, reason, "", 200, 1, 1, None, "u", now, 0.1, received_bytes=500_000))
    return made


SOME = [None] * 5 + [Reason.GONE] * 4 + [Reason.DNS] * 3 + [Reason.TIMEOUT] * 2 + [Reason.RESET, Reason.EMPTY]


def test_a_tally_tells_the_most_frequent_outcomes_and_how_the_hosts_stand() -> None:
    made = tally(*SOME)
    assert made.note() == "5 accepted, gone 4, dns 3, timeout 2, others 2, hosts slowed 2, hosts down 1"
    assert list(made.rejected.items())[:2] == [("gone", 4), ("dns", 3)]
    assert made.facts() == {
        "accepted": 5,
        "rejected": made.rejected,
        "received_bytes": 8_000_000,
        "hosts": {"known": 9, "slowed": 2, "down": 1},
    }
    rows = {row["what"]: row["number"] for row in made.rows()}
    assert (rows["accepted"], rows["hosts down"], rows["megabytes received"]) == (5, 1, 8)


def test_nothing_yet_is_told_too() -> None:
    made = Tally()
    assert (made.note(), made.rejected) == ("0 accepted", {})
    track = Track("fetch", 10, made)
    assert (track.left_s, track.line()) == (None, "0 of 10, 0.0 per s, 0 s left. 0 accepted")


@flow(name="tracked", persist_result=False)
def tracked() -> None:
    with track("some_work", 16, tally(*SOME)) as progress:
        progress.advance(16)


def test_the_table_in_the_server_shows_how_the_run_ended() -> None:
    tracked()
    with get_client(sync_client=True) as client:
        # The server of the session has more artifacts than one answer holds.
        (table,) = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["live-some-work"])))
        assert {"what": "gone", "number": 4} in json.loads(str(table.data))
        assert "16 of 16" in (table.description or "")
