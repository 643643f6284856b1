"""Tests of custody with each custodian's own token: two can, one cannot, and everything is on the record."""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.conftest import SiteVault
from tests.vault.conftest import StageOne
from tests.vault.subjects import DEVICE, a_subject, image, patient_id
from vault.client import Sealable, Sealing
from vault.custody import FIELDS, Custody, Purpose, Revealed
from vault.custody_ledger import Request, State
from vault.errors import (
    BadRequest,
    Expired,
    Forbidden,
    NotApproved,
    NotYours,
    SamePerson,
    SharedPseudonym,
    Tampered,
    UnknownPseudonym,
    UnknownRequest,
    VaultRoomError,
)
from vault.field_keys import Seed, sealing_key, share_of
from vault.key_ids import is_of, new_key_id
from vault.keys import Mount, ways_back
from vault.mapping import MappingStore, SubjectKey
from vault.row_tags import MappingRow, server_tags
from vault.sealing import open_row, share_context
from vault.secrecy import Secret
from vault.shares import Share, combine, split

pytestmark = pytest.mark.vault

WINDOW = timedelta(hours=1)


@dataclass(slots=True)
class Room:
    """The custody of a case with two patients, and all that was recorded there."""

    site: SiteVault
    store: MappingStore
    case: str
    names: dict[str, str]
    resolve: Callable[[int], Mapping[object, str]]
    events: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def record(self, event: str, detail: Mapping[str, str]) -> None:
        self.events.append((event, dict(detail)))

    def seed_of(self, person: str, key: SubjectKey) -> Seed:
        """What a custodian's own login opens of a patient's key."""
        own = Sealing(key.shares[person], share_context(key.id, person))
        [opened] = self.site.person(person).decrypt_batch(Mount.CUSTODY, person, [own])
        return Seed.from_bytes(opened)

    def of(self, person: str) -> Custody:
        return Custody(self.site.person(person), self.store, self.record)

    def ask(self, person: str = "carol", *, window: timedelta = WINDOW, **changes: object) -> Request:
        settings: dict[str, object] = {
            "purpose": Purpose.INCIDENTAL_FINDING,
            "ticket": "FIND-17",
            "fields": ["patient", "PatientName"],
        }
        asked = changes.pop("pseudonyms", [self.names["patient 1"]])
        return self.of(person).request(self.case, asked, window=window, **(settings | changes))  # type: ignore[arg-type]


@pytest.fixture
def room(embedded_site_vault: SiteVault, store: MappingStore, case: str, stage_one: StageOne) -> Room:
    """A case whose patients 1 and 2 were pseudonymized."""

    def resolve(number: int) -> Mapping[object, str]:
        return stage_one().resolve([a_subject(number)])  # type: ignore[return-value]

    names = {}
    for number in (1, 2):
        answer = resolve(number)
        names |= {
            f"patient {number}": answer[patient_id(number)],
            f"image {number}": answer[image(number, 0)],
            "device": answer[DEVICE],
        }
    return Room(embedded_site_vault, store, case, names, resolve)


def revealed(room: Room, request: Request, person: str = "carol") -> set[tuple[str, str]]:
    return {(line.field, line.original.reveal()) for line in room.of(person).reveal(request.id).lines}


def test_two_custodians_reveal_one_patient(room: Room) -> None:
    """One asks, another approves, the first sees the fields of that patient and nothing of the other."""
    request = room.ask()
    room.of("dave").approve(request.id)
    opened = room.of("carol").reveal(request.id)
    assert {(line.field, line.original.reveal()) for line in opened.lines} == {
        ("patient", patient_id(1).value),
        ("PatientName", "Canary1^Person"),
    }
    assert {line.patient for line in opened.lines} == {room.names["patient 1"]}
    [named] = [line for line in opened.lines if line.field == "patient"]
    assert (named.pseudonym, named.issuer.reveal()) == (room.names["patient 1"], "HOSPITAL")
    assert opened.withheld == 0


