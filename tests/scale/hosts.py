"""Machines on one machine: Linux namespaces that share a kernel, the code, and a wire between them; nothing else.

Each has a name, an address, process numbers and a disk (in memory) of its own. All of it is gone when the first process
in each is, and that ends with this process, however it ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]
# A command of facemill.
FACEMILL = (sys.executable, "-c", "from flows.cli.app import main; main()")
_NET = "10.77.0"
_NAMESPACES = ["--net", "--uts", "--pid", "--ipc", "--mount"]


@dataclass
class Host:
    """One machine.

    Attributes:
        init: its first process, as numbered outside; when that is killed, all others are.
        disk: a folder that only it sees the content of.
        cores: the numbers of the processor's cores that it has; empty: all.
    """

    name: str
    address: str
    init: int
    unshare: subprocess.Popen[bytes]
    disk: Path
    log: IO[str]
    environment: dict[str, str] = field(default_factory=dict)
    cores: str = ""

    def start(self, *command: str | Path, variables: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a command there, with nothing of this process's environment; what it says goes to the host's log."""
        seen = self._environment(variables or {})
        return subprocess.Popen(self._inside(*command), env=seen, stdout=self.log, stderr=self.log)

    def output(self, *command: str | Path) -> str:
        """What a command that ends well says there."""
        seen = self._environment({})
        return subprocess.run(self._inside(*command), env=seen, stdout=subprocess.PIPE, check=True, text=True).stdout

    def run(self, *command: str | Path, variables: Mapping[str, str] | None = None, within_s: float = 120) -> None:
        """Run a command there to its end, which must be good."""
        code = self.start(*command, variables=variables).wait(within_s)
        assert code == 0, f"{self.name}: {command[0]} ended with {code}; {self.log.name} says:\n{self.told()[-3000:]}"

    def _inside(self, *command: str | Path) -> list[str]:
        pinned = ["taskset", "--cpu-list", self.cores] if self.cores else []
        return ["nsenter", f"--target={self.init}", *_NAMESPACES, f"--wd={ROOT}", *pinned, *map(str, command)]

    def _environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        own = {"HOME": str(self.disk), "TMPDIR": str(self.disk), "PYTHONPATH": str(ROOT)}
        return {"PATH": os.environ["PATH"], **own, **self.environment, **variables}

    def told(self) -> str:
        """What its processes have said so far."""
        return Path(self.log.name).read_text(errors="replace")

    def power_off(self) -> None:
        """End it as if the plug was pulled: every process at once, its address and its disk."""
        self.unshare.send_signal(signal.SIGKILL)
        self.unshare.wait()


class Rack:
    """Hosts on one wire; this process has an end of it, as `.1`.

    Use `rack` to make one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hosts: list[Host] = []
        self._wire = self._boot("wire", ["ip link add wire type bridge", "ip link set wire up"])
        self.address = f"{_NET}.1"
        _ip(f"link add fm-rack type veth peer name rack netns {self._wire.init}")
        _ip(f"addr add {self.address}/24 dev fm-rack")
        _ip("link set fm-rack up")
        self._plug("rack")

    def add(
        self, name: str, number: int, *, own_disk: bool = True, environment: Mapping[str, str] | None = None
    ) -> Host:
        """One more machine, at address `.number`."""
        mount = [f"mount -t tmpfs -o mode=755 tmpfs {self.folder}", f"mkdir -p {self.folder}/{name}"]
        host = self._boot(name, mount if own_disk else [f"mkdir -p {self.folder}/{name}"])
        host.address = f"{_NET}.{number}"
        host.environment |= environment or {}
        _ip(f"link add eth0 netns {host.init} type veth peer name {name} netns {self._wire.init}")
        self._plug(name)
        host.run("ip", "addr", "add", f"{host.address}/24", "dev", "eth0")
        host.run("ip", "link", "set", "eth0", "up")
        self.hosts.append(host)
        return host

    def stop(self) -> None:
        """End all of it; the wire last."""
        for host in [*self.hosts, self._wire]:
            host.power_off()
            host.log.close()

    def _boot(self, name: str, commands: list[str]) -> Host:
        log = (self.folder / f"{name}.log").open("w")
        first = " && ".join(
            ["mount --make-rprivate /", f"hostname {name}", "ip link set lo up", *commands, "exec sleep infinity"]
        )
        # --kill-child ends what is inside with unshare, --pdeathsig ends unshare with this process.
        unshare = ["setpriv", "--pdeathsig", "KILL", "unshare", *_NAMESPACES, "--fork", "--kill-child", "--mount-proc"]
        process = subprocess.Popen([*unshare, "sh", "-c", first], stdout=log, stderr=log)
        return Host(name, "", _booted(process, log.name), process, self.folder / name, log)

    def _plug(self, end: str) -> None:
        self._wire.run("ip", "link", "set", end, "master", "wire")
        self._wire.run("ip", "link", "set", end, "up")


@contextmanager
def rack(folder: Path) -> Iterator[Rack]:
    """A rack that is gone when the block ends."""
    made = Rack(folder)
    try:
        yield made
    finally:
        made.stop()


def can_make_hosts() -> bool:
    """Whether namespaces and wires can be made here: only root may, and not in every container."""
    trial = ["unshare", *_NAMESPACES, "--fork", "ip", "link", "add", "trial", "type", "bridge"]
    return os.geteuid() == 0 and subprocess.run(trial, check=False, capture_output=True).returncode == 0


def _booted(unshare: subprocess.Popen[bytes], log: str) -> int:
    """The first process inside, once it has done all commands: it is `sleep` then."""
    for _ in range(200):
        children = Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children").read_text().split()
        if children and Path(f"/proc/{children[0]}/comm").read_text().strip() == "sleep":
            return int(children[0])
        assert unshare.poll() is None, Path(log).read_text()
        time.sleep(0.05)
    raise AssertionError(f"not booted within 10 s: {Path(log).read_text()}")


def _ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True)
