"""DNS resolution in separate threads, with a cache that includes failures and an address check before connecting.

In lists of old links many names no longer resolve, and a resolver may take ten seconds to fail, which delays
the others (img2dataset #98, #336, #360).
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import ip_address
from socket import AddressFamily
from typing import NamedTuple

from aiohttp.abc import AbstractResolver, ResolveResult

from storage.records import Reason
from tasks.web.addresses import Network, Refusal, is_public
from tasks.web.ttl_cache import TtlCache

_FOUND_S = 300.0
_DEAD_S = 900.0
# The resolver itself failed or was too slow: the name may exist.
_UNSURE_S = 30.0
_NUM_THREADS = 16


class SystemResolver(AbstractResolver):
    """The system's resolver, in threads of its own: a slow look-up does not delay the decoding of pictures."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="names")

    async def resolve(
        self, host: str, port: int = 0, family: AddressFamily = AddressFamily.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of `host`.

        Raises:
            OSError: it has none.
        """
        look_up = partial(
            socket.getaddrinfo, host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
        found = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        return [
            ResolveResult(
                hostname=host, host=str(address[0]), port=port, family=kind, proto=proto, flags=socket.AI_NUMERICHOST
            )
            for kind, _, proto, _, address in found
        ]

    async def close(self) -> None:
        """Shut the threads down."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Found(NamedTuple):
    """The result for a name: permitted addresses, or the reason for none."""

    addresses: tuple[ResolveResult, ...]
    private: str = ""
    error: str = ""


class GuardedResolver(AbstractResolver):
    """Returns only the permitted addresses of a name; connections are made to these alone.

    Args:
        timeout_s: a name that takes longer counts as dead for half a minute.
        clock: returns seconds from an arbitrary start.
    """

    def __init__(
        self,
        inner: AbstractResolver,
        allowed: tuple[Network, ...] = (),
        *,
        timeout_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner = inner
        self._allowed = allowed
        self._timeout_s = timeout_s
        self._names = TtlCache(self._look_up, clock=clock)

    async def resolve(
        self, host: str, port: int = 0, family: AddressFamily = AddressFamily.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The public addresses of `host`, of any family.

        Raises:
            Refusal: it has addresses, and none of them is public.
            OSError: it has none.
        """
        found = await self._names.get(host)
        if found.error:
            raise OSError(None, found.error)
        if not found.addresses:
            raise Refusal(Reason.NOT_PUBLIC, f"{host} resolves to {found.private}")
        return [ResolveResult(**{**one, "port": port}) for one in found.addresses]

    async def close(self) -> None:
        """Close the wrapped resolver."""
        await self._names.close()
        await self._inner.close()

    async def _look_up(self, host: str) -> tuple[_Found, float]:
        try:
            async with asyncio.timeout(self._timeout_s):
                found = await self._inner.resolve(host)
        except TimeoutError:
            return _Found((), error=f"{host} was not resolved within {self._timeout_s:g} s"), _UNSURE_S
        except (OSError, UnicodeError) as error:
            is_unsure = isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN
            return _Found((), error=f"{host}: {error}"), _UNSURE_S if is_unsure else _DEAD_S
        if not found:
            return _Found((), error=f"{host} has no address"), _DEAD_S
        public = tuple(one for one in found if is_public(ip_address(one["host"].partition("%")[0]), self._allowed))
        return _Found(public, private=found[0]["host"]), _FOUND_S
