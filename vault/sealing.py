"""Seals originals so that two custodians together can open them, and nobody alone; not even who sealed them.

Each patient of a case gets a random key. It is split 2-of-n, each share is closed at the server for one
custodian, and the key itself stays only in the memory of this process, for a bounded number of patients. A
process that does not know a patient's key makes a further one for what it adds: it could not ask for the
old one.

Rows are sealed with AES-256-GCM and bound to their place (case, patient, pseudonym, kind, scheme, key
version, key), so a row that was changed, moved or exchanged does not open. It never opens anything for
stage 1: only :mod:`vault.custody` calls :func:`open_row`. design.md section 5.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.client import Client, Sealable
from vault.errors import BadPlan, Tampered
from vault.keys import Mount
from vault.mapping import MappingStore, SubjectKey
from vault.moments import timestamp
from vault.recent import Recent
from vault.row_tags import MappingRow, server_tags
from vault.scheme import SCHEME
from vault.secrecy import Secret
from vault.shares import SECRET_BYTES, split

_KNOWN_KEYS = 4_096
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class Original:
    """An original to be sealed: ``content`` under ``pseudonym``, for one patient."""

    patient: str
    pseudonym: str
    kind: str
    fingerprint: bytes
    content: Secret[bytes]


@dataclass(frozen=True, slots=True)
class _OpenKey:
    id: str
    cipher: AESGCM


def share_context(key_id: str, custodian: str) -> bytes:
    """What a custodian's share is bound to at the server."""
    return f"{SCHEME}-share\0{key_id}\0{custodian}".encode()


def open_row(row: MappingRow, key: Secret[bytes]) -> Secret[bytes]:
    """The original of a row. Raises Tampered when it is not what was sealed, where it was sealed."""
    nonce, sealed = row.sealed[:_NONCE_BYTES], row.sealed[_NONCE_BYTES:]
    try:
        return Secret(
            AESGCM(key.reveal()).decrypt(nonce, sealed, _place(*row[:5], row.scheme, row.key_version))
        )
    except (InvalidTag, ValueError):
        raise Tampered(
            f"a row of the mapping of case {row.case_id} is not what was sealed there",
            next_step="restore the mapping from its backup and report the incident",
        ) from None


class Sealer:
    """Seals for one case and one set of custodians. Belongs to one process."""

    def __init__(
        self, client: Client, store: MappingStore, case: str, custodians: Sequence[str], key_version: int
    ) -> None:
        """Raises BadPlan for fewer than two custodians."""
        self._custodians = tuple(sorted(set(custodians)))
        if len(self._custodians) < 2:
            raise BadPlan("sealing needs at least two custodians", next_step="name two or more in tce.toml")
        self._client = client
        self._store = store
        self._case = case
        self._key_version = key_version
        self._tags = server_tags(client)
        self._keys: Recent[str, _OpenKey] = Recent(_KNOWN_KEYS)

    def seal(self, originals: Sequence[Original]) -> None:
        """Return when every original is durably sealed in the store, be it by this call or an earlier one.

        Raises Collision, Tampered, NotSealed, StoreUnavailable and what the client raises. Then nothing may leave.
        """
        wanted = {(original.patient, original.pseudonym, original.fingerprint) for original in originals}
        missing = self._store.missing(self._case, wanted, self._tags)
        if not missing:
            return
        fresh = {
            (original.patient, original.pseudonym): original
            for original in originals
            if (original.patient, original.pseudonym) in missing
        }
        now = timestamp()
        keys, made = self._keys_for({patient for patient, _ in fresh}, now)
        self._store.insert(made, self._rows(fresh.values(), keys, now), self._tags)
        for patient, key in keys.items():  # only now: a key whose shares were not stored must not be used
            self._keys.keep(patient, key)

    def _rows(self, originals: Collection[Original], keys: dict[str, _OpenKey], now: str) -> list[MappingRow]:
        nonces = secrets.token_bytes(_NONCE_BYTES * len(originals))
        rows = []
        for at, original in enumerate(originals):
            key = keys[original.patient]
            place = (self._case, original.patient, original.pseudonym, original.kind, key.id)
            nonce = nonces[at * _NONCE_BYTES : (at + 1) * _NONCE_BYTES]
            sealed = key.cipher.encrypt(
                nonce, original.content.reveal(), _place(*place, SCHEME, self._key_version)
            )
            row = MappingRow(*place, nonce + sealed, original.fingerprint, SCHEME, self._key_version, now)
            rows.append(self._tags.tagged(row))
        return rows

    def _keys_for(self, patients: set[str], now: str) -> tuple[dict[str, _OpenKey], list[SubjectKey]]:
        """The keys of some patients, and what must be stored of those that were made for it."""
        keys: dict[str, _OpenKey] = {}
        shared: list[tuple[str, str, list[Sealable]]] = []
        for patient in sorted(patients):
            known = self._keys.get(patient)
            if known is not None:
                keys[patient] = known
                continue
            secret, key_id = Secret(secrets.token_bytes(SECRET_BYTES)), secrets.token_hex(16)
            keys[patient] = _OpenKey(key_id, AESGCM(secret.reveal()))
            parts = zip(split(secret, len(self._custodians)), self._custodians, strict=True)
            shared.append(
                (
                    patient,
                    key_id,
                    [Sealable(share.to_bytes(), share_context(key_id, name)) for share, name in parts],
                )
            )
        closed = self._client.encrypt_batches(
            Mount.CUSTODY,
            {name: [parts[at] for _, _, parts in shared] for at, name in enumerate(self._custodians)},
        )
        made = [
            SubjectKey(
                key_id,
                self._case,
                patient,
                now,
                {name: closed[name][at] for name in self._custodians},
            )
            for at, (patient, key_id, _) in enumerate(shared)
        ]
        return keys, made


def _place(
    case: str, patient: str, pseudonym: str, kind: str, key_id: str, scheme: str, key_version: int
) -> bytes:
    return f"{scheme}-row\0{case}\0{patient}\0{pseudonym}\0{kind}\0{key_id}\0{key_version}".encode()
