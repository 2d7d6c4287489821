"""CPU time from an archive of millions of links to a plan, on one core.

    python -m bench.plan                         ../shared/data/vgg_face_dataset.tar.xz next to the repository
    python -m bench.plan ARCHIVE                 another archive or folder of link files
    python -m bench.plan --json FILE

The steps of `facemill ingest` before its first request: `read` unpacks the archive, parses every line and computes
its key (the rows in brackets show the shares of unpacking and keys); `plan` makes one candidate per distinct URL,
divides them into units and interleaves the hosts. CPU time and peak memory are those of this process, which does
nothing else. The limit is one million lines in 12 s of CPU time and 1.5 GB. The last rows show how well hosts are
interleaved: the longest run of one host within a unit, next to that of the list's original order; and how evenly links
are spread over the slices of hosts that runs share.
"""

from __future__ import annotations

import argparse
import json
import resource
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from storage.leases.slice_rules import NUM_SLICES
from storage.records import url_key
from tasks.fetch.ledger import host_of
from tasks.fetch.links_by_slice import slices_of
from tasks.links.plan import plan
from tasks.links.sources import vggface1

_ARCHIVE = Path(__file__).parents[1].parent / "shared" / "data" / "vgg_face_dataset.tar.xz"
_MAX_CPU_S, _MAX_BYTES = 12.0, 1.5e9

Value = TypeVar("Value")


def timed(rows: list[dict[str, Any]], name: str, work: Callable[[], Value]) -> Value:
    """Do the work, and append a row with its cost."""
    wall, cpu = time.monotonic(), time.process_time()
    value = work()
    rows.append(
        {
            "step": name,
            "seconds": round(time.monotonic() - wall, 2),
            "CPU s": round(time.process_time() - cpu, 2),
            "peak MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6),
        }
    )
    return value


def longest_run(urls: pa.ChunkedArray, units: pa.ChunkedArray) -> int:
    """The longest run of one host within a unit."""
    hosts = host_of(urls).combine_chunks().dictionary_encode().indices.to_numpy()
    units = units.to_numpy()
    changes = np.flatnonzero((hosts[1:] != hosts[:-1]) | (units[1:] != units[:-1])) + 1
    return int(np.diff(np.r_[0, changes, len(hosts)]).max())


def busiest_share(urls: pa.ChunkedArray, units: pa.ChunkedArray) -> tuple[int, int]:
    """(links of the host with the largest share of a unit, links of that unit)."""
    hosts = host_of(urls).combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    units = units.to_numpy().astype(np.int64)
    groups, counts = np.unique(units * (hosts.max() + 1) + hosts, return_counts=True)
    most = int(counts.argmax())
    return int(counts[most]), int((units == groups[most] // (hosts.max() + 1)).sum())


def largest_slice(urls: pa.ChunkedArray) -> tuple[float, float]:
    """The percentages of all links in the slice of hosts with the most, and at the host with the most."""
    hosts = host_of(urls).combine_chunks().dictionary_encode().indices.to_numpy()
    of_slices, of_hosts = np.bincount(slices_of(urls)), np.bincount(hosts)
    return 100 * float(of_slices.max()) / len(urls), 100 * float(of_hosts.max()) / len(urls)


def unpacked_bytes(archive: Path) -> int:
    """The total size of all files of an archive, unpacked and discarded."""
    if not archive.is_file():
        return 0
    with tarfile.open(archive) as tar:
        return sum(len(file.read()) for member in tar if (file := tar.extractfile(member)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, nargs="?", default=_ARCHIVE)
    parser.add_argument("--json", type=Path, help="write the results to this file")
    options = parser.parse_args()
    pa.set_cpu_count(1)
    rows: list[dict[str, Any]] = []
    source = timed(rows, "read", lambda: vggface1.read(options.archive, None, str(options.archive)))
    candidates = timed(rows, "plan", lambda: plan(source.lines))
    cpu_s, peak = sum(row["CPU s"] for row in rows), rows[-1]["peak MB"]
    urls = source.lines["url"].to_pylist()
    timed(rows, "(unpacking alone)", lambda: unpacked_bytes(options.archive))
    timed(rows, "(keys alone)", lambda: [url_key(url) for url in urls])
    for row in rows:
        print(f"{row['step']:20}{row['seconds']:8.2f} s{row['CPU s']:8.2f} CPU-s{row['peak MB']:8,} MB at most so far")
    found = {
        "lines": source.num_lines,
        "candidates": len(candidates),
        "units": int(candidates["unit"].to_numpy().max()) + 1,
        "CPU s": round(cpu_s, 2),
        "CPU s a million lines": round(1e6 * cpu_s / source.num_lines, 2),
        "peak MB": peak,
        "longest run of one host": longest_run(candidates["url"], candidates["unit"]),
    }
    links, unit = busiest_share(candidates["url"], candidates["unit"])
    found["longest run as listed"] = longest_run(source.lines["url"], pa.chunked_array([np.zeros(source.num_lines)]))
    for name, value in found.items():
        print(f"{name:26}{value:>12,}")
    print(f"the host with most links of one unit has {links:,} of its {unit:,}")
    slice_, host = largest_slice(candidates["url"])
    print(f"of {NUM_SLICES} slices of hosts the largest has {slice_:.1f}% of the links, the largest host {host:.1f}%")
    is_met = found["CPU s a million lines"] <= _MAX_CPU_S and peak * 1e6 <= _MAX_BYTES
    print(f"at most {_MAX_CPU_S:g} CPU-s a million lines and {_MAX_BYTES / 1e6:,.0f} MB: {'yes' if is_met else 'NO'}")
    if options.json:
        options.json.write_text(json.dumps({"steps": rows, **found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
