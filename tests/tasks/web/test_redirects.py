from __future__ import annotations

import asyncio

import pytest
from yarl import URL

from storage.records import Reason
from tasks.web.addresses import Refusal
from tasks.web.http import open_web
from tasks.web.redirects import Redirects
from tests.tasks.web.origin import QUICK, Origin, asked, redirect, response, serving


def cookie_sent(set_cookie: str, by: str, to: str) -> str | None:
    """The Cookie header of a request to `to` after an answer of `by` that sets one."""
    redirects = Redirects(20)
    redirects.start(URL(by))
    redirects.keep(URL(by), [set_cookie])
    return redirects.start(URL(to)).get("Cookie")


A = "http://a.example/dir/x.jpg"


@pytest.mark.case(8)
@pytest.mark.parametrize(
    ("set_cookie", "to", "sent"),
    [
        ("id=1", A, "id=1"),
        ("id=1", "http://a.example/dir/", "id=1"),
        ("id=1", "http://a.example/dir/sub/y.jpg", "id=1"),
        ("id=1", "http://a.example:8080/dir/", "id=1"),
        ("id=1", "http://a.example/", None),
        ("id=1; Path=/", "http://a.example/", "id=1"),
        ("id=1; path=/other", "http://a.example/other/x", "id=1"),
        ("id=1; path=/other", "http://a.example/others", None),
        ("id=1; Path=/", "http://b.example/", None),
        ("id=1; Path=/", "http://www.a.example/", None),
        ("id=1; Path=/", "http://xa.example/", None),
        ("id=1; Path=/; Domain=a.example", "http://www.a.example/", "id=1"),
        ("id=1; Path=/; Domain=.a.example", "http://www.a.example/", "id=1"),
        ("id=1; Path=/; Domain=a.example", "http://xa.example/", None),
        ("id=1; Path=/; Domain=b.example", "http://b.example/", None),
        ("id=1; Path=/; Domain=www.a.example", "http://www.a.example/", None),
        ("id=1; Path=/; Domain=example", "http://b.example/", None),
        ("id=1; Path=/; Domain=.EXAMPLE", "http://b.example/", None),
        ("id=1; Path=/; Secure", "http://a.example/", None),
        ("id=1; Path=/; Secure", "https://a.example/", "id=1"),
        ("id=1; Path=/; HttpOnly; SameSite=Strict", "http://a.example/", "id=1"),
        ("id=1; Path=/; Max-Age=0", "http://a.example/", None),
        ("id=1; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "http://a.example/", None),
        ('id="a b"; Path=/', "http://a.example/", 'id="a b"'),
        ('id={"a":[1\\,2]}; Path=/', "http://a.example/", 'id={"a":[1\\,2]}'),
        ("id=a%20=b==; Path=/", "http://a.example/", "id=a%20=b=="),
        ("id=1; Path=/; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "http://a.example/", "id=1"),
        ("id=1; Path=/; Expires=soon", "http://a.example/", "id=1"),
        ("id=; Path=/", "http://a.example/", "id="),
        ("=1; Path=/", "http://a.example/", None),
        ("id=\x07; Path=/", "http://a.example/", None),
        ("broken", A, None),
        ("", A, None),
    ],
)
def test_a_cookie_goes_where_its_host_may_send_it(set_cookie: str, to: str, sent: str | None) -> None:
    assert cookie_sent(set_cookie, "http://a.example/dir/first.jpg", to) == sent


@pytest.mark.parametrize(
    ("set_cookie", "by", "to", "sent"),
    [
        ("id=1; Path=/; Domain=co.uk", "http://a.co.uk/", "http://b.co.uk/", None),
        ("id=1; Path=/; Domain=co.uk", "http://a.co.uk/", "http://a.co.uk/x", None),
        ("id=1; Path=/; Domain=co.uk", "http://co.uk/", "http://b.co.uk/x", None),
        ("id=1; Path=/; Domain=co.uk", "http://co.uk/", "http://co.uk/x", "id=1"),
        ("id=1; Path=/; Domain=ibm.de", "http://www.ibm.de/", "http://img.ibm.de/", "id=1"),
        ("id=1; Path=/", "http://127.0.0.1/", "http://127.0.0.1/x", "id=1"),
        ("id=1; Path=/; Domain=0.0.1", "http://127.0.0.1/", "http://10.0.0.1/", None),
    ],
)
def test_a_cookie_for_what_many_owners_share_stays_with_its_host(
    set_cookie: str, by: str, to: str, sent: str | None
) -> None:
    assert cookie_sent(set_cookie, by, to) == sent


def test_the_same_request_again_is_a_loop_whatever_its_fragment() -> None:
    redirects = Redirects(20)
    redirects.start(URL("http://a.example/x#1"))
    with pytest.raises(Refusal) as refused:
        redirects.start(URL("http://a.example/x#2"))
    assert refused.value.reason is Reason.REDIRECT_LOOP


@pytest.mark.case(8)
async def test_a_redirect_to_the_same_url_that_sets_a_cookie_brings_the_picture() -> None:
    origin = Origin()
    again = response(b"", "Location: /a", "Set-Cookie: seen=1", status="302 Found")

    async def play(writer: asyncio.StreamWriter) -> None:
        writer.write(response(b"picture") if b"Cookie: seen=1\r\n" in origin.heads[-1] else again)

    origin.default = play
    async with serving(origin), open_web(QUICK, connect_to=origin.address) as web:
        for url in ["http://a.example/a", "http://a.example/a", "http://b.example/a"]:
            assert (await web.get(url)).data == b"picture"
    assert origin.headers("Cookie") == [None, "seen=1"] * 3  # nothing is left of one link for the next


@pytest.mark.attack(0)
async def test_no_other_host_is_shown_a_cookie() -> None:
    cookie = "Set-Cookie: id=1; Path=/"
    replies = {
        "/a": response(b"", "Location: http://b.example/b", cookie, status="302 Found"),
        "/b": redirect("http://a.example/c"),
        "/c": response(b"picture"),
    }
    async with serving(Origin(dict(replies))) as origin:
        assert (await asked(origin, "http://a.example/a")).data == b"picture"
    assert origin.headers("Cookie") == [None, None, "id=1"]


@pytest.mark.parametrize("location", ["#top", "", "/a", "http://a.example/a", "http://A.example:80/a"])
async def test_a_redirect_to_itself_ends_after_the_first_request(location: str) -> None:
    async with serving(Origin(default=redirect(location))) as origin:
        answer = await asked(origin, "http://a.example/a")
    assert answer.reason is (Reason.REDIRECT_LOOP if location else Reason.HTTP_ERROR)
    assert len(origin.heads) == 1


@pytest.mark.parametrize("status", ["300 Multiple Choices", "304 Not Modified", "305 Use Proxy", "306 Switch Proxy"])
async def test_a_status_that_browsers_do_not_follow_is_not_followed(status: str) -> None:
    async with serving(Origin(default=redirect("/x", status))) as origin:
        answer = await asked(origin)
    assert (answer.reason, len(origin.heads)) == (Reason.HTTP_ERROR, 1)


async def test_a_refresh_header_is_not_followed() -> None:
    async with serving(Origin(default=response(b"picture", "Refresh: 0; url=/x"))) as origin:
        answer = await asked(origin)
    assert (answer.data, len(origin.heads)) == (b"picture", 1)