def test_who_approved_is_kept_after_the_use(room: Room) -> None:
    """A used request still names both custodians: revealing does not look like an approval of one's own."""
    request = room.ask("carol")
    approved = room.of("dave").approve(request.id)
    room.of("carol").reveal(request.id)
    [used] = [one for one in room.of("erin").requests() if one.id == request.id]
    assert (used.state, used.requester, used.decided_by) == (State.USED, "carol", "dave")
    assert used.decided == approved.decided


def test_any_two_of_three_can(room: Room) -> None:
    """Whichever two custodians come together, they can."""
    for requester, approver in [("carol", "dave"), ("erin", "carol"), ("dave", "erin")]:
        request = room.ask(requester)
        room.of(approver).approve(request.id)
        assert ("patient", patient_id(1).value) in revealed(room, request, requester)


def test_an_image_leads_to_its_patient(room: Room) -> None:
    """Any pseudonym of the case, for instance of an image, names its patient."""
    request = room.ask(pseudonyms=[room.names["image 2"]])
    assert request.patients == (room.names["patient 2"],)
    room.of("erin").approve(request.id)
    assert ("patient", patient_id(2).value) in revealed(room, request)


def test_every_field_can_be_asked_for(room: Room) -> None:
    """With all fields named, everything of the patient that was sealed comes back as it was."""
    subject = a_subject(1)
    request = room.ask(fields=[*FIELDS, "PatientName", "PatientBirthDate"])
    room.of("dave").approve(request.id)
    assert revealed(room, request) == {
        *((i.kind, i.value) for i in (subject.patient, *subject.identifiers) if i.kind != "days"),
        *((keyword, value) for keyword, value in subject.attributes if value),
    }


def test_one_person_is_refused_as_both(room: Room) -> None:
    """The requester cannot approve the own request, and the attempt is on the record."""
    request = room.ask()
    with pytest.raises(SamePerson):
        room.of("carol").approve(request.id)
    with pytest.raises(NotApproved):
        room.of("carol").reveal(request.id)
    assert [event for event, _ in room.events] == ["reidentify.requested"] + ["reidentify.refused"] * 2
    assert room.events[1][1]["reason"] == "SamePerson"


def test_one_person_is_refused_by_the_server_too(room: Room) -> None:
    """Past all rules of this program, the server opens no other custodian's share for one token."""
    [key] = room.store.keys(room.case, [room.names["patient 1"]])
    carol = room.site.person("carol")
    for custodian in ("dave", "erin"):
        sealing = Sealing(key.shares[custodian], share_context(key.id, custodian))
        for name in (custodian, "carol"):
            with pytest.raises(VaultRoomError):
                carol.decrypt_batch(Mount.CUSTODY, name, [sealing])


def test_one_person_is_refused_by_the_mathematics_too(room: Room) -> None:
    """With the own share alone, used twice or with any guess, the key does not come out."""
    [key] = room.store.keys(room.case, [room.names["patient 1"]])
    seed = room.seed_of("carol", key)
    for stored in room.store.field_keys([key.id])[key.id]:
        share = share_of(seed, key.id, stored.field, stored.parts)
        with pytest.raises(BadRequest):
            combine(share, share)


