"""Invented names and URLs; the names are fictitious, and the hosts do not resolve."""

from __future__ import annotations

from itertools import chain, islice

import numpy as np

_FIRST = """
    Ada Bruno Cleo Dario Edda Falk Greta Hugo Ilse Juno Kaspar Lene Milo Nora Otis Petra Quinn Rhea Silvan Tilda
    Ulla Viggo Wanda Xenia Yorick Zelda Anouk Basil Corin Delia Emeric Fenna Gideon Hedda Ivo Jorinde Kasia Lorcan
    Mirela Nils Odile Pascal
""".split()  # noqa: SIM905
_LAST = """
    Morgen Talbrook Wintermoor Quillon Ashgrove Bellweather Cindervale Dunmarrow Elderquist Fernsby Glimmerholt
    Harrowick Inkpenny Juniperson Kettleman Larkspurling Mistelbach Nightingrove O'Tallow Pepperwhistle Quaysider
    Rookstead Silverthorn Thistledown Underbough Van-Lark Willowmere Yarrowby Zephyrin Applegarth Brindlewood
    Copperfeld-Ash St.-Wren Dovecroft Emberley Foxmarten
""".split()  # noqa: SIM905


def invented_names(num: int, rng: np.random.Generator) -> list[str]:
    """`num` distinct names in VGGFace1's alphabet `[A-Za-z_.'-]`, with a middle name if two parts are not enough.

    There are 1512 names of two parts and 63,504 of three.
    """
    pairs = [f"{first}_{last}" for first in _FIRST for last in _LAST]
    shuffled = [pairs[index] for index in rng.permutation(len(pairs))]
    longer = (name.replace("_", f"_{middle}_", 1) for middle in _FIRST for name in shuffled)
    return list(islice(chain(shuffled, longer), num))


class AddressBook:
    """Generates distinct URLs: 17% of the links on ten hosts, 25% on ninety more, the others on small hosts.

    As in the real links, 2% are https, 1% have a port, and 10% contain percent escapes, some of them double.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._num_links = 0

    def link(self) -> str:
        """A URL in `.example`."""
        kind, number = self._rng.random(), self._rng.integers(90)
        if kind < 0.17:
            return self.link_on(int(number % 10))
        host = f"media.faces-{number}.example" if kind < 0.42 else f"www.album-{self._num_links // 2}.example"
        return self._address(host)

    def link_on(self, big_host: int) -> str:
        """A URL on one of the ten big hosts."""
        return self._address(f"img{big_host % 4}.portraits-{big_host}.example")

    def dead_link(self) -> str:
        """A URL whose host does not resolve; about three links share each such host."""
        return self._address(f"pics.gone-{self._num_links // 40}.invalid")

    def _address(self, host: str) -> str:
        self._num_links += 1
        number = f"{self._num_links:05d}{self._rng.integers(16**4):04x}"
        year, month = self._rng.integers(2005, 2015), self._rng.integers(1, 13)
        paths = (
            f"/photos/{year}/{number}.jpg",
            f"/wp-content/uploads/{year}/{month:02d}/{number}-portrait.jpg",
            f"/gallery/{number[-2:]}/IMG_{number}.JPG",
            f"/albums/s{month}/{number}/face+{number}.jpeg",
            f"/thumb.php?src={number}.jpg&w={100 * month}&q=90",
            f"/img/{number}_b.jpg?v={year}",
            f"/~user{month}/pictures/{number}.jpg",
            f"/media/{number}/full/original",
            f"/my%20pictures/{year}/summer%20party%20({number}).jpg",
            f"/cache/a%252Bb%252B{number}.jpg",
        )
        scheme = "https" if self._rng.random() < 0.02 else "http"
        port = ":8080" if self._rng.random() < 0.01 else ""
        return f"{scheme}://{host}{port}{paths[self._rng.integers(len(paths))]}"
