"""robots.txt rules of hosts (RFC 9309). Off unless `FetchLimits.robots` is set."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from yarl import URL

from storage.records import Reason
from tasks.web.addresses import Refusal
from tasks.web.responses import FetchResult
from tasks.web.ttl_cache import TtlCache

if TYPE_CHECKING:
    from protego import Protego

# RFC 9309, 2.5: at least 500 KiB are read, and rules are kept for a day at most.
MAX_BYTES = 512_000
_VALID_S = 86_400.0
# RFC 9309, 2.3.1.2.
MAX_REDIRECTS = 5
# Of one host.
_MAX_RULES = 2_000
_MAX_RULES_BYTES = 100_000
_MAX_PATTERNS_INLINE = 100
# Of all hosts.
_MAX_MEMORY = 64_000_000
_LINE_END = re.compile(r"\r\n|\r|\n")
_AGENT = re.compile(r"user[- ]?agent\s*(?::|\s)\s*(.*)", re.IGNORECASE)
_TOKEN = re.compile(r"\*|[a-z_-]*")
# Lines that belong to no group.
_FOR_ALL = re.compile(r"(site-?maps?|host)\b", re.IGNORECASE)
# With longer delays, the links of one host would take months.
_LONGEST_DELAY_S = 30
# Rules that could not be fetched are requested again after this time.
_UNKNOWN_S = 300.0
# After these a link is retried later, as if they were the picture's own. Any other failure means that there are no
# rules.
_UNKNOWN = frozenset({
    Reason.SERVER_ERROR, Reason.RATE_LIMITED, Reason.TIMEOUT, Reason.TOO_SLOW, Reason.CONNECT, Reason.RESET,
    Reason.CUT_SHORT, Reason.DNS, Reason.TLS, Reason.HOST_DOWN, Reason.HOST_BUSY, Reason.NOT_PUBLIC, Reason.TOO_LARGE,
})  # fmt: skip


class _Rules(NamedTuple):
    """The rules of one host, or the reason that none of its pages may be requested."""

    parser: Protego | None = None
    num_plain: int = 0
    num_patterns: int = 0
    refusal: tuple[Reason, str] | None = None


class Robots:
    """The rules of all hosts, each requested once a day.

    Args:
        fetch: fetches a URL, within the same limits as any picture.
        agent: the name of this program in rules.
        clock: returns seconds from an arbitrary start.
    """

    def __init__(
        self, fetch: Callable[[str], Awaitable[FetchResult]], agent: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetch = fetch
        self._agent = agent
        self._rules = TtlCache(self._find, clock=clock, max_size=_MAX_MEMORY, size_of=memory_of)

    async def check(self, url: URL) -> float:
        """The crawl delay of the host of `url`, in seconds.

        Raises:
            Refusal: the rules forbid it, or could not be fetched (RFC 9309, 2.3.1.4: everything is then forbidden).
        """
        rules = await self._rules.get(str(url.origin()))
        if rules.refusal is not None:
            raise Refusal(*rules.refusal)
        if rules.parser is None:
            return 0.0
        matches = partial(rules.parser.can_fetch, str(url), self._agent)
        # Each pattern takes up to 20 us for a URL of 8,000 characters.
        if not (await asyncio.to_thread(matches) if rules.num_patterns > _MAX_PATTERNS_INLINE else matches()):
            raise Refusal(Reason.ROBOTS, f"{url.host}/robots.txt forbids it")
        return float(min(rules.parser.crawl_delay(self._agent) or 0, _LONGEST_DELAY_S))

    async def close(self) -> None:
        """Cancel pending requests."""
        await self._rules.close()

    async def _find(self, origin: str) -> tuple[_Rules, float]:
        robots_url = f"{origin}/robots.txt"
        answer = await self._fetch(robots_url)
        if answer.reason in _UNKNOWN:
            reason = answer.reason or Reason.BAD_RESPONSE
            if reason is Reason.NOT_PUBLIC and answer.final_url != robots_url:
                reason = (
                    Reason.CONNECT
                )  # a redirect of robots.txt left the public web; the host itself may still be public
            refusal = reason, f"robots.txt: {answer.detail}"
            return _Rules(refusal=refusal), answer.retry_after_s or _UNKNOWN_S
        # A host that responds 404, 403 or with an invalid response has no rules.
        data = answer.data if answer.reason is None else b""
        return await asyncio.to_thread(parse, data, self._agent), _VALID_S


def parse(data: bytes, agent: str) -> _Rules:
    """The rules for `agent` in the first 500 KiB of a robots.txt; everything is forbidden if there are too many.

    Only the rules of the agent's own groups, or else those for all agents, are passed to Protego. This bounds the
    memory of a host and the time of a link.
    """
    from protego import Protego  # noqa: PLC0415 - rules are obeyed only where `FACEMILL_ROBOTS` is set

    text = data[:MAX_BYTES].decode("utf-8-sig", "replace")
    lines = _LINE_END.split(text)[: -1 if len(data) >= MAX_BYTES else None]
    rules = group_of(lines, agent)
    num_bytes = sum(map(len, rules))
    if len(rules) > _MAX_RULES or num_bytes > _MAX_RULES_BYTES:
        refusal = Reason.ROBOTS, f"robots.txt: {len(rules)} rules of {num_bytes} bytes are over the limit"
        return _Rules(refusal=refusal)
    num_patterns = sum("*" in rule or "$" in rule for rule in rules)
    return _Rules(Protego.parse("\n".join(["User-agent: *", *rules])), len(rules) - num_patterns, num_patterns)


def group_of(lines: Iterable[str], agent: str) -> list[str]:
    """The rules of all groups that name `agent`, in any letter case, or else `*` (RFC 9309, 2.2.1)."""
    rules: dict[str, list[str]] = {}
    names: set[str] = set()
    is_open = False
    for line in lines:
        field = line.partition("#")[0].strip()
        if found := _AGENT.fullmatch(field):
            names = {*(names if is_open else ()), _TOKEN.match(found[1].lower())[0]}  # type: ignore[index]
            is_open = True
            for name in names & {agent, "*"}:
                rules.setdefault(name, [])
        elif field and not _FOR_ALL.match(field):
            is_open = False
            for name in names & {agent, "*"}:
                rules[name].append(field)
    return rules.get(agent, rules.get("*", []))


def memory_of(rules: _Rules) -> int:
    """The memory of a host's rules in bytes, as measured with `tracemalloc`."""
    return 1000 + 400 * rules.num_plain + 1600 * rules.num_patterns
