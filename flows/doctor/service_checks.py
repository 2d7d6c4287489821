"""Checks of the service: pure decisions on the facts of `service_facts`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from http import HTTPStatus

from flows.doctor.service_facts import MOST_LATE, Deployed, Port, ServiceFound
from flows.doctor.verdict import Level, Verdict
from flows.service.password import HOW_TO_GIVE
from storage.text.durations import seconds_text

# Runs of one pool wait for each other, a retry also for a pipeline of many hours: so much later than its schedule says
# a run may be. For the nightly pipeline that is a good run in 36 hours, as in deploy/alerts.yaml.
_PATIENCE = timedelta(hours=12)


def check_port(found: Port) -> Verdict:
    """Whether a port is free for the service, or used by it."""
    name = f"port {found.number}"
    if not found.is_taken:
        return Verdict(name, Level.OK, f"free for the {found.use} of `facemill serve`")
    if found.is_ours:
        return Verdict(name, Level.OK, f"used by the {found.use} of a service")
    option = "--port" if found.use == "server" else "--metrics-port"
    value = "used by another program, or by a service that does not answer"
    return Verdict(name, Level.FAIL, value, "", f"end it, or choose another {option} for `facemill serve`")


def check_service(found: ServiceFound, metrics: Port, now: datetime) -> list[Verdict]:
    """The checks of a server and of all that it tells; one line where there is no server.

    Args:
        metrics: the port of the metrics on this machine.
    """
    if not found.is_healthy:
        return [_no_server(found)]
    verdicts = [Verdict("server", Level.OK, f"{found.api} is healthy")]
    if found.login is not None:
        verdicts.append(_check_login(found))
    verdicts += [_check_pool(pool, names) for pool, names in found.workers.items()]
    if found.deployed:
        verdicts.append(_check_deployments(found.deployed))
    there = [one for one in found.deployed.values() if one]
    for one in there:
        verdicts += [_check_schedule(one, now), _check_last_run(one, now)] if one.is_scheduled else []
    if found.deployed and not found.error:
        verdicts.append(_check_late(found.late))
    if found.is_here:
        verdicts.append(_check_metrics(metrics))
    if found.error:
        verdicts.append(Verdict("server", Level.FAIL, found.error, "", "see its log, and restart the service"))
    return verdicts


def _no_server(found: ServiceFound) -> Verdict:
    if not found.is_named and not found.login:
        return Verdict("server", Level.OK, f"none at {found.api}; the checks of a running service were left out")
    advice = "start `facemill serve` there, or set PREFECT_API_URL to a running server"
    return Verdict("server", Level.FAIL, found.error or f"{found.api} is no healthy Prefect API", "", advice)


def _check_login(found: ServiceFound) -> Verdict:
    if found.login == HTTPStatus.OK:
        with_password = "with the password" if found.has_password else "without a password"
        return Verdict("login", Level.OK, f"works {with_password}")
    if found.login == HTTPStatus.UNAUTHORIZED:
        value = "the password is rejected" if found.has_password else "a password is required, and none was found"
        return Verdict("login", Level.FAIL, value, "", HOW_TO_GIVE)
    advice = "add the host name to FACEMILL_SERVER_NAMES of the server, or correct PREFECT_API_URL"
    return Verdict("login", Level.FAIL, f"the API answers {found.login}", "", advice)


def _check_metrics(port: Port) -> Verdict:
    page = f"http://127.0.0.1:{port.number}/metrics"
    if port.is_ours:
        return Verdict("metrics", Level.OK, f"{page} answers")
    advice = "give the --metrics-port of the service, or restart it"
    return Verdict("metrics", Level.FAIL, f"{page} does not answer", "", advice)


def _check_pool(pool: str, workers: list[str] | None) -> Verdict:
    name = f"pool {pool}"
    if workers is None:
        return Verdict(name, Level.FAIL, "missing on the server", "", "restart `facemill serve`, which makes it")
    if not workers:
        advice = f"restart `facemill serve`, or start `facemill work --pool {pool}` on a machine"
        return Verdict(name, Level.FAIL, "no worker is online, so its runs wait", "", advice)
    return Verdict(name, Level.OK, f"{len(workers)} online: {', '.join(workers)}")


def _check_deployments(found: dict[str, Deployed | None]) -> Verdict:
    missing = [name for name, one in found.items() if one is None]
    if missing:
        advice = "restart `facemill serve`, which applies them"
        return Verdict("deployments", Level.FAIL, f"missing: {', '.join(missing)}", f"{len(found)}", advice)
    unscheduled = [name for name, one in found.items() if one and not one.is_scheduled]
    value = f"all {len(found)} are there; without a schedule: {', '.join(unscheduled) or 'none'}"
    return Verdict("deployments", Level.OK, value)


def _check_schedule(one: Deployed, now: datetime) -> Verdict:
    name = f"schedule {one.name}"
    if one.is_paused:
        advice = f"prefect deployment schedule resume {one.name}/{one.name}, if that was not meant"
        return Verdict(name, Level.FAIL, "paused", "", advice)
    if not one.upcoming:
        advice = "wait a minute after a start; then see the server's log, whose scheduler makes them"
        return Verdict(name, Level.FAIL, "no run is scheduled for the future", "", advice)
    wait_s = (one.upcoming[0] - now).total_seconds()
    return Verdict(name, Level.OK, f"next {one.upcoming[0]:%Y-%m-%d %H:%M} UTC, in {seconds_text(wait_s)}")


def _check_last_run(one: Deployed, now: datetime) -> Verdict:
    """Whether the newest good run, or the deployment if it had none, is as young as the schedule allows."""
    name = f"last run {one.name}"
    allowed = _period(one.upcoming) + _PATIENCE
    limit = seconds_text(allowed.total_seconds())
    good = one.last_good.at if one.last_good else None
    age = now - (good or one.made)
    age_text = seconds_text(age.total_seconds())
    value = f"good {age_text} ago" if good else f"no good run in the {age_text} since it was deployed"
    has_failed = one.last is not None and one.last != one.last_good
    if one.last and has_failed:
        value += f"; the newest {one.last.state.lower()}: {one.last.message or 'without a message'}"
    advice = f"see its runs on the server's pages; prefect deployment run {one.name}/{one.name} starts one"
    if age > allowed:
        return Verdict(name, Level.FAIL, value, limit, advice)
    return Verdict(name, Level.WARN, value, limit, advice) if has_failed else Verdict(name, Level.OK, value, limit)


def _period(upcoming: Iterable[datetime]) -> timedelta:
    """The time between two scheduled runs; a day if it is not known."""
    first, *rest = (*upcoming, None)
    return rest[0] - first if first and rest and rest[0] else timedelta(days=1)


def _check_late(late: tuple[float, ...]) -> Verdict:
    limit = seconds_text(_PATIENCE.total_seconds())
    if not late:
        return Verdict("late runs", Level.OK, "none")
    number = f"{MOST_LATE} or more" if len(late) == MOST_LATE else str(len(late))
    value = f"{number}, the oldest waiting for {seconds_text(max(late))}"
    if max(late) <= _PATIENCE.total_seconds():
        return Verdict("late runs", Level.OK, value, limit)
    advice = "see what keeps the workers busy; another machine can help: facemill work --server URL"
    return Verdict("late runs", Level.WARN, value, limit, advice)
