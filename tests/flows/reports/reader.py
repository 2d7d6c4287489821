"""Reads a page as a browser would, and holds it to loading nothing and to running at most our own script."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from importlib import resources

_SCRIPT = resources.files("flows.reports").joinpath("templates/find.js").read_text(encoding="utf-8").strip()


class Page(HTMLParser):
    """What a page holds: its text, its links and what they may lead to, how many pictures. All tags are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.links: set[str] = set()
        self.names: set[str] = set()
        self.num_pictures = 0
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.names.add(given.get("id") or "")
        if tag == "a":
            self.links.add((given["href"] or "").removeprefix("#"))
        elif "src" in given or "href" in given:
            assert (given["src"] or "").startswith("data:image/jpeg;base64,")
            self.num_pictures += 1
        if tag not in {"meta", "img", "input"}:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f"{data} " if self._open and self._open[-1] != "style" else ""

    def close(self) -> None:
        super().close()
        assert self._open == []
        self.text = " ".join(self.text.split())


def read_page(html: str) -> Page:
    """The page, after making sure that it is whole, loads nothing and runs nothing but the script of the search."""
    html = re.sub(rf"<script>\s*{re.escape(_SCRIPT)}\s*</script>", "", html, count=1)
    assert not re.search(r"<(script|link|iframe|object)|url\(|@import|\son\w+=", html)
    page = Page()
    page.feed(html.replace("<wbr>", ""))
    page.close()
    assert page.links <= page.names
    return page
