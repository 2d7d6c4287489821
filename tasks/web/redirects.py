"""The redirect chain of one link: bounded, without repeated requests, with the cookies that its hosts set."""

from __future__ import annotations

from collections.abc import Iterable

from yarl import URL

from storage.records import Reason
from tasks.web.addresses import Refusal
from tasks.web.cookies import Cookies


class Redirects:
    """The requests of one link so far. One object per link, so cookies are not shared between links.

    Args:
        most: the maximum number of redirects.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._requests: set[tuple[str, str]] = set()
        self._cookies: Cookies | None = None

    def start(self, url: URL) -> dict[str, str]:
        """The additional headers of the next request.

        Raises:
            Refusal: the same request was made before, or there were too many redirects.
        """
        cookies = self._cookies.header(url) if self._cookies else ""
        request = f"{url.scheme}://{(url.raw_host or '').lower()}:{url.port}{url.raw_path_qs}", cookies
        if request in self._requests or len(self._requests) > self._most:
            raise Refusal(Reason.REDIRECT_LOOP, f"after {len(self._requests)} redirects")
        self._requests.add(request)
        return {"Cookie": cookies} if cookies else {}

    @property
    def is_first(self) -> bool:
        """Whether only the link itself has been requested."""
        return len(self._requests) == 1

    def keep(self, url: URL, set_cookies: Iterable[str]) -> None:
        """Store the cookies of a response for the following requests."""
        for field in set_cookies:
            self._cookies = self._cookies or Cookies()
            self._cookies.keep(url, field)
