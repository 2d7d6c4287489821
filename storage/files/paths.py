"""The paths of a lake, relative to its root.

    lake.json                                   the format; written first
    links/<source>/lines.parquet                + rejected.parquet, recipe.json, origin.json (last)
    plan/<source>.parquet
    images/<source>/<stem>.tar + .parquet       the bytes as received, and every attempt
    unique/<source>/<stamp>.parquet
    detections/<source>/<stem>.parquet
    faces/<method>/<source>/<stem>.tar + .parquet
    cleaned/<method>/<source>/<model>/<version>/     people.parquet, faces.parquet (last): label noise scores of a model
    datasets/<name>/shards/<split>-<digest>.tar + .parquet      samples, shared by the versions (`sample_shards`)
    datasets/<name>/lines/<digest>.parquet      link lines, shared by the versions (`shared_lines`)
    datasets/<name>/<version>/                  index.parquet, outcomes.parquet, manifest.json (last)
    datasets/<name>/aliases/<when>-<writer>.json    which version a tag stands for, an event a file
    models/<name>/<version>/                    weights, metrics, lineage, manifest.json (last)
    models/<name>/aliases/<when>-<writer>.json  which version is champion or candidate, an event a file
    evaluations/<name>/<version>/<test>.json    metrics of a model version on a test, + .parquet of scores
    experiments/<id>.json                       a comparison of training runs
    merged/<folder>/<digest>.parquet            rows of small tables of a folder once more (`merged_tables`); disposable
    cache/<step>/<of>.json or .parquet          results of a step, with the state of its inputs (`cached_results`)
    leases/<stage>/<of>/<unit>.<n>.json         the run that holds a unit (`leases`)
    takedowns/<stamp>.parquet                   takedowns; append-only
    quarantine/<when>/                          damaged files, under their former paths
    work/                                       disposable files: decoded pictures, checkpoints
    world/                                      made worlds, the web of the synthetic source

A stem is `<unit>-<n>-<writer>`: the n-th image shard of a unit, and six random digits that keep concurrent runs from
writing the same file. Files computed from a shard have its stem.
"""

from __future__ import annotations

from storage.errors import UsageError
from storage.text.names import NAME

# The folders beside the versions of a dataset or a model that are not versions.
ALIASES, SHARDS, LINES = "aliases", "shards", "lines"
NOT_VERSIONS = frozenset({ALIASES, SHARDS, LINES})
# The folder of the HTML reports in the work folder.
REPORTS = "reports"


class LakePaths:
    """Where each file of a lake lies. Nothing here looks at the disk."""

    format_file = "lake.json"

    def links(self, source: str, name: str) -> str:
        """`lines.parquet`, `rejected.parquet`, `recipe.json` or `origin.json` of a source."""
        return f"links/{source}/{name}"

    def plan(self, source: str) -> str:
        """The candidates of a source."""
        return f"plan/{source}.parquet"

    def images(self, source: str, stem: str = "") -> str:
        """The folder of a source's images, or one shard of it without its ending."""
        return f"images/{source}/{stem}".rstrip("/")

    def unique(self, source: str, stamp: str = "") -> str:
        """The folder of a source's dedupe verdicts, or the verdicts on one state of its images."""
        return f"unique/{source}/{stamp}.parquet" if stamp else f"unique/{source}"

    def detections(self, source: str, stem: str = "") -> str:
        """The folder of the faces found in a source's images, or those found in one shard of them."""
        return f"detections/{source}/{stem}.parquet" if stem else f"detections/{source}"

    def faces(self, method: str, source: str, stem: str = "") -> str:
        """The folder of a source's crops by one method, or those of one shard of images without ending."""
        return f"faces/{method}/{source}/{stem}".rstrip("/")

    def cleaned(self, method: str = "", source: str = "", model: str = "", version: str = "") -> str:
        """The folder of label noise scores: of all, one method, one source, one model, or one model version."""
        parts = (method, source, checked_name(model) if model else "", version)
        return "/".join(["cleaned", *(part for part in parts if part)])

    def dataset(self, name: str, version: str = "") -> str:
        """The folder of a dataset, or of one version of it."""
        return f"datasets/{checked_name(name)}/{version}".rstrip("/")

    def shards(self, dataset: str, stem: str = "") -> str:
        """The folder of the shards that the versions of a dataset share, or one shard without ending."""
        return f"{self.dataset(dataset)}/{SHARDS}/{stem}".rstrip("/")

    def shared_lines(self, dataset: str, digest: str = "") -> str:
        """The folder of the link lines that the versions of a dataset share, or one table of them without ending."""
        return f"{self.dataset(dataset)}/{LINES}/{digest}".rstrip("/")

    def model(self, name: str, version: str = "") -> str:
        """The folder of a model, or of one version of it."""
        return f"models/{checked_name(name)}/{version}".rstrip("/")

    def aliases(self, model: str) -> str:
        """The folder of the events of a model's aliases."""
        return f"{self.model(model)}/{ALIASES}"

    def tags(self, dataset: str) -> str:
        """The folder of the events of a dataset's tags."""
        return f"{self.dataset(dataset)}/{ALIASES}"

    def evaluations(self, name: str, version: str, test: str = "") -> str:
        """The folder of a model version's evaluations, or one of them without ending; a test is `name@version`."""
        return f"evaluations/{checked_name(name)}/{version}/{test}".rstrip("/")

    def experiment(self, number: str) -> str:
        """The comparison of several training runs, named by their digest."""
        return f"experiments/{number}.json"

    def leases(self, stage: str = "", of: str = "", name: str = "") -> str:
        """The folder of all leases, of a stage's, of those on one source or model, or one of them."""
        return "/".join(["leases", *(part for part in (stage, of, name) if part)])

    def merged(self, folder: str = "", digest: str = "") -> str:
        """The folder of all merged tables, of those of a folder, or one of them."""
        return f"merged/{folder}/{digest}.parquet" if digest else f"merged/{folder}".rstrip("/")

    def cache(self, name: str = "") -> str:
        """The folder of all cached results, or one of them."""
        return f"cache/{name}".rstrip("/")

    def takedowns(self, stamp: str = "") -> str:
        """The folder of the takedowns, or those of one call."""
        return f"takedowns/{stamp}.parquet" if stamp else "takedowns"

    def report(self, name: str, version: str, *, of_model: bool = False) -> str:
        """The HTML report on a version, in the work folder."""
        return f"{REPORTS}/{'model-' if of_model else ''}{checked_name(name)}-{version}.html"

    def quarantine(self, path: str = "") -> str:
        """The quarantine folder, or one path in it."""
        return f"quarantine/{path}".rstrip("/")


def checked_name(name: str) -> str:
    """`name` itself, if it can be a folder's name.

    Raises:
        UsageError: it holds anything but letters, digits, `_`, `.` and `-`, or starts with a sign.
    """
    if not NAME.fits(name):
        raise UsageError(
            f"the name {name!r} may have only letters, digits, '_', '.' and '-', and must start with a letter or digit"
        )
    return name
