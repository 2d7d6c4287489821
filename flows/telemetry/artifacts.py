"""Prefect artifacts of a run: tables, Markdown pages and small contact sheets."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from io import BytesIO
from typing import Any
from uuid import UUID

import numpy as np
from PIL import Image
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate

from flows.reports.link import report_link
from flows.runs.engine import is_recorded
from storage.errors import LakeError
from storage.files.lake import Lake
from storage.tables.shards import read_member, read_places
from storage.text.names import visible
from storage.versions.datasets import DatasetVersion
from tasks.images.decode import UndecodableImage, decode

_COLUMNS, _ROWS, _TILE_PX = 8, 3, 56
# Characters with a meaning inside a line of CommonMark, GitHub tables and bare links; a backslash escapes them.
_MARKDOWN = re.compile(r"[\\`*_\[\]<>|~&]|:(?=//)")


def plain(text: str) -> str:
    """Escape outside text for Markdown: it creates no emphasis, code, link, picture, HTML or cell border."""
    return _MARKDOWN.sub(r"\\\g<0>", visible(text))


def foreign_page(text: str) -> str:
    """Escape a model's Markdown page: headings and tables stay; HTML, links and pictures become text."""
    lines = (
        visible(line).replace("<", "&lt;").replace("](", "]\\(").replace("]:", "]\\:") for line in text.split("\n")
    )
    return "\n".join(lines)


def _plain_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Escape control and bidi characters in the rows of a table."""
    return [{name: visible(cell) if isinstance(cell, str) else cell for name, cell in row.items()} for row in rows]


def table(key: str, rows: list[dict[str, Any]], description: str) -> None:
    """Show rows as a table, if runs are recorded."""
    if is_recorded():
        rows, description = _plain_rows(rows), plain(description)
        create_table_artifact(table=rows, key=key, description=description, _sync=True)  # type: ignore[call-arg]


def markdown(key: str, page: Callable[[], str], description: str) -> None:
    """Show a page of Markdown, if runs are recorded; pages have pictures, which take time to draw."""
    if is_recorded():
        create_markdown_artifact(markdown=page(), key=key, description=plain(description), _sync=True)  # type: ignore[call-arg]


class _Live:
    """One artifact that is updated during a run, because each new artifact would be another database row."""

    def __init__(self, create: Callable[..., Any], **fields: Any) -> None:
        self._id: UUID | None = create(**fields, _sync=True) if is_recorded() else None

    def _update(self, change: ArtifactUpdate) -> None:
        if self._id:
            with get_client(sync_client=True) as client:
                client.update_artifact(self._id, change)


class LiveTable(_Live):
    """A table that is updated during a run."""

    def __init__(self, key: str, description: str) -> None:
        super().__init__(create_table_artifact, table=[{"": ""}], key=key, description=description)

    def show(self, rows: list[dict[str, Any]], description: str) -> None:
        """Replace the rows."""
        self._update(ArtifactUpdate(data=json.dumps(_plain_rows(rows)), description=plain(description)))


class LivePage(_Live):
    """A Markdown page that is updated during a run."""

    def __init__(self, key: str, text: str, description: str) -> None:
        super().__init__(create_markdown_artifact, markdown=text, key=key, description=plain(description))

    def show(self, page: Callable[[], str]) -> None:
        """Replace the text."""
        if self._id:
            self._update(ArtifactUpdate(data=page()))


class LiveProgress(_Live):
    """A progress bar of Prefect's UI."""

    def __init__(self, key: str, description: str) -> None:
        super().__init__(create_progress_artifact, progress=0.0, key=key, description=description)

    def show(self, percent: float, description: str) -> None:
        """Set the progress, 0 to 100."""
        if self._id:
            update_progress_artifact(self._id, progress=percent, description=description, _sync=True)  # type: ignore[call-arg]


def contact_sheet(pictures: list[bytes]) -> str:
    """A Markdown image of up to 24 pictures; a JPEG of some 20 kB, because the server's database keeps it.

    A picture that cannot be decoded leaves a blank tile, so that a preview never fails a run.
    """
    sheet = Image.new("RGB", (_COLUMNS * _TILE_PX, _ROWS * _TILE_PX), "white")
    for place, data in enumerate(pictures[: _COLUMNS * _ROWS]):
        try:
            tile = decode(data).resize((_TILE_PX, _TILE_PX), Image.Resampling.BILINEAR)
        except UndecodableImage:
            continue
        sheet.paste(tile, (place % _COLUMNS * _TILE_PX, place // _COLUMNS * _TILE_PX))
    file = BytesIO()
    # Without subsampling no block of the JPEG crosses the border of a tile, so that blanks stay white.
    sheet.save(file, "JPEG", quality=85, subsampling=0)
    return _image("contact sheet", "jpeg", file.getvalue())


def dataset_page(dataset: DatasetVersion, report: str | None = None) -> str:
    """A Markdown summary of a dataset version, with pictures.

    Args:
        report: path of its HTML report, to link to.
    """
    dataset.require("source", "method", "num_samples", "num_identities", "splits")
    manifest = dataset.manifest
    index = dataset.index(["shard", "offset", "length"])
    rows = np.linspace(0, len(index) - 1, min(len(index), _COLUMNS * _ROWS)).astype(int)
    members = [(dataset.path_of(row["shard"]), row["offset"], row["length"]) for row in index.take(rows).to_pylist()]
    parts = ", ".join(f"{name} {part['samples']}" for name, part in manifest["splits"].items())
    return (
        f"## {dataset}\n\n{manifest['num_samples']} faces of {manifest['num_identities']} people ({parts}), "
        f"method {manifest['method']}, source {manifest['source']}.\n\n{member_sheet(dataset.lake, members)}\n\n"
        f"{report_line(report)}"
        f"{plain(manifest.get('terms') or '')}\n"
    )


def report_line(report: str | None) -> str:
    """A paragraph of Markdown that links to a report; empty without one."""
    return f"Report: {report_link(report)}, shown by `facemill serve`.\n\n" if report else ""


def member_sheet(lake: Lake, members: list[tuple[str, int, int]]) -> str:
    """A contact sheet of shard members given as (path, offset, length); unreadable ones leave a blank tile."""
    try:
        tiles = read_places(lake, members)
    except (OSError, LakeError):
        tiles = [_read(lake, member) for member in members]
    return contact_sheet(tiles)


def _read(lake: Lake, member: tuple[str, int, int]) -> bytes:
    try:
        return read_member(lake, *member)
    except (OSError, LakeError):
        return b""


def loss_plot(steps: list[int], losses: list[float]) -> str:
    """A Markdown image of the loss by step."""
    from flows.telemetry.loss_chart import loss_chart  # noqa: PLC0415 - imports the templates of pages, 0.1 CPU-s

    return _image("loss by step", "svg+xml", loss_chart(steps, losses).encode())


def _image(name: str, kind: str, data: bytes) -> str:
    return f"![{name}](data:image/{kind};base64,{base64.b64encode(data).decode()})"
