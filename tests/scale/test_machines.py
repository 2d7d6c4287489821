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


def told(host: Host, *arguments: str) -> Any:
    """What a command prints there with --json."""
    return json.loads(host.output(*FACEMILL, *arguments, "--json"))


def versions(host: Host, lake: str) -> dict[str, str]:
    """The id of the only version of each dataset."""
    found = [(one["name"], one["version"]) for one in told(host, "datasets", "list", "--lake", lake)]
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
    for stage in (["ingest", *asked], ["retry", *asked], ["crop"], ["publish"]):
        host.run(*FACEMILL, stage[0], *lake, *stage[1:], within_s=_PIPELINE_S)
    found = versions(host, lake[1])
    assert sorted(found) == ["faces-bbox", "faces-mtcnn"]
    return found


def test_three_machines_make_what_a_single_process_makes(
    machines: Machines, alone: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    lake = f"s3://{BUCKET}/shared"
    before = records(machines)
    server = machines.servers[0]
    assert server.wait_for(machines.fill(lake), within_s=_PIPELINE_S) == "COMPLETED"
    assert versions(machines.alpha, lake) == alone
    assert told(machines.alpha, "check", "--lake", lake)["findings"] == []
    shares = {host.name: work_done(host) for host in machines.workers}
    assert min(one["cropped"] for one in shares.values()) > 0, shares
    grown = {what: num - before[what] for what, num in records(machines).items()}
    links = sum(one["asked for"] for one in shares.values())
    say(capsys, f"three machines made {alone}, as a single process; what each did: {shares}")
    say(capsys, f"for {links} links asked for, rows and bytes of the server, and requests to the store: {grown}")


def records(machines: Machines) -> dict[str, int]:
    """The rows of the server's tables that grow with the work, the bytes of its database, and the store's requests."""
    tables = [
        "flow_run",
        "flow_run_state",
        "task_run",
        "task_run_state",
        "events",
        "event_resources",
        "log",
        "artifact",
    ]
    counts = {table: int(psql(machines.engines, f"select count(*) from {table}")[0][0]) for table in tables}
    num_bytes = int(psql(machines.engines, "select pg_database_size(current_database())")[0][0])
    return counts | {"bytes": num_bytes} | requests(machines.store)


def test_when_one_is_gone_for_good_the_others_finish(
    machines: Machines, alone: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    lake, server = f"s3://{BUCKET}/bereft", machines.servers[0]
    run = machines.fill(lake)
    wait_until("the pipeline has a worker", lambda: bool(host_of(server.insist(f"/flow_runs/{run}"))))
    # Gone shall be one that helps, in the middle of its work.
    owner = host_of(server.insist(f"/flow_runs/{run}"))
    victim = next(host for host in reversed(machines.workers) if host.name != owner)
    before = work_done(victim)["cropped"]
    wait_until(f"{victim.name} crops", lambda: work_done(victim)["cropped"] > before, within_s=_PIPELINE_S)
    lost = [one for one in server.runs(state={"type": {"any_": ["RUNNING"]}}) if host_of(one) == victim.name]
    assert lost
    machines.pull_the_plug(victim)
    assert server.wait_for(run, within_s=_PIPELINE_S) == "COMPLETED"
    assert versions(machines.alpha if victim is not machines.alpha else machines.beta, lake) == alone
    for one in lost:
        assert server.wait_for(one["id"], within_s=300) == "CRASHED"
    say(capsys, f"{victim.name} was gone while it cropped, and its run is crashed; the others made {alone}")


def test_two_machines_crop_faster_than_one(machines: Machines, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = crop(machines, 1), crop(machines, 2)
    wall, processor = one["wall"] / two["wall"], one["longest"] / two["longest"]
    say(
        capsys,
        f"crop with one machine: {one}; with two: {two}; {wall:.2f} times as fast by the clock, {processor:.2f} by the "
        f"processor time of the busier one",
    )
    assert processor > 1.3


def crop(machines: Machines, num_runs: int) -> dict[str, float]:
    """Crop the shared lake anew with so many runs: the seconds it took, and of the processor the longest and all."""
    lake, server = f"s3://{BUCKET}/shared", machines.servers[1]
    again = "".join(f"fs.rm('{BUCKET}/shared/{part}', recursive=True); " for part in ("detections", "faces"))
    machines.beta.run(sys.executable, "-c", f"import s3fs; fs = s3fs.S3FileSystem(); {again}")
    runs = [server.start_run("crop/crop", lake=lake, source="vggface1") for _ in range(num_runs)]
    used = dict.fromkeys(runs, 0.0)
    until = time.monotonic() + _PIPELINE_S
    while not all(server.state_of(run) == "COMPLETED" for run in runs):
        assert time.monotonic() < until
        used = {run: max(seconds, cpu_seconds(run)) for run, seconds in used.items()}
        time.sleep(0.5)
    told = [server.insist(f"/flow_runs/{run}") for run in runs]
    wall = max(one["total_run_time"] for one in told)
    return {"wall": round(wall, 1), "longest": round(max(used.values()), 1), "all": round(sum(used.values()), 1)}
