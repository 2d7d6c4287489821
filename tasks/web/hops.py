"""The requests that one link leads to: none twice, only so many, each with the cookies that those before it set."""

from __future__ import annotations

from collections.abc import Iterable

from yarl import URL

from storage.records import Reason
from tasks.web.addresses import Refusal
from tasks.web.cookies import Cookies


class Hops:
    """What one link has asked for so far. Made for each link, so its cookies end with it.

    Args:
        most: how many redirects are followed.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._asked: set[tuple[str, str]] = set()
        self._cookies: Cookies | None = None

    def start(self, url: URL) -> dict[str, str]:
        """The headers of the next request beside those of every request.

        Raises:
            Refusal: the same was asked before, or the link was redirected too often.
        """
        cookies = self._cookies.header(url) if self._cookies else ""
        request = f"{url.scheme}://{(url.raw_host or '').lower()}:{url.port}{url.raw_path_qs}", cookies
        if request in self._asked or len(self._asked) > self._most:
            raise Refusal(Reason.REDIRECT_LOOP, f"after {len(self._asked)} redirects")
        self._asked.add(request)
        return {"Cookie": cookies} if cookies else {}

    @property
    def is_first(self) -> bool:
        """Whether nothing but the link itself was asked."""
        return len(self._asked) == 1

    def keep(self, url: URL, set_cookies: Iterable[str]) -> None:
        """Keep the cookies of an answer for the hops that follow."""
        for field in set_cookies:
            self._cookies = self._cookies or Cookies()
            self._cookies.keep(url, field)
