"""Per-host rate control from earlier responses. No clock, no sockets; times are passed in.

A host has a *window* of concurrent requests. Successful responses widen it step by step. A refusal (429, 503,
Retry-After) or rising latency halves it: additive increase, multiplicative decrease, as in TCP congestion control (Chiu
and Jain, 1989). Below 1 the window is a rate: one request at a time, and 1/window - 1 seconds between two of them.
A host that fails to respond several times in a row is *down*: its links are rejected without a request, except for one
probe after a delay.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from storage.records import Reason
from storage.stamps.setting_field import setting

# One request every 31 s: the lowest rate, unless the host itself requests a longer pause.
_LEAST_WINDOW = 1 / 32
# Ten successful responses widen a window of one by one; twenty a window of two; and so on.
_STEP = 0.1
# Latency counts as rising if its average exceeds the host's own best by this factor and by this number of seconds: a
# new connection alone costs three round trips, a kept one costs one.
_SLOW_RATIO, _SLOW_S = 3.0, 0.5
_NEWEST_SHARE = 0.2
# The best latency grows by 1% a response, so that a host that became slower permanently is not compared to its past.
_FORGET = 1.01


@dataclass(frozen=True, slots=True)
class HostRules:
    """The limits per host, and when a host is paused."""

    most_at_once: int = 4
    most_per_s: float = 20.0
    # A link that would wait longer for a slowed host is left to a later round.
    longest_wait_s: float = setting(60.0, "longest wait for a slowed host, in seconds", ge=0)
    failures_to_break: int = setting(5, "a host counts as down after this number of failures in a row", ge=1)
    broken_s: float = setting(60.0, "seconds until a host that is down is probed; doubled by each failed probe", gt=0)
    longest_broken_s: float = setting(3600.0, "greatest number of seconds between two probes", gt=0)


class HostUnavailable(Exception):
    """A host must not be contacted now, but may be in `after_s` seconds."""

    def __init__(self, reason: Reason, detail: str, after_s: float) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.after_s = after_s


class Host:
    """The state of one host. Times are seconds of one monotonic clock.

    Attributes:
        window: the allowed number of concurrent requests.
        num_active: the number of requests in flight.
        crawl_delay_s: the least time between two requests that its robots.txt requests.
    """

    __slots__ = (
        "_best_s", "_broken_at", "_broken_s", "_free_at", "_latency_s", "_num_failures", "_rules", "_slowed_at",
        "crawl_delay_s", "num_active", "window",
    )  # fmt: skip

    def __init__(self, rules: HostRules = HostRules()) -> None:
        self._rules = rules
        self.window = float(rules.most_at_once)
        self.num_active = 0
        self.crawl_delay_s = 0.0
        self._free_at = -math.inf
        self._slowed_at = -math.inf
        self._num_failures = 0
        self._broken_at = -math.inf
        self._broken_s = 0.0
        self._latency_s = self._best_s = math.nan

    @property
    def gap_s(self) -> float:
        """The least time between the starts of two requests."""
        slowed_s = 1 / self.window - 1 if self.window < 1 else 0.0
        return max(1 / self._rules.most_per_s, self.crawl_delay_s, slowed_s)

    @property
    def is_slowed(self) -> bool:
        """Whether it is limited below the maximum per host."""
        return self.window < self._rules.most_at_once

    @property
    def is_down(self) -> bool:
        """Whether it counts as down: no response since it failed."""
        return self._broken_s > 0

    # -- before a request --

    def check(self, now: float, num_waiting: int = 0) -> None:
        """Reject a link immediately if waiting would be useless.

        Args:
            num_waiting: the number of links queued before this one.

        Raises:
            HostUnavailable: the host is down and no probe is due, or the wait would exceed `longest_wait_s`.
        """
        down_s = self._broken_at + self._broken_s - now
        if self.is_down and down_s > 0:
            failures = f"{self._num_failures} failures in a row"
            raise HostUnavailable(Reason.HOST_DOWN, f"{failures}; no request for {down_s:.0f} s", down_s)
        wait_s = max(self._free_at - now, 0.0) + num_waiting * self.gap_s
        if wait_s > self._rules.longest_wait_s:
            raise HostUnavailable(
                Reason.HOST_BUSY, f"the host is rate limited: the next request may start in {wait_s:.0f} s", wait_s
            )

    def wait_s(self, now: float) -> float:
        """Seconds until a request may start: 0 for now, infinity if a request in flight has to end first."""
        if self.num_active >= max(int(self.window), 1):
            return math.inf
        return max(self._free_at - now, 0.0)

    def start(self, now: float) -> None:
        """A request starts. At a host that is down it is the probe; other links are rejected until it ends."""
        self.num_active += 1
        self._free_at = max(self._free_at, now) + self.gap_s
        if self.is_down:
            self._broken_at = now

    # -- after it --

    def end(self) -> None:
        """A request ended, with any result."""
        self.num_active -= 1

    def answered(
        self, sent_at: float, now: float, *, refused: bool = False, retry_after_s: float | None = None
    ) -> None:
        """The head of a response was received.

        Args:
            asked_at: when the request was sent.
            refused: the host reported overload (429, 503).
            retry_after_s: its requested pause.
        """
        if self.is_down:
            self.window = 1.0
        self._num_failures, self._broken_s = 0, 0.0
        if refused:
            self._slow_down(sent_at, now, _LEAST_WINDOW)
            self._free_at = max(self._free_at, now + max(retry_after_s or 0.0, self.gap_s))
        elif self._is_latency_rising(now - sent_at):
            self._slow_down(sent_at, now, 1.0)
        else:
            self.window = min(self.window + _STEP / max(self.window, 1.0), float(self._rules.most_at_once))

    def failed(self, sent_at: float, now: float) -> None:
        """No connection, or no first byte in time."""
        if sent_at < self._broken_at:
            return  # sent before the host was known to be down: no new information
        self._num_failures += 1
        if self._num_failures >= self._rules.failures_to_break:
            self._broken_s = min(max(2 * self._broken_s, self._rules.broken_s), self._rules.longest_broken_s)
            self._broken_at = now

    def _slow_down(self, sent_at: float, now: float, least: float) -> None:
        """Halve the window, once for all requests that were in flight at the same time."""
        if sent_at >= self._slowed_at and self.window > least:
            self._slowed_at = now
            self.window = max(self.window / 2, least)

    def _is_latency_rising(self, latency_s: float) -> bool:
        if math.isnan(self._best_s):
            self._best_s = self._latency_s = latency_s
        self._best_s = min(latency_s, self._best_s * _FORGET)
        self._latency_s += _NEWEST_SHARE * (latency_s - self._latency_s)
        return self._latency_s > max(_SLOW_RATIO * self._best_s, self._best_s + _SLOW_S)
