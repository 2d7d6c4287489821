"""Three runs, each a process, on the same hosts, of which one is killed and one stands still."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from storage.files.lake import Lake
from tasks.fetch.ledger import read_ledger
from tests.flows.runs.host_origin import serving_hosts, write_links
from tests.flows.runs.request_starts import least_gap_s
from tests.waiting import wait_until

pytestmark = pytest.mark.chaos
PER_HOST, PER_S, LEASE_S = 2, 10.0, 3.0
HOSTS = [f"{number}.example" for number in range(24)]
# At the rate of one run these take 20 seconds.
LINKS = [f"http://{host}/{number}.jpg" for number in range(200) for host in HOSTS]
MOVED = [f"http://{host}/to/{HOSTS[place - 1]}/{n}-moved.jpg" for n in range(4) for place, host in enumerate(HOSTS)]


@contextmanager
def running(starts: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tests.flows.runs.request_starts", str(starts), *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def test_no_host_sees_more_than_one_run_and_the_hosts_of_lost_runs_go_to_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEMILL_LEASE_S", str(LEASE_S))
    monkeypatch.setenv("FACEMILL_PER_HOST", str(PER_HOST))
    monkeypatch.setenv("FACEMILL_PER_HOST_PER_S", str(PER_S))
    monkeypatch.setenv("FACEMILL_CONCURRENCY", "48")
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    links, lake = write_links(tmp_path / "links", [*LINKS, *MOVED], per_person=200), Lake(tmp_path / "lake")
    starts = [tmp_path / f"starts-{number}" for number in range(3)]
    with serving_hosts(answer_after_s=2 / PER_S) as origin, ExitStack() as stack:
        ingest = ["ingest", "--lake", lake.url, "--links", str(tmp_path / "links")]
        runs = []
        for file in starts:
            runs.append(stack.enter_context(running(file, *ingest, "--connect-to", f"127.0.0.1:{origin.port}")))
            wait_until("it requests hosts", file.exists)
        wait_until("all three request hosts", lambda: all(len(file.read_text().splitlines()) > 200 for file in starts))
        runs[0].kill()
        os.kill(runs[1].pid, signal.SIGSTOP)
        assert runs[2].wait() == 0

        of_each = [file.read_text() for file in starts]
        assert max(origin.most_at_once.values()) <= PER_HOST
    assert len(read_ledger(lake, "vggface1", ["key"])) == len(links)
    (tmp_path / "all").write_text("".join(of_each))
    assert least_gap_s(tmp_path / "all") >= 1 / PER_S
    hosts = [{line.split(",")[0] for line in text.splitlines()} for text in of_each]
    assert hosts[2] == {f'["{host}"' for host in HOSTS}
    assert hosts[0] & hosts[2]
    assert hosts[1] & hosts[2]
