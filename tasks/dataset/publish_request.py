"""A publish request: the settings of a dataset version, and the id that follows from them and from its samples."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from storage.stamps.stamped_fields import counted, differing
from storage.tables.parquet import to_hash
from tasks.dataset.dedupe import DedupeRules
from tasks.dataset.exclude import Exclusion
from tasks.dataset.people import PeopleRules
from tasks.dataset.select import SelectRules
from tasks.dataset.source_tables import MadeWith
from tasks.dataset.split import SplitRules
from tasks.label_noise.estimate import CleanRules
from tasks.label_noise.score_table import Cleaning
from tasks.links.line_ids import words_and_codes

# The keys of `Request.settings`: the part of a manifest that determines the version's id.
SETTINGS = (
    "source", "method", "select", "split", "exclude", "cleaning", "dedupe", "clean", "made_with", "people", "kept"
)  # fmt: skip
# What a string of JSON does not hold as it is.
_ESCAPED = r"[^ !#-\[\]-~]"
# Of the JSON of the samples, 20 MB are made at a time.
_ROWS_AT_A_TIME = 100_000


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
    """`stamp("dataset", settings, [[sample, identity, split, crop_digest], ...])`, whose JSON is hashed in pieces."""
    before, after = to_hash("dataset", settings, []).rsplit("]]", 1)[0], "]]"
    digest = hashlib.sha256(before.encode())
    for start in range(0, len(samples), _ROWS_AT_A_TIME):
        digest.update(b"," if start else b"")
        digest.update(_json_rows(samples.slice(start, _ROWS_AT_A_TIME)))
    digest.update(after.encode())
    return digest.hexdigest()[:16]


def _json_rows(samples: pa.Table) -> memoryview:
    """`["<sample>","<identity>","<split>","<crop_digest>"]` of each sample, with commas between them."""
    words = [_json_words(samples[name]) for name in ("sample", "identity", "split")]
    digests = samples["crop_digest"].combine_chunks()
    digits = b"".join(digests.to_pylist()).hex().encode()
    hexed = pa.FixedSizeBinaryArray.from_buffers(pa.binary(64), len(digests), [None, pa.py_buffer(digits)])
    rows = pc.binary_join_element_wise(*words, pc.binary_join_element_wise('"', hexed.cast(pa.string()), '"', ""), ",")
    rows = pc.binary_join_element_wise("[", rows, "]", "")
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array([0, len(rows)], pa.int32()), rows), ",")
    return memoryview(joined.buffers()[2])[: len(joined[0].as_buffer())]


def _json_words(column: pa.ChunkedArray) -> pa.Array:
    """Each value as JSON writes it."""
    words, codes = words_and_codes(column)
    if pc.any(pc.match_substring_regex(words, _ESCAPED)).as_py():
        written = pa.array(map(json.dumps, words.to_pylist()), pa.string())
    else:
        written = pc.binary_join_element_wise('"', words, '"', "")
    return written.take(pa.array(codes))
