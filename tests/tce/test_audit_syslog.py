"""Syslog messages have the form of RFC 5424, and go to a real listener over real TLS or UDP."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from datetime import datetime
from pathlib import Path

import pytest
from lxml import etree

from tce.audit.repository import Form, RepositorySettings
from tce.audit.syslog import LARGEST_DATAGRAM, TlsSender, UdpSender, framed, message_of
from tce.audit.trail import Record
from tce.errors import RepositoryAway
from tests.tce.audit_repository import Manner, TlsRepository, UdpRepository, frames, parsed
from tests.tce.test_audit_messages import EVERY_MESSAGE, SCHEMA

RECORDS = [
    Record(n, "2026-01-31T12:34:56.789+00:00", "x", "tce/4711", 0, {}, message.decode(), "", "")
    for n, message in enumerate(EVERY_MESSAGE.values(), 1)
]
MESSAGES = [message_of(record, "tce.example", Form.IHE) for record in RECORDS]


@pytest.fixture
def repository(tmp_path: Path) -> TlsRepository:
    return TlsRepository(tmp_path)


def a_sender(repository: TlsRepository, *fingerprints: str) -> TlsSender:
    return TlsSender("127.0.0.1", repository.port, repository.certificates(*fingerprints))


def test_a_message_has_its_header_and_its_xml() -> None:
    """Priority 85, version 1, time with zone, host, application, process, MSGID of ITI-20, no structured data."""
    for record, message in zip(RECORDS, MESSAGES, strict=True):
        found = parsed(message)
        assert message.startswith(
            b"<85>1 2026-01-31T12:34:56.789+00:00 tce.example tce 4711 IHE+RFC-3881 - <?"
        )
        assert datetime.fromisoformat(found.time).tzinfo is not None
        assert found.marked is False
        root = etree.fromstring(found.xml)
        assert SCHEMA.validate(root), SCHEMA.error_log
        assert record.message.encode() in found.xml


def test_the_form_of_dicom_marks_utf_8() -> None:
    """PS3.15 has another MSGID, and RFC 5424 section 6.4 a byte order mark in front of UTF-8."""
    found = parsed(message_of(RECORDS[0], "h", Form.DICOM))
    assert (found.id, found.marked) == ("DICOM+RFC3881", True)


@pytest.mark.parametrize(
    ("host", "written"),
    [("tce 1", "tce1"), ("zürich", "zrich"), ("", "-"), ("\n", "-"), ("h" * 300, "h" * 255)],
)
def test_a_host_s_name_cannot_break_the_header(host: str, written: str) -> None:
    """HOSTNAME is printable ASCII without spaces, at most 255 characters, or the nil value."""
    assert parsed(message_of(RECORDS[0], host, Form.IHE)).host == written


def test_octets_are_counted_not_characters() -> None:
    """MSG-LEN of RFC 5425 counts what is on the wire."""
    message = "<AuditMessage>Zürich 東京</AuditMessage>".encode()
    assert framed(message).startswith(b"%d <" % len(message))
    assert list(frames(framed(message) + framed(b"x"))) == [message, b"x"]


def test_a_batch_arrives_over_tls(repository: TlsRepository) -> None:
    """Every message, in order, unchanged, over one connection with certificates on both sides."""
    with repository.open():
        a_sender(repository).send(MESSAGES)
    assert repository.got == MESSAGES
    assert repository.connections == 1


def test_a_large_batch_arrives_over_tls(repository: TlsRepository) -> None:
    """Megabytes, and messages far beyond what a datagram holds."""
    large = [MESSAGES[0] + b" " * 300_000 for _ in range(10)]
    with repository.open():
        a_sender(repository).send(large)
    assert repository.got == large


def test_a_repository_is_known_by_its_fingerprint(repository: TlsRepository) -> None:
    """With a fingerprint its certificate need not name its host; another certificate gets nothing."""
    with repository.open():
        a_sender(repository, repository.fingerprint).send(MESSAGES[:1])
        with pytest.raises(RepositoryAway, match="another certificate"):
            a_sender(repository, "sha256:" + "0" * 64).send(MESSAGES[1:])
    assert repository.got == MESSAGES[:1]


def test_a_repository_that_nobody_vouches_for_gets_nothing(repository: TlsRepository, tmp_path: Path) -> None:
    """Its certificate must come from an authority that the site trusts."""
    (tmp_path / "other").mkdir()
    strange = TlsRepository(tmp_path / "other")
    with repository.open(), pytest.raises(RepositoryAway, match="not trusted"):
        TlsSender("127.0.0.1", repository.port, strange.certificates()).send(MESSAGES)
    assert repository.got == []


def test_a_site_that_the_repository_does_not_know_is_told(repository: TlsRepository, tmp_path: Path) -> None:
    """Under TLS 1.3 a client learns of it after its handshake only: nothing counts as delivered."""
    (tmp_path / "other").mkdir()
    strange = TlsRepository(tmp_path / "other").certificates()
    trusting = type(strange)(strange.certificate, strange.key, repository.authority.ca)
    sender = TlsSender("127.0.0.1", repository.port, trusting)
    with repository.open():
        for _ in range(20):  # its alert comes before, while or after this side ends the connection
            with pytest.raises(RepositoryAway):
                sender.send(MESSAGES)
    assert repository.got == []


@pytest.mark.parametrize("manner", [Manner.NO_ANSWER, Manner.RESET])
def test_what_is_not_confirmed_is_not_delivered(repository: TlsRepository, manner: Manner) -> None:
    """A connection that ends without the repository's own end of TLS proves nothing, whatever was read."""
    repository.manner = manner
    with repository.open(), pytest.raises(RepositoryAway):
        a_sender(repository).send(MESSAGES)


