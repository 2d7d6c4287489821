"""Which hosts are reached without the proxies of the environment, and which proxies cannot be used."""

from __future__ import annotations

import pytest

from flows.configuration.proxies import unusable_proxies, without_proxy_for_loopback


@pytest.mark.parametrize(
    ("set_to", "kept"),
    [
        ({}, ""),
        ({"NO_PROXY": "a.example"}, "a.example,"),
        ({"no_proxy": "a.example , b.example"}, "a.example,b.example,"),
        ({"no_proxy": "a.example", "NO_PROXY": "never.example"}, "a.example,"),
        ({"no_proxy": "", "NO_PROXY": "never.example"}, ""),
        ({"NO_PROXY": "*"}, "*,"),
    ],
)
@pytest.mark.case(1)
def test_loopback_is_added_to_what_goes_past_the_proxy(set_to: dict[str, str], kept: str) -> None:
    wanted = f"{kept}localhost,127.0.0.1,::1"
    assert without_proxy_for_loopback(set_to) == {"no_proxy": wanted, "NO_PROXY": wanted}


def test_a_server_of_this_machine_at_another_address_goes_past_the_proxy_and_one_elsewhere_does_not() -> None:
    assert "127.0.0.2" in without_proxy_for_loopback({}, "http://127.0.0.2:4200/api")["no_proxy"]
    assert "192.0.2.1" not in without_proxy_for_loopback({}, "http://192.0.2.1:4200/api")["no_proxy"]


@pytest.mark.case(1)
def test_a_kind_of_proxy_that_stops_every_client_is_found_whatever_its_variable() -> None:
    unusable = {"ALL_PROXY": "socks5://127.0.0.1:1", "http_proxy": "socks4a://127.0.0.1:1", "HTTPS_PROXY": "ftp://a"}
    usable = {"https_proxy": "http://127.0.0.1:1", "HTTP_PROXY": "127.0.0.1:1", "all_proxy": "", "PROXY": "socks5://a"}
    assert unusable_proxies(unusable | usable) == list(unusable)