def test_an_approval_opens_no_other_field(room: Room) -> None:
    """Who holds an approval for one field, both rights of a custodian and the whole database opens no other field."""
    request = room.ask(fields=["PatientBirthDate"])
    room.of("dave").approve(request.id)
    [key] = room.store.keys(room.case, [room.names["patient 1"]])
    carol, seed = room.site.person("carol"), room.seed_of("carol", key)
    [way_back] = ways_back(carol, room.case, [key.id])
    # All that the approval handed over.
    file = room.store.database._engine.url.database
    assert file is not None
    with sqlite3.connect(file) as connection:
        [(granted, ciphertext)] = connection.execute(
            "SELECT field, ciphertext FROM granted_shares"
        ).fetchall()
    assert granted == "attribute:PatientBirthDate"
    context = f"tce1-grant\0{request.id}\0{key.id}\0{granted}\0carol".encode()
    [opened] = carol.decrypt_batch(Mount.CUSTODY, "carol", [Sealing(ciphertext, context)])
    foreign = Share.from_bytes(opened)
    # Joined with the own share of each field, it opens the one that was asked for.
    fields = {one.field: one for one in room.store.field_keys([key.id])[key.id]}
    rows = room.store.rows(room.case, [room.names["patient 1"]])
    assert len(fields) == 6
    came_open = []
    for row in rows:
        own = share_of(seed, key.id, row.kind, fields[row.kind].parts)
        for kind in (row.kind, granted):
            try:
                secret = combine(own, foreign)
                open_row(row, sealing_key(secret, way_back, key.id, kind))
            except (BadRequest, Tampered):
                continue
            came_open.append(row.kind)
    assert set(came_open) == {"attribute:PatientBirthDate"}


def test_fields_written_into_an_approved_request_stay_closed(room: Room) -> None:
    """Further fields that are written into a request after its approval are withheld and counted."""
    request = room.ask(fields=["PatientBirthDate"])
    room.of("dave").approve(request.id)
    with room.store.database.writing() as connection:
        connection.exec_driver_sql(
            """UPDATE custody_requests SET fields = '["PatientBirthDate", "PatientName", "patient"]'"""
        )
    opened = room.of("carol").reveal(request.id)
    assert [line.field for line in opened.lines] == ["PatientBirthDate"]
    assert opened.withheld == 2


def test_a_seed_is_never_handed_over(room: Room) -> None:
    """Where the fields' keys were taken out of the database an approver hands nothing over, rather than everything."""
    request = room.ask()
    with room.store.database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM field_keys")
    with pytest.raises(BadRequest):
        room.of("dave").approve(request.id)
    assert [one.state for one in room.of("erin").requests()] == [State.REQUESTED]


@pytest.mark.parametrize("change", ["parts = zeroblob(99)", "parts = substr(parts, 1, 33)", "field = 'free'"])
def test_a_changed_key_of_a_field_opens_nothing(room: Room, change: str) -> None:
    """Parts of a field's key that were altered, cut or moved give no original, neither the right nor a wrong one."""
    request = room.ask(fields=["patient", "free"])
    with room.store.database.writing() as connection:
        connection.exec_driver_sql(f"UPDATE field_keys SET {change} WHERE field = 'patient'")
    try:
        room.of("dave").approve(request.id)
        lines = room.of("carol").reveal(request.id).lines
    except VaultRoomError:
        lines = ()
    assert lines == ()


def test_what_was_sealed_in_the_first_version_opens(room: Room) -> None:
    """A patient whose originals were sealed under one key for all fields is revealed as before."""
    patient, secret, key_id = "T-OLD", Secret(secrets.token_bytes(32)), secrets.token_hex(16)
    service = room.site.service("pseudonymizer")
    closed = {}
    for name, share in zip(room.site.custodians, split(secret, 3), strict=True):
        sealable = Sealable(share.to_bytes(), share_context(key_id, name))
        [closed[name]] = service.encrypt_batch(Mount.CUSTODY, name, [sealable])
    place = f"tce1-row\0{room.case}\0{patient}\0{patient}\0patient\0{key_id}\0{1}".encode()
    nonce = secrets.token_bytes(12)
    sealed = nonce + AESGCM(secret.reveal()).encrypt(nonce, b"HOSPITAL\0MRN-OLD", place)
    now, tags = "2024-01-01T00:00:00Z", server_tags(service)
    row = MappingRow(room.case, patient, patient, "patient", key_id, sealed, bytes(16), "tce1", 1, now)
    room.store.insert([SubjectKey(key_id, room.case, patient, now, closed)], [tags.tagged(row)], tags)
    request = room.ask(pseudonyms=[patient])
    room.of("dave").approve(request.id)
    assert revealed(room, request) == {("patient", "MRN-OLD")}


