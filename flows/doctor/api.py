"""Questions to the server of the service, all of them within one limit of time."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

import httpx

from storage.errors import ServiceError
from storage.text.names import visible

# For all questions together, and for one. A healthy server answers all of them within a second.
_ALL_S, _ONE_S = 20.0, 5.0


class Api:
    """Prefect's API at a URL, read with a password that may be empty."""

    def __init__(self, url: str, password: str = "") -> None:
        name, _, secret = password.partition(":")
        self.url = url
        self._until = time.monotonic() + _ALL_S
        self._client = httpx.Client(base_url=url, auth=(name, secret) if password else None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.close()

    def status(self, path: str) -> int:
        """The HTTP status of a page.

        Raises:
            ServiceError: the server does not answer.
        """
        return self._answer("GET", path).status_code

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The JSON of an answer.

        Args:
            body: of a POST; None for a GET.

        Raises:
            ServiceError: the server does not answer, or refuses.
        """
        found = self._answer("GET" if body is None else "POST", path, json=body)
        try:
            return found.raise_for_status().json()
        except (httpx.HTTPStatusError, ValueError) as error:
            raise ServiceError(f"{visible(self.url)}{path} answered {found.status_code}, and no JSON for it") from error

    def _answer(self, method: str, path: str, **options: Any) -> httpx.Response:
        left_s = self._until - time.monotonic()
        if left_s <= 0:
            raise ServiceError(f"{visible(self.url)} took more than {_ALL_S:.0f} s for the questions before {path}")
        try:
            return self._client.request(method, path, timeout=min(left_s, _ONE_S), **options)
        except httpx.HTTPError as error:
            cause = visible(str(error)) or type(error).__name__
            raise ServiceError(f"{visible(self.url)}{path} does not answer: {cause}") from error
