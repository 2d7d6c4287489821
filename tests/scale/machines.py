"""A rack with all that a service on several machines needs: an engine room, a store, a web, and three that work."""

from __future__ import annotations

import os
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.chaos.service import Service, in_proc
from tests.scale.engines import start_engines
from tests.scale.hosts import FACEMILL, Host, Rack, rack
from tests.scale.store import BUCKET, start_store
from tests.scale.waiting import wait_for_port, wait_until

_WEB_PORT = 8000
_LOGIN = "trial:of-the-trial"
# What the slow answers of a made world need; one process that crops, and looks for faces so small that it takes long; a
# lease that is soon taken for dead.
_LIMITS = {
    "FACEMILL_SILENCE_S": "4",
    "FACEMILL_TOTAL_S": "15",
    "FACEMILL_WORKERS": "1",
    "FACEMILL_MIN_FACE_PX": "20",
    "FACEMILL_UNITS_AT_ONCE": "1",
    "FACEMILL_LEASE_S": "20",
    "OMP_NUM_THREADS": "1",
    # Asked every two seconds, a worker starts a run soon.
    "PREFECT_WORKER_QUERY_SECONDS": "2",
}


@dataclass
class Server(Service):
    """The API of a host's service."""

    address: str = "127.0.0.1"

    @property
    def api(self) -> str:
        return f"http://{self.address}:{self.port}/api"

    @property
    def headers(self) -> dict[str, str]:
        return {**super().headers, "authorization": f"Basic {b64encode(_LOGIN.encode()).decode()}"}

    def runs(self, **wanted: Any) -> list[dict[str, Any]]:
        """The flow runs that a filter of the API lets through."""
        found: list[dict[str, Any]] = self.insist("/flow_runs/filter", {"flow_runs": wanted, "sort": "START_TIME_ASC"})
        return found


@dataclass
class Machines:
    """What there is, and how to reach it.

    Attributes:
        web: plays the world; what it has on disk this process sees, too.
        alpha, beta: each with a server and workers; gamma: a worker of alpha's server.
        servers: alpha's and beta's, on one database.
    """

    rack: Rack
    engines: Host
    store: Host
    web: Host
    alpha: Host
    beta: Host
    gamma: Host
    servers: list[Server]
    world: Path

    def play_web(self) -> None:
        """The web from its beginning: what fails at first fails once more."""
        address = self.web.address
        self.web.run("sh", "-c", "pkill --full tests.scale.[w]eb || true")
        self.web.start(sys.executable, "-m", "tests.scale.web", self.world, address, str(_WEB_PORT))
        wait_for_port(address, _WEB_PORT)

    def of_web(self) -> dict[str, Any]:
        """The parameters that send a run there, which is another machine."""
        links = f"http://localhost:{_WEB_PORT}/links/"
        return {"links": links, "connect_to": f"{self.web.address}:{_WEB_PORT}", "allow_outside": True}

    def fill(self, lake: str) -> str:
        """Ask for a pipeline of three runs that fills a lake; its id."""
        self.play_web()
        return self.servers[0].start_run("pipeline/pipeline", lake=lake, source="vggface1", runs=3, **self.of_web())

    @property
    def workers(self) -> list[Host]:
        """The hosts that work."""
        return [self.alpha, self.beta, self.gamma]

    def pull_the_plug(self, host: Host) -> None:
        """End a host for good."""
        host.power_off()
        self.rack.hosts.remove(host)


def work_done(host: Host) -> dict[str, int]:
    """What the runs of a host have done since it was started, by its metrics: links asked for, pictures cropped."""
    ask = "import sys, urllib.request as r; sys.stdout.buffer.write(r.urlopen('http://127.0.0.1:4201/metrics').read())"
    lines = [line for line in host.output(sys.executable, "-c", ask).splitlines() if not line.startswith("#")]

    def total(start: str) -> int:
        return sum(round(float(line.rpartition(" ")[2])) for line in lines if line.startswith(start))

    return {
        "asked for": total("facemill_attempts_total"),
        "cropped": total('facemill_work_done_total{work="detect and crop"}'),
    }


def host_of(run: dict[str, Any]) -> str:
    """The name of the host whose worker has a run."""
    return str(run["labels"].get("prefect.worker.name", "")).rpartition(" ")[2]


def cpu_seconds(run: str) -> float:
    """What the process of a run has used of the processor so far, with those it has waited for; 0 without a process."""
    wanted = f"PREFECT__FLOW_RUN_ID={run}".encode()
    pids = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    found = [pid for pid in pids if wanted in in_proc(pid, "environ").split(b"\0")]
    words = [in_proc(pid, "stat").rpartition(b")")[2].split() for pid in found]
    # utime, stime, cutime and cstime (man 5 proc: fields 14 to 17; the first after the name is the third).
    return sum(int(word) for one in words for word in one[11:15]) / os.sysconf("SC_CLK_TCK")


@contextmanager
def machines(folder: Path, world: Path) -> Iterator[Machines]:
    """All of it, up and set up; gone when the block ends."""
    with rack(folder) as made:
        engines, store = made.add("engines", 2), made.add("store", 3)
        secrets, entrance = start_engines(engines), start_store(store)
        web = made.add("web", 4, own_disk=False, environment=_LIMITS)
        seen = _LIMITS | entrance | {"PREFECT_API_AUTH_STRING": _LOGIN}
        alpha, beta, gamma = (made.add(*one, environment=seen) for one in (("alpha", 11), ("beta", 12), ("gamma", 13)))
        # A core each, in turn: what a host does it does on its own.
        for host, core in zip((alpha, beta, gamma), (0, 1, 0), strict=True):
            host.cores = str(core % (os.cpu_count() or 1))
        alpha.run(sys.executable, "-c", f"import s3fs; s3fs.S3FileSystem().mkdir({BUCKET!r})")
        servers = [_serve(host, secrets) for host in (alpha, beta)]
        gamma.start(*FACEMILL, "work", "--server", f"http://{alpha.address}:4200")
        for host in (alpha, beta, gamma):
            wait_until(f"{host.name} is up", partial(_says_stop, host), within_s=600)
        # What is published would be trained on, and what is due on schedule run: neither is tried here.
        for one in servers[0].ask("/deployments/filter", {}):
            servers[0].ask(f"/deployments/{one['id']}", {"paused": True}, "PATCH")
        servers[0].ask("/work_pools/gpu", {"is_paused": True}, "PATCH")
        yield Machines(made, engines, store, web, alpha, beta, gamma, servers, world)


def _serve(host: Host, secrets: dict[str, str]) -> Server:
    """Start the service there. Both start at the same time on a fresh database, and take turns by themselves."""
    command = [*FACEMILL, "serve", "--lake", f"s3://{BUCKET}/lake", "--host", host.address]
    secrets = secrets | {"PREFECT_SERVER_API_AUTH_STRING": _LOGIN}
    return Server(host.start(*command, variables=secrets), 4200, 4201, address=host.address)  # type: ignore[arg-type]  # its output is bytes, and not read


def _says_stop(host: Host) -> bool:
    """Both commands end what they say when all is up with how to stop."""
    return any(line.startswith("stop ") for line in host.told().splitlines())
