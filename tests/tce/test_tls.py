"""DICOM over TLS: who is let in, who is called, and what is told of everybody else. Real sockets, real certificates."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tce.errors import ConfigFault
from tce.network.calling import PeerUnavailable
from tce.network.doorway import Contact, Incident
from tce.network.storage_scp import StorageListener
from tce.network.storage_scu import echo, send
from tce.network.store_reader import Arrival, Limits, Status
from tce.network.tls import Certificates, fingerprint
from tce.road import Peer
from tests.builders import a_ct_study, written
from tests.tce.listening import Keeping, Kept


@dataclass
class Authority:
    """Somebody who signs certificates."""

    folder: Path
    name: str = "authority"

    def __post_init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._signed(self.name, self.key, authority=True)
        self.ca = self.folder / f"{self.name}.pem"
        self.ca.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str) -> tuple[Path, Path, str]:
        """Certificate, key and fingerprint of somebody."""
        key = ec.generate_private_key(ec.SECP256R1())
        signed = self._signed(name, key)
        certificate, private = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate, private, fingerprint(signed.public_bytes(serialization.Encoding.DER))

    def _signed(
        self, name: str, key: ec.EllipticCurvePrivateKey, *, authority: bool = False
    ) -> x509.Certificate:
        def named(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named(self.name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if not authority:
            host = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
            builder = builder.add_extension(host, critical=False)
        return builder.sign(self.key, hashes.SHA256())


@dataclass
class Site:
    """A manager and a selector that know each other, with everything that the door told."""

    manager: Certificates
    selector: Certificates
    authority: Authority
    kept: list[Kept]
    told: list[Contact]

    @contextmanager
    def listening(self, limits: Limits | None = None) -> Iterator[Peer]:
        def take(arrival: Arrival) -> Keeping:
            return Keeping(arrival, self.kept, Status.SUCCESS)

        listener = StorageListener(
            "MANAGER",
            "127.0.0.1",
            0,
            ["SELECTOR", "OTHER"],
            take,
            limits,
            certificates=self.manager,
            tell=self.told.append,
        )
        with listener:
            yield Peer("MANAGER", "127.0.0.1", listener.port, self.selector)

    def incidents(self, wanted: Incident) -> list[Contact]:
        """What was told of this kind, once it has been."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if found := [one for one in self.told if one.incident is wanted]:
                return found
            time.sleep(0.02)
        return []


@pytest.fixture
def site(tmp_path: Path) -> Site:
    authority = Authority(tmp_path)
    server, server_key, of_manager = authority.issue("manager")
    client, client_key, of_selector = authority.issue("selector")
    _, _, of_other = authority.issue("other")
    peers = {"SELECTOR": (of_selector,), "OTHER": (of_other,)}
    return Site(
        Certificates(server, server_key, authority.ca, peers),
        Certificates(client, client_key, authority.ca, {"MANAGER": (of_manager,)}),
        authority,
        [],
        [],
    )


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return written(a_ct_study(slices=2), tmp_path / "ct")


def test_instances_travel_over_tls(site: Site, files: list[Path]) -> None:
    """Both sides show their certificates; the bytes that arrive are the file's; the door tells who brought how many."""
    with site.listening() as peer:
        assert send(files, peer, "SELECTOR").failed == ()
        [ended] = site.incidents(Incident.ENDED)
    assert len(site.kept) == len(files)
    assert (ended.calling_ae, ended.called_ae, ended.address) == ("SELECTOR", "MANAGER", "127.0.0.1")
    assert ended.instances == len(files)


def test_who_calls_without_tls_is_told_of_and_shut_out(site: Site, files: list[Path]) -> None:
    """A plaintext association at a TLS door brings nothing in and raises the alarm."""
    with site.listening() as peer:
        with pytest.raises(PeerUnavailable):
            send(files, peer._replace(certificates=None), "SELECTOR")
        assert site.incidents(Incident.PLAINTEXT)
    assert site.kept == []


