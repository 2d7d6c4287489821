from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from storage.records import Reason
from tasks.web.addresses import Refusal, check_url, is_public, literal_address, parse_url

LOOPBACK_AND_PRIVATE = (
    "127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "2130706433", "0x7f000001", "0x7f.0.0.1", "0x7F.1",
    "0177.0.0.1",
    "017700000001", "127.0.0.1.", "0", "0.0.0.0", "10.0.0.1", "10.1", "012.0.0.1", "172.16.0.1", "172.31.255.255",
    "192.168.1.1", "192.168.257", "3232235777", "0xC0A80101",
)  # fmt: skip
SPECIAL = (
    "100.64.0.1", "100.127.255.255", "169.254.169.254", "169.254.43518", "2852039166", "0xa9fea9fe",
    "0251.0376.0251.0376",
    "192.0.2.1", "198.18.0.1", "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
)  # fmt: skip
IPV6 = (
    "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[fe80::1]", "[fe80::1%25eth0]", "[fe80::1%eth0]", "[fc00::1]",
    "[fd12:3456::1]",
    "[fec0::1]", "[ff02::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:169.254.169.254]", "[::127.0.0.1]",
    "[64:ff9b::127.0.0.1]", "[64:ff9b::a00:1]", "[64:ff9b:1::10.0.0.1]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::1]",
    "[2001:0:7f00:1::]", "[2001:0:808:808:0:0:80ff:fffe]", "[2001:db8::1]", "[100::1]",
)  # fmt: skip
LOCAL_NAMES = (
    "localhost", "LOCALHOST", "localhost.", "foo.localhost", "printer.local", "Printer.LOCAL.",
    "metadata.google.internal",
    "router.lan", "nas.home.arpa", "localhost.localdomain.local",
)  # fmt: skip
UNICODE = (
    "１２７.0.0.1", "127。0。0。1", "１２７．０．０．１", "①②⑦.⓪.⓪.①", "ｌｏｃａｌｈｏｓｔ", "foo.ⓛocalhost",
    "１６９。２５４。１６９。２５４",
)  # fmt: skip
PUBLIC = (
    "93.184.216.34", "8.8.8.8", "134744072", "0x8080808", "010.8.8.8", "172.15.0.1", "172.32.0.1", "100.63.255.255",
    "100.128.0.1", "169.253.0.1", "192.167.1.1", "223.255.255.255", "[2606:4700::1111]", "[::ffff:8.8.8.8]",
    "[64:ff9b::8.8.8.8]", "[2002:808:808::1]", "a.example", "A.EXAMPLE.", "xn--mnchen-3ya.example", "münchen.example",
    "localhost.example", "local.example", "mylocal", "invalid.example", "under_score.example",
    "127.0.0.1.example", "1.2.3.4.a5",
)  # fmt: skip


def refusal(text: str, *allowed: str) -> Refusal | None:
    try:
        return check_url(parse_url(text), tuple(ipaddress.ip_network(network) for network in allowed))
    except Refusal as refused:
        return refused


def reason(text: str, *allowed: str) -> Reason | None:
    refused = refusal(text, *allowed)
    return refused.reason if refused else None


@pytest.mark.attack(0)
@pytest.mark.parametrize("host", LOOPBACK_AND_PRIVATE + SPECIAL + IPV6 + LOCAL_NAMES + UNICODE)
@pytest.mark.parametrize("form", ["http://{}/a.jpg", "HTTPS://{}:8443"])
def test_a_host_that_is_not_public_is_refused_in_every_spelling(form: str, host: str) -> None:
    assert reason(form.format(host)) is Reason.NOT_PUBLIC


@pytest.mark.parametrize("host", PUBLIC)
@pytest.mark.parametrize("form", ["http://{}/a.jpg", "https://{}:8443"])
def test_a_public_host_is_let_through(form: str, host: str) -> None:
    assert refusal(form.format(host)) is None


@pytest.mark.attack(0)
@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "file://a.example/x", "ftp://a.example/x.jpg", "gopher://a.example/",
        "data:image/png;base64,AA",
        "javascript:alert(1)", "ws://a.example/", "//a.example/x.jpg", "a.example/x.jpg", "",
        "http+unix://a.example/",
        "http://user@a.example/", "http://user:pw@a.example/", "http://:pw@a.example/", "http://a.example@127.0.0.1/",
    ],
)  # fmt: skip
def test_other_schemes_and_user_names_are_refused(url: str) -> None:
    assert reason(url) is Reason.NOT_PUBLIC