@pytest.mark.parametrize("who", ["pseudonymizer", "manager", "operator"])
def test_no_service_opens_a_share(room: Room, who: str) -> None:
    """Not even the service that sealed the mapping can open any share of it."""
    [key] = room.store.keys(room.case, [room.names["patient 1"]])
    for custodian, share in key.shares.items():
        with pytest.raises(Forbidden):
            room.site.service(who).decrypt_batch(
                Mount.CUSTODY, custodian, [Sealing(share, share_context(key.id, custodian))]
            )


@pytest.mark.parametrize("who", ["alice", "bob", "grace"])
def test_who_is_no_custodian_takes_no_part(room: Room, who: str) -> None:
    """Coordinators, approvers and auditors cannot even ask."""
    with pytest.raises(Forbidden):
        room.of(who)


def test_a_grant_is_for_its_requester(room: Room) -> None:
    """Neither the approver nor a third custodian can reveal with somebody else's grant."""
    request = room.ask()
    room.of("dave").approve(request.id)
    for who in ("dave", "erin"):
        with pytest.raises(NotYours):
            room.of(who).reveal(request.id)


def test_a_stolen_grant_does_not_open_for_another(room: Room) -> None:
    """A granted share that is moved to another person's request in the database opens nothing."""
    mine, theirs = room.ask("carol"), room.ask("erin")
    room.of("dave").approve(mine.id)
    with room.store.database.writing() as connection:
        connection.exec_driver_sql("UPDATE granted_shares SET request_id = ?", (theirs.id,))
        connection.exec_driver_sql(
            "UPDATE custody_requests SET state = 'approved' WHERE id = ?", (theirs.id,)
        )
    with pytest.raises(VaultRoomError):
        room.of("erin").reveal(theirs.id)


def test_a_widened_request_opens_nothing_more(room: Room) -> None:
    """Writing further patients into an approved request does not give their keys."""
    request = room.ask()
    room.of("dave").approve(request.id)
    with room.store.database.writing() as connection:
        patients = f'["{room.names["patient 1"]}", "{room.names["patient 2"]}"]'
        connection.exec_driver_sql("UPDATE custody_requests SET patients = ?", (patients,))
    opened = room.of("carol").reveal(request.id)
    assert {line.patient for line in opened.lines} == {room.names["patient 1"]}
    assert opened.withheld == 2  # Patient ID and name of the other


def test_a_reveal_uses_the_grant_up(room: Room) -> None:
    """One approval is one reveal; the granted shares are gone afterwards."""
    request = room.ask()
    room.of("dave").approve(request.id)
    room.of("carol").reveal(request.id)
    with pytest.raises(NotApproved):
        room.of("carol").reveal(request.id)
    with pytest.raises(NotApproved):
        room.of("erin").approve(request.id)
    file = room.store.database._engine.url.database
    assert file is not None
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT count(*) FROM granted_shares").fetchone() == (0,)
    assert [one.state for one in room.of("carol").requests()] == [State.USED]


def test_a_denied_request_stays_denied(room: Room) -> None:
    """A custodian can refuse, before and after an approval, and then nobody can reveal."""
    first, second = room.ask(), room.ask()
    room.of("dave").deny(first.id)
    room.of("dave").approve(second.id)
    room.of("erin").deny(second.id)
    for request in (first, second):
        with pytest.raises(NotApproved):
            room.of("carol").reveal(request.id)
        with pytest.raises(NotApproved):
            room.of("erin").approve(request.id)


def test_the_window_closes(room: Room) -> None:
    """After its end a request is neither approved nor revealed, whatever it was before."""
    late, approved = room.ask(), room.ask()
    room.of("dave").approve(approved.id)
    with room.store.database.writing() as connection:
        connection.exec_driver_sql("UPDATE custody_requests SET expires = '2020-01-01T00:00:00Z'")
    with pytest.raises(Expired):
        room.of("dave").approve(late.id)
    with pytest.raises(Expired):
        room.of("carol").reveal(approved.id)


