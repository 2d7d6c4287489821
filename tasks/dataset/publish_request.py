"""A publish request: the settings of a dataset version, and the id that follows from them and from its samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from storage.stamps.stamped_fields import counted, differing
from storage.tables.parquet import stamp
from tasks.dataset.dedupe import DedupeRules
from tasks.dataset.exclude import Exclusion
from tasks.dataset.people import PeopleRules
from tasks.dataset.select import SelectRules
from tasks.dataset.source_tables import MadeWith
from tasks.dataset.split import SplitRules
from tasks.label_noise.estimate import CleanRules
from tasks.label_noise.score_table import Cleaning

# The keys of `Request.settings`: the part of a manifest that determines the version's id.
SETTINGS = (
    "source", "method", "select", "split", "exclude", "cleaning", "dedupe", "clean", "made_with", "people", "kept"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """A publish request. Its settings and the selected content determine the version's id.

    Attributes:
        source: one source or several (`storage.text.source_names`).
        people: which names in several sources are one person.
        kept: columns of the lists to store in the index.
        made_with: of the faces, as `source_tables.made_with` gives it; `publish_source` fills it in.
    """

    name: str
    source: str
    method: str
    select: SelectRules = field(default_factory=SelectRules)
    split: SplitRules = field(default_factory=SplitRules)
    exclusion: Exclusion | None = None
    cleaning: Cleaning | None = None
    dedupe: DedupeRules = field(default_factory=DedupeRules)
    clean: CleanRules = field(default_factory=CleanRules)
    people: PeopleRules = field(default_factory=PeopleRules)
    kept: tuple[str, ...] = ()
    made_with: MadeWith = field(default_factory=dict)

    def settings(self) -> dict[str, Any]:
        """The settings that are part of the id: all but the name; a list of names by its digest.

        Of the settings of earlier stages only those that differ from their defaults, so that the id of a version made
        with the defaults is that of the first format.
        """
        rules = {"select": counted("select", self.select), "split": counted("split", self.split)}
        excluded = {"exclude": self.exclusion.to_json()} if self.exclusion else {}
        cleaned = {"cleaning": counted("cleaning", self.cleaning)} if self.cleaning else {}
        earlier = {
            "dedupe": differing(self.dedupe),
            "clean": differing(self.clean),
            "made_with": self.made_with,
            "people": differing(self.people),
            "kept": list(self.kept),
        }
        made = {name: one for name, one in earlier.items() if one}
        return {"source": self.source, "method": self.method, **rules, **excluded, **cleaned, **made}


def version_id(request: Request, samples: pa.Table) -> str:
    """The id of the version these samples make: a digest of the samples and of the rules."""
    return _content_id(request.settings(), samples)


def chosen_settings(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in a version's manifest, as `Request.settings` gave them."""
    return {name: manifest[name] for name in SETTINGS if name in manifest}


def id_by_manifest(manifest: dict[str, Any], samples: pa.Table) -> str:
    """The id that a version's samples make under the settings of its manifest."""
    return _content_id(chosen_settings(manifest), samples)


def _content_id(settings: dict[str, Any], samples: pa.Table) -> str:
    content = samples.select(["sample", "identity", "split", "crop_digest"]).to_pylist()
    return stamp("dataset", settings, [list(row.values()) for row in content])
