"""What belongs to an export: what of it has arrived, what it still waits for, and by which mark people name it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tce.collecting import Role
from tce.contradictions import CONFLICT
from tce.documents.manifest import DocumentKind
from tce.ledger import Transaction
from tce.road import Hold, Reason, Received, manifest_mark
from tce.tables import instances, members

_ORDER = (DocumentKind.INSTANCE, DocumentKind.INFORMATION, DocumentKind.MANIFEST)


@dataclass(frozen=True, slots=True)
class Member:
    """One instance of an export that has arrived: where it lies, who sent it, what it is."""

    received: Received
    kind: DocumentKind
    calling_ae: str


@dataclass(frozen=True, slots=True)
class Missing:
    """One instance that an export waits for."""

    sop_instance_uid: str = field(repr=False)
    sop_class_uid: str
    is_manifest: bool


def arrived(tx: Transaction, number: int, where: Callable[[str], Path]) -> list[Member]:
    """Return the instances of an export: what its manifests reference, information, then the manifests.

    Raises Hold when one SOP Instance UID arrived with two contents, or as another SOP Class than the manifest
    says: which one was meant cannot be decided.
    """
    rows = tx.db.execute(
        sa.select(instances, members.c.role, members.c.sop_class_uid.label("expected"))
        .join(members, members.c.sop_instance_uid == instances.c.sop_instance_uid)
        .where(members.c.export == number)
        .order_by(instances.c.id)
    ).all()
    if len({row.sop_instance_uid for row in rows}) != len(rows):
        raise Hold([CONFLICT])
    if any(row.expected != row.sop_class_uid for row in rows):
        raise Hold([Reason("sop-class", "an instance is not of the SOP Class that the manifest says")])
    return sorted((_member(row, where) for row in rows), key=lambda member: _ORDER.index(member.kind))


def missing(tx: Transaction, number: int) -> list[Missing]:
    """Return what an export still waits for: manifests, then instances."""
    of = members.c
    rows = tx.db.execute(
        sa.select(members).where(of.export == number, ~of.arrived).order_by(of.role, of.sop_instance_uid)
    )
    return [Missing(row.sop_instance_uid, row.sop_class_uid, row.role == Role.MANIFEST.value) for row in rows]


def mark(tx: Transaction, number: int) -> str:
    """Return the mark of an export's manifests as they were selected."""
    of_export = (members.c.export == number) & (members.c.role == Role.MANIFEST.value)
    return manifest_mark(tx.db.scalars(sa.select(members.c.sop_instance_uid).where(of_export)))


def marked(tx: Transaction) -> dict[str, int]:
    """Return every export by its mark."""
    uids: dict[int, list[str]] = defaultdict(list)
    named = sa.select(members.c.export, members.c.sop_instance_uid)
    for row in tx.db.execute(named.where(members.c.role == Role.MANIFEST.value)):
        uids[row.export].append(row.sop_instance_uid)
    return {manifest_mark(found): number for number, found in uids.items()}


def _member(row: Any, where: Callable[[str], Path]) -> Member:
    kind = DocumentKind(row.kind)
    if row.role == Role.MANIFEST.value:
        kind = DocumentKind.MANIFEST
    elif kind is DocumentKind.MANIFEST:
        kind = DocumentKind.INSTANCE  # a manifest that this export merely references
    received = Received(
        path=where(row.file),
        sop_class_uid=row.sop_class_uid,
        sop_instance_uid=row.sop_instance_uid,
        transfer_syntax_uid=row.transfer_syntax_uid,
    )
    return Member(received=received, kind=kind, calling_ae=row.calling_ae)
