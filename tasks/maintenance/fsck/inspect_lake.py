"""Verify the whole lake: every row, byte and manifest. Read-only.

The work is split into jobs, one per shard of images or version. Each returns its findings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pyarrow.compute as pc

from storage.errors import FacemillError, LakeError
from storage.files.lake import Lake
from storage.files.paths import ALIASES, LINES, SHARDS
from storage.records import CANDIDATES, LINK_LINES, REJECTED_LINES
from storage.tables.parquet import read_as, read_stamp, read_table
from storage.text.names import NAME, STEM
from storage.versions.takedowns import Forgotten, read_forgotten, read_takedowns
from tasks.dataset.source_tables import lines_to_crop
from tasks.faces.lines_by_key import LinesByKey
from tasks.fetch.ledger import image_stems
from tasks.links.collect import lines_digest
from tasks.links.link_location import read_origin
from tasks.links.sources import kept_source
from tasks.maintenance.fsck.check_references import check_lineage
from tasks.maintenance.fsck.check_shard import SourceFacts, check_shard, misplaced
from tasks.maintenance.fsck.check_shared_lines import check_lines
from tasks.maintenance.fsck.check_shared_shards import SharedShards
from tasks.maintenance.fsck.check_versions import check_dataset, check_model
from tasks.maintenance.fsck.findings import Finding, Kind
from tasks.maintenance.takedown.rewrite import pieces, shard_folders, successor, tars_without_index

Job = Callable[[], list[Finding]]
# A thread reads one picture at a time, of 32 MB at most; hashing releases the GIL.
_THREADS = 4
_TABLE = ".parquet"
_COMPUTED = ("unique", "cleaned", "evaluations")
_CHECKS = ("datasets", "models")


def jobs(lake: Lake, *, quick: bool = False) -> list[Job]:
    """The jobs of an inspection: one per shard, version or kind of table.

    Args:
        quick: check tables and lengths only, not the bytes.
    """
    found, forgotten = _check_takedowns(lake)
    work: list[Job] = [lambda: found, partial(_leftovers, lake), partial(_check_computed, lake)]
    for source in lake.names("links"):
        work += [partial(check, lake, source, quick=quick) for check in (_check_links, _check_plan)]
    for source in _sources(lake):
        work += _source_jobs(lake, source, forgotten, quick=quick)
    work.append(partial(check_lineage, lake))
    return work + [job for kind in _CHECKS for job in _version_jobs(lake, kind, forgotten, quick=quick)]


def _version_jobs(lake: Lake, kind: str, covered: Covered, *, quick: bool) -> Iterator[Job]:
    """A job for each version of a dataset or model, and for each shared shard; other files are reported as strange."""
    for name in lake.names(kind):
        shared = SharedShards(lake, name, covered, quick=quick)
        if kind == "datasets" and NAME.fits(name):
            # A shard that no version lists is no finding: publish reuses it, and prune removes it.
            yield from (partial(shared.findings, stem) for stem in shared.stems())
            yield partial(check_lines, lake, name, covered)
        for version in lake.names(f"{kind}/{name}") if NAME.fits(name) else [""]:
            path = f"{kind}/{name}/{version}".rstrip("/")
            if version == ALIASES or (version in {SHARDS, LINES} and kind == "datasets"):
                continue
            if not NAME.fits(name) or not NAME.fits(version):
                yield partial(list, [Finding(Kind.STRANGE_FILE, path, "no version has such a name")])
            elif kind == "datasets":
                yield partial(check_dataset, lake, name, version, covered, shared, quick=quick)
            else:
                yield partial(check_model, lake, name, version, quick=quick)


Covered = Callable[[str], Forgotten]


def inspect(work: list[Job], on_progress: Callable[[int], None] = lambda done: None) -> list[Finding]:
    """Run all jobs concurrently; returns their findings in the order of the jobs."""
    found: list[Finding] = []
    with ThreadPoolExecutor(_THREADS) as pool:
        for done, findings in enumerate(pool.map(lambda job: job(), work), 1):
            found += findings
            on_progress(done)
    return found


def _check_takedowns(lake: Lake) -> tuple[list[Finding], Covered]:
    """The findings of the takedowns, and a function that returns what they cover in a source: nothing if unreadable."""
    try:
        read_takedowns(lake)
    except LakeError as error:
        return [Finding(Kind.UNREADABLE, lake.takedowns(), str(error))], lambda source: Forgotten()

    def covered(source: str) -> Forgotten:
        try:
            return read_forgotten(lake, source)
        except LakeError:
            return Forgotten()  # the lines cannot be read, which is a finding of its own

    return [], covered


def _sources(lake: Lake) -> list[str]:
    folders = ["images", "detections", *(f"faces/{method}" for method in lake.names("faces"))]
    return sorted({source for folder in folders for source in lake.names(folder)})


def _source_jobs(lake: Lake, source: str, covered: Covered, *, quick: bool) -> list[Job]:
    stems = image_stems(lake, source)
    replaced = [stem for stem in stems if successor(stem) in stems]
    try:
        lines = LinesByKey(lines_to_crop(lake, source))
    except FacemillError:
        lines = None  # not planned yet, or a finding of its own
    facts = SourceFacts(lake, source, covered(source), lines, quick)
    work: list[Job] = [partial(check_shard, facts, stem) for stem in stems if stem not in replaced]
    return [*work, partial(_check_folders, lake, source, stems), partial(_superseded, lake, source, replaced)]


def _check_folders(lake: Lake, source: str, stems: list[str]) -> list[Finding]:
    """Files of a source that belong to no shard."""
    lone = tars_without_index(lake, source)
    found = [Finding(Kind.NO_INDEX, path, "the tar has no index") for path in lone]
    for folder in shard_folders(lake, source):
        for name in lake.names(folder):
            stem, _, ending = name.rpartition(".")
            path = f"{folder}/{name}"
            if ending not in {"tar", "parquet"} or not STEM.fits(stem):
                found.append(Finding(Kind.STRANGE_FILE, path, "nothing writes such a file"))
            elif stem not in stems and path not in lone:
                found.append(Finding(Kind.NO_SHARD, path, "its shard of images is missing"))
    return found


def _check_computed(lake: Lake) -> list[Finding]:
    """Check that computed tables can be read; they are quarantined together with the files that belong to them."""
    found = []
    for path in [path for folder in _COMPUTED for path in _tables(lake, folder)]:
        try:
            read_table(lake, path)
        except LakeError as error:
            folder, name = path.rsplit("/", 1)
            whole = {"cleaned": folder, "evaluations": f"{folder}/{name.removesuffix(_TABLE)}"}
            found.append(Finding(Kind.UNREADABLE, whole.get(path.split("/", 1)[0], path), str(error)))
    return found


def _tables(lake: Lake, folder: str) -> Iterator[str]:
    """The tables below a folder that otherwise contains only folders and JSON."""
    for name in lake.names(folder):
        if name.endswith(_TABLE):
            yield f"{folder}/{name}"
        elif not name.endswith(".json"):
            yield from _tables(lake, f"{folder}/{name}")


def _superseded(lake: Lake, source: str, stems: list[str]) -> list[Finding]:
    """Shards that were replaced but not removed."""
    paths = [(path, stem) for stem in stems for path in pieces(lake, source, stem)]
    return [Finding(Kind.SUPERSEDED, path, f"it was replaced by {successor(stem)}") for path, stem in paths]


def _check_links(lake: Lake, source: str, *, quick: bool) -> list[Finding]:
    """Check that the lines match their origin, and that the stored recipe is valid."""
    folder = f"links/{source}"
    paths = [lake.links(source, name) for name in ("lines.parquet", "rejected.parquet")]
    try:
        kept_source(lake, source)
        origin = read_origin(lake, source)
        stamps = {read_stamp(lake, path) for path in paths}
        tables = [read_as(lake, path, schema) for path, schema in zip(paths, (LINK_LINES, REJECTED_LINES), strict=True)]
    except LakeError as error:
        return [Finding(Kind.UNREADABLE, folder, str(error))]
    recorded, counts = [origin.get(name) for name in ("num_accepted", "num_rejected")], [len(table) for table in tables]
    if counts != recorded:
        good, rejected = recorded
        words = f"origin.json has {good} good and {rejected} rejected lines, the tables {counts[0]} and {counts[1]}"
        return [Finding(Kind.MISCOUNT, folder, words)]
    if stamps != {origin.get("digest")} or (not quick and lines_digest(*tables) != origin["digest"]):
        return [Finding(Kind.UNTRUE_MANIFEST, folder, "the lines do not match origin.json")]
    return []


def _check_plan(lake: Lake, source: str, *, quick: bool) -> list[Finding]:
    """Check that each candidate occurs once, under the key of its URL."""
    path = lake.plan(source)
    if not lake.exists(path):
        return []
    try:
        plan = read_as(lake, path, CANDIDATES, ["key", "url"])
    except LakeError as error:
        return [Finding(Kind.UNREADABLE, path, str(error))]
    twice = len(plan) - len(pc.unique(plan["key"]))
    wrong = 0 if quick else len(misplaced(plan))
    words = f"of {len(plan)} candidates {twice} are repeated, {wrong} do not have the key of their URL"
    return [Finding(Kind.MISCOUNT, path, words)] if twice or wrong else []


def _leftovers(lake: Lake) -> list[Finding]:
    files = [
        Finding(Kind.LEFTOVER, path, "a temporary file of a process that ended, or not written to for an hour")
        for path in lake.leftovers()
    ]
    parts = [Finding(Kind.PARTIAL_UPLOAD, one.path, "its writer was killed") for one in lake.lost_uploads()]
    return files + parts
