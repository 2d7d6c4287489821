"""The record types in pipeline order, each with the Arrow schema of its table.

A record only moves forward: a stage turns it into its next shape or gives it a `Reason` to stop.
Boxes are `(left, top, right, bottom)` in pixels, right and bottom exclusive. Landmarks are five points
`(x, y)` flattened to ten numbers: left eye, right eye, nose, left mouth corner, right mouth corner, as seen in
the picture. Digests of bytes are SHA-256 (32 bytes); keys of URLs are BLAKE2b (16 bytes). Times are UTC.
"""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import pyarrow as pa

Box = tuple[float, float, float, float]


class Outcome(StrEnum):
    """Whether a record went on."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"


class Retry(StrEnum):
    """When a failed attempt is worth another: never, once more in the same run and then later, or only later."""

    NEVER = "never"
    SOON = "soon"
    LATER = "later"


class Reason(StrEnum):
    """Why a record stopped. The closed list: every rejected row in the lake has one of these."""

    retry: Retry

    def __new__(cls, value: str, retry: Retry = Retry.NEVER) -> Reason:
        """Attach the retry policy to the word."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.retry = retry
        return member

    # links: the line itself
    MALFORMED_LINE = "malformed_line"
    BAD_URL = "bad_url"
    SYMBOLIC_LINK = "symbolic_link"
    NOT_LISTED = "not_listed"
    # fetch: policy
    NOT_PUBLIC = "not_public"
    OPTED_OUT = "opted_out"
    ROBOTS = "robots"
    TAKEN_DOWN = "taken_down"
    # fetch: the host, not requested this time
    HOST_DOWN = "host_down", Retry.LATER
    HOST_BUSY = "host_busy", Retry.SOON
    # fetch: the network
    DNS = "dns", Retry.LATER
    CONNECT = "connect", Retry.LATER
    TLS = "tls", Retry.LATER
    TIMEOUT = "timeout", Retry.LATER
    TOO_SLOW = "too_slow", Retry.LATER
    RESET = "reset", Retry.SOON
    CUT_SHORT = "cut_short", Retry.SOON
    # fetch: the response
    GONE = "gone"
    FORBIDDEN = "forbidden", Retry.LATER
    RATE_LIMITED = "rate_limited", Retry.SOON
    SERVER_ERROR = "server_error", Retry.SOON
    HTTP_ERROR = "http_error"
    REDIRECT_LOOP = "redirect_loop"
    BAD_RESPONSE = "bad_response", Retry.LATER
    TOO_LARGE = "too_large"
    # check: it was in the lake, and is broken there
    LOST = "lost", Retry.LATER
    # validate: the bytes
    EMPTY = "empty"
    NOT_AN_IMAGE = "not_an_image"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_SMALL = "too_small"
    BROKEN_IMAGE = "broken_image"
    TOO_COSTLY = "too_costly"
    # dedupe: the image among all others
    PLACEHOLDER = "placeholder"
    EXACT_DUPLICATE = "exact_duplicate"
    NEAR_DUPLICATE = "near_duplicate"
    CONFLICT = "conflict"
    # crops: the face in the image
    NO_BOX = "no_box"
    NO_FACE = "no_face"
    SEVERAL_PEOPLE = "several_people"
    BOX_OUT_OF_IMAGE = "box_out_of_image"
    METHODS_DISAGREE = "methods_disagree"
    # select: the face among the samples of a dataset version
    NOT_AS_LISTED = "not_as_listed"
    BOX_DISAGREES = "box_disagrees"
    FACE_TOO_SMALL = "face_too_small"
    UNSURE = "unsure"
    TRUNCATED = "truncated"
    BLURRED = "blurred"
    TURNED = "turned"
    REPEATED_FACE = "repeated_face"
    FEW_FACES = "few_faces"
    EXCLUDED = "excluded"
    CROSS_SPLIT = "cross_split"
    WRONG_PERSON = "wrong_person"
    SAME_PERSON = "same_person"


# Reasons as stored by the first releases, and their current names.
FORMER_REASONS = {"straddles": Reason.CROSS_SPLIT}