def test_nobody_there_is_told(repository: TlsRepository) -> None:
    """No listener is a repository that is away."""
    with pytest.raises(RepositoryAway, match="cannot be reached"):
        a_sender(repository).send(MESSAGES)


def test_openssl_reads_what_is_sent(repository: TlsRepository, tmp_path: Path) -> None:
    """Somebody else's TLS gets the frames, and confirms them."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    own = repository.own
    with (tmp_path / "out").open("wb") as out:
        words = [
            "s_server",
            "-quiet",
            "-Verify",
            "1",
            "-naccept",
            "1",
            "-accept",
            f"127.0.0.1:{repository.port}",
        ]
        files = ["-cert", own.certificate, "-key", own.key, "-CAfile", own.ca]
        command = [openssl, *words, *map(str, files)]
        # Its standard input stays open: it ends with that.
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.DEVNULL
        ) as server:
            try:
                _until_it_listens(repository.port, server)
                a_sender(repository).send(MESSAGES)
                assert server.wait(20) == 0
            finally:
                server.kill()
    assert list(frames((tmp_path / "out").read_bytes())) == MESSAGES


def _until_it_listens(port: int, server: subprocess.Popen[bytes]) -> None:
    """Wait by the kernel's table of sockets: a connection to try would be the one that the server accepts."""
    wanted = f"0100007F:{port:04X} 00000000:0000 0A"
    for _ in range(500):
        assert server.poll() is None
        if wanted in Path("/proc/net/tcp").read_text():
            return
        time.sleep(0.02)
    pytest.fail("openssl does not listen")


def test_datagrams_arrive() -> None:
    """One message a datagram, without a length in front (RFC 5426 section 3.1)."""
    with UdpRepository().open() as repository:
        UdpSender("127.0.0.1", repository.port).send(MESSAGES)
    assert repository.got == MESSAGES
    assert UdpSender("127.0.0.1", 514).largest == LARGEST_DATAGRAM


def test_datagrams_that_nobody_takes_are_told() -> None:
    """What the system learns of a closed port is not passed over."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(RepositoryAway):
        UdpSender("127.0.0.1", port).send(MESSAGES[:1])


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("tls://audit.example", ("tls", "audit.example", 6514)),
        ("tls://10.0.0.7:7000", ("tls", "10.0.0.7", 7000)),
        ("udp://audit", ("udp", "audit", 514)),
        ("udp://[fd00::7]:515", ("udp", "fd00::7", 515)),
    ],
)
def test_an_address_is_read(address: str, parts: tuple[str, str, int]) -> None:
    """Transport, host and port, with the port of the transport where none is given."""
    settings = RepositorySettings(repository=address)
    assert (settings.transport, settings.host, settings.port) == parts


@pytest.mark.parametrize(
    "address",
    ["audit.example", "tcp://a:1", "tls://", "tls://a:0", "tls://a:65536", "udp://a b", "tls://a/x"],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    """Cleartext TCP is none, and neither is anything that is misspelt."""
    with pytest.raises(ValueError, match="tls://host:6514"):
        RepositorySettings(repository=address)
