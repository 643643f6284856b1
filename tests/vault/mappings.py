"""Mappings for tests without a key server: keys that stand here, rows that open nothing."""

from __future__ import annotations

from vault.mapping import SubjectKey
from vault.row_tags import MappingRow, RowTags
from vault.secrecy import Secret

MADE = "2024-01-01T00:00:00Z"


def some_tags() -> RowTags:
    """Tags as a process makes and checks them that asked the server."""
    return RowTags(lambda case, version: Secret(f"key of {case}, version {version}".encode()))


def a_key(patient: str = "P1", *, name: str = "key-1", case: str = "C") -> SubjectKey:
    """A patient's key with two shares."""
    return SubjectKey(name, case, patient, MADE, {"carol": "vault:v1:a", "dave": "vault:v1:b"})


def a_row(
    pseudonym: str = "X1", *, patient: str = "P1", key: str = "key-1", original: bytes = b"a"
) -> MappingRow:
    """A tagged row."""
    row = MappingRow("C", patient, pseudonym, "uid", key, b"sealed", original * 16, "tce1", 1, MADE)
    return some_tags().tagged(row)