def test_what_came_after_the_approval_is_withheld(room: Room) -> None:
    """A grant covers what there was when it was approved; later keys of its fields need a new one."""
    request = room.ask(fields=["patient", "uid"])
    room.of("dave").approve(request.id)
    with room.store.database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM mappings WHERE pseudonym = ?", (room.names["image 1"],))
    room.resolve(1)
    opened = room.of("carol").reveal(request.id)
    assert opened.withheld == 1
    assert ("patient", patient_id(1).value) in {(one.field, one.original.reveal()) for one in opened.lines}
    again = room.ask(fields=["uid"])
    room.of("dave").approve(again.id)
    assert ("uid", image(1, 0).value) in revealed(room, again)


@pytest.mark.parametrize(
    "change",
    [
        "sealed = zeroblob(60)",
        "sealed = substr(sealed, 1, 20)",
        "kind = 'attribute:PatientName'",
        "key_version = 2",
        "pseudonym = 'T-OTHER'",
        "sealed = (SELECT sealed FROM mappings m WHERE m.kind = 'accession' AND m.patient = mappings.patient)",
    ],
)
def test_a_row_that_was_changed_does_not_open(room: Room, change: str) -> None:
    """A row that was altered, moved or exchanged is noticed, and nothing is revealed."""
    request = room.ask()
    with room.store.database.writing() as connection:
        connection.exec_driver_sql(f"UPDATE mappings SET {change} WHERE kind = 'patient'")
    room.of("dave").approve(request.id)
    with pytest.raises(Tampered):
        room.of("carol").reveal(request.id)


def test_what_is_not_recorded_does_not_happen(room: Room) -> None:
    """If the trail cannot be written no request is made, none is approved and nothing is shown."""

    class FullDiskError(Exception):
        """The trail cannot be written."""

    def full(event: str, detail: Mapping[str, str]) -> None:
        raise FullDiskError

    def without_trail(person: str) -> Custody:
        return Custody(room.site.person(person), room.store, full)

    with pytest.raises(FullDiskError):
        without_trail("carol").request(
            room.case,
            [room.names["patient 1"]],
            purpose=Purpose.PATIENT_SAFETY,
            ticket="T",
            fields=["patient"],
            window=WINDOW,
        )
    assert room.of("carol").requests() == []
    request = room.ask()
    with pytest.raises(FullDiskError):
        without_trail("dave").approve(request.id)
    assert room.of("dave").approve(request.id).state is State.APPROVED
    with pytest.raises(FullDiskError):
        without_trail("carol").reveal(request.id)
    assert revealed(room, request)


def test_the_record_holds_no_original(room: Room) -> None:
    """Each step is told with who, why and how many, and never with an original or a pseudonym."""
    request = room.ask(fields=[*FIELDS, "PatientName"])
    room.of("dave").approve(request.id)
    room.of("carol").reveal(request.id)
    assert [event for event, _ in room.events] == [
        f"reidentify.{step}" for step in ("requested", "approved", "revealed")
    ]
    assert [detail["person"] for _, detail in room.events] == ["carol", "dave", "carol"]
    told = repr(room.events)
    subject = a_subject(1)
    for original in [
        *(i.value for i in subject.identifiers),
        subject.patient.value,
        "Canary1",
        *room.names.values(),
    ]:
        assert original not in told


def test_what_is_revealed_does_not_print(room: Room) -> None:
    """A revealed table that ends up in a traceback or a log shows no original."""
    request = room.ask()
    room.of("dave").approve(request.id)
    assert "Canary1" not in repr(room.of("carol").reveal(request.id))


