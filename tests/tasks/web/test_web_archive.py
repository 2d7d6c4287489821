from __future__ import annotations

import pytest

from storage.errors import UsageError
from storage.records import Reason
from tasks.web.http import open_web
from tasks.web.web_archive import ArchiveTransport
from tests.tasks.web.origin import QUICK, Origin, redirect, response, serving

TEMPLATE = "http://archive.example/web/2014id_/{url}"


async def test_an_archive_is_asked_for_the_link_as_it_is_written_and_the_answer_says_so() -> None:
    copy = "/web/2014id_/http://a.example/x%20y.jpg?q=1"
    other = copy.replace("2014id_", "20130405060708id_")
    async with (
        serving(Origin({copy: redirect(other), other: response(b"picture")})) as origin,
        open_web(QUICK, connect_to=origin.address) as web,
    ):
        archive = ArchiveTransport(web, TEMPLATE)
        found = await archive.get("http://a.example/x%20y.jpg?q=1#part")
        missing = await archive.get("http://a.example/gone.jpg")
    assert (found.data, found.via, found.final_url) == (b"picture", "archive", f"http://archive.example{other}")
    assert (missing.reason, missing.via) == (Reason.GONE, "archive")
    assert set(origin.headers("Host")) == {"archive.example"}


@pytest.mark.parametrize("template", ["", "http://archive.example/", "ftp://archive.example/{url}", "{url}"])
def test_a_template_that_is_none_is_refused_with_an_example(template: str) -> None:
    with pytest.raises(UsageError, match=r"FACEMILL_ARCHIVE_URL.*such as"):
        ArchiveTransport(None, template)  # type: ignore[arg-type]  # never used
