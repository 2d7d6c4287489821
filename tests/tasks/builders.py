"""Small tables of made records, and drawn crops, for the tests of the stages that only look at tables."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from PIL import Image

from storage.records import ATTEMPTS, FACES, VERDICTS, Box, Outcome, Reason, bytes_digest, url_key
from storage.tables.parquet import rows_to_table
from storage.tables.stored_rows import StoredRows
from tasks.dataset.face_rows import face_rows
from tasks.dataset.select import fetched, select

T = TypeVar("T")

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
BOX: Box = (100.0, 60.0, 200.0, 180.0)
OTHER_BOX: Box = (300.0, 60.0, 380.0, 160.0)


def outcome(reason: Reason | None) -> dict[str, Any]:
    return {"outcome": Outcome.REJECTED if reason else Outcome.ACCEPTED, "reason": reason}


def attempt(url: str, reason: Reason | None = None, *, picture: str | None = None, **changes: Any) -> dict[str, Any]:
    """One row of a ledger; equal `picture`s are equal bytes, another one has another hash too."""
    row = {"key": url_key(url), "url": url, **outcome(reason), "tries": 1, "round": 1, "fetched_at": NOW}
    if reason is None:
        digest = bytes_digest((picture or url).encode())
        row |= {"digest": digest, "dhash": digest[:16], "width": 400, "height": 300}
    return {**row, **changes}


def attempts(*rows: dict[str, Any]) -> pa.Table:
    return rows_to_table(list(rows), ATTEMPTS)


def selected(lines: pa.Table, ledger: pa.Table, judged: pa.Table, found: pa.Table, **options: Any) -> pa.Table:
    """The outcomes of lines by a ledger, verdicts and faces in memory."""
    return select(lines, fetched(lines, ledger), judged, face_rows(StoredRows.of(found)), **options)


def verdicts(lines: pa.Table, reasons: list[Reason | None]) -> pa.Table:
    """A verdict on each of `lines`; every picture is a cluster of its own."""
    rows = lines.select(["identity", "line", "key"]).to_pylist()
    return rows_to_table(
        [
            {**row, **outcome(reason), "cluster": bytes_digest(row["key"])}
            for row, reason in zip(rows, reasons, strict=True)
        ],
        VERDICTS,
    )


def face(identity: str, line: int, url: str, reason: Reason | None = None, **changes: Any) -> dict[str, Any]:
    """One row of faces; its picture is told by its URL."""
    row = {"identity": identity, "line": line, "key": url_key(url), "image_digest": bytes_digest(url.encode())}
    row |= {**outcome(reason), "num_faces": 1}
    if reason is None:
        row |= {"agreement": 0.8, "fit": "as_listed", "score": 0.99, "face_px": 120.0}
        row |= {"source_box_xyxy": BOX, "border": 0.0, "sharpness": 300.0, "yaw_deg": 5.0, "roll_deg": -3.0}
        row |= {"face_box_xyxy": (8.0, 8.0, 56.0, 56.0), "width": 64, "height": 64}
    return {**row, **changes}


def faces(*rows: dict[str, Any]) -> pa.Table:
    return rows_to_table(list(rows), FACES)


def pick(rng: np.random.Generator, *options: T) -> T:
    return options[rng.integers(len(options))]


def shuffled(rows: list[T], seed: int) -> list[T]:
    return [rows[at] for at in np.random.default_rng(seed).permutation(len(rows))]


def jpeg(number: int) -> bytes:
    """A drawn crop of 64x64, another one for each number below 2**24."""
    image = Image.new("RGB", (64, 64), (number >> 16 & 255, number >> 8 & 255, number & 255))
    image.paste((255 - number & 255, 128, 0), (16, 16, 48, 48))
    file = BytesIO()
    image.save(file, "JPEG", quality=95)
    return file.getvalue()
