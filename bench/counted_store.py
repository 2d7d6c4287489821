"""moto's S3 server on loopback, in this process, with a count of what it is asked: by kind and by folder."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import parse_qs

BUCKET = "bench"
KINDS = ("GET", "HEAD", "LIST", "PUT", "PART", "DELETE")


class Asked(NamedTuple):
    """One kind of request: what it does, to which folder of which lake."""

    lake: str
    kind: str
    folder: str


class Counts:
    """The requests so far, counted from any thread."""

    def __init__(self) -> None:
        self._lock, self._counts = threading.Lock(), Counter[Asked]()

    def add(self, one: Asked) -> None:
        """Count one request."""
        with self._lock:
            self._counts[one] += 1

    def take(self) -> Counter[Asked]:
        """What was counted since the last call."""
        with self._lock:
            taken, self._counts = self._counts, Counter()
        return taken


def asked(method: str, path: str, query: str) -> Asked:
    """Which request it is.

    Args:
        path: `/<bucket>/<lake>/<path in the lake>`; of a listing, the bucket alone.
        query: of its URL; a listing has its prefix there.
    """
    values = parse_qs(query, keep_blank_values=True)
    listed = values.get("prefix", [""])[0]
    _, _, lake, *parts = [*f"{path.rstrip('/')}/{listed}".split("/"), "", "", ""]
    return Asked(lake, _kind(method, values.keys()), parts[0] or ("lake" if lake else "several"))


def _kind(method: str, keys: Any) -> str:
    if method == "GET" and keys & {"list-type", "uploads", "prefix"}:
        return "LIST"
    if method == "POST":
        return "DELETE" if "delete" in keys else "PART"
    return "PART" if "uploadId" in keys else method


@contextmanager
def counted_store() -> Iterator[tuple[dict[str, str], Counts]]:
    """Serve an empty bucket.

    Yields:
        The variables by which a command finds it, and the counts.
    """
    from moto.moto_server.werkzeug_app import (  # noqa: PLC0415 - a package of the tests
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server  # noqa: PLC0415

    class Silent(MotoRequestHandler):
        def log_request(self, *args: object) -> None:
            pass

    counts, answer = Counts(), DomainDispatcherApplication(create_backend_app)

    def counted(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        counts.add(asked(environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("QUERY_STRING", "")))
        return answer(environ, start_response)

    server = make_server("127.0.0.1", 0, counted, threaded=True, request_handler=Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    variables = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "of-the-bench",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    try:
        yield variables, counts
    finally:
        server.shutdown()
        server.server_close()
