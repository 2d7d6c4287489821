"""The password of Prefect's API. Anyone with it can run any command as the workers' user.

It is text such as `name:password`: PREFECT_SERVER_API_AUTH_STRING of Prefect's server, PREFECT_API_AUTH_STRING of its
clients. Processes get it in their environment or from a file that only its owner can read, never as an argument or in
a log.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from storage.errors import UsageError

OF_SERVER, OF_CLIENTS = "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"
_NAME = "facemill-password"
HOW_TO_GIVE = (
    f"set FACEMILL_PASSWORD_FILE to a copy of its password file, or {OF_CLIENTS} to what that holds; the file is "
    f"PREFECT_HOME/{_NAME} where `facemill serve` runs"
)


def new_password() -> str:
    """A password of 256 random bits."""
    return f"facemill:{secrets.token_urlsafe(32)}"


def prefect_home(environment: Mapping[str, str]) -> Path:
    """The folder of Prefect's database."""
    return Path(environment.get("PREFECT_HOME") or "~/.prefect").expanduser()


def make_private(folder: Path) -> None:
    """Create a folder if needed, and remove access for other users.

    Raises:
        UsageError: the folder cannot be created, or belongs to another user.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made private to this user: {error.strerror}; set PREFECT_HOME") from error


def password_path(environment: Mapping[str, str], named: str = "") -> Path:
    """The password file of this user's service: `named`, or a file in the folder of Prefect's database."""
    return Path(named).expanduser() if named else prefect_home(environment) / _NAME


def password_of_server(environment: Mapping[str, str], named: str = "") -> str:
    """The password to start a server with: from the environment, from its file, or a new one in a new file.

    Args:
        environment: may contain PREFECT_SERVER_API_AUTH_STRING.
        named: password file; empty for the default one.

    Raises:
        UsageError: the file contains no password, or cannot be read or created.
    """
    if given := environment.get(OF_SERVER):
        return given
    path = password_path(environment, named)
    try:
        if not path.exists():
            make_private(path.parent) if not named else None
            _write_new(path, new_password())
        path.chmod(0o600)
    except OSError as error:
        raise UsageError(f"the password file {path} cannot be made private: {error.strerror}") from error
    return read_password(path)


def password_of_client(environment: Mapping[str, str], named: str = "") -> str:
    """The password for an existing server: from the environment, or from the file `named`.

    Raises:
        UsageError: there is no password, or the file contains none.
    """
    if given := environment.get(OF_CLIENTS):
        return given
    if not named:
        raise UsageError(f"the server requires a password: {HOW_TO_GIVE}")
    return read_password(Path(named).expanduser())


def read_password(path: Path) -> str:
    """Read a password file.

    Raises:
        UsageError: the file cannot be read, or does not contain a single line of text.
    """
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the password file {path} cannot be read: {error}") from error
    if not text or not text.isprintable():
        raise UsageError(f"the password file {path} must contain one line of text such as name:password")
    return text


def _write_new(path: Path, password: str) -> None:
    """Create a file of mode 0600 atomically; an existing file is kept."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(f"{password}\n")
        with suppress(FileExistsError):
            os.link(name, path)
    finally:
        Path(name).unlink()
