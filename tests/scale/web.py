"""A made world's web for a whole rack: its origin listens on loopback only, so a relay passes on what comes by wire.

python -m tests.scale.web WORLD ADDRESS PORT
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from pathlib import Path

from synthetic.origin import Origin


async def play(world: Path, address: str, port: int) -> None:
    async with Origin(world, port=port) as origin:

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there, back = await asyncio.open_connection(origin.host, origin.port)
            ways = [asyncio.create_task(_pass(reader, back)), asyncio.create_task(_pass(there, writer))]
            # Who hangs up on one side has hung up on the other: that is how an origin's answer ends early.
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            for side in (back, writer):
                side.close()

        async with await asyncio.start_server(relay, address, port):
            await asyncio.Event().wait()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()


if __name__ == "__main__":
    asyncio.run(play(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
