"""Every error facemill raises on purpose.

FacemillError
├── UsageError        what was asked for cannot be done: a wrong path, name or option (exit code 2)
│   ├── SourceError   a list of links or a folder is missing, empty, or not in the format it should have
│   └── VersionPruned a version was removed by `facemill prune`; its manifest is left
├── LakeError         the lake contradicts its index, or has a newer format
│   ├── ChangedMeanwhile another run has replaced a file that was being read
│   └── LakeInUse     other runs use the lake, which a purge or a repair needs for itself
├── LeaseLost         another run has taken over the unit this one was doing
├── LinksUnavailable  the link files could not be fetched
├── LeakError         a dataset version would show a person or a picture on two sides of its split
├── TrainingError     a training run cannot go on, for instance because it collapsed
├── PromotionRefused  a model version is not better than the champion beyond chance
└── ServiceError      the server or a worker cannot be started, or ended

A message gives the limit, the value found, the cause, and what to do about it, on one line.
A picture or a link line that fails is no error: it is a row with a `Reason` (see `records`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class FacemillError(Exception):
    """The base of all errors that facemill raises on purpose; its message is fit to be shown to a user."""


class UsageError(FacemillError):
    """What was asked for cannot be done as asked."""


class SourceError(UsageError):
    """A list of links or a folder of pictures is missing, empty or malformed."""


class VersionPruned(UsageError):
    """A dataset or model version was removed by `facemill prune`."""


class LakeError(FacemillError):
    """The lake is inconsistent, or was written by a newer facemill."""


class ChangedMeanwhile(LakeError):
    """What was being read is not one state of the lake: another run has replaced a file of it meanwhile."""


class LakeInUse(LakeError):
    """Other runs use the lake, which a purge or a repair needs for itself."""


def changed_meanwhile(what: str) -> ChangedMeanwhile:
    """The error for files that another run has replaced."""
    return ChangedMeanwhile(
        f"{what} were replaced by another run while they were read; once it has ended, run the same command again"
    )


def if_there(read: Callable[[], T]) -> T | None:
    """What `read` gives; None if the file that it reads is not there, or not any more.

    Raises:
        LakeError: as `read`, for any other cause.
    """
    try:
        return read()
    except LakeError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise


class LeaseLost(FacemillError):
    """Another run has taken over the unit, since this run did not renew its lease."""


class LinksUnavailable(FacemillError):
    """The link files could not be fetched from their configured location."""


class LeakError(FacemillError):
    """A dataset version would show a person or a picture on two sides of its split."""


class TrainingError(FacemillError):
    """A training run cannot go on."""


class PromotionRefused(FacemillError):
    """A model version did not pass the test for promotion to champion."""


class ServiceError(FacemillError):
    """The server or its workers cannot be started, or ended."""
