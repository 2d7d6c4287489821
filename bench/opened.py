"""A `facemill` command whose openings of files below a folder are counted.

python -m bench.opened FOLDER FILE status --lake LAKE     writes the number to FILE
"""

from __future__ import annotations

import atexit
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    folder, file, *arguments = sys.argv[1:]
    below, num = f"{Path(folder).resolve()}/", [0]

    def on_event(event: str, details: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(details[0], str) and details[0].startswith(below):
            num[0] += 1

    sys.addaudithook(on_event)
    atexit.register(lambda: Path(file).write_text(str(num[0])))
    sys.argv = ["facemill", *arguments]
    from flows.cli.app import main as run  # noqa: PLC0415 - the count begins with the command

    run()


if __name__ == "__main__":
    main()
