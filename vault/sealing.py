"""Seals originals so that two custodians together can open them, and nobody alone; not even who sealed them.

Each patient of a case gets a key: one random seed for each custodian, closed at the server for that person. Under it
each field of the patient has a secret of its own, split 2-of-n (:mod:`vault.field_keys`), so that custodians hand
over the fields that were asked for and nothing else. All this stays only in the memory of this process, for a
bounded number of patients. A process that does not know a patient's key makes a further one for what it adds: it
could not ask for the old one.

Rows are sealed with AES-256-GCM and bound to their place (case, patient, pseudonym, kind, scheme, key
version, key), so a row that was changed, moved or exchanged does not open. It never opens anything for
stage 1: only :mod:`vault.custody` calls :func:`open_row`. design.md section 5.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.client import Client, Sealable
from vault.errors import BadPlan, Tampered
from vault.field_keys import Seed, new_field, new_seeds, sealing_key
from vault.key_ids import new_key_id
from vault.keys import Mount, ways_back
from vault.mapping import FieldKey, MappingStore, SubjectKey
from vault.moments import timestamp
from vault.recent import Recent
from vault.row_tags import MappingRow, server_tags
from vault.scheme import SCHEME
from vault.secrecy import Secret

_KNOWN_KEYS = 4_096
_NONCE_BYTES = 12


class Original(NamedTuple):
    """An original to be sealed: ``content`` under ``pseudonym``, for one patient, in the field ``kind``."""

    patient: str
    pseudonym: str
    kind: str
    fingerprint: bytes
    content: Secret[bytes]


@dataclass(frozen=True, slots=True, repr=False)
class _PatientKey:
    """What this process knows of a patient's key that it made: enough to seal further fields of the patient."""

    id: str
    seeds: Sequence[Seed]
    way_back: Secret[bytes]
    fields: dict[str, Secret[bytes]] = field(
        default_factory=dict
    )  # keys: a cipher takes twenty times the memory

    def new_field(self, name: str) -> tuple[Secret[bytes], FieldKey]:
        """The key of a field that has none yet, and what must be stored of it before it is used."""
        secret, parts = new_field(self.seeds, self.id, name)
        return sealing_key(secret, self.way_back, self.id, name), FieldKey(self.id, name, parts)


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
        self._keys: Recent[str, _PatientKey] = Recent(_KNOWN_KEYS)

    def seal(self, originals: Sequence[Original]) -> None:
        """Return when every original is durably sealed in the store, be it by this call or an earlier one.

        Raises Collision, Tampered, NotSealed, StoreUnavailable, NoWayBack and what the client raises. Then nothing
        may leave.
        """
        # 1. What is not sealed yet.
        wanted = {(original.patient, original.pseudonym, original.fingerprint) for original in originals}
        missing = self._store.missing(self._case, wanted, self._tags)
        if not missing:
            return
        fresh = {
            (original.patient, original.pseudonym): original
            for original in originals
            if (original.patient, original.pseudonym) in missing
        }
        # 2. The keys of its patients, and of the fields of each.
        now = timestamp()
        keys, made = self._keys_for({patient for patient, _ in fresh}, now)
        opened: dict[tuple[str, str], Secret[bytes]] = {}
        fields: list[FieldKey] = []
        for patient, kind in dict.fromkeys((one.patient, one.kind) for one in fresh.values()):
            key = keys[patient].fields.get(kind)
            if key is None:
                key, stored = keys[patient].new_field(kind)
                fields.append(stored)
            opened[patient, kind] = key
        # 3. Keys and rows, all or none.
        self._store.insert(made, self._rows(fresh.values(), keys, opened, now), self._tags, fields)
        # 4. Only now: a key that was not stored must not be used.
        for (patient, kind), key in opened.items():
            keys[patient].fields[kind] = key
        for patient, known in keys.items():
            self._keys.keep(patient, known)

    def _rows(
        self,
        originals: Collection[Original],
        keys: Mapping[str, _PatientKey],
        opened: Mapping[tuple[str, str], Secret[bytes]],
        now: str,
    ) -> list[MappingRow]:
        ciphers = {field: AESGCM(key.reveal()) for field, key in opened.items()}
        nonces = secrets.token_bytes(_NONCE_BYTES * len(originals))
        rows = []
        for at, original in enumerate(originals):
            place = (self._case, *original[:3], keys[original.patient].id)
            nonce = nonces[at * _NONCE_BYTES : (at + 1) * _NONCE_BYTES]
            sealed = ciphers[original.patient, original.kind].encrypt(
                nonce, original.content.reveal(), _place(*place, SCHEME, self._key_version)
            )
            row = MappingRow(*place, nonce + sealed, original.fingerprint, SCHEME, self._key_version, now)
            rows.append(self._tags.tagged(row))
        return rows

    def _keys_for(self, patients: set[str], now: str) -> tuple[dict[str, _PatientKey], list[SubjectKey]]:
        """The keys of some patients, and what must be stored of those that were made for it."""
        keys: dict[str, _PatientKey] = {}
        new: list[str] = []
        for patient in sorted(patients):
            known = self._keys.get(patient)
            if known is None:
                new.append(patient)
            else:
                keys[patient] = known
        if not new:
            return keys, []
        ids = [new_key_id(self._case, patient) for patient in new]
        for patient, key_id, way_back in zip(new, ids, ways_back(self._client, self._case, ids), strict=True):
            keys[patient] = _PatientKey(key_id, new_seeds(len(self._custodians)), way_back)
        closed = self._client.encrypt_batches(
            Mount.CUSTODY,
            {
                name: [
                    Sealable(keys[patient].seeds[at].to_bytes(), share_context(keys[patient].id, name))
                    for patient in new
                ]
                for at, name in enumerate(self._custodians)
            },
        )
        made = [
            SubjectKey(
                key_id, self._case, patient, now, {name: closed[name][at] for name in self._custodians}
            )
            for at, (patient, key_id) in enumerate(zip(new, ids, strict=True))
        ]
        return keys, made


def _place(
    case: str, patient: str, pseudonym: str, kind: str, key_id: str, scheme: str, key_version: int
) -> bytes:
    return f"{scheme}-row\0{case}\0{patient}\0{pseudonym}\0{kind}\0{key_id}\0{key_version}".encode()
