"""A wall clock that is wrong by as much as a test says, for the processes that get its environment."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

COMPILER = shutil.which("cc")


class WrongClock:
    """The wall clock of the processes that get its environment."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._library, self._file = folder / "clock.so", folder / "wrong-by"
        source = Path(__file__).with_name("clock.c")
        subprocess.run([str(COMPILER), "-shared", "-fPIC", "-O2", "-o", self._library, source], check=True)
        self.set(0)

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self._library), "WRONG_BY": str(self._file)}

    def set(self, wrong_by_s: int) -> None:
        # In place: the processes have the file mapped.
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(struct.pack("=q", wrong_by_s))
