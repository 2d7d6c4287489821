"""Files as Arrow reads them on its own: without a Python object.

Arrow's threads let go of a file some time after a read has ended. If they do so while the interpreter ends, and what
they let go of is Python's, the process aborts ("terminate called without an active exception", apache/arrow#34314):
of the processes that ended right after they had read a small table, 17 of 400 did on two busy cores.
"""

from __future__ import annotations

from contextlib import suppress
from typing import IO, Any

import pyarrow as pa

from storage.files.object_requests import EndFirst


def native_file(file: IO[bytes] | EndFirst) -> Any:
    """What Arrow reads in place of an open file: the same file on this machine, or a copy of a small one of a bucket.

    A large file of a bucket is read as it is. So is a file on this machine if /proc is not there.
    """
    if isinstance(file, EndFirst):
        return file if file.whole is None else pa.BufferReader(native_buffer(file.whole))
    with suppress(OSError):
        return pa.OSFile(f"/proc/self/fd/{file.fileno()}")
    return file


def native_buffer(data: bytes) -> pa.Buffer:
    """A copy of bytes in Arrow's own memory."""
    buffer = pa.allocate_buffer(len(data))
    memoryview(buffer).cast("B")[:] = data
    return buffer