@pytest.mark.parametrize(
    ("unknown", "said"), [(["T-X"], "1 of the pseudonyms is"), (["T-X", "T-Y"], "2 of the pseudonyms are")]
)
def test_unknown_pseudonyms_are_counted(room: Room, unknown: list[str], said: str) -> None:
    """How many are not known is said, and none of them repeated."""
    with pytest.raises(UnknownPseudonym, match=said):
        room.ask(pseudonyms=[room.names["patient 1"], *unknown])


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"pseudonyms": []}, BadRequest),
        ({"pseudonyms": ["T-UNKNOWN"]}, UnknownPseudonym),
        ({"ticket": ""}, BadRequest),
        ({"ticket": "because Mr. Smith asked me to"}, BadRequest),
        ({"fields": []}, BadRequest),
        ({"fields": ["days"]}, BadRequest),
        ({"window": timedelta(0)}, BadRequest),
        ({"window": timedelta(days=8)}, BadRequest),
    ],
)
def test_a_request_that_says_too_little_is_refused(
    room: Room, change: dict[str, object], refusal: type[VaultRoomError]
) -> None:
    """Who, why, what and how long are all asked for, and an empty answer is none."""
    with pytest.raises(refusal) as refused:
        room.ask(**change)  # type: ignore[arg-type]
    assert refused.value.next_step
    assert "Smith" not in refused.value.what


@pytest.mark.parametrize("asked", [["device"], ["patient 1", "device"]])
def test_a_pseudonym_of_many_patients_names_nobody(room: Room, asked: list[str]) -> None:
    """Nobody comes to all patients of a scanner by asking for the scanner; the refusal is on the record."""
    with pytest.raises(SharedPseudonym) as refused:
        room.ask(pseudonyms=[room.names[name] for name in asked])
    assert refused.value.next_step
    [(event, detail)] = room.events
    assert (event, detail["reason"], detail["shared"]) == ("reidentify.refused", "SharedPseudonym", "1")
    assert not set(room.names.values()) & set(detail.values())
    assert room.of("carol").requests() == []


@pytest.mark.parametrize("purpose", Purpose)
def test_every_purpose_is_kept_to_the_end(room: Room, purpose: Purpose) -> None:
    """What it is for and which decision allows it stand in the request and in every record of it."""
    request = room.ask(purpose=purpose, ticket="ETH/2031-17#4")
    room.of("dave").approve(request.id)
    assert revealed(room, request)
    assert {(detail["purpose"], detail["ticket"]) for _, detail in room.events} == {
        (purpose, "ETH/2031-17#4")
    }
    [kept] = room.of("erin").requests()
    assert (kept.purpose, kept.ticket, kept.fields) == (purpose, "ETH/2031-17#4", ("patient", "PatientName"))


def together(room: Room, request: Request, *deeds: tuple[str, str]) -> list[object]:
    """What becomes of steps that custodians take at the same instant, each with a connection of its own."""
    url = str(room.store.database._engine.url)
    start = threading.Barrier(len(deeds))

    def do(person: str, step: str) -> object:
        store = MappingStore(url)
        custody = Custody(room.site.person(person), store, room.record)
        start.wait()
        try:
            return getattr(custody, step)(request.id)
        except VaultRoomError as refusal:
            return refusal
        finally:
            store.close()

    with ThreadPoolExecutor(len(deeds)) as threads:
        return list(threads.map(lambda one: do(*one), deeds))


