"""PostgreSQL and Redis as Debian has them (`apt install postgresql redis-server`), on one host of a rack."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.scale.hosts import Host
from tests.scale.waiting import wait_for_port

PROGRAMS = Path("/usr/lib/postgresql")
# Of engines that live for minutes, on a wire that nobody else has.
_PASSWORD = "of-the-trial"


def start_engines(host: Host) -> dict[str, str]:
    """Start both, empty; the variables that tell `facemill serve` where they are."""
    _start_postgres(host)
    host.start("redis-server", "--bind", host.address, "--save", "", "--requirepass", _PASSWORD)
    wait_for_port(host.address, 6379)
    return {
        "FACEMILL_DATABASE_URL": f"postgresql://postgres:{_PASSWORD}@{host.address}:5432/postgres",
        "FACEMILL_REDIS_URL": f"redis://:{_PASSWORD}@{host.address}:6379/0",
    }


def psql(host: Host, query: str) -> list[list[str]]:
    """The rows that a query of the database gives."""
    command = [
        "psql",
        "--host",
        host.address,
        "--username",
        "postgres",
        "--tuples-only",
        "--no-align",
        "--command",
        query,
    ]
    done = subprocess.run(
        command, env={"PGPASSWORD": _PASSWORD, "PATH": "/usr/bin"}, capture_output=True, text=True, check=True
    )
    return [line.split("|") for line in done.stdout.splitlines()]


def installed() -> Path | None:
    """The folder of the newest PostgreSQL that is installed."""
    return max(PROGRAMS.glob("*/bin"), default=None)


def _start_postgres(host: Host) -> None:
    programs = installed()
    assert programs is not None
    data, secret = host.disk / "postgres", host.disk / "password"
    # It refuses to run as root.
    own = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    host.run(sys.executable, "-c", f"open({str(secret)!r}, 'w').write({_PASSWORD!r})")
    host.run("install", "--directory", "--owner=postgres", data)
    host.run(*own, programs / "initdb", "--auth=scram-sha-256", f"--pwfile={secret}", "-D", data)
    host.run("sh", "-c", f"echo 'host all all 10.77.0.0/24 scram-sha-256' >> {data}/pg_hba.conf")
    listen = ["-c", f"listen_addresses={host.address}", "-c", "max_connections=200", "-c", "fsync=off"]
    host.start(*own, programs / "postgres", "-D", data, "-k", data, *listen)
    wait_for_port(host.address, 5432)
