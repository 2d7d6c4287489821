"""Facts about the service: its ports on this machine, and what its API tells; for `service_checks`."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flows.configuration.settings import api_in_use, in_use
from flows.doctor.api import Api
from flows.service.password import OF_CLIENTS, OF_SERVER, password_path, read_password
from flows.service.schedule import deployments
from flows.service.work import POOLS, check_free
from storage.errors import ServiceError, UsageError

_ANSWER_S = 3.0
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
# A socket that listens, in the tables of the kernel.
_LISTENS = "0A"
_DONE, _ENDED = ["COMPLETED"], ["COMPLETED", "FAILED", "CRASHED"]
# As many as are counted; more are shown as this number.
MOST_LATE = 200


@dataclass(frozen=True, slots=True)
class Port:
    """A port of this machine: whether it is taken, and whether by a service of facemill."""

    number: int
    use: str
    is_taken: bool
    is_ours: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """A run that has ended: when, in which state, and the message of that state."""

    at: datetime
    state: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Deployed:
    """A deployment on the server.

    Attributes:
        upcoming: the next two times that its schedules have made.
        last: the newest run that ended by itself.
        last_good: the newest one that succeeded.
    """

    name: str
    made: datetime
    is_paused: bool = False
    is_scheduled: bool = False
    upcoming: tuple[datetime, ...] = ()
    last: Run | None = None
    last_good: Run | None = None


@dataclass(frozen=True, slots=True)
class ServiceFound:
    """What the server told. What comes after an `error` was not asked.

    Attributes:
        is_here: it is on this machine.
        is_named: PREFECT_API_URL names the server, so that one is expected.
        login: the HTTP status of a page that needs the password; None if it was not asked.
        workers: the names of the live workers by pool; None for a pool that is missing.
        late: for how many seconds runs have been waiting for their start.
    """

    api: str
    is_named: bool
    is_here: bool = True
    is_healthy: bool = False
    login: int | None = None
    has_password: bool = False
    workers: dict[str, list[str] | None] = field(default_factory=dict)
    deployed: dict[str, Deployed | None] = field(default_factory=dict)
    late: tuple[float, ...] = ()
    error: str = ""


def look_at_port(number: int, use: str, path: str, sign: str) -> Port:
    """Whether a loopback port is free, or taken by a service of facemill.

    Args:
        use: `server` or `metrics`.
        path: a page of the service there.
        sign: what this page contains.
    """
    try:
        check_free("127.0.0.1", number)
    except UsageError:
        return Port(number, use, is_taken=True, is_ours=_has_page(f"http://127.0.0.1:{number}{path}", sign))
    return Port(number, use, is_taken=False)


def _has_page(url: str, sign: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_ANSWER_S) as answer:
            # A page that does not end, or is large, is none of ours.
            return sign in answer.read(1 << 20).decode(errors="replace")
    except (OSError, HTTPException):
        return False


def look_at_service(environment: Mapping[str, str], port: int, named_file: str) -> ServiceFound:
    """Ask the server of PREFECT_API_URL, or else the one on a port of this machine.

    Args:
        named_file: the setting `password_file`.
    """
    named = api_in_use(environment)
    api = (named or f"http://127.0.0.1:{port}/api").rstrip("/")
    password = _password(environment, api, named_file, port)
    is_here = urlsplit(api).hostname in _LOOPBACK
    found: dict[str, Any] = {"api": api, "is_named": bool(named), "is_here": is_here, "has_password": bool(password)}
    try:
        with Api(api, password) as asked:
            found["is_healthy"] = asked.status("/health") == HTTPStatus.OK
            found["login"] = asked.status("/admin/version")
            if found["login"] == HTTPStatus.OK:
                now = datetime.now(UTC)
                found["workers"] = {pool: _workers(asked, pool) for pool in POOLS}
                found["deployed"] = _all_deployed(asked, now)
                found["late"] = _late(asked, now)
    except (ServiceError, LookupError, TypeError, ValueError) as error:
        words = str(error) if isinstance(error, ServiceError) else f"an answer has another form than Prefect's: {error}"
        return ServiceFound(**found, error=words)
    return ServiceFound(**found)


def _password(environment: Mapping[str, str], api: str, named_file: str, port: int) -> str:
    """The password for a server. The file of this user's service is only read for a server that this user runs."""
    if given := in_use(environment, OF_CLIENTS):
        return given
    try:
        if named_file:
            return read_password(Path(named_file).expanduser())
        place = urlsplit(api)
        if place.hostname in _LOOPBACK and os.getuid() in _owners(place.port or port):
            return environment.get(OF_SERVER) or read_password(password_path(environment))
    except UsageError:  # the check of the login tells that there is none
        pass
    return ""


def _owners(port: int) -> set[int]:
    """The users whose sockets listen on a port, by Linux's tables."""
    owners: set[int] = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/net", table).read_text().splitlines()[1:]
        except OSError:
            continue
        for words in map(str.split, lines):
            if words[3] == _LISTENS and int(words[1].rpartition(":")[2], 16) == port:
                owners.add(int(words[7]))
    return owners


def _workers(api: Api, pool: str) -> list[str] | None:
    if api.status(f"/work_pools/{pool}") == HTTPStatus.NOT_FOUND:
        return None
    found = api.ask(f"/work_pools/{pool}/workers/filter", {})
    return [one["name"] for one in found if one["status"] == "ONLINE"]


def _all_deployed(api: Api, now: datetime) -> dict[str, Deployed | None]:
    """The deployments of `prefect.yaml` by name; None for one that the server lacks."""
    on_server = {one["name"]: one for one in api.ask("/deployments/filter", {})}
    names = [one["name"] for one in deployments()["deployments"]]
    return {name: _deployed(api, on_server[name], now) if name in on_server else None for name in names}


def _deployed(api: Api, one: dict[str, Any], now: datetime) -> Deployed:
    upcoming = _runs(api, one, ["SCHEDULED"], "EXPECTED_START_TIME_ASC", 2, after=now) if one["schedules"] else []
    last, good = (_runs(api, one, states, "END_TIME_DESC", 1) for states in (_ENDED, _DONE))
    return Deployed(
        name=one["name"],
        made=_time(one["created"]),
        is_paused=one["paused"],
        is_scheduled=any(schedule["active"] for schedule in one["schedules"]),
        upcoming=tuple(_time(run["expected_start_time"]) for run in upcoming),
        last=_ended(last),
        last_good=_ended(good),
    )


def _runs(
    api: Api, one: dict[str, Any], states: list[str], sort: str, limit: int, after: datetime | None = None
) -> list[dict[str, Any]]:
    """The first runs of a deployment in some states."""
    wanted: dict[str, Any] = {"state": {"type": {"any_": states}}}
    if after:
        wanted["expected_start_time"] = {"after_": after.isoformat()}
    body = {"flow_runs": wanted, "deployments": {"id": {"any_": [one["id"]]}}, "sort": sort, "limit": limit}
    found: list[dict[str, Any]] = api.ask("/flow_runs/filter", body)
    return found


def _ended(runs: list[dict[str, Any]]) -> Run | None:
    if not runs:
        return None
    run = runs[0]
    return Run(_time(run["end_time"] or run["updated"]), run["state_name"], str(run["state"].get("message") or ""))


def _late(api: Api, now: datetime) -> tuple[float, ...]:
    wanted = {"state": {"name": {"any_": ["Late"]}}}
    runs = api.ask("/flow_runs/filter", {"flow_runs": wanted, "limit": MOST_LATE})
    return tuple(sorted((now - _time(run["expected_start_time"])).total_seconds() for run in runs))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
