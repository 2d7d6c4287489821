"""A store that speaks S3: a small Ceph, in memory (`apt install ceph-mon ceph-osd radosgw ceph-common`).

One monitor, one disk and one gateway. It has atomic conditional puts (`If-None-Match: *`), as leases want them.
"""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path

from tests.scale.hosts import Host
from tests.scale.waiting import wait_for_port

PROGRAMS = ("monmaptool", "ceph-mon", "ceph-osd", "ceph", "radosgw", "radosgw-admin")
BUCKET = "trial"
_KEY, _SECRET, _PORT = "trial", "of-the-trial", 7480

# One copy of everything, in memory, and no keys between the parts: nobody else is on their wire.
_CONFIGURATION = """
[global]
fsid = {fsid}
mon host = v2:{address}:6790/0
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
run dir = {folder}
admin socket = {folder}/$name.$pid.asok
log file = {folder}/$name.log
mon data = {folder}/mon
mon data avail crit = 0
mon allow pool size one = true
osd pool default size = 1
osd pool default pg num = 1
osd crush chooseleaf type = 0
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = 4G
rgw data = {folder}/gateway
rgw frontends = beast endpoint={address}:{port}
"""


def start_store(host: Host) -> dict[str, str]:
    """Start it with one empty bucket; the variables by which S3 clients find it and may enter."""
    folder, fsid = host.disk / "ceph", uuid.uuid4()
    host.environment["CEPH_CONF"] = str(folder / "ceph.conf")
    told = _CONFIGURATION.format(fsid=fsid, address=host.address, folder=folder, port=_PORT)
    host.run("mkdir", "-p", folder / "mon", folder / "osd", folder / "gateway")
    host.run("sh", "-c", f"cat > {folder}/ceph.conf <<'END'\n{told}\nEND")
    _start_disk(host, folder, str(fsid))
    host.start("radosgw", "-f", "-n", "client.admin")
    user = ["--uid=trial", "--display-name=trial", f"--access-key={_KEY}", f"--secret-key={_SECRET}"]
    host.run("radosgw-admin", "user", "create", *user)
    wait_for_port(host.address, _PORT)
    return {
        "AWS_ENDPOINT_URL": f"http://{host.address}:{_PORT}",
        "AWS_ACCESS_KEY_ID": _KEY,
        "AWS_SECRET_ACCESS_KEY": _SECRET,
    }


def requests(host: Host) -> dict[str, int]:
    """What the gateway has been asked so far: requests, and those of them that read and that write an object."""
    told = host.output("sh", "-c", f"ceph --admin-daemon {host.disk}/ceph/client.admin.*.asok perf dump")
    counts = json.loads(told)["rgw"]
    return {"requests": counts["req"], "reads": counts["get"], "writes": counts["put"]}


def is_installed() -> bool:
    """Whether all its programs are here."""
    return all(map(shutil.which, PROGRAMS))


def _start_disk(host: Host, folder: Path, fsid: str) -> None:
    """The monitor, and the disk that it knows."""
    monitors = folder / "monitors"
    host.run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", f"[v2:{host.address}:6790]", monitors)
    host.run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monitors)
    host.start("ceph-mon", "-f", "-i", "a")
    # This waits for the monitor.
    host.run("ceph", "osd", "create")
    host.run("ceph-osd", "-i", "0", "--mkfs")
    host.run("ceph", "osd", "crush", "add", "osd.0", "1", "root=default", "host=here")
    host.start("ceph-osd", "-f", "-i", "0")