def test_reveals_at_once_give_one_table(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several reveals of one grant, all past every check and with the originals open, one is shown."""
    request = room.ask()
    room.of("dave").approve(request.id)
    opened, wait = threading.Barrier(4), Custody._lines

    def lines(self: Custody, *arguments: Any) -> Any:
        found = wait(self, *arguments)
        opened.wait()
        return found

    monkeypatch.setattr(Custody, "_lines", lines)
    answers = together(room, request, *[("carol", "reveal")] * 4)
    tables = [answer for answer in answers if isinstance(answer, Revealed)]
    assert [len(table.lines) for table in tables] == [2]
    assert [type(answer) for answer in answers if answer not in tables] == [NotApproved] * 3
    assert [event for event, _ in room.events].count("reidentify.revealed") == 1


def test_approvals_at_once_are_one(room: Room) -> None:
    """Of two approvals at the same instant one counts, and the shares are those of who is named."""
    for _ in range(5):
        request = room.ask()
        answers = together(room, request, ("dave", "approve"), ("erin", "approve"))
        assert sorted(type(answer).__name__ for answer in answers) == ["NotApproved", "Request"]
        assert revealed(room, request)


def test_a_denial_and_a_reveal_at_once_exclude_each_other(room: Room) -> None:
    """Whichever comes first counts: either the table is shown and the denial refused, or nothing is shown."""
    for _ in range(5):
        request = room.ask()
        room.of("dave").approve(request.id)
        shown, denied = together(room, request, ("carol", "reveal"), ("dave", "deny"))
        assert isinstance(shown, Revealed) is isinstance(denied, NotApproved)
        [state] = [one.state for one in room.of("erin").requests() if one.id == request.id]
        assert state is (State.USED if isinstance(shown, Revealed) else State.DENIED)


def test_a_process_that_dies_while_revealing_uses_nothing_up(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before the use is recorded, the grant can be used; nothing was shown."""
    request = room.ask()
    room.of("dave").approve(request.id)

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Custody, "_lines", dies)
    with pytest.raises(KeyboardInterrupt):
        room.of("carol").reveal(request.id)
    monkeypatch.undo()
    assert revealed(room, request)


def test_an_unknown_request_is_told(room: Room) -> None:
    """A request that does not exist is refused by name of the cause."""
    with pytest.raises(UnknownRequest):
        room.of("carol").approve("0123456789abcdef")


def test_a_pseudonym_of_another_case_is_unknown(room: Room) -> None:
    """A custodian sees a patient through the case that the request names, and no other."""
    with pytest.raises(UnknownPseudonym):
        room.of("carol").request(
            "C-another",
            [room.names["patient 1"]],
            purpose=Purpose.LEGAL_DUTY,
            ticket="T",
            fields=["patient"],
            window=WINDOW,
        )


def test_a_key_that_was_moved_under_another_patient_is_not_handed_over(room: Room) -> None:
    """Who writes the database cannot have one patient approved and another one opened."""
    one, two = room.names["patient 1"], room.names["patient 2"]
    request = room.ask("carol")
    with room.store.database.writing() as connection:
        connection.exec_driver_sql("UPDATE subject_keys SET patient=? WHERE patient=?", (one, two))
    with pytest.raises(Tampered):
        room.of("dave").approve(request.id)
    assert room.events[-1][0] == "reidentify.refused"


def test_what_is_approved_is_what_was_shown(room: Room) -> None:
    """A request that is rewritten while somebody looks at it grants what was seen; the trail tells the difference."""
    two = room.names["patient 2"]
    request = room.ask("carol")
    shown: list[Request] = []

    def look(asked: Request) -> bool:
        shown.append(asked)
        with room.store.database.writing() as connection:
            rewritten = json.dumps([two])
            connection.exec_driver_sql(
                "UPDATE custody_requests SET patients=? WHERE id=?", (rewritten, request.id)
            )
        return True

    room.of("dave").approve(request.id, look)
    assert shown[0].patients == request.patients
    assert room.of("carol").reveal(request.id).lines == ()
    contents = {detail["content"] for _, detail in room.events}
    assert len(contents) == 2


def test_who_does_not_agree_approves_nothing(room: Room) -> None:
    """A custodian who says no leaves the request as it was."""
    request = room.ask("carol")
    with pytest.raises(NotApproved):
        room.of("dave").approve(request.id, lambda asked: False)
    with pytest.raises(NotApproved):
        room.of("carol").reveal(request.id)


def test_an_id_of_a_key_says_whose_it_is() -> None:
    """It fits one case and one patient; one that is cut or altered fits nobody."""
    key_id = new_key_id("lung-1", "P1")
    assert len(key_id) == 32
    assert is_of(key_id, "lung-1", "P1")
    for case, patient in (("lung-2", "P1"), ("lung-1", "P2"), ("lung-1P", "1")):
        assert not is_of(key_id, case, patient)
    assert not is_of(key_id[:-1], "lung-1", "P1")
    assert not is_of("!" * 32, "lung-1", "P1")
