"""The limits of a request in time and size, and of the requests at a time."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.web.host_queue import LONGEST_TURN_S
from tasks.web.hosts import HostRules


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """Limits of a request, and the number of concurrent requests."""

    connect_s: float = 10.0
    # Before the first byte and between any two.
    silence_s: float = 15.0
    total_s: float = 60.0
    # A host that stays under this for longer than the grace is cut off: 1 KB/s held img2dataset for 56 s (measured).
    min_bytes_per_s: int = 2048
    grace_s: float = 5.0
    max_bytes: int = 32_000_000
    # As browsers have it.
    max_redirects: int = 20
    concurrency: int = 128
    per_host: int = 4
    per_host_per_s: float = 20.0
    # Whether robots.txt is asked for and obeyed.
    robots: bool = False
    # Whether a picture is taken from a host whose certificate has expired or is not its own.
    bad_certificates: bool = False

    @property
    def longest_get_s(self) -> float:
        """The most seconds that `WebTransport.get` takes: a turn, then all hops with their own turns; with robots.txt,
        the same once more before.

        Waiting for one of the `concurrency` slots comes on top of it, when more than so many are asked at a time.
        """
        return (LONGEST_TURN_S + self.total_s) * (2 if self.robots else 1)

    def host_rules(self) -> HostRules:
        """The limits per host."""
        return HostRules(most_at_once=self.per_host, most_per_s=self.per_host_per_s)
