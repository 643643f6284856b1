"""Certificates of two sides that know each other: ours as our actors take them, theirs as other software does."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tce.network.tls import Certificates
from tests.tce.test_tls import Authority


@dataclass
class Papers:
    """Certificates of both sides: the files of theirs, and ours with their fingerprint."""

    ours: Certificates
    theirs: Certificates

    @property
    def words(self) -> list[str]:
        """The options by which DCMTK uses theirs."""
        of = self.theirs
        return ["+tls", str(of.key), str(of.certificate), "+cf", str(of.ca)]

    def orthanc(self, **modalities: int) -> dict[str, Any]:
        """The settings by which Orthanc uses theirs, and calls us by AE title and port."""
        of = self.theirs
        return {
            "DicomTlsEnabled": True,
            "DicomTlsCertificate": str(of.certificate),
            "DicomTlsPrivateKey": str(of.key),
            "DicomTlsTrustedCertificates": str(of.ca),
            "DicomTlsRemoteCertificateRequired": True,
            "DicomModalities": {
                title: {"AET": title, "Host": "127.0.0.1", "Port": port, "UseDicomTls": True}
                for title, port in modalities.items()
            },
        }


def papers_of(folder: Path, ours: str, theirs: Collection[str]) -> Papers:
    """Make the certificates of us and of them, by our AE title and theirs."""
    authority = Authority(folder)
    certificate, key, print_of_theirs = authority.issue("theirs")
    own_certificate, own_key, print_of_ours = authority.issue("ours")
    peers = dict.fromkeys(theirs, (print_of_theirs,)) | {ours: (print_of_ours,)}
    return Papers(
        Certificates(own_certificate, own_key, authority.ca, peers),
        Certificates(certificate, key, authority.ca, peers),
    )
