"""Object stores: opening, retries, and the translation of their errors.

fsspec provides the protocols; of the object stores, S3 is the supported one. Listings are not cached, since other
processes write to the same bucket. Transient errors are retried. Conditional writes create a file only if none exists.
Credentials and the endpoint come from the usual AWS places: the environment, a profile, the machine's role. They are
not allowed in URLs, which are printed and stored in many places.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
from fsspec.implementations.local import LocalFileSystem

from storage.errors import LakeError, UsageError

# With pauses of up to 0.5, 1, 2, 4 and 8 s (botocore's "standard" mode), for busy and failing stores and lost
# connections; s3fs does all of it a second time, and for answers that break off in the middle.
_TRIES, _ROUNDS = 6, 2
_S3: dict[str, Any] = {
    "use_listings_cache": False,
    "config_kwargs": {"retries": {"mode": "standard", "total_max_attempts": _TRIES}, "connect_timeout": 10},
}
_CONFLICT, _EXISTS, _NOT_KNOWN = 409, 412, 501
_CONFLICT_PAUSES_S = (0.1, 0.5, 2.0)
# A file of less than two parts is uploaded as a whole. So many parts at once are in memory.
_PART_BYTES, _PARTS_AT_ONCE = 16_000_000, 4
# No upload takes this long; an older one was abandoned.
_UPLOAD = timedelta(hours=1)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_CREDENTIALS = re.compile(r"([A-Za-z0-9+.-]*)://[^/]*@([^/@]*)")
# A URL with a missing slash.
_ONE_SLASH = re.compile(r"(file|memory|s3|gs|gcs|abfs|abfss|az|https?):/")
_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "CredentialRetrievalError"}


class Upload(NamedTuple):
    """A multipart upload that was neither completed nor aborted."""

    path: str
    id: str


def open_store(url: str, schemes: Collection[str] = ()) -> tuple[Any, str]:
    """The file system of a path or URL, and the path below it.

    A string without `://` is a local path, taken literally except for a leading `~` or `~/`.

    Args:
        schemes: the URL schemes allowed besides paths; empty for all that fsspec supports.

    Raises:
        UsageError: no installed package handles the scheme, the URL contains credentials, or it chains several
            file systems.
    """
    scheme, rest = split_scheme(url)
    is_chain = "::" in url and "://" in url
    if (scheme or is_chain) and (found := _CREDENTIALS.search(url)):
        raise UsageError(
            f"the URL {found[1]}://...@{found[2]} holds credentials, which would be shown and kept: leave them out, "
            "and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the machine a role"
        )
    if is_chain:
        raise UsageError(
            f"{url} names several file systems, one within another, which facemill does not open: name one of them"
        )
    if scheme in {"", "file"}:
        return LocalFileSystem(), _local_path(url, rest)
    if schemes and scheme not in schemes:
        known = ", ".join(f"{one}://" for one in schemes)
        raise UsageError(f"{url} cannot hold a lake: name a folder, or a URL of {known}")
    if not rest.strip("/ "):
        raise UsageError(f"{url} names no bucket or folder: name one, as in {scheme}://bucket/lake")
    try:
        fs, root = fsspec.core.url_to_fs(url, **(_S3 if scheme == "s3" else {}))
    except (ImportError, ValueError, TypeError, OSError) as error:
        raise UsageError(f"{url} cannot be opened: {error}") from error
    if is_s3(fs):
        fs.retries = _ROUNDS
    return fs, root


def store_time(url: str, within_s: float) -> datetime:
    """The time of an S3 store: the date of its answer to one request that lists the folder of `url`.

    Unlike all other requests it is not repeated, so that a store that is down is told at once.

    Args:
        within_s: limit for connecting, and for each wait for the answer.

    Raises:
        LakeError: the store does not answer, or refuses these credentials.
        UsageError: as `open_store`.
    """
    _, root = open_store(url)
    limits = {"retries": {"total_max_attempts": 1}, "connect_timeout": within_s, "read_timeout": within_s}
    fs = fsspec.filesystem("s3", **{**_S3, "config_kwargs": limits}, skip_instance_cache=True)
    fs.retries = 1
    bucket, _, prefix = root.partition("/")
    try:
        return _told_time(fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=1))
    except refusals() as error:
        raise LakeError(_refusal(url, error, tries=1)) from error


def split_scheme(url: str) -> tuple[str, str]:
    """(s3, bucket/lake) of s3://bucket/lake; two empty strings for a path."""
    found = _SCHEME.match(url)
    return (found[1].lower(), url[found.end() :]) if found else ("", "")


