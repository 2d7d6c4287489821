"""Which files of a lake are opened for reading."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import pytest

from storage.files.lake import Lake


@contextmanager
def opened_files() -> Iterator[list[str]]:
    """The paths that any lake opens during the block, in a list that grows."""
    found: list[str] = []
    open_file, read_file = Lake.open, Lake.read

    def opening(lake: Lake, path: str) -> IO[bytes]:
        found.append(path)
        return open_file(lake, path)

    def reading(lake: Lake, path: str, *place: Any, **kwargs: Any) -> bytes:
        found.append(path)
        return read_file(lake, path, *place, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Lake, "open", opening)
        patch.setattr(Lake, "read", reading)
        yield found


def tables_opened(paths: list[str]) -> list[str]:
    """The tables among them, without what is kept beside the lake's own: cached results and takedowns."""
    return [path for path in paths if path.endswith(".parquet") and path.split("/")[0] not in {"cache", "takedowns"}]
