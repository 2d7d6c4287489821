"""Several runs at the same time: a host sees no more of them than of one, and each link is fetched once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.ingest import ingest
from storage.files.lake import Lake
from tasks.fetch.ledger import image_stems, read_ledger
from tests.flows.runs.host_origin import HostOrigin, serving_hosts, write_links
from tests.flows.runs.request_starts import least_gap_s, note_starts
from tests.waiting import GUARD_S, wait_until

PER_HOST, PER_S = 2, 40.0
HOSTS = [f"{number}.example" for number in range(6)]
LINKS = [f"http://{host}/{number}.jpg" for number in range(11) for host in HOSTS]
# Redirects to another host of the list, and redirects of all hosts to one that is not in it.
CROSSING = [f"http://{host}/to/{HOSTS[place - 1]}/moved.jpg" for place, host in enumerate(HOSTS)]
TARGET = [f"http://{host}/to/target.example/{place}.jpg" for place, host in enumerate(HOSTS)]


@pytest.fixture
def origin() -> Iterator[HostOrigin]:
    with serving_hosts() as origin:
        yield origin


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What takes minutes on a real list takes parts of a second, and nothing is recorded on a server."""
    monkeypatch.setattr("tasks.links.plan.IDENTITIES_PER_UNIT", 2)
    monkeypatch.setattr("flows.runs.fetch_round.WORTH_SHARING", 5)
    monkeypatch.setattr("storage.leases.host_slices._LOOK_EVERY_S", 0.05)
    monkeypatch.setattr("storage.leases.host_slices._LOOKS", 600)
    monkeypatch.setenv("FACEMILL_PER_HOST", str(PER_HOST))
    monkeypatch.setenv("FACEMILL_PER_HOST_PER_S", str(PER_S))
    monkeypatch.setenv("FACEMILL_SILENCE_S", str(GUARD_S))
    monkeypatch.setenv("FACEMILL_TOTAL_S", str(GUARD_S))
    # Less than the links of a run, so that some are left to share.
    monkeypatch.setenv("FACEMILL_CONCURRENCY", "12")
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        yield


def ingest_by(num: int, lake: Path, links: Path, origin: HostOrigin) -> list[int]:
    """The numbers of links that so many runs at the same time have asked for."""
    run = partial(ingest, str(lake), links=str(links), connect_to=f"127.0.0.1:{origin.port}")

    async def together() -> list[dict[str, Any]]:
        return await asyncio.gather(*(run() for _ in range(num)))

    return [one["asked"] for one in asyncio.run(together())]


def test_three_runs_keep_the_limits_of_one_at_every_host(
    tmp_path: Path, origin: HostOrigin, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = write_links(tmp_path / "links", [*LINKS, *CROSSING, *TARGET], per_person=13)
    note_starts(tmp_path / "starts", monkeypatch)
    lake = Lake(tmp_path / "lake")
    # The first run has work left when the others join, however late.
    origin.may_answer = lambda: len({name.split(".")[0] for name in lake.names("leases/hosts/all")}) == 3
    asked = ingest_by(3, tmp_path / "lake", tmp_path / "links", origin)

    assert sum(asked) == len(links) == len(read_ledger(lake, "vggface1", ["key"]))
    assert sum(num > 0 for num in asked) > 1, "one run did all the work"
    assert {host: num for host, num in origin.most_at_once.items() if num > PER_HOST} == {}
    assert least_gap_s(tmp_path / "starts") >= 1 / PER_S
    assert {url for url in links if origin.requests[url] != 1} <= {*CROSSING, *TARGET}
    assert lake.names("leases/hosts/all") == []


def test_a_run_that_has_lost_its_lease_joins_again_and_finishes(tmp_path: Path, origin: HostOrigin) -> None:
    links, lake = write_links(tmp_path / "links", LINKS, per_person=11), Lake(tmp_path / "lake")

    def remove_file() -> None:
        wait_until("hosts are requested", lambda: sum(origin.requests.values()) > 20)
        (name,) = lake.names("leases/hosts/all")
        lake.remove(f"leases/hosts/all/{name}")

    with ThreadPoolExecutor(1) as pool:
        removed = pool.submit(remove_file)
        ingest_by(1, tmp_path / "lake", tmp_path / "links", origin)
        removed.result()
    assert len(read_ledger(lake, "vggface1", ["key"])) == len(links) < sum(origin.requests.values())


def test_a_run_alone_asks_for_every_link_once(tmp_path: Path, origin: HostOrigin) -> None:
    links = write_links(tmp_path / "links", [*LINKS[:12], *CROSSING], per_person=9)
    assert ingest_by(1, tmp_path / "lake", tmp_path / "links", origin) == [len(links)]
    assert max(origin.requests.values()) == 1
    assert len(image_stems(Lake(tmp_path / "lake"), "vggface1")) == 1
