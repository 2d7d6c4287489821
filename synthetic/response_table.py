"""The tables of a synthetic dataset: the response to each URL, and which listed boxes match.

A dataset is a folder with `links/`, `responses.csv`, `bodies/` and `boxes.csv`; generated ones have a `world.json` too.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from storage.errors import UsageError
from storage.text.names import Form, visible

# In `bodies`, and nowhere else.
_FILE = Form(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}", "the name of a file")


class Response(NamedTuple):
    """One row of `responses.csv`.

    kind: `image`, `status`, `html`, `redirect`, `nxdomain`, `reset`, `hang`, `slow`, `drip`, `truncated`, `endless`
        or `gzipbomb`.
    fail_first, fail_status: the first `fail_first` requests get this status (and the headers).
    expect: `accepted`, `rejected`, `policy` (can be fetched but must not be) or `target` (of a redirect).
    truth_identity: the person actually in the picture. same_as: the URL whose picture this one repeats.
    """

    url: str
    kind: str
    body: str = ""
    status: int = 200
    fail_first: int = 0
    fail_status: int = 0
    location: str = ""
    headers: str = ""
    expect: str = "rejected"
    truth_identity: str = ""
    same_as: str = ""
    faces: str = ""
    size: str = ""


class BoxRow(NamedTuple):
    """One row of `boxes.csv`: whether the box of a link line frames a face in the served picture."""

    identity: str
    line: int
    url: str
    box_ok: int


def read_responses(world: Path) -> Iterator[Response]:
    """Read the responses of a dataset.

    Raises:
        UsageError: the folder is not a dataset, or has another format.
    """
    path = world / "responses.csv"
    if not path.is_file():
        raise UsageError(
            f"{world} is not a synthetic dataset: it has no responses.csv; make one with `facemill synthetic make`"
        )
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        missing = set(Response._fields) - set(rows.fieldnames or ())
        if missing:
            raise UsageError(
                f"{path} lacks the columns {', '.join(sorted(missing))}: run `facemill synthetic make` again"
            )
        try:
            yield from map(_response, rows)
        except (ValueError, TypeError, RecursionError, csv.Error) as error:
            raise UsageError(
                f"{path}, line {rows.line_num}: {visible(str(error))}: run `facemill synthetic make` again"
            ) from error


def _response(row: dict[str, str]) -> Response:
    numbers = {name: int(row[name] or 0) for name in ("status", "fail_first", "fail_status")}
    values: dict[str, Any] = {name: numbers.get(name, row[name]) for name in Response._fields}
    if row["body"] and not _FILE.fits(row["body"]):
        raise ValueError(f"body is {row['body']!a} and must be {_FILE.words}")
    if row["headers"] and not isinstance(json.loads(row["headers"]), dict):
        raise ValueError(f"headers is {row['headers']!a} and must be a JSON object")
    return Response(**values)


def read_boxes(world: Path) -> Iterator[BoxRow]:
    """Read which listed boxes match, one row per link line.

    Raises:
        UsageError: the folder has no `boxes.csv`.
    """
    path = world / "boxes.csv"
    if not path.is_file():
        raise UsageError(
            f"{world} is not a synthetic dataset: it has no boxes.csv; make one with `facemill synthetic make`"
        )
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield BoxRow(row["identity"], int(row["line"]), row["url"], int(row["box_ok"]))
