"""Files that another run removes between the listing of their folder and whatever is done with their names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from storage.files.lake import Lake


@contextmanager
def removed_once_listed(path: str) -> Iterator[None]:
    """Have another run remove a file of whichever lake once its folder has been listed in the block."""
    folder = path.rpartition("/")[0]

    def then_removed(listing: str) -> Any:
        real = getattr(Lake, listing)

        def listed(lake: Lake, of: str, *start: str) -> Any:
            found = real(lake, of, *start)
            if of.rstrip("/") == folder:
                Lake(lake.url).remove_file(path)
            return found

        return listed

    with pytest.MonkeyPatch.context() as patch:
        for listing in ("names", "states"):
            patch.setattr(Lake, listing, then_removed(listing))
        yield
