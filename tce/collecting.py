"""How exports come about: each arrival is ticked off, each manifest makes an export or joins its siblings'.

The order of arrival makes no difference: whichever comes last completes. All of it happens inside the
transaction that enters the instance, so that an index in which a step is missing never exists (RAD-50 to 52).
"""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

import sqlalchemy as sa

from tce import contradictions
from tce.documents.manifest import DocumentKind, ParsedManifest
from tce.ledger import Export, Transaction, as_export, dump
from tce.road import Reason
from tce.spool import Spooled
from tce.states import State, Verb
from tce.tables import exports, instances, members

_IN_ONE_QUESTION = 500


class Intake(StrEnum):
    """What an arrival turned out to be."""

    NEW = "new"
    DUPLICATE = "duplicate"
    AGAIN = "again"
    """The same content as one whose file was purged: the new file takes that place."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One spooled file that is to be entered, and what it was recognised as.

    ``faults`` are reasons why a document with the title of a manifest could not be read.
    """

    spooled: Spooled
    digest: str
    kind: DocumentKind
    manifest: ParsedManifest | None = None
    faults: tuple[Reason, ...] = ()


class Role(StrEnum):
    """Why an instance belongs to an export."""

    REFERENCE = "reference"
    MANIFEST = "manifest"


def enter(tx: Transaction, entries: Sequence[Entry], settle: float) -> list[Intake]:
    """Enter instances in the order in which they came, and whatever follows from their being here.

    The same bytes twice are one instance; a document that was purged and comes again makes no second export. The
    same SOP Instance UID with other bytes is entered beside the first, and every export that has it is told of
    (:mod:`tce.contradictions`).
    """
    found: list[Intake] = []
    for is_instance, run in groupby(entries, key=lambda entry: entry.kind is DocumentKind.INSTANCE):
        if is_instance:
            found += _enter_files(tx, list(run), settle)
            continue
        for entry in run:
            found += _enter_files(tx, [entry], settle)
            if found[-1] is not Intake.NEW:
                continue
            if entry.kind is DocumentKind.MANIFEST:
                _enter_manifest(tx, entry.spooled, entry.manifest, entry.faults, settle)
            else:
                _supersede_describing(tx, entry.spooled.header.sop_instance_uid)
    return found


def _enter_files(tx: Transaction, entries: Sequence[Entry], settle: float) -> list[Intake]:
    """Enter files as such, and tick them off in every export that waits for them."""
    uids = [entry.spooled.header.sop_instance_uid for entry in entries]
    known: dict[tuple[str, str], bool] = {}
    for part in _parts(uids):
        question = sa.select(instances.c.sop_instance_uid, instances.c.digest, instances.c.purged_at)
        rows = tx.db.execute(question.where(instances.c.sop_instance_uid.in_(part)))
        known.update(((row.sop_instance_uid, row.digest), row.purged_at is not None) for row in rows)
    found: list[Intake] = []
    fresh: list[dict[str, object]] = []
    here: list[str] = []
    came = {uid for uid, _ in known}
    other: dict[str, list[str]] = {}
    for uid, entry in zip(uids, entries, strict=True):
        content = uid, entry.digest
        purged = known.get(content)
        found.append(Intake.NEW if purged is None else Intake.AGAIN if purged else Intake.DUPLICATE)
        if purged is None:
            fresh.append(_row(entry, tx.now))
            if uid in came:
                other.setdefault(entry.spooled.header.source_ae_title, []).append(uid)
            came.add(uid)
        elif purged:
            _put_back(tx, entry)
        if purged is not False:
            here.append(uid)
        known[content] = False
    if fresh:
        tx.db.execute(instances.insert(), fresh)
    for part in _parts(here):
        for number in _tick_off(tx, part):
            complete(tx, number, settle)
        _look_again(tx, part)
    for sender, differing in other.items():
        for part in _parts(differing):
            contradictions.came_differently(tx, part, sender)
    return found


def _put_back(tx: Transaction, entry: Entry) -> None:
    """Let a new file take the place of one with the same content that was purged."""
    same = (instances.c.sop_instance_uid == entry.spooled.header.sop_instance_uid) & (
        instances.c.digest == entry.digest
    )
    back = {"file": entry.spooled.name, "arrived_at": tx.now, "purged_at": None, "reported_at": None}
    tx.db.execute(instances.update().where(same).values(**back))


