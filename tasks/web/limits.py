"""Limits of a request in time and size, and the number of concurrent requests."""

from __future__ import annotations

from dataclasses import dataclass

from storage.stamps.setting_field import setting
from tasks.web.host_queue import LONGEST_QUEUE_S


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """Limits of a request, and the number of concurrent requests."""

    connect_s: float = setting(10.0, "connect timeout in seconds", gt=0)
    silence_s: float = setting(15.0, "read timeout in seconds, before the first byte and between bytes", gt=0)
    total_s: float = setting(60.0, "total timeout per picture in seconds", gt=0)
    # A host that sends 1 KB/s delays img2dataset by 56 s (measured).
    min_bytes_per_s: int = setting(2048, "least number of bytes per second, after the grace period", ge=0)
    grace_s: float = setting(5.0, "seconds that a slower response is tolerated", ge=0)
    max_bytes: int = setting(32_000_000, "greatest size of a picture in bytes", ge=1)
    # As in browsers.
    max_redirects: int = setting(20, "redirects that are followed", ge=0, le=100)
    concurrency: int = setting(128, "concurrent requests", ge=1)
    per_host: int = setting(4, "concurrent requests to one host", ge=1)
    per_host_per_s: float = setting(20.0, "requests per second to one host", gt=0)
    robots: bool = setting(False, "whether robots.txt is fetched and obeyed")
    bad_certificates: bool = setting(False, "whether an expired or mismatched certificate is accepted")

    @property
    def longest_get_s(self) -> float:
        """The most seconds that `WebTransport.get` takes: the wait for the host and all redirects with their own waits;
        twice that with robots.txt.

        The wait for one of the `concurrency` slots is not included.
        """
        return (LONGEST_QUEUE_S + self.total_s) * (2 if self.robots else 1)
