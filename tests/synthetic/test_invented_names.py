import re

import numpy as np

from synthetic.invented_names import AddressBook, invented_names


def test_names_are_different_and_in_the_alphabet_of_link_files_even_when_there_are_many():
    names = invented_names(12_000, np.random.default_rng(1))
    assert len(set(names)) == 12_000
    assert all(re.fullmatch(r"[A-Za-z_.'-]+", name) for name in names)


def test_urls_are_different_and_spread_over_hosts_like_the_real_ones():
    book = AddressBook(np.random.default_rng(1))
    urls = [book.link() for _ in range(5000)]
    assert len(set(urls)) == 5000
    hosts = [re.split(r"[:/]", url.split("://")[1])[0] for url in urls]
    tops = sorted((hosts.count(host) for host in set(hosts)), reverse=True)
    assert 0.1 < sum(tops[:10]) / 5000 < 0.25
    assert 0.3 < sum(tops[:100]) / 5000 < 0.5


def test_some_urls_hold_percent_escapes_and_a_few_ports_or_https():
    book = AddressBook(np.random.default_rng(1))
    urls = [book.link() for _ in range(2000)]
    assert 0.05 < sum("%" in url for url in urls) / 2000 < 0.3
    assert 0 < sum(":8080/" in url for url in urls) < 60
    assert 0 < sum(url.startswith("https") for url in urls) < 100
