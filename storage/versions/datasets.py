"""Dataset versions: an index into immutable tar shards, readable by WebDataset, pandas, DuckDB.

    datasets/<name>/shards/                      shards that the versions share (`sample_shards`)
    datasets/<name>/lines/                       link lines that the versions share (`shared_lines`)
    datasets/<name>/<version>/index.parquet      one row a sample (`records.PLACED_SAMPLES`): its place in a shard
    datasets/<name>/<version>/outcomes.parquet   one row a link line (`records.STORED_OUTCOMES`): a sample, or why not
    datasets/<name>/<version>/manifest.json      written last; a version without it is incomplete

A version of layout 1, the first one, has shards of its own, `<split>-<n>.tar`, an index of `records.SAMPLES`, and
outcomes of `records.LINE_OUTCOMES`.

The id of a version is a digest of its content and of the settings that made it, so the same data published twice
is the same version. Only a takedown changes it: samples are removed and recorded under `redactions` in the manifest.
Of a pruned version only the manifest is left (`tombstones`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from storage.errors import LakeError, UsageError, changed_meanwhile
from storage.files.lake import Lake
from storage.files.paths import NOT_VERSIONS, checked_name
from storage.records import FORMER_REASONS, LINE_OUTCOMES, PLACED_SAMPLES, SAMPLES, STORED_OUTCOMES, Split
from storage.tables.parquet import read_as
from storage.tables.shards import read_places
from storage.text.json_shapes import COUNT, FLAG, TEXT, Shape, require
from storage.text.names import DATASET_SHARD, DIGEST, NAME, SAMPLE, SOURCES, VERSIONED, bad_value
from storage.text.source_names import sources_of
from storage.versions.sample_shards import columns_to_read, with_content
from storage.versions.shared_lines import read_lines, with_urls
from storage.versions.tags import LATEST, tags
from storage.versions.takedowns import COVERED_BY, covered_samples, read_forgotten
from storage.versions.tombstones import PRUNED, Prunable, is_complete

# The layout that versions are written in.
LAYOUT = 2
_COUNTS = {"samples": COUNT, "identities": COUNT}
FUNNEL = {
    "method": NAME,
    "stages": [{"stage": TEXT, "num_in": COUNT, "num_out": COUNT, "rejected": {"*": COUNT}}, ...],
}
# The manifest fields that are read. Older versions lack some of them.
MANIFEST: Shape = {
    "published_at": TEXT,
    "layout?": COUNT,
    "lines?": DIGEST,
    "name?": NAME,
    "version?": NAME,
    "source?": SOURCES,
    "method?": NAME,
    "terms?": TEXT,
    "terms_by_source?": {"*": TEXT},
    "names_people?": FLAG,
    "num_samples?": COUNT,
    "num_identities?": COUNT,
    "splits?": {split.value + "?": _COUNTS for split in Split},
    "funnel?": FUNNEL,
    "funnels?": {"*": FUNNEL},
    "leaks?": {"*": COUNT},
    "cleaning?": {"model": VERSIONED},
    "redactions?": [{"at": TEXT, "num_samples": COUNT, "samples": [SAMPLE], "manifest_sha256?": TEXT}],
    "pruned?": PRUNED,
}


class DatasetVersion(Prunable):
    """One published version, opened for reading. What reads its files raises `VersionPruned` if it has been pruned.

    Raises:
        LakeError: its manifest is damaged.
    """

    def __init__(self, lake: Lake, name: str, version: str) -> None:
        self.lake = lake
        self.name = name
        self.version = version
        self.folder = lake.dataset(name, version)
        self.manifest: dict[str, Any] = self._read_manifest()

    def _read_manifest(self) -> dict[str, Any]:
        path = f"{self.folder}/manifest.json"
        manifest = self.lake.read_json(path)
        require(manifest, MANIFEST, f"{self.lake.url}/{path}")
        if manifest.get("layout", 1) > LAYOUT:
            raise LakeError(
                f"{self.lake.url}/{path} has layout {manifest['layout']}, this facemill reads up to {LAYOUT}: "
                "install a newer version"
            )
        return manifest

    @property
    def shares_files(self) -> bool:
        """Whether its shards and lines are those of the dataset, which other versions may use too."""
        return bool(self.manifest.get("layout", 1) > 1)

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"

    def require(self, *names: str) -> None:
        """Check that the manifest has these keys of the first format.

        Raises:
            LakeError: a key is missing.
        """
        for name in names:
            if self.manifest.get(name) is None:
                raise bad_value(f"{self.lake.url}/{self.folder}/manifest.json", name, None, "there")

    @property
    def source(self) -> str:
        """The source of its links; of several, their joined name (`storage.text.source_names`).

        Raises:
            LakeError: the manifest has no source.
        """
        self.require("source")
        return str(self.manifest["source"])

    @property
    def names_people(self) -> bool:
        """Whether the identities are people; else they are groups by hash, since the source names nobody."""
        return bool(self.manifest.get("names_people", True))

    def require_names(self) -> None:
        """Check that the identities are people.

        Raises:
            UsageError: they are groups by hash.
        """
        if not self.names_people:
            raise UsageError(
                f"{self} names nobody: its identities are groups by hash, from which no model can learn and by which "
                "none can be evaluated. Use a dataset whose list has names"
            )

    def _how_to_make_again(self) -> str:
        base, _, method = self.name.rpartition("-")
        source = ",".join(sources_of(self.manifest.get("source") or ""))
        options = f" --source {source} --dataset {base} --method {method}" if source and base else ""
        return (
            f"publish it again with `facemill publish{options}` and the settings that `facemill datasets show {self}` "
            "lists"
        )

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """If a file cannot be read in the block, because the version was pruned, raise that instead."""
        if self.pruned:
            self.check_not_pruned()
        try:
            yield
        except LakeError:
            with suppress(LakeError):
                self.check_not_pruned()
            raise

    @property
    def redactions(self) -> list[dict[str, Any]]:
        """The takedowns applied to the version, with their times and samples; oldest first."""
        found: list[dict[str, Any]] = self.manifest.get("redactions") or []
        return found

    @property
    def state(self) -> str:
        """A label of the usable content; it changes whenever samples are taken down."""
        gone = self._purged
        if len(taken_down := self.taken_down()):
            gone |= set(self.whole_index(["sample"])["sample"].filter(taken_down).to_pylist())
        return self._less(gone)

    @property
    def purged_state(self) -> str:
        """`state` without takedowns that have not been purged; known of a pruned version too."""
        return self._less(self._purged)

    @property
    def _purged(self) -> set[str]:
        return {sample for entry in self.redactions for sample in entry["samples"]}

    def _less(self, gone: set[str]) -> str:
        return f"{self}-less-{len(gone)}" if gone else str(self)

    def index(self, columns: list[str] | None = None) -> pa.Table:
        """The samples (`records.SAMPLES`), by split and name; null in columns that are younger than the version.

        Samples that were taken down are left out, whether or not the shards have been purged.
        """
        taken_down = self.taken_down()
        index = self.whole_index(columns)
        return index.filter(pc.invert(taken_down)) if len(taken_down) else index

    def whole_index(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All samples of the index, including those taken down; for purge and check."""
        wanted = list(columns) if columns else SAMPLES.names
        if not self.shares_files:
            with self._reading():
                return read_as(self.lake, self._index_path, SAMPLES, wanted)
        placed = self.placed(columns_to_read(wanted))
        while True:
            try:
                with self._reading():
                    return with_content(self.lake, self.name, placed, wanted)
            except LakeError:
                # A purge replaces shards: it writes new ones, then the index that names them, and removes the old ones.
                before, placed = placed, self.placed(columns_to_read(wanted))
                if placed.equals(before):
                    raise

    def placed(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The index itself (`records.PLACED_SAMPLES`) of a version that shares shards."""
        with self._reading():
            return read_as(self.lake, self._index_path, PLACED_SAMPLES, list(columns) if columns else None)

    @property
    def _index_path(self) -> str:
        return f"{self.folder}/index.parquet"

    def shards(self) -> list[str]:
        """The paths in the lake of the shards that its index names, sorted."""
        with self._reading():
            named = read_as(self.lake, self._index_path, SAMPLES, ["shard"])["shard"]
        return [self.path_of(shard) for shard in sorted(pc.unique(named).to_pylist())]

    @property
    def lines_digest(self) -> str | None:
        """The digest of the lines that it shares (`shared_lines`); None if it has them itself."""
        found: str | None = self.manifest.get("lines")
        return found

    def path_of(self, shard: str) -> str:
        """The path in the lake of a shard that its index names."""
        return f"{self.lake.dataset(self.name) if self.shares_files else self.folder}/{shard}"

    def taken_down(self) -> pa.ChunkedArray:
        """A mask over the whole index of the samples taken down; empty if there are none."""
        sources = sources_of(self.manifest.get("source") or "")
        if not any(read_forgotten(self.lake, source) for source in sources):
            return pa.chunked_array([], pa.bool_())
        return covered_samples(self.whole_index(COVERED_BY), partial(read_forgotten, self.lake))

    def outcomes(self, columns: list[str] | None = None) -> pa.Table:
        """The outcome of each planned link line (`records.LINE_OUTCOMES`).

        No rows in a version older than such tables. Columns that are younger than the version are null; `source` is
        then the only one there is.
        """
        path = self.outcomes_path
        if not self.lake.exists(path):
            self.check_not_pruned()  # a pruned version has none either
            return pa.schema([LINE_OUTCOMES.field(name) for name in columns or LINE_OUTCOMES.names]).empty_table()
        with self._reading():
            table = self._read_outcomes(path, columns or LINE_OUTCOMES.names)
        if "source" in table.column_names and table["source"].null_count:
            at, only = table.schema.get_field_index("source"), [self.manifest.get("source")] * len(table)
            table = table.set_column(at, table.schema.field(at), pa.array(only, table.schema.field(at).type))
        return _with_current_reasons(table) if "reason" in table.column_names else table

    def _read_outcomes(self, path: str, columns: Sequence[str]) -> pa.Table:
        if (digest := self.lines_digest) is None:
            return read_as(self.lake, path, LINE_OUTCOMES, list(columns))
        stored = [name for name in columns if name in STORED_OUTCOMES.names] or ["line"]
        table = read_as(self.lake, path, STORED_OUTCOMES, stored)
        if "url" in columns:
            table = with_urls(table, read_lines(self.lake, self.name, digest), f"{self.lake.url}/{path}")
        return table.select(columns)

    @property
    def outcomes_path(self) -> str:
        """The table of outcomes. Versions of the first releases have it under its former name."""
        former = f"{self.folder}/fates.parquet"
        return former if self.lake.exists(former) else f"{self.folder}/outcomes.parquet"

    def read(self, shard: str, offset: int, length: int) -> bytes:
        """The JPEG bytes of one sample, by the columns of its row.

        Raises:
            LakeError: the shard's name is invalid, or the shard does not contain these bytes.
        """
        return self.read_all([(shard, offset, length)])[0]

    def read_all(self, places: Sequence[tuple[str, int, int]]) -> list[bytes]:
        """The JPEG bytes of some dozens of samples, by shard, offset and length, in their order.

        Raises:
            LakeError: as `read`. `ChangedMeanwhile`: a purge has replaced a shard since the index was read.
        """
        for shard, _, _ in places:
            DATASET_SHARD.checked(shard, "shard", f"{self.lake.url}/{self.folder}/index.parquet")
        found = [(self.path_of(shard), offset, length) for shard, offset, length in places]
        with self._reading():
            try:
                return read_places(self.lake, found)
            except LakeError as error:
                if {path for path, _, _ in found}.issubset(self.shards()):
                    raise
                raise changed_meanwhile(f"{self.lake.url}/{self.folder}: samples") from error


def _with_current_reasons(outcomes: pa.Table) -> pa.Table:
    """The outcomes with the words of `FORMER_REASONS` replaced."""
    at = outcomes.schema.get_field_index("reason")
    reasons = outcomes["reason"].cast(pa.string())
    for former, reason in FORMER_REASONS.items():
        reasons = pc.if_else(pc.fill_null(pc.equal(reasons, former), False), reason.value, reasons)
    return outcomes.set_column(at, outcomes.schema.field(at), reasons.cast(outcomes.schema.field(at).type))


def has_dataset(lake: Lake, name: str, version: str) -> bool:
    """Whether a version is complete, and has not been pruned."""
    return is_complete(lake, lake.dataset(name, version))


def versions(lake: Lake, name: str, *, pruned: bool = False) -> list[DatasetVersion]:
    """The complete versions of a dataset, oldest first.

    Args:
        pruned: also those of which only the manifest is left.
    """
    folder = lake.dataset(name)
    found = [
        DatasetVersion(lake, name, version)
        for version in filter(NAME.fits, lake.names(folder))
        if version not in NOT_VERSIONS and lake.exists(f"{folder}/{version}/manifest.json")
    ]
    shown = [one for one in found if pruned or not one.pruned]
    return sorted(shown, key=lambda version: (version.manifest["published_at"], version.version))


def all_versions(lake: Lake, *, pruned: bool = False) -> list[DatasetVersion]:
    """The complete versions of every dataset in the lake.

    Args:
        pruned: also those of which only the manifest is left.
    """
    names = filter(NAME.fits, lake.names("datasets"))
    return [version for name in names for version in versions(lake, name, pruned=pruned)]


def find_dataset(lake: Lake, reference: str) -> DatasetVersion:
    """Like `open_dataset`, but `name@version` may be a pruned version, of which only the manifest can be read.

    Raises:
        UsageError: there is no such version; the message lists the existing ones.
    """
    name, _, version = reference.partition("@")
    found = versions(lake, checked_name(name), pruned=True)
    if version in ("", LATEST):
        matching = [one for one in found if not one.pruned][-1:]
    elif not (matching := [one for one in found if one.version == version]):
        tagged = tags(lake, name).get(version)
        matching = [one for one in found if one.version == tagged]
    if not matching:
        known = ", ".join(str(one) for one in all_versions(lake)) or "none yet; `facemill publish` makes one"
        raise UsageError(f"there is no dataset version {reference} in {lake.url}; there are: {known}")
    return matching[0]


def open_dataset(lake: Lake, reference: str) -> DatasetVersion:
    """Open `name@version`, `name@tag`, or the newest version of `name` (also `name@latest`).

    Raises:
        UsageError: there is no such version; the message lists the existing ones. `VersionPruned`: it was pruned.
    """
    found = find_dataset(lake, reference)
    if found.pruned:
        found.check_not_pruned()
    return found