class Note(StrEnum):
    """Protocol faults of a response that was accepted all the same. The closed list."""

    # A status line or header field outside of HTTP's grammar: bare line feeds, folded lines, odd names.
    ODD_HEAD = "odd_head"
    # Content-Length repeated, empty, with a plus sign, or beside chunks.
    ODD_LENGTH = "odd_length"
    # A chunk with another line end than CR LF, or with none.
    ODD_CHUNKS = "odd_chunks"
    # A Content-Encoding that the bytes do not have, or that is none.
    ODD_ENCODING = "odd_encoding"
    # The connection ended, or fell silent, before the announced end; the picture is whole.
    INCOMPLETE = "incomplete"
    SURPLUS_BYTES = "surplus_bytes"
    # The certificate of the host is expired, or not its own.
    BAD_CERTIFICATE = "bad_certificate"


class Fit(StrEnum):
    """How a listed box of 2014 fits a face in the picture of today."""

    AS_LISTED = "as_listed"
    # The server shows the same picture at another size now.
    RESCALED = "rescaled"
    # The box was drawn on the pixels as stored, before the rotation that EXIF asks for.
    UNROTATED = "unrotated"


class Split(StrEnum):
    """The part of a dataset version an identity belongs to."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


def url_key(url: str) -> bytes:
    """A 16-byte digest of a URL exactly as written: percent escapes are part of its meaning."""
    return hashlib.blake2b(url.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def identity_key(name: str) -> bytes:
    """A 16-byte digest of a person's name; case is ignored, `_` is a space, composed letters are decomposed ones."""
    return _name_key(unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold()))


def identity_keys(name: str) -> frozenset[bytes]:
    """`identity_key` of a name, and those of its spellings by the first releases, which told composed letters apart."""
    if name.isascii():
        return frozenset({identity_key(name)})
    spellings = (name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name))
    return frozenset({identity_key(name), *(_name_key(one.casefold()) for one in spellings)})


def _name_key(folded: str) -> bytes:
    return hashlib.blake2b(folded.replace(" ", "_").encode(), digest_size=16).digest()


def bytes_digest(data: bytes | memoryview) -> bytes:
    """SHA-256 of `data`, 32 bytes."""
    return hashlib.sha256(data).digest()


# The algorithms of listed digests, by their length in bytes.
DIGEST_KINDS = {16: "md5", 20: "sha1", 32: "sha256", 64: "sha512"}


def digest_by(kind: str, data: bytes) -> bytes:
    """The digest of `data` by an algorithm of `DIGEST_KINDS`."""
    return hashlib.new(kind, data, usedforsecurity=False).digest()


_KEY = pa.binary(16)
_DIGEST = pa.binary(32)
_BOX = pa.list_(pa.float32(), 4)
_POINTS = pa.list_(pa.float32(), 10)
_WORD = pa.dictionary(pa.int32(), pa.string())
_TIME = pa.timestamp("ms", tz="UTC")


class LinkLine(NamedTuple):
    """One line of a list: a person, a URL, and where the face is said to be (None where a source has no boxes).

    `listed_width` and `listed_height` are the picture that the box was drawn on (1 x 1 for a relative box), None for
    the one that is served. The length of `listed_digest` says whether it is MD5, SHA-1, SHA-256 or SHA-512. `kept` is
    JSON.
    """

    identity: str
    line: int
    url: str
    key: bytes
    box_xyxy: Box | None
    pose: float | None
    score: float | None
    curated: bool | None
    listed_width: float | None = None
    listed_height: float | None = None
    listed_digest: bytes | None = None
    kept: str | None = None


LINK_LINES = pa.schema(
    [
        pa.field("identity", _WORD, nullable=False),
        pa.field("line", pa.int32(), nullable=False),
        pa.field("url", pa.string(), nullable=False),
        pa.field("key", _KEY, nullable=False),
        pa.field("box_xyxy", _BOX),
        pa.field("pose", pa.float32()),
        pa.field("score", pa.float32()),
        pa.field("curated", pa.bool_()),
        # `YOUNGER_COLUMNS`: of lists read by a recipe; null for all others.
        pa.field("listed_width", pa.float32()),
        pa.field("listed_height", pa.float32()),
        pa.field("listed_digest", pa.binary()),
        pa.field("kept", pa.string()),
    ]
)

