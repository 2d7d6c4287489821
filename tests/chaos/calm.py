"""What an undisturbed run gives, and whether a disturbed one came to the same."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from storage.files.lake import Lake
from storage.tables.parquet import read_table
from storage.versions.datasets import all_versions
from storage.versions.models import model_versions
from synthetic.origin import Origin
from tasks.fetch.ledger import accepted, image_stems
from tasks.maintenance.fsck.inspect_lake import inspect, jobs
from tests.flows.grading import accepted_urls, dataset_urls, version_ids

_WITHIN_S = 1800.0
_KEPT = ["key", "outcome"]


_FACEMILL = [sys.executable, "-c", "from flows.cli.app import main; main()"]


def start(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command run to its end, whatever that is."""
    return subprocess.run([*_FACEMILL, *arguments], capture_output=True, text=True, check=False, timeout=_WITHIN_S)


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A command on its way."""
    with subprocess.Popen(
        [*_FACEMILL, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process


def wait_until(process: subprocess.Popen[str], reached: Callable[[], bool]) -> None:
    """Wait for a point of a run, which must be reached before its end."""
    while not reached():
        assert process.poll() is None, f"it ended before that: {process.stderr and process.stderr.read()[-3000:]}"
        time.sleep(0.01)


def facemill(*arguments: str) -> Any:
    """What a command prints with --json; it must end well."""
    done = start(*arguments, "--json")
    told = f"{arguments[0]} ended with {done.returncode}: {done.stdout[-2000:]} {done.stderr[-2000:]}"
    assert done.returncode == 0, told
    return json.loads(done.stdout)


def links_of(world: Path, origin: Origin) -> list[str]:
    """The options that send a run into a served world."""
    return ["--links", str(world / "links"), "--connect-to", f"127.0.0.1:{origin.port}"]


def assert_same(disturbed: Path | str, calm: Path) -> None:
    """No accepted picture lost, none kept twice, the same versions of datasets and models, each cleaned at most once,
    and nothing that `facemill check` finds.
    """
    one, other = Lake(disturbed), Lake(calm)
    assert accepted_urls(one) == accepted_urls(other)
    assert num_twice(one) == 0
    assert version_ids(one) == version_ids(other)
    cleaned = [found.name for found in all_versions(one) if "cleaning" in found.manifest]
    assert len(cleaned) == len(set(cleaned))
    plain = version_ids(one)
    trained = [{str(model) for model in model_versions(lake) if model.dataset in plain} for lake in (one, other)]
    assert trained[0] == trained[1]
    samples = [
        {name: sorted(urls) for name, urls in dataset_urls(lake).items() if name in plain} for lake in (one, other)
    ]
    assert samples[0] == samples[1]
    assert findings_of(disturbed) == []


def num_lost(disturbed: Path, calm: Path) -> int:
    """The links whose picture only the undisturbed lake has."""
    return len(accepted_urls(Lake(calm)) - accepted_urls(Lake(disturbed)))


def num_twice(lake: Lake, source: str = "vggface1") -> int:
    """The pictures that a lake keeps more than one copy of for the same link."""
    tables = [read_table(lake, f"{lake.images(source, stem)}.parquet", _KEPT) for stem in image_stems(lake, source)]
    kept = accepted(pa.concat_tables(tables).unify_dictionaries())["key"]
    return len(kept) - len(pc.unique(kept))


def findings_of(lake: Path | str) -> list[str]:
    """What `facemill check` finds."""
    return [f"{one.kind}: {one.path}: {one.detail}" for one in inspect(jobs(Lake(lake)))]
