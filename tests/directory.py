"""A directory for tests: OpenLDAP's slapd, filled and run in a folder on a free port of this machine."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

SUFFIX = "dc=hospital,dc=example"
PEOPLE_DN = f"ou=people,{SUFFIX}"
READER_DN = f"cn=reader,{SUFFIX}"
READER_PASSWORD = "the reader's own"

_CONFIGURATION = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/slapd.pid
database mdb
maxsize 10485760
suffix "{suffix}"
directory {folder}/data
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{reader}" read by self read by anonymous auth by * none
"""


def slapd() -> str | None:
    """Where the program is; Debian keeps it outside the path of ordinary users."""
    return shutil.which("slapd") or shutil.which("slapd", path="/usr/sbin:/usr/local/sbin:/usr/libexec")


@contextmanager
def a_directory(folder: Path, passwords: Mapping[str, str], staff: frozenset[str]) -> Iterator[str]:
    """The address of a directory with these people; those of the ``staff`` have that as their employeeType.

    Nobody searches it but the reader.
    """
    program = slapd()
    assert program is not None
    (folder / "data").mkdir(parents=True)
    configuration = folder / "slapd.conf"
    configuration.write_text(_CONFIGURATION.format(folder=folder, suffix=SUFFIX, reader=READER_DN))
    entries = [
        f"dn: {SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\no: Hospital\ndc: hospital\n",
        f"dn: {PEOPLE_DN}\nobjectClass: organizationalUnit\nou: people\n",
        f"dn: {READER_DN}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: reader\n"
        f"userPassword: {READER_PASSWORD}\n",
    ]
    entries += [
        f"dn: uid={name},{PEOPLE_DN}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\n"
        f"employeeType: {'staff' if name in staff else 'guest'}\nuserPassword: {password}\n"
        for name, password in passwords.items()
    ]
    filled = [str(Path(program).with_name("slapadd")), "-q", "-f", str(configuration)]
    subprocess.run(filled, input="\n".join(entries), text=True, check=True, capture_output=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"ldap://127.0.0.1:{port}"
    # -d keeps it in the foreground, so that it ends with its handle.
    process = subprocess.Popen(
        [program, "-d", "0", "-h", url, "-f", str(configuration)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _await(port, process)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, "slapd ended"
        with socket.socket() as visitor:
            if visitor.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("slapd does not come up")
