"""A transport that neither requests nor returns pictures under takedown."""

from __future__ import annotations

from dataclasses import replace

from storage.records import Reason, bytes_digest, url_key
from storage.versions.takedowns import Forgotten
from tasks.fetch.fetch_unit import Transport
from tasks.web.responses import FetchResult


class GuardedTransport:
    """Wraps a transport: URLs under takedown are not fetched, and covered bytes are removed from results."""

    def __init__(self, transport: Transport, forgotten: Forgotten) -> None:
        self._transport = transport
        self._forgotten = forgotten

    async def get(self, url: str) -> FetchResult:
        """The result of the wrapped transport, or the rejection as `taken_down`."""
        if url_key(url) in self._forgotten.keys:
            return FetchResult("", reason=Reason.TAKEN_DOWN)
        answer = await self._transport.get(url)
        if self._forgotten.digests and bytes_digest(answer.data) in self._forgotten.digests:
            return replace(answer, final_url="", data=b"", reason=Reason.TAKEN_DOWN)
        return answer
