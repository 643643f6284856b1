"""The names of the mounts and keys at the server, in one place, and the keys that a case gets.

All mounts are transit engines. The mount of stage 1 is called ``identifiers`` because Vault reserves
``identity``. No key is exportable; design.md section 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from vault.client import Client
from vault.errors import NotFound, NoWayBack
from vault.field_keys import way_back_input
from vault.secrecy import Secret, safe_name


class Mount(StrEnum):
    """The transit mounts of a site."""

    IDENTIFIERS = "identifiers"  # stage 1: one HMAC key for each kind of identifier
    WAYS_BACK = "ways-back"  # stage 1: one HMAC key for each case, without which its mapping opens for nobody
    CASES = "cases"  # stage 2: one HMAC key for each case
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
    Mount.WAYS_BACK: KeyForm("hmac", 32),
    Mount.CASES: KeyForm("hmac", 32),
    Mount.CUSTODY: KeyForm("aes256-gcm96"),
    Mount.AUTHORSHIP: KeyForm("ed25519"),
    Mount.APPROVAL: KeyForm("ed25519"),
    Mount.RELEASE: KeyForm("ed25519"),
}


CASE_MOUNTS = (Mount.WAYS_BACK, Mount.CASES)  # in the order in which a case is forgotten


def create_case_key(approver: Client, case: str) -> None:
    """Give a case its own key of stage 2. An existing key stays as it is. Needs the token of an approver."""
    _create(approver, Mount.CASES, case)


def create_way_back(pseudonymizer: Client, case: str) -> None:
    """Give a case its key for the way back. An existing key stays as it is. Needs the token of the pseudonymizer.

    Done when stage 1 begins, never while it runs: a case that is forgotten meanwhile must not get another one.
    """
    _create(pseudonymizer, Mount.WAYS_BACK, case)


def has_case_key(service: Client, mount: Mount, case: str) -> bool:
    """Whether a case has its key at a mount. Needs a token that may derive there; derives nothing of any value."""
    try:
        service.hmac_batch(mount, case, [b""], version=1)
    except NotFound:
        return False
    return True


def ways_back(client: Client, case: str, key_ids: Sequence[str]) -> list[Secret[bytes]]:
    """What the sealing keys of a case's patients are made of beside their secrets; see :mod:`vault.field_keys`.

    Without any key id it only asks whether the case has its way back. Raises NoWayBack when it has none.
    """
    inputs = [way_back_input(key_id) for key_id in key_ids] or [b""]
    try:
        found = client.hmac_batch(Mount.WAYS_BACK, case, inputs, version=1)
    except NotFound:
        raise NoWayBack(
            f"the case {case} has no way back at the key server: stage 1 never ran for it, or it was forgotten",
            next_step="see: tce case show; a forgotten case stays forgotten",
        ) from None
    return [Secret(one) for one in found[: len(key_ids)]]


def _create(client: Client, mount: Mount, case: str) -> None:
    client.write(f"{mount}/keys/{safe_name(case, 'case')}", KEY_FORMS[mount].parameters())
