from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from storage.records import Reason
from tasks.web.addresses import Refusal
from tasks.web.answers import Answer
from tasks.web.robots import Robots
from tests.fuzzing import examples
from tests.tasks.web.origin import QUICK, Origin, hang, open_web, redirect, response, serving
from tests.virtual_time import now_s

OBEDIENT = replace(QUICK, robots=True)
RULES = b"User-agent: *\nDisallow: /private/\nAllow: /\n\nUser-agent: facemill\nDisallow: /not-you/\n"
PICTURE = response(b"picture")


async def asked(origin: Origin, *urls: str, robots: bool = True) -> list[Reason | None]:
    async with open_web(replace(QUICK, robots=robots), connect_to=origin.address) as web:
        return [(await web.get(url)).reason for url in urls]


async def test_rules_for_this_program_are_obeyed_and_asked_for_once_a_host() -> None:
    urls = [f"http://{host}.example/{path}" for host in "ab" for path in ["not-you/1.jpg", "1.jpg", "not-you/2.jpg"]]
    async with serving(Origin({"/robots.txt": response(RULES)}, default=PICTURE)) as origin:
        assert await asked(origin, *urls) == [Reason.ROBOTS, None, Reason.ROBOTS] * 2
    assert origin.targets == ["/robots.txt", "/1.jpg"] * 2
    assert Reason.ROBOTS.retry == "never"


async def test_without_the_setting_nobody_asks_for_rules() -> None:
    async with serving(Origin({"/robots.txt": response(RULES)}, default=PICTURE)) as origin:
        assert await asked(origin, "http://a.example/not-you/1.jpg", robots=False) == [None]
    assert origin.targets == ["/not-you/1.jpg"]


async def test_the_rules_of_a_host_that_a_redirect_leads_to_count_as_well() -> None:
    async with serving(
        Origin({"/robots.txt": response(RULES), "/x": redirect("http://b.example/not-you/x")}, default=PICTURE)
    ) as origin:
        assert await asked(origin, "http://a.example/x") == [Reason.ROBOTS]
    assert origin.headers("Host") == ["a.example", "a.example", "b.example"]


@pytest.mark.parametrize(
    "reply",
    [response(status="404 No"), response(status="403 No"), response(b"\xff\xfe\x00 no rules at all"), response(b""),
     redirect("/robots.txt"), response(bytes(600_000))],
)  # fmt: skip
async def test_a_host_without_rules_allows_all(reply: bytes) -> None:
    async with serving(Origin({"/robots.txt": reply}, default=PICTURE)) as origin:
        assert await asked(origin, "http://a.example/1.jpg") == [None]


@pytest.mark.parametrize(
    ("reply", "reason"), [(response(status="503 Later"), Reason.SERVER_ERROR), (hang, Reason.TIMEOUT)]
)
async def test_a_host_whose_rules_cannot_be_had_is_not_asked_for_pictures_yet(reply: bytes, reason: Reason) -> None:
    async with serving(Origin({"/robots.txt": reply}, default=PICTURE)) as origin:
        assert await asked(origin, "http://a.example/1.jpg", "http://a.example/2.jpg") == [reason] * 2
    assert origin.targets == ["/robots.txt"]


async def test_the_pause_that_rules_ask_for_is_kept_up_to_a_bound() -> None:
    async with serving(
        Origin({"/robots.txt": response(b"User-agent: *\nCrawl-delay: 1\nAllow: /")}, default=PICTURE)
    ) as origin:
        started = now_s()
        assert await asked(origin, *[f"http://a.example/{n}" for n in range(3)]) == [None] * 3
        assert now_s() - started == pytest.approx(1, abs=0.01)  # the first answer tells of the pause; two come after it
        origin.replies["/robots.txt"] = response(b"User-agent: *\nCrawl-delay: " + b"9" * 400 + b"\nAllow: /")
        assert await asked(origin, "http://a.example/1") == [None]


RULE_PIECES = st.sampled_from(
    ["User-agent: ", "*", "facemill", "\n", "Disallow: ", "Allow: ", "/", "Crawl-delay: ", "Request-rate: ", "²", "1/2",
     "99999999999999999999", "%zz", "#", "\ufeff", "Sitemap: ", "\0"]
)  # fmt: skip


@given(st.lists(RULE_PIECES | st.text(max_size=5), max_size=20).map("".join))
@settings(max_examples=examples(100), deadline=None)
def test_any_rules_allow_or_forbid(text: str) -> None:
    async def check() -> None:
        async def rules(url: str) -> Answer:
            return Answer(url, text.encode("utf-8", "surrogatepass"))

        try:
            assert 0 <= await Robots(rules, "facemill").check(URL("http://a.example/b.jpg")) <= 30
        except Refusal as refused:
            assert refused.reason in (Reason.ROBOTS, Reason.BAD_RESPONSE)

    asyncio.run(check())


async def test_redirected_rules_are_followed() -> None:
    replies = {"/robots.txt": redirect("http://b.example/rules"), "/rules": response(RULES)}
    async with serving(Origin(dict(replies), default=PICTURE)) as origin:
        assert await asked(origin, "http://a.example/not-you/1.jpg") == [Reason.ROBOTS]
