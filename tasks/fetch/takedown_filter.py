"""A transport that neither requests nor returns pictures under takedown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from storage.records import Reason, bytes_digest, url_key
from storage.versions.takedowns import Forgotten
from tasks.fetch.fetch_unit import Transport
from tasks.web.responses import FetchResult


class GuardedTransport:
    """Wraps a transport: URLs under takedown are not fetched, and covered bytes are removed from results.

    A fetch takes hours, and a takedown may be recorded at any time: `look_again` has the next request look for it.

    Args:
        forgotten: reads what takedowns cover now.
    """

    def __init__(self, transport: Transport, forgotten: Callable[[], Forgotten]) -> None:
        self._transport = transport
        self._read, self._forgotten = forgotten, Forgotten()
        self._is_due, self._lock = True, asyncio.Lock()

    def look_again(self) -> None:
        """Read before the next request what takedowns cover. Call it from any thread."""
        self._is_due = True

    async def get(self, url: str) -> FetchResult:
        """The result of the wrapped transport, or the rejection as `taken_down`."""
        forgotten = await self._covered()
        if url_key(url) in forgotten.keys:
            return FetchResult("", reason=Reason.TAKEN_DOWN)
        answer = await self._transport.get(url)
        # A picture may be complete in what came before a connection broke.
        is_covered = forgotten.digests and not forgotten.digests.isdisjoint(
            map(bytes_digest, (answer.data, answer.partial))
        )
        # A link may redirect to one that is covered.
        if is_covered or url_key(answer.final_url) in forgotten.keys:
            return replace(answer, final_url="", data=b"", partial=b"", reason=Reason.TAKEN_DOWN)
        return answer

    async def _covered(self) -> Forgotten:
        async with self._lock:
            if self._is_due:
                self._is_due = False  # before reading: what is recorded meanwhile is looked for again
                try:
                    self._forgotten = await asyncio.to_thread(self._read)
                except BaseException:
                    self._is_due = True
                    raise
            return self._forgotten
