"""Ctrl-C while a picture is decoded: the command ends with all its processes at once, and the next one goes on."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from storage.files.lake import Lake
from storage.records import Outcome
from tasks.fetch.ledger import read_ledger
from tasks.maintenance.fsck.findings import Kind
from tasks.maintenance.fsck.inspect_lake import inspect, jobs

pytestmark = [pytest.mark.slow, pytest.mark.attack(4)]
# Only what hangs gets there: an ingest that starts on a busy machine, or ends, takes seconds.
GUARD_S = 600.0


@contextmanager
def host_of(picture: bytes) -> Iterator[int]:
    """A web server that answers everything with one picture; yields its port."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "image/png")
            self.send_header("Content-Length", str(len(picture)))
            self.end_headers()
            self.wfile.write(picture)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def children_of(process: int) -> list[int]:
    """All processes below one, also those that its threads started."""
    found = []
    for one in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            found += [int(word) for word in one.read_text().split()]
    return found + [below for child in found for below in children_of(child)]


def decoding(process: int, num_bytes: int) -> int | None:
    """The child of a command that has read a picture of so many bytes, and works on it."""
    for child in children_of(process):
        with suppress(OSError):
            told = Path(f"/proc/{child}/io").read_text()
            is_apart = b"sandbox import serve" in Path(f"/proc/{child}/cmdline").read_bytes()
            if is_apart and int(told.split()[told.split().index("rchar:") + 1]) > num_bytes:
                return child
    return None


def test_ctrl_c_in_a_costly_picture_ends_the_command_at_once_and_the_next_one_goes_on(tmp_path: Path) -> None:
    file = BytesIO()
    # 25 million pixels cost a second; not compressed, so that its reading shows in the counts of the process.
    Image.effect_noise((5000, 5000), 20).save(file, "PNG", compress_level=0)
    (tmp_path / "links").mkdir()
    (tmp_path / "links/Ada_Aal.txt").write_text("00000001 http://a.example/1.png 1.00 1.00 90.00 90.00 3.00 2.00 1\n")
    lake = Lake(tmp_path / "lake")
    with host_of(file.getvalue()) as port:
        command = [sys.executable, "-c", "from flows.cli.app import main; main()", "ingest", "--lake", lake.url]
        command += ["--links", str(tmp_path / "links"), "--connect-to", f"127.0.0.1:{port}"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        environment |= {"PREFECT_HOME": str(tmp_path / "home"), "FACEMILL_SILENCE_S": "600", "FACEMILL_TOTAL_S": "600"}
        ingest = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # Tests that were started in the background of a shell ignore it, and so would this one.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - one system call
        )
        until = time.monotonic() + GUARD_S
        while (child := decoding(ingest.pid, len(file.getvalue()))) is None:
            assert ingest.poll() is None, ingest.communicate()
            assert time.monotonic() < until, "no picture is decoded"
            time.sleep(0.01)
        # It costs for ever now: whoever waits for its end does not come back.
        os.kill(child, signal.SIGSTOP)
        ends = [os.pidfd_open(one) for one in children_of(ingest.pid)]
        # As a terminal does it.
        os.killpg(ingest.pid, signal.SIGINT)
        told, said = ingest.communicate(timeout=GUARD_S)
        assert (ingest.returncode, told) == (128 + signal.SIGINT, ""), said
        assert said == "facemill: stopped; run the same command again to resume\n"
        for end in ends:
            assert select.select([end], [], [], GUARD_S)[0], "a process goes on"
            os.close(end)

        assert {one.kind for one in inspect(jobs(lake))} <= {Kind.LEFTOVER}
        again = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert read_ledger(lake, "vggface1", ["outcome"])["outcome"].to_pylist() == [Outcome.ACCEPTED]
    assert not lake.leftovers()
