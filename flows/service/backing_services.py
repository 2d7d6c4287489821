"""External backing services of the Prefect server: PostgreSQL for its database, Redis for its events.

With both, several servers can share them. The URLs are passed to the server's process only, never to a worker.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import asyncpg

from storage.errors import ServiceError, UsageError

# Environment variables that contain passwords.
SECRETS = frozenset({"FACEMILL_DATABASE_URL", "FACEMILL_REDIS_URL"})
# The advisory lock of a starting service; the number is arbitrary.
_STARTING = 0x66616365
_LOOK_EVERY_S = 1.0
_IN_REDIS = {
    "PREFECT_SERVER_EVENTS_MESSAGING_BROKER": "prefect_redis.messaging",
    "PREFECT_SERVER_EVENTS_MESSAGING_CACHE": "prefect_redis.messaging",
    "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
    "PREFECT_SERVER_WORKER_CHANNEL_CLEANUP_QUEUE_STORAGE": "prefect_redis.cleanup_queue",
}
_REDIS_URLS = ("PREFECT_REDIS_MESSAGING_URL", "PREFECT_REDIS_WORKER_CLEANUP_QUEUE_URL", "PREFECT_SERVER_DOCKET_URL")


@dataclass(frozen=True, slots=True)
class BackingServices:
    """URLs of PostgreSQL and Redis; empty: the server's own SQLite file and memory.

    Raises:
        UsageError: a URL has the wrong scheme, or the package for Redis is not installed.
    """

    database_url: str = ""
    redis_url: str = ""

    def __post_init__(self) -> None:
        _check_kind("FACEMILL_DATABASE_URL", self.database_url, ("postgresql://", "postgres://"))
        _check_kind("FACEMILL_REDIS_URL", self.redis_url, ("redis://", "rediss://"))
        if self.redis_url and importlib.util.find_spec("prefect_redis") is None:
            raise UsageError("FACEMILL_REDIS_URL needs a package that is not installed: pip install prefect-redis")

    def variables(self) -> dict[str, str]:
        """Environment variables of the Prefect server."""
        found: dict[str, str] = {}
        if self.database_url:
            place = self.database_url.partition("://")[2]
            found["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = f"postgresql+asyncpg://{place}"
        if self.redis_url:
            found |= _IN_REDIS | dict.fromkeys(_REDIS_URLS, self.redis_url)
        return found

    @contextmanager
    def starting_alone(self) -> Iterator[None]:
        """Serialize server starts on a shared database: two servers that start on a new database corrupt it.

        Raises:
            ServiceError: the database cannot be reached, or refuses the login.
        """
        if not self.database_url:
            yield
            return
        with asyncio.Runner() as runner:
            connection = runner.run(_locked(self.database_url))
            try:
                yield
            finally:
                runner.run(connection.close())


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without the backing services' URLs, for other processes."""
    return {name: value for name, value in environment.items() if name not in SECRETS}


def _check_kind(variable: str, url: str, kinds: tuple[str, ...]) -> None:
    # The URL is not shown: it may contain a password.
    if url and not url.startswith(kinds):
        raise UsageError(f"the environment variable {variable} must start with {' or '.join(kinds)}")


async def _locked(url: str) -> asyncpg.Connection:
    try:
        connection = await asyncpg.connect(url)
        # Polled: a statement waiting for the lock would block the other server, which creates its indexes only after
        # all older statements have ended.
        while not await connection.fetchval("select pg_try_advisory_lock($1)", _STARTING):
            await asyncio.sleep(_LOOK_EVERY_S)
    except ValueError:
        # The original message may contain a part of the password.
        raise UsageError(
            "FACEMILL_DATABASE_URL must be a URL such as postgresql://user:password@host:5432/name"
        ) from None
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise ServiceError(f"the database of FACEMILL_DATABASE_URL cannot be used: {error}") from error
    return connection
