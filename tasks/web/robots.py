"""What hosts say in robots.txt about who may ask for what (RFC 9309). Off unless `FetchLimits.robots` is set."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple
from urllib.robotparser import RobotFileParser

from yarl import URL

from storage.records import Reason
from tasks.web.addresses import Refusal
from tasks.web.answers import Answer, storable
from tasks.web.memo import Memo

# RFC 9309, 2.5: at least 500 KiB are read, and rules are kept for a day at most.
MAX_BYTES = 512_000
_HOLDS_S = 86_400.0
# RFC 9309, 2.3.1.2.
MAX_REDIRECTS = 5
# A host that wants more would get its few links asked in months.
_LONGEST_DELAY_S = 30
# A host whose rules could not be had is asked for them again, once it may have recovered.
_UNKNOWN_S = 300.0
# These keep a link waiting as if they came for the picture itself; any other answer means that there are no rules.
_UNKNOWN = frozenset({
    Reason.SERVER_ERROR, Reason.RATE_LIMITED, Reason.TIMEOUT, Reason.TOO_SLOW, Reason.CONNECT, Reason.RESET,
    Reason.CUT_SHORT, Reason.DNS, Reason.TLS, Reason.HOST_DOWN, Reason.HOST_BUSY, Reason.NOT_PUBLIC,
})  # fmt: skip


class _Rules(NamedTuple):
    """The rules of one host, or the answer that brought none."""

    parser: RobotFileParser
    unknown: Answer | None


class Robots:
    """The rules of all hosts, each asked for once a day.

    Args:
        ask: brings the bytes behind a URL, within the same limits as any picture.
        agent: the name this program goes by in rules.
        clock: tells seconds, from any start.
    """

    def __init__(
        self, ask: Callable[[str], Awaitable[Answer]], agent: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._agent = agent
        self._rules = Memo(self._find, clock=clock)

    async def check(self, url: URL) -> float:
        """The seconds its host wants between two requests.

        Raises:
            Refusal: the rules forbid it, or could not be had (RFC 9309, 2.3.1.4: then all is forbidden for now).
        """
        rules = await self._rules.get(str(url.origin()))
        if rules.unknown is not None:
            reason = rules.unknown.reason or Reason.BAD_RESPONSE
            raise Refusal(reason, f"robots.txt: {rules.unknown.detail}")
        if not rules.parser.can_fetch(self._agent, str(url)):
            raise Refusal(Reason.ROBOTS, f"{url.host}/robots.txt forbids it")
        return float(min(rules.parser.crawl_delay(self._agent) or 0, _LONGEST_DELAY_S))

    async def close(self) -> None:
        """Stop asking."""
        await self._rules.close()

    async def _find(self, origin: str) -> tuple[_Rules, float]:
        answer = await self._ask(f"{origin}/robots.txt")
        parser = RobotFileParser()
        if answer.reason in _UNKNOWN:
            return _Rules(parser, answer), answer.retry_after_s or _UNKNOWN_S
        # Whoever says 404, 403 or something that is no answer has no rules.
        lines = answer.data.decode("utf-8", "replace").splitlines() if answer.reason is None else []
        try:
            parser.parse(lines)
        except ValueError as error:  # robotparser takes "²" for a number and then cannot read it
            unreadable = Answer(origin, reason=Reason.BAD_RESPONSE, detail=storable(f"cannot be read: {error}"))
            return _Rules(parser, unreadable), _UNKNOWN_S
        return _Rules(parser, None), _HOLDS_S
