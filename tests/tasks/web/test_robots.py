from __future__ import annotations

import asyncio
import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from storage.records import Reason
from tasks.web.addresses import Refusal
from tasks.web.responses import FetchResult
from tasks.web.robots import MAX_BYTES, Robots, memory_of, parse
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
@settings(max_examples=examples(100))
def test_any_rules_allow_or_forbid(text: str) -> None:
    async def check() -> None:
        async def rules(url: str) -> FetchResult:
            return FetchResult(url, text.encode("utf-8", "surrogatepass"))

        try:
            assert 0 <= await Robots(rules, "facemill").check(URL("http://a.example/b.jpg")) <= 30
        except Refusal as refused:
            assert refused.reason in (Reason.ROBOTS, Reason.BAD_RESPONSE)

    asyncio.run(check())


def is_allowed(text: str | bytes, path: str = "/photos/1.jpg") -> bool:
    data = text if isinstance(text, bytes) else text.encode()
    rules = parse(data, "facemill")
    return rules.parser is not None and rules.parser.can_fetch(f"http://a.example{path}", "facemill")


@pytest.mark.parametrize(
    ("text", "path", "allowed"),
    [
        ("User-agent: *\nDisallow: /*.jpg$", "/photos/1.jpg", False),
        ("User-agent: *\nDisallow: /*.jpg$", "/photos/1.jpg?x", True),
        ("User-agent: *\nAllow: /\nDisallow: /photos/", "/photos/1.jpg", False),
        ("User-agent: *\nDisallow: /photos/\nAllow: /", "/photos/1.jpg", False),
        ("User-agent: *\nDisallow: /\nAllow: /public/", "/public/1.jpg", True),
        ("User-agent: *\nDisallow: /\nAllow: /public/", "/photos/1.jpg", False),
        ("User-agent: facemill\nDisallow: /a/\n\nUser-agent: facemill\nDisallow: /photos/", "/photos/1.jpg", False),
        ("User-agent: facemill\nDisallow: /a/\n\nUser-agent: facemill\nDisallow: /photos/", "/a/1.jpg", False),
    ],
)
def test_the_rules_of_rfc_9309_hold_where_the_standard_library_breaks_them(text: str, path: str, allowed: bool) -> None:
    assert is_allowed(text, path) == allowed


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("\ufeffUser-agent: *\nDisallow: /photos/", False),
        ("USER-AGENT: FaceMill\nDISALLOW: /photos/", False),
        ("user-agent:facemill/1.0 (any)\ndisallow:/photos/", False),
        ("User-agent: facemillbot\nDisallow: /", True),
        ("User-agent: face\nDisallow: /", True),
        ("User-agent: facemill\nDisallow:\n\nUser-agent: *\nDisallow: /", True),
        ("User-agent: facemill\n\nUser-agent: *\nDisallow: /", False),
        ("User-agent: *\nDisallow: /\n\nUser-agent: facemill\nAllow: /", True),
        ("User-agent: other\nUser-agent: facemill\nDisallow: /photos/", False),
        ("User-agent: facemill\nSitemap: http://a.example/s\nUser-agent: other\nDisallow: /photos/", False),
        ("User-agent: other\nDisallow: /x/\nUser-agent: facemill\nDisallow: /photos/", False),
        ("User-agent: facemill # us\nDisallow: /photos/ # them", False),
        ("User-agent: *\r\nDisallow: /photos/\r\n", False),
        ("User-agent: *\rDisallow: /photos/\r", False),
        ("Disallow: /photos/\nUser-agent: *\nDisallow: /x/", True),
        ("User-agent: *\nDisallow: /PHOTOS/", True),
        ("User-agent: *\nDisallow: /ph%6Ftos/", False),
        ("User-agent: *\nDisallow: /*/1", False),
        ("User-agent: *\nDisallow: *1.jpg", False),
        ("User-agent: *\nDisallow: /p*s/*.jpg\nAllow: /photos/1.jpg$", True),
        ("User-agent: *\nDisallow: /photos/1.jpg\nAllow: /photos/1.jpg", True),
        ("User-agent: *\nDisallow: /photos/1.jp$", True),
        ("User-agent: *\nDisallow: ", True),
        ("User-agent: *\n", True),
        ("", True),
    ],
)
def test_rules_are_read_as_rfc_9309_has_them(text: str, allowed: bool) -> None:
    assert is_allowed(text) == allowed


