"""A tag on every row of the mapping: whoever writes into the database without the key server is found out.

The tag is an HMAC-SHA-256 over every column of the row. Its key belongs to one case and one version of the site's
keys; it is derived at the server, where stage 1 asks for it again whenever it begins, and is kept in memory only. It
proves that stage 1 wrote the row as it stands, and opens nothing: what is sealed stays sealed for two custodians.

A tag cannot show that a whole row is missing. Stage 1 makes such a row again when it meets its original, and a
backup says which rows there were (:mod:`vault.backup`); design.md section 5.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import NamedTuple

from vault.client import Client
from vault.errors import BadAnswer
from vault.keys import ATTRIBUTE_KEY, Mount
from vault.scheme import SCHEME
from vault.secrecy import Secret

TAG_BYTES = 16
_LABEL = f"{SCHEME}-row-tags"  # begins as no canonical form of an identifier or attribute does


class MappingRow(NamedTuple):
    """One sealed original. The fields are named as the table's columns and stand in their order."""

    case_id: str
    patient: str
    pseudonym: str
    kind: str
    key_id: str
    sealed: bytes
    fingerprint: bytes
    scheme: str
    key_version: int
    created: str
    tag: bytes | None = None
    """None in a row that was written before rows had tags."""


class RowTags:
    """Makes and checks tags. ``key_for`` gives the key of a case and a version of the site's keys."""

    def __init__(self, key_for: Callable[[str, int], Secret[bytes]]) -> None:
        self._key_for = key_for
        self._keys: dict[tuple[str, int], bytes] = {}

    def tagged(self, row: MappingRow) -> MappingRow:
        """The row with its tag. Raises what asking the server raises."""
        return MappingRow(*row[:10], self._tag(row))

    def fits(self, row: MappingRow) -> bool:
        """Whether stage 1 wrote the row as it stands. Raises what asking the server raises."""
        if not isinstance(row.tag, bytes) or not _has_its_types(row):
            return False
        try:
            return hmac.compare_digest(row.tag, self._tag(row))
        except BadAnswer:
            # The server has no such version; if it answers nothing at all as it should, it says so of all rows.
            return False

    def _tag(self, row: MappingRow) -> bytes:
        place = row.case_id, row.key_version
        key = self._keys.get(place)
        if key is None:
            key = self._keys[place] = self._key_for(*place).reveal()
        return hmac.digest(key, _content(row), "sha256")[:TAG_BYTES]


def server_tags(client: Client) -> RowTags:
    """Tags under keys derived at the server; needs the token of the pseudonymizer."""

    def key_for(case: str, version: int) -> Secret[bytes]:
        text = f"{_LABEL}\0{case}".encode()
        return Secret(client.hmac_batch(Mount.IDENTIFIERS, ATTRIBUTE_KEY, [text], version=version)[0])

    return RowTags(key_for)


def _has_its_types(row: MappingRow) -> bool:
    # SQLite puts anything into any column, and NUL into texts, which would move the borders between them.
    texts = (*row[:5], row.scheme, row.created)
    return (
        all(isinstance(text, str) and "\0" not in text for text in texts)
        and isinstance(row.sealed, bytes)
        and isinstance(row.fingerprint, bytes)
        and isinstance(row.key_version, int)
        and row.key_version > 0
    )


def _content(row: MappingRow) -> bytes:
    text = "\0".join((*row[:5], row.scheme, str(row.key_version), row.created, str(len(row.fingerprint)), ""))
    return b"".join((text.encode("utf-8", "surrogatepass"), row.fingerprint, row.sealed))