def _local_path(url: str, below_file: str) -> str:
    """The absolute path that a path or a `file://` URL names."""
    if not url.strip() or "\0" in url or url == "file://":
        raise UsageError(f"{url!r} is not a path: name a folder, or a URL such as s3://bucket/lake")
    if below_file and not below_file.startswith("/"):
        raise UsageError(f"{url} names a machine or a relative path: write file:///absolute/path, or the path alone")
    if not below_file and _ONE_SLASH.match(url):
        raise UsageError(f"{url} is neither a path nor a URL: write //, or ./{url} for a folder of this name")
    is_home = url == "~" or url.startswith("~/")
    return str(Path(below_file or (os.path.expanduser(url) if is_home else url)).absolute())  # noqa: PTH111


def is_s3(fs: Any) -> bool:
    """Whether this is S3 or an S3-compatible service."""
    return "s3" in fs.protocol


@contextmanager
def asking(place: str) -> Iterator[None]:
    """Translate store errors on `place` in the block; FileNotFoundError and FileExistsError pass through.

    Raises:
        LakeError: the store refused or could not be reached, after all retries.
    """
    try:
        yield
    except (FileNotFoundError, FileExistsError):
        raise
    except refusals() as error:
        raise LakeError(_refusal(place, error)) from error


def refusals() -> tuple[type[BaseException], ...]:
    """The exceptions of file systems and stores; those of S3 only if it is in use."""
    s3fs, botocore = sys.modules.get("s3fs.core"), sys.modules.get("botocore.exceptions")
    return (OSError, *s3fs.S3_RETRYABLE_ERRORS, botocore.BotoCoreError) if s3fs and botocore else (OSError,)


def _refusal(place: str, error: BaseException, tries: int | None = None) -> str:
    if type(error).__name__ in _NO_CREDENTIALS:
        advice = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the machine a role"
    elif isinstance(error, PermissionError):
        advice = "allow these credentials to list, read, write and delete there, or use others"
    else:
        asked = "asked once" if tries == 1 else f"asked up to {tries or _TRIES * _ROUNDS} times"
        advice = f"{asked}; once it responds, run the same command to continue"
    return f"{place}: the store refused: {' '.join(str(error).split()) or type(error).__name__}; {advice}"


def upload(fs: Any, file: Path, target: str, *, once: bool) -> None:
    """Upload a whole file, or nothing.

    Args:
        once: only if the target does not exist: by a conditional put, or by a prior check where unsupported.

    Raises:
        FileExistsError: with `once`, something is there.
        LakeError: the bucket does not exist.
    """
    try:
        if once:
            _upload_once(fs, str(file), target)
        else:
            _put(fs, str(file), target)
    except FileNotFoundError as error:
        bucket = target.partition("/")[0]
        raise LakeError(f"{target} cannot be written: the bucket {bucket} does not exist; create it") from error


def _upload_once(fs: Any, file: str, target: str) -> None:
    for pause_s in (*_CONFLICT_PAUSES_S, None):
        try:
            _put(fs, file, target, mode="create")
            return
        except OSError as error:
            status = _status(error)
            if status == _EXISTS or (status == _NOT_KNOWN and fs.exists(target)):
                raise FileExistsError(target) from error
            if status == _NOT_KNOWN:
                _put(fs, file, target)
                return
            # A concurrent upload of the same file is in progress.
            if status != _CONFLICT or pause_s is None:
                raise
            time.sleep(pause_s)


def _put(fs: Any, file: str, target: str, **options: Any) -> None:
    parts = {"chunksize": _PART_BYTES, "max_concurrency": _PARTS_AT_ONCE} if is_s3(fs) else {}
    fs.put_file(file, target, **parts, **options)


def _status(error: BaseException) -> int | None:
    """The HTTP status of the response behind this error."""
    response = getattr(error.__cause__, "response", None) or {}
    status: int | None = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status


def lost_uploads(fs: Any, root: str, older_than: timedelta = _UPLOAD) -> list[Upload]:
    """The uploads below `root` that were abandoned: started longer ago than `older_than`, by the store's clock."""
    if not is_s3(fs):
        return []
    bucket, _, prefix = root.partition("/")
    found: list[Upload] = []
    place: dict[str, str] = {}
    while True:
        page = fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=f"{prefix}/" if prefix else "", **place)
        now = _told_time(page)
        for one in page.get("Uploads", []):
            if now - one["Initiated"] >= older_than:
                found.append(Upload(f"{bucket}/{one['Key']}".removeprefix(f"{root}/"), one["UploadId"]))
        if not page.get("IsTruncated"):
            return sorted(found)
        place = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}


def abort_upload(fs: Any, root: str, lost: Upload) -> None:
    """Abort a multipart upload, which deletes its parts."""
    bucket, _, prefix = root.partition("/")
    key = f"{prefix}/{lost.path}" if prefix else lost.path
    fs.call_s3("abort_multipart_upload", Bucket=bucket, Key=key, UploadId=lost.id)


def _told_time(answer: dict[str, Any]) -> datetime:
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return parsedate_to_datetime(date) if date else datetime.now(UTC)