@pytest.mark.parametrize("length", [MAX_BYTES - 100, MAX_BYTES, 3 * MAX_BYTES])
def test_the_first_500_kib_of_rules_count(length: int) -> None:
    rules = b"User-agent: *\nDisallow: /photos/\n#"
    assert not is_allowed(rules + b"x" * (length - len(rules)))
    late = b"#" + b"x" * MAX_BYTES + b"\nUser-agent: *\nDisallow: /\n"
    assert is_allowed(late)


async def test_rules_longer_than_500_kib_are_obeyed_over_the_wire() -> None:
    async with serving(Origin({"/robots.txt": response(RULES + b"#" * 9_000_000)}, default=PICTURE)) as origin:
        assert await asked(origin, "http://a.example/not-you/1.jpg", "http://a.example/1.jpg") == [Reason.ROBOTS, None]


@pytest.mark.parametrize(("num", "reason"), [(5, Reason.ROBOTS), (6, None)])
async def test_five_redirects_to_rules_are_followed(num: int, reason: Reason | None) -> None:
    hops = {f"/{n}": redirect(f"/{n + 1}") for n in range(1, num)} | {f"/{num}": response(RULES)}
    async with serving(Origin({"/robots.txt": redirect("/1"), **hops}, default=PICTURE)) as origin:
        assert await asked(origin, "http://a.example/not-you/1.jpg") == [reason]


@pytest.mark.attack(10)
@pytest.mark.parametrize(
    "text",
    [
        b"User-agent: other\nDisallow: /x\n" * 14_000,
        b"User-agent: *\nDisallow: /x\n" * 1_900 + b"User-agent: other\nDisallow: /y\n" * 10_000,
        b"User-agent: *\n" + b"Disallow: /*a*a$\n" * 1_900,
        b"User-agent: *\nDisallow: /x\n" * 18_000,
        b"User-agent: *\nDisallow: /" + b"*a" * 200_000,
        b"User-agent: *\n" * 34_000,
        b"a:\n" * 170_000,
    ],
    ids=["of others", "few of many", "patterns", "too many", "one that is too long", "agents", "nonsense"],
)
def test_what_is_kept_of_a_host_is_small_whatever_it_sends(text: bytes) -> None:
    assert len(text) < MAX_BYTES
    # What the parser imports and remembers once, about 100 kB, is no host's.
    for once in (parse(b"User-agent: *\nDisallow: /y\n", "facemill"), parse(b"User-agent: a\nDisallow: /y\n", "b")):
        if once.parser:
            once.parser.can_fetch("http://a.example/x", "facemill")
    tracemalloc.start(8)
    rules = parse(text, "facemill")
    if rules.parser:
        rules.parser.can_fetch("http://a.example/x", "facemill")
    # Other tests may have left threads, which take memory too.
    places = [
        tracemalloc.Filter(True, f"*/{place}", all_frames=True)
        for place in ("web/robots.py", "protego/*", "_protego.py")
    ]
    kept = sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces(places).traces)
    tracemalloc.stop()
    assert kept or not rules.parser
    assert kept < 1.2 * memory_of(rules) < 4_000_000


@pytest.mark.attack(10)
async def test_rules_that_are_too_many_to_obey_forbid_all() -> None:
    rules = b"User-agent: *\n" + b"Disallow: /x\n" * 2_001
    async with serving(Origin({"/robots.txt": response(rules)}, default=PICTURE)) as origin:
        assert await asked(origin, "http://a.example/1.jpg") == [Reason.ROBOTS]


@pytest.mark.attack(10)
def test_a_pattern_of_many_stars_is_matched_in_linear_time() -> None:
    """A backtracking matcher would take longer than the universe has existed."""
    rules = "User-agent: *\nDisallow: /" + "*a" * 500 + "b$"
    assert is_allowed(rules, "/" + "a" * 8000)


@pytest.mark.attack(0)
async def test_rules_that_lead_to_a_private_address_are_not_asked_for_and_say_nothing_final() -> None:
    replies = {"/robots.txt": redirect("http://127.0.0.2/rules")}
    async with serving(Origin(dict(replies), default=PICTURE)) as origin:
        assert await asked(origin, "http://a.example/1.jpg") == [Reason.CONNECT]
    assert origin.targets == ["/robots.txt"]


async def test_redirected_rules_are_followed() -> None:
    replies = {"/robots.txt": redirect("http://b.example/rules"), "/rules": response(RULES)}
    async with serving(Origin(dict(replies), default=PICTURE)) as origin:
        assert await asked(origin, "http://a.example/not-you/1.jpg") == [Reason.ROBOTS]