def _look_again(tx: Transaction, uids: Sequence[str]) -> None:
    """Let the rules of retention look again at the exports that what has just come belongs to."""
    having = sa.select(members.c.export).where(members.c.sop_instance_uid.in_(uids))
    done = exports.c.purged_at.is_not(None) & exports.c.number.in_(having)
    tx.db.execute(exports.update().where(done).values(purged_at=None))


def _row(entry: Entry, now: float) -> dict[str, object]:
    spooled, header = entry.spooled, entry.spooled.header
    return {
        "sop_instance_uid": header.sop_instance_uid,
        "sop_class_uid": header.sop_class_uid,
        "transfer_syntax_uid": header.transfer_syntax_uid,
        "kind": entry.kind.value,
        "digest": entry.digest,
        "size": spooled.size,
        "file": spooled.name,
        "calling_ae": header.source_ae_title,
        "arrived_at": now,
    }


def complete(tx: Transaction, number: int, settle: float) -> None:
    """Make an export ready if it is collecting and nothing is missing.

    It waits for its time to settle, because what says which case it is for may still come; not when that is here.
    """
    export = tx.export(exports.c.number == number)
    if export.state is State.COLLECTING and export.missing == 0:
        wait = 0.0 if _is_described(tx, number) else settle
        tx.change(number, Verb.COMPLETE, not_before=tx.now + wait)


def _is_described(tx: Transaction, number: int) -> bool:
    """Say whether additional information (RAD-52) is among what an export references."""
    document = instances.c.kind == DocumentKind.INFORMATION.value
    of_export = members.c.sop_instance_uid == instances.c.sop_instance_uid
    found = sa.select(instances.c.id).join(members, of_export).where(members.c.export == number, document)
    return tx.db.execute(found.limit(1)).first() is not None


def _tick_off(tx: Transaction, uids: Sequence[str]) -> list[int]:
    """Mark instances as arrived in every export that waits for them; return these exports."""
    waiting = members.c.sop_instance_uid.in_(uids) & ~members.c.arrived
    counts = Counter(tx.db.scalars(sa.select(members.c.export).where(waiting)))
    if counts:
        tx.db.execute(members.update().where(waiting).values(arrived=True))
    for number, count in counts.items():
        tx.set(number, missing=exports.c.missing - count)
    return list(counts)