@pytest.mark.attack(0)
@pytest.mark.parametrize(
    "url",
    [
        "http://", "http:///x.jpg", "http://:80/", "http:x.jpg", "http://a.example:99999/",
        "http://a.example:x/", "http://a.example:0/", "http://[::1/",
        "http://[nonsense]/", "http://a b.example/", "http://a%2eexample/", "http://127%2e0.0.1/",
        "http://a\0.example/",
        "http://a\\@b.example/", "http://\udcff.example/", "http://a.example/\ud800", "http://a$b.example/",
        "http://é..example/",
    ],
)  # fmt: skip
def test_what_is_no_url_is_refused_as_such(url: str) -> None:
    assert reason(url) is Reason.BAD_URL


@pytest.mark.attack(0)
@pytest.mark.parametrize(
    "host", ["08.8.8.8", "1.2.3.4.5", "127.0.0.1.1", "a.example.1", "127.0.0.0x", "256.1.1.1", "09."]
)
def test_a_name_that_ends_in_a_number_and_is_no_address_is_refused(host: str) -> None:
    refused = refusal(f"http://{host}/")
    assert refused is not None
    assert (refused.reason, "ends in a number" in refused.detail) == (Reason.BAD_URL, True)


@pytest.mark.parametrize("host", ["invalid", "a.invalid", "A.B.INVALID."])
def test_a_name_under_invalid_does_not_resolve(host: str) -> None:
    assert reason(f"http://{host}/") is Reason.DNS


def test_networks_that_the_operator_allows_may_be_asked_and_no_others() -> None:
    for host in ["10.1.2.3", "10.1", "[::ffff:10.0.0.1]", "[64:ff9b::10.0.0.1]"]:
        assert reason(f"http://{host}/", "10.0.0.0/8") is None
    assert reason("http://[fd00::5]/", "fd00::/8") is None
    for host in ["127.0.0.1", "192.168.1.1", "[fd00::5]"]:
        assert reason(f"http://{host}/", "10.0.0.0/8") is Reason.NOT_PUBLIC
    assert reason("file:///etc/passwd", "0.0.0.0/0") is Reason.NOT_PUBLIC


def test_local_names_are_left_to_the_resolver_once_a_network_is_allowed() -> None:
    assert reason("http://nas.local/", "10.0.0.0/8") is None


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("http://a.example/%2F%252f/é?q=%20ä#ü", "http://a.example/%2F%252f/%C3%A9?q=%20%C3%A4#%C3%BC"),
        (" http://a.example/a b.jpg\n", "http://a.example/a%20b.jpg"),
        ("http://a.example/[1]/'{x}|%zz%", "http://a.example/[1]/'%7Bx%7D|%zz%"),
        ("http://a.example/\udce9.jpg", "http://a.example/%E9.jpg"),
        ("http://münchen.example:81/x", "http://xn--mnchen-3ya.example:81/x"),
        ("?ä", "?%C3%A4"),
        ("../b c", "../b%20c"),
        ("//b.example/ä", "//b.example/%C3%A4"),
    ],
)
def test_a_url_is_kept_as_written_but_for_what_cannot_be_sent(text: str, sent: str) -> None:
    assert str(parse_url(text)) == sent


def test_check_url_judges_a_host_that_nobody_mapped_to_ascii() -> None:
    assert check_url(URL("http://１２７.0.0.1/", encoded=True)) is not None


@given(st.integers(0, 2**32 - 1))
def test_an_ipv4_address_is_the_same_in_all_its_forms(number: int) -> None:
    address = ipaddress.IPv4Address(number)
    octal = ".".join(f"0{byte:o}" for byte in address.packed)
    for form in [str(address), f"{number}", f"{number:#x}", octal, f"{address}."]:
        assert literal_address(form) == address


@given(st.integers(0, 2**32 - 1))
def test_an_ipv6_form_of_a_private_address_is_never_public(number: int) -> None:
    if not is_public(ipaddress.IPv4Address(number)):
        forms = [
            0xFFFF << 32 | number,
            0x64FF9B << 96 | number,
            0x2002 << 112 | number << 80,
            0x20010000 << 96 | number,
        ]
        assert not any(is_public(ipaddress.IPv6Address(form)) for form in forms)


@given(st.text(max_size=60) | st.text(max_size=40).map("http://{}".format))
def test_any_text_is_a_url_or_a_refusal(text: str) -> None:
    try:
        url = parse_url(text)
    except Refusal as refused:
        assert refused.reason is Reason.BAD_URL
        return
    check_url(url)
    assert (url.raw_path_qs).isascii()
