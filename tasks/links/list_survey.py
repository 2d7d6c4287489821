"""Survey a list without any request: good and rejected lines, people, boxes, digests, and warnings."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tasks.links.recipes.guess import PICTURE_URL
from tasks.links.recipes.recipe import BoxIs, Recipe
from tasks.links.sources.table import BoxCounts, ReadList

_NUM_EXAMPLES = 3
# The number of URLs examined to distinguish pages from pictures.
_NUM_LOOKED_AT = 10_000
_FEW_PICTURES = 0.2


def survey(recipe: Recipe, found: ReadList) -> dict[str, Any]:
    """The survey of a list, as JSON."""
    lines, rejected = found.lines.lines, found.lines.rejected
    people = 0 if recipe.identity is None else pc.count_distinct(lines["identity"].cast(pa.string())).as_py()
    return {
        "recipe": recipe.as_json(),
        "rows": found.lines.num_lines,
        "good": len(lines),
        "rejected": dict(sorted(Counter(rejected["reason"].cast(pa.string()).to_pylist()).items())),
        "identities": people,
        "with_box": len(lines) - lines["box_xyxy"].null_count,
        "with_digest": len(lines) - lines["listed_digest"].null_count,
        "distinct_urls": pc.count_distinct(lines["key"]).as_py(),
        "examples": [_example(recipe, row) for row in _first(lines).to_pylist()],
    }


def warnings(recipe: Recipe, found: ReadList) -> list[str]:
    """Warnings to check before the list is used."""
    messages = _about_boxes(recipe.box_is, found.boxes)
    if recipe.url is not None:
        urls = found.lines.lines["url"].slice(0, _NUM_LOOKED_AT).to_pylist()
        pictures = sum(bool(PICTURE_URL.match(url)) for url in urls)
        if urls and pictures < _FEW_PICTURES * len(urls):
            messages.append(
                f"{pictures:,} of {len(urls):,} URLs end in the extension of a picture: the column may contain URLs "
                f"of pages"
            )
    return messages


def first_rejected(found: ReadList) -> dict[str, tuple[int, str]]:
    """The first rejected line and its message, by reason."""
    rows = found.lines.rejected.sort_by("line").to_pylist()
    return {row["reason"]: (row["line"], row["detail"]) for row in reversed(rows)}


def _about_boxes(order: BoxIs, boxes: BoxCounts) -> list[str]:
    messages = []
    for what, counts, num in (
        ("are empty", boxes.empty, boxes.listed),
        ("extend beyond the picture", boxes.outside, boxes.sized),
    ):
        if counts[order]:
            others = [f'"{one}"' for one in counts if not boxes.empty[one] and not boxes.outside[one]]
            advice = f"; none does as {' or '.join(others)}" if others else ""
            messages.append(f'{counts[order]:,} of {num:,} boxes {what} as "{order}"{advice}')
    return messages


def _first(lines: pa.Table) -> pa.Table:
    return lines.take(pc.select_k_unstable(lines, _NUM_EXAMPLES, [("line", "ascending")]))


def _example(recipe: Recipe, row: dict[str, Any]) -> dict[str, Any]:
    size = None if row["listed_width"] is None else [row["listed_width"], row["listed_height"]]
    return {
        "identity": None if recipe.identity is None else row["identity"],
        "line": row["line"],
        "url": row["url"],
        "box_xyxy": row["box_xyxy"],
        "box_of": size,
        "digest": row["listed_digest"].hex() if row["listed_digest"] else None,
        "kept": row["kept"],
    }
