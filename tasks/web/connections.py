"""aiohttp connections that parse with `framing.Framing`.

aiohttp has no public hook for another parser. This uses two private ones: `BaseConnector._factory`, and what
`ResponseHandler.set_response_params` sets. For this reason pyproject.toml bounds aiohttp's version.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpVersion11, RawResponseMessage
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from tasks.web.framing import BadFraming, Framing, Head

_Fed = tuple[tuple[tuple[RawResponseMessage, StreamReader], ...], bool, bytes]
_NOTHING: _Fed = ((), False, b"")


class Connector(aiohttp.TCPConnector):
    """A TCP connector whose connections parse responses with `framing`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = partial(Connection, loop=asyncio.get_running_loop())  # type: ignore[assignment]


class Connection(ResponseHandler):
    """One connection; `framing` belongs to the current response."""

    framing: Framing
    _num_requests = 0

    def set_response_params(
        self,
        *,
        read_timeout: float | None = None,
        read_bufsize: int = 1 << 18,
        timeout_ceil_threshold: float = 5,
        **_: Any,
    ) -> None:
        """Prepare for the next response."""
        self._read_timeout = read_timeout
        self._read_bufsize = read_bufsize
        self._timeout_ceil_threshold = timeout_ceil_threshold
        self._num_requests += 1
        parser = _Parser(self, self._loop, read_bufsize, is_first=self._num_requests == 1)
        self.framing = parser.framing
        self._parser = parser  # type: ignore[assignment]
        self._drain_tail()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection ended; `exc` is the cause, None if the host closed it."""
        if exc and isinstance(self._parser, _Parser):
            self._parser.is_lost = True
        super().connection_lost(exc)


class PeerResponse(aiohttp.ClientResponse):
    """A response that keeps its peer address: the connection returns to the pool once a short body has arrived.

    Attributes:
        peer: the address of the sender.
    """

    peer: str | None = None

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        """Read the head of the response."""
        name = connection.transport.get_extra_info("peername") if connection.transport else None
        self.peer = name[0] if isinstance(name, tuple) else None
        return await super().start(connection)


class Response(PeerResponse):
    """A response over a `Connection`.

    Attributes:
        framing: the parser state: progress and protocol faults.
    """

    framing: Framing

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        """Read the head of the response."""
        self.framing = connection.protocol.framing
        return await super().start(connection)


class _Parser:
    """The parser interface of `ResponseHandler` around a `Framing`.

    A body that breaks off ends its stream like any other; `Framing.is_done` and `error` hold how it ended. An exception
    in the stream would discard the unread bytes before it.
    """

    def __init__(self, connection: Connection, loop: asyncio.AbstractEventLoop, limit: int, *, is_first: bool) -> None:
        self.framing = Framing()
        self.is_lost = False
        self._connection = connection
        self._loop = loop
        self._limit = limit
        self._is_first = is_first
        self._stream: StreamReader | None = None

    def feed_data(self, data: bytes) -> _Fed:
        """Feed received bytes; returns the response head and the stream of its body once the head is complete."""
        framing = self.framing
        if not data or framing.error:
            return _NOTHING
        if framing.is_done:
            self._close()
            return _NOTHING
        is_new = framing.head is None
        body = framing.feed(data)
        if framing.head is None:
            return self._refused(framing.error) if framing.error else _NOTHING
        is_over = framing.is_done or framing.error is not None
        if is_new:
            is_empty = is_over and not body
            self._stream = EMPTY_PAYLOAD if is_empty else StreamReader(self._connection, self._limit, loop=self._loop)
        if body and self._stream:
            self._stream.feed_data(body)
        if is_over:
            self._end_stream()
        return (((_message(framing.head), self._stream),), False, b"") if is_new and self._stream else _NOTHING

    def feed_eof(self) -> None:
        """The connection ended. A body that lasts until then is complete only if the connection was closed properly."""
        if not (self.framing.is_done or self.is_lost):
            self.framing.end()
        if self._stream:
            self._end_stream()

    def pause_reading(self) -> None:
        """Do nothing: the parser buffers no data, and aiohttp pauses the transport as well."""

    def _end_stream(self) -> None:
        framing, stream = self.framing, self._stream
        if framing.notes or framing.error or not framing.is_done:
            self._close()
        if stream and not stream.is_eof():
            stream.feed_eof()

    def _refused(self, error: BadFraming) -> _Fed:
        if self._is_first:
            raise HttpProcessingError(code=self.framing.status or 0, message=str(error))
        # A kept connection still held bytes of the previous response: aiohttp repeats the request on a new one.
        self._connection.set_exception(aiohttp.ServerDisconnectedError("bytes left of the previous response"))
        self._close()
        return _NOTHING

    def _close(self) -> None:
        self._connection.force_close()
        if self._connection.transport:
            self._connection.transport.close()


def _message(head: Head) -> RawResponseMessage:
    return RawResponseMessage(
        HttpVersion11, head.status, head.phrase, head.fields, (), not head.is_kept, None, False, False
    )
