"""Checks of this machine and this installation: pure decisions on the facts of `machine_facts`."""

from __future__ import annotations

from ipaddress import ip_address

from packaging.specifiers import SpecifierSet

from flows.doctor.machine_facts import Gpu, Installation, PasswordFile, Resolver, SettingsFound
from flows.doctor.verdict import Level, Limits, Verdict, by_limits

# Files that a run has open besides its connections: shards, tables, libraries, pipes of its child processes.
_OTHER_FILES = 256
_OF_OTHERS = 0o077


def check_python(found: Installation) -> Verdict:
    """Whether this Python is one that the project allows."""
    if not found.allowed:
        advice = "install it, by `make setup` or pip, so that versions can be compared"
        return Verdict("python", Level.WARN, f"{found.python}, and facemill is not installed", "", advice)
    if SpecifierSet(found.allowed).contains(found.python, prereleases=True):
        return Verdict("python", Level.OK, found.python, found.allowed)
    return Verdict("python", Level.FAIL, found.python, found.allowed, "install facemill with another Python")


def check_packages(found: Installation) -> Verdict:
    """Whether every required package is installed in a version that the project allows."""
    wrong = [
        f"{one.name} {one.found or 'is missing'} ({one.allowed or 'any version'})"
        for one in found.packages
        if one.found is None or not SpecifierSet(one.allowed).contains(one.found, prereleases=True)
    ]
    if wrong:
        advice = "install the locked versions: pip install --require-hashes -r requirements.lock"
        return Verdict("packages", Level.FAIL, "; ".join(wrong), "", advice)
    return Verdict("packages", Level.OK, f"{len(found.packages)} required packages are installed as required")


def check_settings(found: SettingsFound) -> Verdict:
    """Whether the settings files and the environment can be used."""
    if found.error:
        return Verdict("settings", Level.FAIL, found.error, "", "correct it; until then commands refuse to start")
    return Verdict("settings", Level.OK, ", ".join(found.files) or "no settings file; the environment is valid")


def check_open_files(limit: int, concurrency: int) -> Verdict:
    """Whether a run may open a file for each of its requests.

    Args:
        limit: files that a process may have open; -1 for no limit.
        concurrency: the setting of that name.
    """
    if limit < 0:
        return Verdict("open files", Level.OK, "no limit")
    needed = concurrency + _OTHER_FILES
    advice = "raise it (ulimit -n, LimitNOFILE of systemd), or lower FACEMILL_CONCURRENCY"
    return by_limits("open files", limit, Limits(needed, needed), lambda number: f"{number:,.0f} a process", advice)


def check_semaphores(error: str) -> Verdict:
    """Whether pools of processes can be started.

    Args:
        error: why no semaphore can be made; empty if one can.
    """
    if error:
        advice = "make /dev/shm writable for this user; in a container mount a tmpfs there"
        return Verdict("semaphores", Level.FAIL, f"none can be made: {error}", "", advice)
    return Verdict("semaphores", Level.OK, "can be made in /dev/shm")


def check_resolver(found: Resolver) -> Verdict:
    """Whether the system resolves `localhost` to loopback addresses, and a name server is set."""
    only = "only localhost was looked up"
    if found.error:
        advice = "restore its line in /etc/hosts; the service's own requests need it"
        return Verdict("resolver", Level.FAIL, f"localhost does not resolve: {found.error}", "", advice)
    others = [address for address in found.addresses if not ip_address(address.split("%")[0]).is_loopback]
    if others:
        advice = "correct /etc/hosts or the resolver"
        return Verdict("resolver", Level.FAIL, f"localhost is {', '.join(others)}", "a loopback address", advice)
    if not found.num_servers:
        advice = "links then all fail as `dns`; set a nameserver in /etc/resolv.conf"
        return Verdict("resolver", Level.WARN, f"/etc/resolv.conf has no name server; {only}", "", advice)
    servers = "1 name server" if found.num_servers == 1 else f"{found.num_servers} name servers"
    return Verdict("resolver", Level.OK, f"localhost is {', '.join(found.addresses)}; {servers} set; {only}")


def check_gpu(found: Gpu) -> Verdict:
    """Whether torch finds the GPU of a machine that has one."""
    if found.is_found:
        return Verdict("gpu", Level.OK, "torch finds a CUDA device")
    if found.has_tools:
        advice = "compare the driver (nvidia-smi) with torch's build; until then trainings run on the CPU"
        return Verdict("gpu", Level.WARN, "nvidia-smi is installed, but torch finds no CUDA device", "", advice)
    return Verdict("gpu", Level.OK, "none; trainings run on the CPU")


def check_password_file(found: PasswordFile) -> Verdict:
    """Whether the password of the API is kept from other users."""
    if found.mode is None:
        value = f"given by {found.variable}" if found.variable else f"none yet; `facemill serve` makes {found.path}"
        return Verdict("password file", Level.OK, value)
    if not found.is_own:
        value = f"{found.path} belongs to another user"
        return Verdict("password file", Level.FAIL, value, "", "who owns it can run any command as you: make your own")
    if found.mode & _OF_OTHERS:
        return Verdict(
            "password file", Level.FAIL, f"{found.path} has mode {found.mode:04o}", "0600", f"chmod 600 {found.path}"
        )
    return Verdict("password file", Level.OK, f"{found.path} has mode {found.mode:04o}", "0600")
