"""S3 for tests: moto's server on loopback, or a real service, and a way between that fails as it is told to.

With TEST_S3_ENDPOINT set, as in `TEST_S3_ENDPOINT=http://127.0.0.1:7480 AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=...
pytest tests/storage`, the tests make their buckets there, and remove them again.
"""

from __future__ import annotations

import http.client
import os
import socket
import struct
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from storage.files.lake import Lake

SECRET = os.environ.get("AWS_SECRET_ACCESS_KEY", "a-secret-that-is-not-shown")
_SLOW_DOWN = (
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)
_NOT_KNOWN = b"<?xml version='1.0'?><Error><Code>NotImplemented</Code><Message>no such header</Message></Error>"


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The address of an S3 service."""
    if endpoint := os.environ.get("TEST_S3_ENDPOINT"):
        yield endpoint
        return
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@pytest.fixture
def bucket(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of an empty bucket, for which the environment holds all that is needed."""
    from s3fs import S3FileSystem

    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    if "TEST_S3_ENDPOINT" not in os.environ:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "an-id")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    store, name = S3FileSystem(), f"facemill-{uuid.uuid4().hex}"
    store.mkdir(name)
    yield f"s3://{name}"
    store.rm(name, recursive=True)


@pytest.fixture(params=["local", "memory", "s3"])
def lake_anywhere(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """An empty lake in a folder, in memory and in a bucket, with a cache folder of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if request.param == "s3":
        return Lake(f"{request.getfixturevalue('bucket')}/lake")
    return Lake(tmp_path / "lake" if request.param == "local" else f"memory://{uuid.uuid4().hex}")


class Faults:
    """What is to go wrong: each fault is used up by one request of its method, the first planned first.

    Attributes:
        asked: the method and the path, with its query, of each request so far.
    """

    def __init__(self) -> None:
        self.planned: list[tuple[str, str]] = []
        self.knows_conditions = True
        self.asked: list[tuple[str, str]] = []

    @property
    def num_requests(self) -> int:
        return len(self.asked)

    @contextmanager
    def asking(self) -> Iterator[list[tuple[str, str]]]:
        """The requests during the block, in a list that is filled when it ends."""
        found: list[tuple[str, str]] = []
        before = len(self.asked)
        yield found
        found += self.asked[before:]

    def plan(self, method: str, *faults: str) -> None:
        """Plan "503", "reset" (before the service hears of it), "lost" (after it has done as asked) or "cut" (half of
        the answer is sent).
        """
        self.planned += [(method, fault) for fault in faults]

    def take(self, method: str) -> str:
        """The next fault of a request; empty for none."""
        for number, (of, fault) in enumerate(self.planned):
            if of == method:
                del self.planned[number]
                return fault
        return ""


@pytest.fixture
def faults(bucket: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    """Faults between the tests' lakes and the service."""
    from s3fs import S3FileSystem

    plan = Faults()
    with _way_to(s3_endpoint, plan) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        S3FileSystem.clear_instance_cache()
        yield plan
        S3FileSystem.clear_instance_cache()


@contextmanager
def _way_to(endpoint: str, faults: Faults) -> Iterator[str]:
    service = urlsplit(endpoint).netloc

    class Way(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fault = faults.take(self.command)
            faults.asked.append((self.command, self.path))
            if fault == "reset":
                return self.reset()
            if fault == "503":
                return self.answer(503, _SLOW_DOWN)
            if not faults.knows_conditions and "If-None-Match" in self.headers:
                return self.answer(501, _NOT_KNOWN)
            connection = http.client.HTTPConnection(service)
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            data = answer.read()
            connection.close()
            if fault == "lost":
                return self.reset()
            self.answer(answer.status, data, dict(answer.headers), cut=fault == "cut")
            return self.reset() if fault == "cut" else None

        def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None, cut: bool = False) -> None:
            self.send_response_only(status)
            length = (headers or {}).get("Content-Length", str(len(body)))
            for name, value in (headers or {}).items():
                if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", length)
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if cut else body)

        def reset(self) -> None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = forward  # noqa: N815

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Way)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
