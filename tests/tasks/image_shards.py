"""A shard of images as `fetch` leaves it, made of given bytes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pyarrow as pa
from PIL import Image

from storage.files.lake import Lake
from storage.records import ATTEMPTS, LINK_LINES, Box, Outcome, Reason, bytes_digest, url_key
from storage.tables.parquet import rows_to_table, write_table
from storage.tables.shards import create_shard

SOURCE, STEM = "vggface1", "0003-0"


def png(image: Image.Image) -> bytes:
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def write_images(lake: Lake, pictures: Mapping[str, bytes | None]) -> None:
    """Write a shard with one attempt a URL; None is an attempt that failed."""
    rows = []
    with create_shard(lake, f"{lake.images(SOURCE, STEM)}.tar") as tar:
        for url, data in pictures.items():
            row: dict[str, Any] = {
                "key": url_key(url),
                "url": url,
                "tries": 1,
                "round": 1,
                "fetched_at": datetime.now(UTC),
            }
            if data is None:
                rows.append({**row, "outcome": Outcome.REJECTED, "reason": Reason.GONE})
                continue
            offset, length = tar.add(f"{row['key'].hex()}.png", data)
            place = {"digest": bytes_digest(data), "shard": STEM, "offset": offset, "length": length}
            rows.append({**row, "outcome": Outcome.ACCEPTED, **place})
    write_table(lake, f"{lake.images(SOURCE, STEM)}.parquet", rows_to_table(rows, ATTEMPTS))


def link_lines(*lines: tuple[str, int, str, Box | None]) -> pa.Table:
    """Link lines of (identity, line, url, box)."""
    rows = [
        {"identity": identity, "line": line, "url": url, "key": url_key(url), "box_xyxy": box}
        for identity, line, url, box in lines
    ]
    return rows_to_table(rows, LINK_LINES)
