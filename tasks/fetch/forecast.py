"""An estimate of the duration and the volume of a fetch, before the first request is sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storage.text.durations import hours_text
from storage.text.sizes import size_words
from tasks.fetch.ledger import host_of

# The earlier experiment on VGGFace1: 400,000 links in 6 hours, 56% of them accepted.
EARLIER_LINKS_PER_S = 400_000 / (6 * 3600)
SHARE_ACCEPTED = 0.56
# Size of the pictures of `bench.fetch`, and the rate of `facemill ingest` there on two cores: 6000 links, 40% of them
# faults, so 3600 pictures, at 241 pictures a second.
_PICTURE_BYTES = 58_000
LOOPBACK_LINKS_PER_S = 241 * 6000 / 3600
# At least the attempts of one shard; a gap of more than a minute counts as a pause.
_LEAST_ATTEMPTS = 500
_LONGEST_GAP_S = 60.0


@dataclass(frozen=True, slots=True)
class Rate:
    """Cost per link: links a second at the slowest and at the fastest, bytes a link, and the basis of the estimate."""

    slowest_per_s: float
    fastest_per_s: float
    bytes_per_link: float
    basis: str


DOCUMENTED = Rate(
    EARLIER_LINKS_PER_S,
    LOOPBACK_LINKS_PER_S,
    SHARE_ACCEPTED * _PICTURE_BYTES,
    "estimated from the earlier experiment and from loopback",
)


@dataclass(frozen=True, slots=True)
class Forecast:
    """The expected requests of a fetch. `hours` are the lower and upper estimate."""

    links: int
    hosts: int
    num_bytes: float
    hours: tuple[float, float]
    basis: str

    def __str__(self) -> str:
        """A one-line summary."""
        times = dict.fromkeys(map(hours_text, self.hours))
        size = size_words(self.num_bytes)
        return f"{self.links:,} links on {self.hosts:,} hosts, about {size} in {' to '.join(times)}, {self.basis}"


def links_by_host(urls: Iterable[pa.ChunkedArray]) -> Counter[str]:
    """The number of URLs of each host; of those without a host under an empty name."""
    found = Counter[str]()
    for some in urls:
        found.update({item["values"]: item["counts"] for item in pc.value_counts(host_of(some)).to_pylist()})
    return found


def forecast(links: Mapping[str, int], rate: Rate = DOCUMENTED) -> Forecast:
    """Estimate the cost of fetching so many links of each host."""
    num = sum(links.values())
    hours = (num / rate.fastest_per_s / 3600, num / rate.slowest_per_s / 3600)
    return Forecast(num, len(links), num * rate.bytes_per_link, hours, rate.basis)


def busiest_host(links: Mapping[str, int]) -> tuple[str, int] | None:
    """The host with the most links, and their number; None if no link has a host."""
    return max(((host, num) for host, num in links.items() if host), key=lambda item: item[::-1], default=None)


def own_rate(attempts: pa.Table) -> Rate | None:
    """The measured cost of links so far; None if there are too few attempts.

    Args:
        attempts: `fetched_at` and `received_bytes` of the ledger. Pauses of over a minute do not count as work.
    """
    if len(attempts) < _LEAST_ATTEMPTS:
        return None
    at_s = np.sort(attempts["fetched_at"].cast(pa.timestamp("us")).cast(pa.int64()).to_numpy()) / 1e6
    gaps = np.diff(at_s)
    worked_s = float(gaps[gaps <= _LONGEST_GAP_S].sum())
    received = pc.sum(attempts["received_bytes"]).as_py() or 0
    if not worked_s or not received:
        return None
    per_s = len(attempts) / worked_s
    return Rate(per_s, per_s, received / len(attempts), f"estimated from {len(attempts):,} links so far")
