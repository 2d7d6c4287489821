"""Three machines share a pipeline: what they make is what one process makes, also if one of them is gone half way.

Two machines are held against one on a stage that needs the processor, and the server's records are counted.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import pytest

from tests.scale.engines import psql
from tests.scale.hosts import FACEMILL, Host
from tests.scale.machines import Machines, cpu_seconds, host_of, work_done
from tests.scale.store import BUCKET, requests
from tests.scale.waiting import wait_until

pytestmark = pytest.mark.scale
_PIPELINE_S = 1800.0
# The most requests to the store: of a run, whatever it finds, with its pages; and for each shard of pictures, at which
# every run looks, and merges them from the 64th on. While time passes, a run looks for leases every two seconds, or
# renews up to three every seven: less than one a second. Counted were 10,795 for 90 shards in 171 s. Of a run alone
# `bench.bucket` counts the requests for a picture.
_OF_A_RUN, _OF_A_SHARD = 600, 120
_SHARED = {"lake": f"s3://{BUCKET}/shared", "source": "vggface1"}


def told(host: Host, *arguments: str) -> Any:
    """What a command prints there with --json."""
    return json.loads(host.output(*FACEMILL, *arguments, "--json"))


def versions(host: Host, lake: str) -> dict[str, str]:
    """The id of the only version of each dataset."""
    found = [(one["dataset"], one["version"]) for one in told(host, "datasets", "list", "--lake", lake)]
    assert len(dict(found)) == len(found), "a dataset has several versions"
    return dict(found)


def say(capsys: pytest.CaptureFixture[str], line: str) -> None:
    with capsys.disabled():
        sys.stdout.write(f"\n{line}\n")


@pytest.fixture(scope="module")
def alone(machines: Machines) -> dict[str, str]:
    """The versions that a single process makes on a disk, from the same web."""
    host, web = machines.web, machines.of_web()
    lake, asked = ["--lake", str(host.disk / "lake")], ["--links", web["links"], "--connect-to", web["connect_to"]]
    machines.play_web()
    for stage in (["ingest", *asked, "--yes"], ["retry", *asked], ["crop"], ["publish"]):
        host.run(*FACEMILL, stage[0], *lake, *stage[1:], within_s=_PIPELINE_S)
    found = versions(host, lake[1])
    assert sorted(found) == ["faces-bbox", "faces-mtcnn"]
    return found


def test_three_machines_make_what_a_single_process_makes(
    machines: Machines, alone: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    lake = _SHARED["lake"]
    before = records(machines)
    server, begun = machines.servers[0], time.monotonic()
    assert server.wait_for(machines.fill(lake), within_s=_PIPELINE_S) == "COMPLETED"
    grown, seconds = {what: num - before[what] for what, num in records(machines).items()}, time.monotonic() - begun
    assert versions(machines.alpha, lake) == alone
    assert told(machines.alpha, "check", "--lake", lake)["findings"] == []
    shares = {host.name: work_done(host) for host in machines.workers}
    # On a busy machine one may come when all is taken.
    assert sum(any(one.values()) for one in shares.values()) > 1, shares
    links = sum(one["asked for"] for one in shares.values())
    say(capsys, f"three machines made {alone}, as a single process; what each did: {shares}")
    say(capsys, f"for {links} links asked for, rows and bytes of the server, and requests to the store: {grown}")
    num_shards, num_runs = shards_of(machines.alpha, lake), len(machines.workers)
    most = num_runs * (_OF_A_RUN + seconds) + num_shards * _OF_A_SHARD
    say(capsys, f"at most {most:.0f} requests to the store, by {num_shards} shards in {seconds:.0f} s")
    assert grown["requests"] < most


def shards_of(host: Host, lake: str) -> int:
    """How many shards of pictures a lake has."""
    names = f"Lake({lake!r}).names('images/vggface1')"
    program = f"from storage.files.lake import Lake; print(sum(name.endswith('.parquet') for name in {names}))"
    return int(host.output(sys.executable, "-c", program))


def records(machines: Machines) -> dict[str, int]:
    """The rows of the server's tables that grow with the work, the bytes of its database, and the store's requests."""
    tables = ["flow_run", "flow_run_state", "task_run", "task_run_state", "events", "log", "artifact"]
    counts = {table: int(psql(machines.engines, f"select count(*) from {table}")[0][0]) for table in tables}
    num_bytes = int(psql(machines.engines, "select pg_database_size(current_database())")[0][0])
    return counts | {"bytes": num_bytes} | requests(machines.store)


def test_when_one_is_gone_for_good_the_others_finish(
    machines: Machines, alone: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    server = machines.servers[0]
    forget_faces(machines)
    before = work_done(machines.gamma)["cropped"]
    runs = [server.start_run("crop/crop", **_SHARED) for _ in machines.workers]
    wait_until("gamma crops", lambda: work_done(machines.gamma)["cropped"] > before, within_s=_PIPELINE_S)
    (lost,) = [run for run in runs if host_of(server.insist(f"/flow_runs/{run}")) == "gamma"]
    machines.pull_the_plug(machines.gamma)
    states = {run: server.wait_for(run, within_s=_PIPELINE_S) for run in runs}
    assert states == dict.fromkeys(runs, "COMPLETED") | {lost: "CRASHED"}
    assert server.wait_for(server.start_run("publish/publish", **_SHARED), within_s=_PIPELINE_S) == "COMPLETED"
    assert versions(machines.alpha, _SHARED["lake"]) == alone
    say(capsys, f"gamma was gone while it cropped, and its run is crashed; alpha and beta made {alone}")


def test_two_machines_crop_faster_than_one(machines: Machines, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = crop(machines, 1), crop(machines, 2)
    say(capsys, f"crop, seconds by the clock and of each machine's processor: one {one}, two {two}")
    clock, processor = one[0] / two[0], max(one[1:]) / max(two[1:])
    say(
        capsys,
        f"two machines are {clock:.2f} times as fast by the clock, {processor:.2f} by the processor of the busier",
    )
    assert processor > 1.3


def forget_faces(machines: Machines) -> None:
    """Take out of the shared lake what is computed from its pictures."""
    parts = [f"{BUCKET}/shared/{part}" for part in ("detections", "faces", "unique", "datasets")]
    gone = f"[fs.rm(part, recursive=True) for part in {parts} if fs.exists(part)]"
    machines.alpha.run(sys.executable, "-c", f"import s3fs; fs = s3fs.S3FileSystem(); {gone}")


def crop(machines: Machines, num_runs: int) -> list[float]:
    """Crop the shared lake anew with so many runs at a time; the seconds it took, and those of each one's processor.

    What a run's process needs to start is left out.
    """
    server = machines.servers[0]
    forget_faces(machines)
    runs = [server.start_run("crop/crop", **_SHARED) for _ in range(num_runs)]
    begun, used, until = dict[str, float](), dict.fromkeys(runs, 0.0), time.monotonic() + _PIPELINE_S
    while (states := {run: server.state_of(run) for run in runs}) != dict.fromkeys(runs, "COMPLETED"):
        assert time.monotonic() < until and not {"FAILED", "CRASHED", "CANCELLED"} & {*states.values()}, states
        for run in (run for run, state in states.items() if state == "RUNNING"):
            begun.setdefault(run, cpu_seconds(run))
            used[run] = max(used[run], cpu_seconds(run) - begun[run])
        time.sleep(0.2)
    clock = max(server.insist(f"/flow_runs/{run}")["total_run_time"] for run in runs)
    return [round(seconds, 1) for seconds in (clock, *used.values())]
