"""A synthetic web that changes from day to day: people are listed, links die and come back, and many days nothing."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from synthetic.origin import Origin, serving
from synthetic.response_table import Response, read_responses
from synthetic.world import make_world
from tests.flows.grading import expected

PEOPLE, PER_PERSON = 14, 24
_LISTED_AT_FIRST = 8
# From which day on further people are listed; their number is more than any threshold of change.
_LISTED_ON = {4: 1, 7: 2, 10: 1, 13: 1}
# Ten links of one person answer 503 until this day; then their pictures are there. A day is the longest gap between
# two retries but one of a week.
_BACK_ON = 2
# So many links of another person, whose pictures a lake has by then, are gone on these days, and then back.
_GONE_ON = range(5, 12)
_NUM_AWAY = 10
# One line of a person is listed from this day on: less than any threshold of change.
_ONE_MORE_ON = 9


@dataclass
class ChangingWorld:
    """A world of which a day shows a part.

    Args:
        folder: empty or not there; it holds the whole world, and the one of the day.
    """

    folder: Path
    people: list[str] = field(init=False)

    def __post_init__(self) -> None:
        make_world(self._whole, num_identities=PEOPLE, per_identity=PER_PERSON, seed=5)
        self.shown.mkdir()
        (self.shown / "links").mkdir()
        (self.shown / "bodies").symlink_to(self._whole / "bodies")
        (self.shown / "boxes.csv").symlink_to(self._whole / "boxes.csv")
        self.people = sorted(path.stem for path in (self._whole / "links").glob("*.txt"))

    @property
    def shown(self) -> Path:
        """The world of the day."""
        return self.folder / "shown"

    @property
    def _whole(self) -> Path:
        return self.folder / "whole"

    @contextmanager
    def serving(self, day: int, port: int = 0) -> Iterator[Origin]:
        """Serve the world of a day, from 1 on."""
        self._list_people(day)
        self._write_responses(day)
        with serving(self.shown, port) as origin:
            yield origin

    def what_changes(self, day: int) -> str:
        """What is new on a day, in words."""
        listed = _LISTED_ON.get(day, 0)
        words = [f"{listed} more listed"] if listed else []
        words += ["all begins"] if day == 1 else []
        words += ["10 links are back"] if day in {_BACK_ON, _GONE_ON.stop} else []
        words += ["10 links die"] if day == _GONE_ON.start else []
        words += ["1 more line"] if day == _ONE_MORE_ON else []
        return ", ".join(words) or "nothing"

    def must_have(self) -> set[str]:
        """The URLs whose picture a lake must hold at the end of the day that is shown."""
        return expected(self.shown, "accepted")

    def _list_people(self, day: int) -> None:
        num = _LISTED_AT_FIRST + sum(more for since, more in _LISTED_ON.items() if since <= day)
        for index, name in enumerate(self.people[:num]):
            lines = (self._whole / "links" / f"{name}.txt").read_text().splitlines(keepends=True)
            last = -1 if index == 2 and day < _ONE_MORE_ON else None
            (self.shown / "links" / f"{name}.txt").write_text("".join(lines[:last]))

    def _write_responses(self, day: int) -> None:
        late = self._plain_of(self.people[0]) if day < _BACK_ON else set()
        gone = self._plain_of(self.people[1]) if day in _GONE_ON else set()
        with (self.shown / "responses.csv").open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(Response._fields)
            for one in read_responses(self._whole):
                if one.url in late:
                    one = one._replace(kind="status", body="", status=503)  # noqa: PLW2901
                elif one.url in gone:
                    one = one._replace(kind="status", body="", status=404)  # noqa: PLW2901
                rows.writerow(one)

    def _plain_of(self, person: str) -> set[str]:
        """The first pictures of a person that nothing is wrong with."""
        lines = (self._whole / "links" / f"{person}.txt").read_text().splitlines()
        theirs = {line.split()[1] for line in lines}
        plain = [
            one.url
            for one in read_responses(self._whole)
            if one.url in theirs and one.kind == "image" and one.expect == "accepted" and not one.fail_first
        ]
        return set(plain[:_NUM_AWAY])