def test_a_certificate_of_another_authority_does_not_do(
    site: Site, files: list[Path], tmp_path: Path
) -> None:
    """Who is signed by somebody that the site does not trust never gets as far as an association."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    stranger = Authority(folder)
    certificate, key, _ = stranger.issue("selector")
    forged = Certificates(certificate, key, site.authority.ca, site.selector.peers)
    with site.listening() as peer:
        with pytest.raises(PeerUnavailable):
            send(files, peer._replace(certificates=forged), "SELECTOR")
        assert site.incidents(Incident.NO_CERTIFICATE)
    assert site.kept == []


def test_an_ae_title_of_somebody_else_does_not_do(site: Site, files: list[Path]) -> None:
    """A trusted peer that calls itself by another's AE title is rejected: its certificate is not that one's."""
    with site.listening() as peer:
        with pytest.raises(PeerUnavailable, match="does not accept"):
            send(files, peer, "OTHER")
        [wrong] = site.incidents(Incident.WRONG_CERTIFICATE)
    assert wrong.calling_ae == "OTHER"
    assert site.kept == []


def test_a_receiver_that_is_another_gets_nothing(site: Site, files: list[Path]) -> None:
    """The caller looks at the fingerprint before it sends an instance."""
    other = Certificates(
        site.selector.certificate, site.selector.key, site.selector.ca, {"MANAGER": ("sha256:" + "0" * 64,)}
    )
    with site.listening() as peer, pytest.raises(PeerUnavailable, match="not its own"):
        send(files, peer._replace(certificates=other), "SELECTOR")
    assert site.kept == []


def test_without_a_fingerprint_the_certificate_must_name_the_host(site: Site) -> None:
    """A peer that the settings do not know is known by its host name."""
    unknown = Certificates(site.selector.certificate, site.selector.key, site.selector.ca)
    with site.listening() as peer:
        echo(peer._replace(certificates=unknown), "SELECTOR")
        with pytest.raises(PeerUnavailable):
            echo(peer._replace(certificates=unknown, host="localhost"), "SELECTOR")


def test_old_tls_is_refused(site: Site) -> None:
    """TLS 1.1 does not come to a handshake (RFC 9325)."""
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        site.listening() as peer,
        socket.create_connection((peer.host, peer.port), 10) as connection,
        pytest.raises((ssl.SSLError, OSError)),
    ):
        old.wrap_socket(connection)


def test_somebody_who_stalls_stops_nobody(site: Site, files: list[Path]) -> None:
    """Connections that say nothing wait alone; a caller that speaks is served meanwhile."""
    with site.listening() as peer:
        idle = [socket.create_connection((peer.host, peer.port)) for _ in range(8)]
        try:
            assert send(files, peer, "SELECTOR").failed == ()
        finally:
            for one in idle:
                one.close()


def test_too_many_connections_are_closed_at_once(site: Site, files: list[Path]) -> None:
    """Hundreds of connections take no more room than there is, and afterwards there is room again."""
    with site.listening(Limits(associations=2)) as peer:
        crowd = [socket.create_connection((peer.host, peer.port)) for _ in range(100)]
        assert site.incidents(Incident.CROWDED)
        for one in crowd:
            one.close()
        deadline = time.monotonic() + 20
        while True:
            try:
                assert send(files, peer, "SELECTOR").failed == ()
                break
            except PeerUnavailable:
                assert time.monotonic() < deadline, "the door stays shut"
                time.sleep(0.2)


@pytest.mark.parametrize("what", ["certificate", "key", "ca"])
def test_a_file_that_is_no_use_is_named(site: Site, tmp_path: Path, what: str) -> None:
    """A missing file is named with its setting; one that cannot be used is told without a traceback."""
    given = {name: getattr(site.manager, name) for name in ("certificate", "key", "ca")}
    with pytest.raises(ConfigFault, match=f"network.tls.{what}"):
        Certificates(**given | {what: tmp_path / "nowhere.pem"}).for_listening()
    (tmp_path / "nonsense.pem").write_text("nonsense")
    with pytest.raises(ConfigFault, match="cannot be used"):
        Certificates(**given | {what: tmp_path / "nonsense.pem"}).for_listening()
