"""The names of the mounts and keys at the server, in one place, and the key that a case gets when it is
opened.

All mounts are transit engines. The mount of stage 1 is called ``identifiers`` because Vault reserves
``identity``. No key is exportable; design.md section 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from vault.client import Client
from vault.errors import NotFound
from vault.secrecy import safe_name


class Mount(StrEnum):
    """The transit mounts of a site."""

    IDENTIFIERS = "identifiers"  # stage 1: one HMAC key for each kind of identifier
    CASES = "cases"  # stage 2: one HMAC key for each case, deletable
    CUSTODY = "custody"  # one AES-256-GCM key for each custodian
    AUTHORSHIP = "authorship"  # one Ed25519 key for each author
    APPROVAL = "approval"  # one Ed25519 key for each approver
    RELEASE = "release"  # the Ed25519 key of release records


class Kind(StrEnum):
    """The kinds of identifier that get a pseudonym, each under a purpose label of its own."""

    UID = "uid"
    PATIENT_ID = "patient"
    ACCESSION_NUMBER = "accession"
    STUDY_ID = "study"
    DEVICE = "device"
    PERSON = "person"
    FREE = "free"
    DATE_OFFSET = "days"


ATTRIBUTE_KEY = "attribute"  # fingerprints of values that are sealed for custody and get no pseudonym
RELEASE_KEY = "release"


@dataclass(frozen=True, slots=True)
class KeyForm:
    """How the keys of a mount are made."""

    type: str
    size: int | None = None

    def parameters(self) -> dict[str, object]:
        """The body of the request that makes such a key."""
        return {"type": self.type} if self.size is None else {"type": self.type, "key_size": self.size}


KEY_FORMS = {
    Mount.IDENTIFIERS: KeyForm("hmac", 32),
    Mount.CASES: KeyForm("hmac", 32),
    Mount.CUSTODY: KeyForm("aes256-gcm96"),
    Mount.AUTHORSHIP: KeyForm("ed25519"),
    Mount.APPROVAL: KeyForm("ed25519"),
    Mount.RELEASE: KeyForm("ed25519"),
}


def create_case_key(approver: Client, case: str) -> None:
    """Give a case its own key of stage 2. An existing key stays as it is. Needs the token of an approver."""
    path = f"{Mount.CASES}/keys/{safe_name(case, 'case')}"
    approver.write(path, KEY_FORMS[Mount.CASES].parameters())
    approver.write(f"{path}/config", {"deletion_allowed": True})


def has_case_key(manager: Client, case: str) -> bool:
    """Whether the case was opened. Needs the token of the manager; derives nothing of any value."""
    try:
        manager.hmac_batch(Mount.CASES, case, [b""], version=1)
    except NotFound:
        return False
    return True
