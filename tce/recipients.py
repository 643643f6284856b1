"""The certificates for which a case has its originals encrypted: files beside the case, named by their digests.

The case's own digest covers theirs, so an approval is for exactly these. Encrypting itself is :mod:`vault.envelopes`.
"""

from __future__ import annotations

import os
from pathlib import Path

from tce import cases
from tce.cases import Case, EncryptFor
from tce.errors import CaseFault, Refused, to_person
from vault.envelopes import Recipient
from vault.errors import BadCertificate


def of_case(cases_dir: Path, case: Case) -> list[Recipient]:
    """Return the recipients of a case, none where it names none.

    Raises CaseFault for a certificate that is missing, is another one than the case says, or that nothing may be
    encrypted for: expired, or its key too weak.
    """
    return [_recipient(cases.case_dir(cases_dir, case.id), named) for named in case.encrypt_for]


def named(given: list[Path]) -> dict[EncryptFor, bytes]:
    """Return how a case names certificates, each with its file. Raises BadCertificate or Refused."""
    files = [read_pem(path) for path in given]
    return {
        EncryptFor(certificate=f"recipient-{number}.pem", digest=Recipient.read(pem).digest): pem
        for number, pem in enumerate(files, start=1)
    }


def read_pem(path: Path) -> bytes:
    """Return a file that somebody named as certificate or key. Raises Refused that names it."""
    try:
        return path.read_bytes()
    except OSError as fault:
        why = os.strerror(fault.errno) if fault.errno else "it cannot be read"
        raise Refused(f"{path}: {why}", next_step="name a file in PEM that can be read") from None


def put(cases_dir: Path, case_id: str, certificates: dict[EncryptFor, bytes]) -> None:
    """Write certificates into the folder of a case."""
    for one, pem in certificates.items():
        (cases.case_dir(cases_dir, case_id) / one.certificate).write_bytes(pem)


def _recipient(folder: Path, named: EncryptFor) -> Recipient:
    try:
        recipient = Recipient.read((folder / named.certificate).read_bytes())
    except OSError:
        raise CaseFault(
            f"the certificate {named.certificate} of the case {folder.name} cannot be read",
            next_step=f"put it into {folder}",
        ) from None
    except BadCertificate as bad:
        told = to_person(bad)
        raise CaseFault(
            f"{named.certificate} of the case {folder.name}: {told.what}", next_step=told.next_step
        ) from None
    if recipient.digest != named.digest:
        raise CaseFault(
            f"{named.certificate} of the case {folder.name} is another certificate than the case names",
            next_step="put the right one back, or write its digest into the case and have that approved",
        )
    return recipient