# Lines in a lake of an earlier release have none of these.
YOUNGER_COLUMNS = ("listed_width", "listed_height", "listed_digest", "kept")

REJECTED_LINES = pa.schema(
    [
        pa.field("identity", _WORD, nullable=False),
        pa.field("line", pa.int32(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("reason", _WORD, nullable=False),
        pa.field("detail", pa.string()),
    ]
)


class Candidate(NamedTuple):
    """One distinct URL to fetch, and the unit that owns it.

    `digest_kind` is the algorithm of the digest that the list has of it, if that is not SHA-256.
    """

    key: bytes
    url: str
    unit: int
    digest_kind: str | None = None


CANDIDATES = pa.schema(
    [
        pa.field("key", _KEY, nullable=False),
        pa.field("url", pa.string(), nullable=False),
        pa.field("unit", pa.int32(), nullable=False),
        pa.field("digest_kind", _WORD),
    ]
)


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """The validated properties of one picture; width and height as stored, before EXIF rotation."""

    digest: bytes
    num_bytes: int
    format: str
    width: int
    height: int
    dhash: bytes


@dataclass(frozen=True, slots=True)
class Attempt:
    """The result of fetching one candidate over all attempts so far; the location of the bytes if accepted.

    `latency_s` is the whole round with its pauses, `first_byte_s` the wait of the last request for the head of its
    response. `received_bytes` came over the wire, for a picture or not, from the host's `address`. `via` is None for
    the link's own host and `archive` for a web archive, whose page is `final_url`. `rules` is the version of the rules
    that validated it (`tasks.fetch.ledger.RULES`; None: version 1). `note` holds the words of `Note` that apply,
    sorted and joined by blanks; None for no word. `other_digest` is that of the bytes by `Candidate.digest_kind`.
    """

    key: bytes
    url: str
    outcome: Outcome
    reason: Reason | None
    detail: str
    http_status: int | None
    tries: int
    round: int
    next_try: datetime | None
    final_url: str
    fetched_at: datetime
    latency_s: float
    image: ImageFacts | None = None
    shard: str | None = None
    offset: int | None = None
    length: int | None = None
    first_byte_s: float | None = None
    received_bytes: int | None = None
    address: str | None = None
    via: str | None = None
    rules: int | None = None
    note: str | None = None
    other_digest: bytes | None = None


# Columns are only ever added, at the end: `ledger` reads indexes that were written without the newer ones.
ATTEMPTS = pa.schema(
    [
        pa.field("key", _KEY, nullable=False),
        pa.field("url", pa.string(), nullable=False),
        pa.field("outcome", _WORD, nullable=False),
        pa.field("reason", _WORD),
        pa.field("detail", pa.string()),
        pa.field("http_status", pa.int16()),
        pa.field("tries", pa.int16(), nullable=False),
        pa.field("round", pa.int16(), nullable=False),
        pa.field("next_try", _TIME),
        pa.field("final_url", pa.string()),
        pa.field("fetched_at", _TIME, nullable=False),
        pa.field("latency_s", pa.float32()),
        pa.field("digest", _DIGEST),
        pa.field("num_bytes", pa.int64()),
        pa.field("format", _WORD),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("dhash", _KEY),
        pa.field("shard", pa.string()),
        pa.field("offset", pa.int64()),
        pa.field("length", pa.int64()),
        pa.field("first_byte_s", pa.float32()),
        pa.field("received_bytes", pa.int64()),
        pa.field("address", pa.string()),
        pa.field("via", _WORD),
        pa.field("rules", pa.int16()),
        pa.field("note", _WORD),
        pa.field("other_digest", pa.binary()),
    ]
)

# One row a link line whose picture was accepted: did it survive the comparison with all other pictures?
VERDICTS = pa.schema(
    [
        pa.field("identity", _WORD, nullable=False),
        pa.field("line", pa.int32(), nullable=False),
        pa.field("key", _KEY, nullable=False),
        pa.field("outcome", _WORD, nullable=False),
        pa.field("reason", _WORD),
        # The smallest digest among all exact and near copies of this picture: a split never cuts through it.
        pa.field("cluster", _DIGEST, nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class FoundFace:
    """One face a detector found, in pixels of the picture as it is meant to be seen (EXIF rotation applied)."""

    box_xyxy: Box
    score: float
    landmarks: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Detection:
    """All faces found in one picture, best score first; width and height as seen. `reason` is set if it failed."""

    key: bytes
    digest: bytes
    width: int
    height: int
    faces: tuple[FoundFace, ...]
    reason: Reason | None = None


DETECTIONS = pa.schema(
    [
        pa.field("key", _KEY, nullable=False),
        pa.field("digest", _DIGEST, nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("boxes", pa.list_(_BOX), nullable=False),
        pa.field("scores", pa.list_(pa.float32()), nullable=False),
        pa.field("landmarks", pa.list_(_POINTS), nullable=False),
        pa.field("reason", _WORD),
    ]
)


@dataclass(frozen=True, slots=True)
class Face:
    """The face one method gives one link line, cropped loosely out of its picture; or the reason it gives none.

    `source_box_xyxy` lies in the picture as seen, `face_box_xyxy` and `landmarks` lie in the crop. `agreement`
    is the IoU of the listed box with the detected face that overlaps it most (None: no box listed), after the
    correction that `fit` names; `fit` is None where no face confirms the box, or the method asked for none.
    `face_px` is the shorter side of `source_box_xyxy`, `border` the share of that box outside of the picture;
    `sharpness`, `yaw_deg` and `roll_deg` are as `tasks.faces.methods.quality` measures them. `same_bytes` says whether
    the picture has the digest that the line lists; None where that is not known.
    """

    identity: str
    line: int
    key: bytes
    image_digest: bytes
    outcome: Outcome
    reason: Reason | None
    num_faces: int
    agreement: float | None = None
    fit: Fit | None = None
    score: float | None = None
    face_px: float | None = None
    border: float | None = None
    sharpness: float | None = None
    yaw_deg: float | None = None
    roll_deg: float | None = None
    source_box_xyxy: Box | None = None
    face_box_xyxy: Box | None = None
    landmarks: tuple[float, ...] | None = None
    image_width: int | None = None
    image_height: int | None = None
    crop_digest: bytes | None = None
    width: int | None = None
    height: int | None = None
    offset: int | None = None
    length: int | None = None
    same_bytes: bool | None = None


FACES = pa.schema(
    [
        pa.field("identity", _WORD, nullable=False),
        pa.field("line", pa.int32(), nullable=False),
        pa.field("key", _KEY, nullable=False),
        pa.field("image_digest", _DIGEST, nullable=False),
        pa.field("outcome", _WORD, nullable=False),
        pa.field("reason", _WORD),
        pa.field("num_faces", pa.int32(), nullable=False),
        pa.field("agreement", pa.float32()),
        pa.field("fit", _WORD),
        pa.field("score", pa.float32()),
        pa.field("face_px", pa.float32()),
        pa.field("border", pa.float32()),
        pa.field("sharpness", pa.float32()),
        pa.field("yaw_deg", pa.float32()),
        pa.field("roll_deg", pa.float32()),
        pa.field("source_box_xyxy", _BOX),
        pa.field("face_box_xyxy", _BOX),
        pa.field("landmarks", _POINTS),
        pa.field("image_width", pa.int32()),
        pa.field("image_height", pa.int32()),
        pa.field("crop_digest", _DIGEST),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("offset", pa.int64()),
        pa.field("length", pa.int64()),
        pa.field("same_bytes", pa.bool_()),
    ]
)


class TakedownKind(StrEnum):
    """What a takedown names."""

    URL = "url"
    IDENTITY = "identity"
    DIGEST = "digest"


class Takedown(NamedTuple):
    """Who or what must not be used any more, in the least revealing form that still finds it.

    `target` is the key of a URL, the `identity_key` of a name or the digest of a picture's bytes. `source` narrows
    a name to one source; None is all of them.
    """

    kind: TakedownKind
    target: bytes
    source: str | None
    recorded_at: datetime
    note: str


TAKEDOWNS = pa.schema(
    [
        pa.field("kind", _WORD, nullable=False),
        pa.field("target", pa.binary(), nullable=False),
        pa.field("source", _WORD),
        pa.field("recorded_at", _TIME, nullable=False),
        pa.field("note", pa.string()),
    ]
)

# One row an accepted face: the probability by a model that it shows another person than listed.
FACE_VERDICTS = pa.schema(
    [
        pa.field("identity", _WORD, nullable=False),
        pa.field("line", pa.int32(), nullable=False),
        pa.field("crop_digest", _DIGEST, nullable=False),
        pa.field("wrong_person_score", pa.float32(), nullable=False),
        pa.field("looks_like", _WORD),
        pa.field("is_confirmed", pa.bool_(), nullable=False),
        # Of faces of several sources: the source, and the person that the listed `identity` stands for. Else null.
        pa.field("source", _WORD),
        pa.field("person", _WORD),
    ]
)

# One row a pair of people that may be one: `other` has fewer pictures than `identity`.
SAME_PEOPLE = pa.schema(
    [
        pa.field("identity", _WORD, nullable=False),
        pa.field("other", _WORD, nullable=False),
        pa.field("same_person_score", pa.float32(), nullable=False),
    ]
)

# One row a face of a dataset version. `sample` names the tar members `<sample>.jpg` and `<sample>.json`.
SAMPLES = pa.schema(
    [
        pa.field("sample", pa.string(), nullable=False),
        pa.field("identity", _WORD, nullable=False),
        pa.field("split", _WORD, nullable=False),
        pa.field("source", _WORD, nullable=False),
        pa.field("method", _WORD, nullable=False),
        pa.field("line", pa.int32(), nullable=False),
        pa.field("url", pa.string(), nullable=False),
        pa.field("image_digest", _DIGEST, nullable=False),
        pa.field("cluster", _DIGEST, nullable=False),
        pa.field("crop_digest", _DIGEST, nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("face_box_xyxy", _BOX, nullable=False),
        pa.field("landmarks", _POINTS),
        pa.field("score", pa.float32()),
        pa.field("agreement", pa.float32()),
        pa.field("fit", _WORD),
        pa.field("face_px", pa.float32(), nullable=False),
        pa.field("border", pa.float32()),
        pa.field("sharpness", pa.float32()),
        pa.field("yaw_deg", pa.float32()),
        pa.field("roll_deg", pa.float32()),
        pa.field("shard", pa.string(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("length", pa.int64(), nullable=False),
        # The name in the list, where a dataset of several sources calls the person by another.
        pa.field("listed_identity", _WORD),
        # The columns of the list given with `--keep`, as a JSON object.
        pa.field("kept", pa.string()),
    ]
)

# One row a sample of a dataset version: its shard, which has the other columns of `SAMPLES`. `cluster` is null where it
# is the one in the shard.
PLACED_SAMPLES = pa.schema(
    [
        SAMPLES.field("sample"),
        SAMPLES.field("identity"),
        SAMPLES.field("split"),
        SAMPLES.field("source"),
        SAMPLES.field("method"),
        SAMPLES.field("line"),
        pa.field("cluster", _DIGEST),
        SAMPLES.field("shard"),
        SAMPLES.field("offset"),
        SAMPLES.field("length"),
    ]
)

# One row a planned link line: its outcome in a dataset version. `identity` is the name in the list.
LINE_OUTCOMES = pa.schema(
    [
        pa.field("identity", _WORD, nullable=False),
        pa.field("line", pa.int32(), nullable=False),
        pa.field("url", pa.string(), nullable=False),
        pa.field("stage", _WORD, nullable=False),
        pa.field("reason", _WORD),
        pa.field("source", _WORD),
    ]
)

# What a version stores of them, and what versions share, row by row.
STORED_OUTCOMES = pa.schema([field for field in LINE_OUTCOMES if field.name != "url"])
SHARED_LINES = pa.schema([LINE_OUTCOMES.field(name) for name in ("source", "identity", "line", "url")])

# One row a pair of faces that a model version was evaluated on. `left` and `right` count the faces of the test, in the
# order of the dataset's index; `left_identity` and `right_identity` number the people, equal for a genuine pair.
SCORES = pa.schema(
    [
        pa.field("left", pa.int32(), nullable=False),
        pa.field("right", pa.int32(), nullable=False),
        pa.field("left_identity", pa.int32(), nullable=False),
        pa.field("right_identity", pa.int32(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
    ]
)