def _parts(uids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (uids[at : at + _IN_ONE_QUESTION] for at in range(0, len(uids), _IN_ONE_QUESTION))


def _enter_manifest(
    tx: Transaction,
    spooled: Spooled,
    parsed: ParsedManifest | None,
    faults: Sequence[Reason],
    settle: float,
) -> None:
    """Make the export of a manifest, or add a sibling to the one that its siblings have made."""
    group = {spooled.header.sop_instance_uid} | (parsed.siblings if parsed else frozenset())
    number = tx.db.scalar(
        sa.select(members.c.export).where(
            members.c.role == Role.MANIFEST.value, members.c.sop_instance_uid.in_(group)
        )
    )
    found = [*faults, *(parsed.faults if parsed else ())]
    if number is None:
        number = _new_export(tx, spooled, parsed, group)
    elif parsed is None or not _agrees(tx, number, parsed, group):
        found.append(Reason("siblings-differ", "the manifests of one selection do not agree"))
    export = tx.export(exports.c.number == number)
    if found:
        contradictions.disagrees(tx, export, found, spooled.header.source_ae_title)
    elif parsed and parsed.manifest.delay_reasons and export.state is State.COLLECTING:
        reasons = [Reason("delay", reason.meaning) for reason in parsed.manifest.delay_reasons]
        tx.change(number, Verb.DELAY, reasons=dump(reasons))
    elif export.state is State.COLLECTING:
        _supersede(tx, export)
        complete(tx, number, settle)


def _new_export(tx: Transaction, spooled: Spooled, parsed: ParsedManifest | None, group: set[str]) -> int:
    export_id = secrets.token_hex(6)
    manifest = parsed.manifest if parsed else None
    number = tx.db.scalar(
        exports.insert()
        .values(
            id=export_id,
            state=State.COLLECTING.value,
            title=manifest.title.name.lower() if manifest else "",
            description=_told_apart(manifest.description) if manifest else "",
            case_id="",
            policy_digest="",
            calling_ae=spooled.header.source_ae_title,
            missing=0,
            reasons="[]",
            tally="{}",
            unreadable=False,
            attempts=0,
            leased=False,
            not_before=tx.now,
            created_at=tx.now,
            changed_at=tx.now,
        )
        .returning(exports.c.number)
    )
    tx.began(export_id)
    wanted = dict.fromkeys(group, (spooled.header.sop_class_uid, Role.MANIFEST))
    for reference in manifest.references if manifest else ():
        wanted.setdefault(reference.sop_instance_uid, (reference.sop_class_uid, Role.REFERENCE))
    tx.db.execute(
        members.insert(),
        [
            {
                "export": number,
                "sop_instance_uid": uid,
                "sop_class_uid": sop,
                "role": role.value,
                "arrived": False,
            }
            for uid, (sop, role) in wanted.items()
        ],
    )
    of_export = members.c.export == number
    lying = sa.select(instances.c.sop_instance_uid).where(instances.c.purged_at.is_(None))
    here = members.c.sop_instance_uid.in_(lying)
    tx.db.execute(members.update().where(of_export, here).values(arrived=True))
    awaited = sa.select(sa.func.count()).select_from(members).where(of_export, ~members.c.arrived)
    tx.set(number, missing=tx.db.scalar(awaited))
    return int(number)


def _told_apart(description: str) -> str:
    """Return what tells one Key Object Description from another: it is free text, which the index does not hold."""
    return hashlib.sha256(description.encode()).hexdigest() if description else ""


def _agrees(tx: Transaction, number: int, parsed: ParsedManifest, group: set[str]) -> bool:
    """Whether a further manifest says what the first one of its export said."""
    export = tx.export(exports.c.number == number)
    return (
        _members(tx, number, Role.MANIFEST) == group
        and _members(tx, number, Role.REFERENCE)
        == {one.sop_instance_uid for one in parsed.manifest.references} - group
        and export.title == parsed.manifest.title.name.lower()
        and export.description == _told_apart(parsed.manifest.description)
    )


def _supersede(tx: Transaction, export: Export) -> None:
    """Cancel the delayed exports whose place an undelayed one takes."""
    for delayed in _like(tx, export, [State.DELAYED]):
        _take_place(tx, export, delayed)


def _supersede_describing(tx: Transaction, uid: str) -> None:
    """Look again at the delayed exports that a document describes: until it was here, it was a reference that no
    later selection covers."""
    described = sa.select(members.c.export).where(members.c.sop_instance_uid == uid)
    waiting = exports.c.number.in_(described) & (exports.c.state == State.DELAYED.value)
    for number in tx.db.scalars(sa.select(exports.c.number).where(waiting)).all():
        delayed = tx.export(exports.c.number == number)
        for export in _like(tx, delayed, _ON_THE_WAY):
            if export.number > number and _take_place(tx, export, delayed):
                break


_ON_THE_WAY = (State.COLLECTING, State.READY, State.WORKING, State.DELIVERING, State.DELIVERED)


def _like(tx: Transaction, export: Export, states: Sequence[State]) -> list[Export]:
    """Return the exports in these states with the same title, for the same case, by the same selector."""
    rows = tx.db.execute(
        sa.select(exports).where(
            exports.c.state.in_([state.value for state in states]),
            exports.c.title == export.title,
            exports.c.description == export.description,
            exports.c.calling_ae == export.calling_ae,
        )
    )
    return [as_export(row) for row in rows]


def _take_place(tx: Transaction, export: Export, delayed: Export) -> bool:
    """Cancel a delayed export if another one covers its content. Documents about a selection are no content:
    each selection makes its own."""
    documents = {DocumentKind.INFORMATION.value, DocumentKind.MANIFEST.value}
    known = sa.select(instances.c.sop_instance_uid).where(
        instances.c.kind.in_(documents),
        instances.c.sop_instance_uid.in_(
            sa.select(members.c.sop_instance_uid).where(members.c.export == delayed.number)
        ),
    )
    content = _members(tx, delayed.number, Role.REFERENCE) - set(tx.db.scalars(known))
    if not content or not content <= _members(tx, export.number, Role.REFERENCE):
        return False
    reason = Reason("superseded", f"export {export.id} took its place")
    tx.change(delayed.number, Verb.SUPERSEDE, reasons=dump([reason]))
    return True


def _members(tx: Transaction, number: int, role: Role) -> set[str]:
    of_role = (members.c.export == number) & (members.c.role == role.value)
    return set(tx.db.scalars(sa.select(members.c.sop_instance_uid).where(of_role)))
