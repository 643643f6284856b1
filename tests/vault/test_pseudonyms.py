"""Tests of pseudonyms of both stages, at a real server with each service's own token."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from policies.pseudonyms import Identifier as PolicyIdentifier
from policies.pseudonyms import Subject as PolicySubject
from tests.conftest import PEOPLE, SiteVault
from tests.vault.conftest import StageOne, open_case
from tests.vault.subjects import DEVICE, Identifier, Subject, a_subject, image, offset, patient_id
from vault.errors import (
    BadIdentifier,
    BadName,
    BadPlan,
    Collision,
    NotFound,
    NoWayBack,
    StoreUnavailable,
    Unreachable,
)
from vault.keys import create_case_key
from vault.mapping import MappingStore
from vault.naming import Naming
from vault.provision import provision_embedded
from vault.pseudonyms import CasePseudonyms, IdentityPseudonyms
from vault.roles import SitePlan
from vault.scheme import Form
from vault.server import EmbeddedServer

pytestmark = pytest.mark.vault


def rows_of(store: MappingStore, case: str) -> set[tuple[str, str, str]]:
    """Patient, pseudonym and kind of every row of a case, read past the store."""
    file = store.database._engine.url.database
    assert file is not None
    with sqlite3.connect(file) as connection:
        found = connection.execute("SELECT patient, pseudonym, kind FROM mappings WHERE case_id = ?", (case,))
        return set(found.fetchall())


def test_every_identifier_has_a_pseudonym(stage_one: StageOne) -> None:
    """The answer has every identifier of every subject, the patient included, in the form of its kind."""
    subjects = [a_subject(1), a_subject(2)]
    answer = stage_one().resolve(subjects)
    assert set(answer) == {i for subject in subjects for i in (subject.patient, *subject.identifiers)}
    assert answer[patient_id(1)].startswith("T-")
    assert answer[image(1, 0)].startswith("2.25.")
    assert -3650 <= int(answer[offset(1)]) <= -1
    assert len(set(answer.values())) == len(answer)


def test_the_same_identifier_has_the_same_pseudonym_everywhere(stage_one: StageOne) -> None:
    """Other batches, other processes and other cases give the pseudonym that was given first."""
    one = stage_one()
    first = one.resolve([a_subject(1)])
    assert one.resolve([a_subject(1)]) == first
    assert stage_one().resolve([a_subject(1), a_subject(3)]).items() >= first.items()
    assert stage_one(case="another").resolve([a_subject(1)]) == first


def test_identifiers_of_the_policy_room_are_understood(stage_one: StageOne) -> None:
    """The rooms' types are of equal shape: what the engine asks with, it finds in the answer."""
    patient = PolicyIdentifier(*patient_id(1))
    answer = stage_one().resolve([PolicySubject(patient, frozenset({PolicyIdentifier(*image(1, 0))}))])
    assert answer[patient] == stage_one().resolve([a_subject(1)])[patient_id(1)]


def test_a_case_without_its_way_back_gets_no_pseudonym(
    embedded_site_vault: SiteVault, store: MappingStore
) -> None:
    """For a case that has no way back, for instance because it was forgotten, nothing is told and nothing written."""
    service = embedded_site_vault.service("pseudonymizer")
    one = IdentityPseudonyms(service, store, case="C-forgotten", custodians=("carol", "dave"))
    with pytest.raises(NoWayBack) as refused:
        one.resolve([a_subject(1)])
    assert refused.value.next_step
    assert rows_of(store, "C-forgotten") == set()


def test_everything_but_the_date_offset_is_sealed(
    stage_one: StageOne, store: MappingStore, case: str
) -> None:
    """Each original of a patient has its row, what patients share has one for each; an offset needs none."""
    answer = stage_one().resolve([a_subject(1), a_subject(2)])
    expected = set()
    for number in (1, 2):
        patient, subject = answer[patient_id(number)], a_subject(number)
        wanted = {subject.patient, *subject.identifiers} - {offset(number)}
        expected |= {(patient, answer[identifier], identifier.kind) for identifier in wanted}
    found = rows_of(store, case)
    assert {row for row in found if not row[2].startswith("attribute:")} == expected
    assert {(row[0], row[2]) for row in found if row[2].startswith("attribute:")} == {
        (answer[patient_id(number)], f"attribute:{keyword}")
        for number in (1, 2)
        for keyword in ("PatientName", "PatientBirthDate")
    }
    assert {answer[DEVICE]} == {pseudonym for _, pseudonym, kind in found if kind == "device"}


def test_equal_values_of_two_patients_cannot_be_linked(
    stage_one: StageOne, store: MappingStore, case: str
) -> None:
    """That two patients have one name or birth date is not visible in the mapping."""
    stage_one().resolve([a_subject(1, name="Same^Name"), a_subject(2, name="Same^Name")])
    attributes = [pseudonym for _, pseudonym, kind in rows_of(store, case) if kind.startswith("attribute:")]
    assert len(set(attributes)) == len(attributes) == 4


def test_no_original_is_in_the_database(stage_one: StageOne, tmp_path: Path) -> None:
    """No byte of the mapping's files is an original."""
    subject = a_subject(1, images=50)
    stage_one().resolve([subject])
    originals = {i.value for i in (subject.patient, *subject.identifiers)} | {
        "HOSPITAL",
        "Canary1",
        "19700101",
    }
    files = list(tmp_path.glob("mapping.db*"))
    assert files
    for file in files:
        content = file.read_bytes().lower()
        assert not [original for original in originals if original.lower().encode() in content]


def test_a_pseudonym_never_stands_for_two(stage_one: StageOne, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a pseudonym already belongs to another original the job stops, and says nothing of either."""
    monkeypatch.setattr("vault.naming.pseudonym", lambda kind, digest, prefix: f"the one {kind}")
    stage_one().resolve([a_subject(1, images=1)])
    with pytest.raises(Collision) as fault:
        stage_one().resolve([a_subject(2, images=1)])
    told = fault.value.what + fault.value.next_step
    assert "the one" not in told
    assert image(2, 0).value not in told


def test_nothing_is_told_while_another_has_the_database(
    stage_one: StageOne, store: MappingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mapping that stays locked gives no pseudonym and no row; when it is free the same call gives both."""
    monkeypatch.setattr("vault.tables._BUSY_MILLISECONDS", 200)
    store.close()  # connections that are made anew wait as long as that
    one = stage_one()
    with closing(sqlite3.connect(tmp_path / "mapping.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="cannot be used"):
            one.resolve([a_subject(1)])
        assert other.execute("SELECT count(*) FROM mappings").fetchone() == (0,)
        other.execute("ROLLBACK")
        assert set(one.resolve([a_subject(1)])) == {*a_subject(1).identifiers, patient_id(1)}
        assert other.execute("SELECT count(*) FROM mappings").fetchone() == (7,)


def test_nothing_is_told_when_it_cannot_be_sealed(
    stage_one: StageOne, store: MappingStore, case: str
) -> None:
    """A mapping that cannot be written gives no pseudonym, and a later run is not confused by it."""
    one = stage_one()
    with store.database.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE mappings RENAME TO away")
    with pytest.raises(StoreUnavailable) as fault:
        one.resolve([a_subject(1)])
    assert "MRN" not in repr(fault.value.__context__) + str(fault.value)
    with store.database.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO mappings")
    answer = one.resolve([a_subject(1)])
    assert {row[1] for row in rows_of(store, case)} >= {answer[patient_id(1)], answer[image(1, 0)]}


@pytest.mark.parametrize("value", ["", " \0"])
def test_an_empty_identifier_stops_the_batch(stage_one: StageOne, value: str) -> None:
    """Two patients without an identifier never become one."""
    with pytest.raises(BadIdentifier):
        stage_one().resolve([Subject(patient_id(1)._replace(value=value), frozenset())])


def test_unusable_settings_are_refused(stage_one: StageOne) -> None:
    """A case name that is a path and a custody of one are refused at once."""
    with pytest.raises(BadName):
        stage_one(case="../sys")
    with pytest.raises(BadPlan):
        stage_one(custodians=("carol", "carol"))


def resolve_in_a_process(home: Path, url: str, case: str, numbers: range, answers: object) -> None:
    site = SiteVault(home, EmbeddedServer(home), None)  # type: ignore[arg-type]
    one = IdentityPseudonyms(
        site.service("pseudonymizer"),
        MappingStore(url),
        case=case,
        custodians=("carol", "dave"),
        naming=Naming(Form("T-")),
    )
    found: dict[Identifier, str] = {}
    for number in numbers:
        found |= one.resolve([a_subject(number, images=20), a_subject(number + 1, images=20)])
    answers.put(found)  # type: ignore[attr-defined]


def test_many_processes_agree(embedded_site_vault: SiteVault, tmp_path: Path, case: str) -> None:
    """Processes that come to a new database at once, with the same patients, lose nothing and agree on all."""
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    open_case(embedded_site_vault, case)
    processes = multiprocessing.get_context("spawn")
    answers = processes.Queue()
    workers = [
        processes.Process(
            target=resolve_in_a_process, args=(embedded_site_vault.home, url, case, range(1, 8), answers)
        )
        for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    found = [answers.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join(60)
    assert all(answer == found[0] for answer in found)
    wanted = {name for identifier, name in found[0].items() if identifier[0] != "days"}
    assert {row[1] for row in rows_of(MappingStore(url), case)} >= wanted


def test_a_process_that_is_killed_leaves_whole_batches(
    embedded_site_vault: SiteVault, tmp_path: Path, case: str
) -> None:
    """A worker killed in the middle leaves a mapping that the next one continues to the same answer."""
    url = f"sqlite:///{tmp_path / 'killed.db'}"
    open_case(embedded_site_vault, case)
    processes = multiprocessing.get_context("spawn")
    answers = processes.Queue()
    arguments = (embedded_site_vault.home, url, case, range(1, 40))
    worker = processes.Process(target=resolve_in_a_process, args=(*arguments, answers))
    worker.start()
    while not (tmp_path / "killed.db-wal").exists() or not rows_of(MappingStore(url), case):
        assert worker.is_alive()
    os.kill(worker.pid or 0, signal.SIGKILL)
    worker.join()
    again = processes.Process(target=resolve_in_a_process, args=(*arguments, answers))
    again.start()
    found = answers.get(timeout=120)
    again.join(60)
    wanted = {name for identifier, name in found.items() if identifier[0] != "days"}
    assert {row[1] for row in rows_of(MappingStore(url), case)} >= wanted


def test_a_dead_server_gives_no_pseudonym(tmp_path: Path) -> None:
    """When the server dies the next batch raises and leaves nothing in the mapping; a restart goes on."""
    server = EmbeddedServer(tmp_path / "vault")
    plan = SitePlan(PEOPLE)
    try:
        provision_embedded(server, plan)
        site = SiteVault(server.home, server, plan)
        open_case(site, "C")
        store = MappingStore(f"sqlite:///{tmp_path / 'mapping.db'}")
        one = IdentityPseudonyms(site.service("pseudonymizer"), store, case="C", custodians=("carol", "dave"))
        one.resolve([a_subject(1)])
        before = rows_of(store, "C")
        os.kill(int((server.home / "server.pid").read_text()), signal.SIGKILL)
        with pytest.raises(Unreachable):
            one.resolve([a_subject(2)])
        assert rows_of(store, "C") == before
        server.start()
        assert patient_id(2) in one.resolve([a_subject(2)])
    finally:
        server.stop()


def test_a_case_has_pseudonyms_of_its_own(
    embedded_site_vault: SiteVault, stage_one: StageOne, case: str
) -> None:
    """Stage 2 derives under the key of the case: other pseudonyms than stage 1 and than every other case."""
    bob, manager = embedded_site_vault.person("bob"), embedded_site_vault.service("manager")
    create_case_key(bob, case)
    create_case_key(bob, f"{case}-other")
    subject = a_subject(1)
    answers = [
        CasePseudonyms(manager, case=case).resolve([subject]),
        CasePseudonyms(manager, case=f"{case}-other").resolve([subject]),
        stage_one(naming=Naming(Form())).resolve([subject]),
    ]
    assert CasePseudonyms(manager, case=case).resolve([subject]) == answers[0]
    for identifier in (subject.patient, *subject.identifiers - {offset(1)}):
        assert len({answer[identifier] for answer in answers}) == 3


def test_a_case_without_a_key_gives_no_pseudonym(embedded_site_vault: SiteVault) -> None:
    """Before a case is approved, and after its key is gone, nothing can be derived for it."""
    with pytest.raises(NotFound):
        CasePseudonyms(embedded_site_vault.service("manager"), case="C-none").resolve([a_subject(1)])


def test_what_is_kept_in_memory_is_bounded(stage_one: StageOne, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long run does not grow without end, and still answers right after it forgot."""
    monkeypatch.setattr("vault.pseudonyms._KNOWN_PSEUDONYMS", 5)
    one = stage_one()
    first = one.resolve([a_subject(1)])
    one.resolve([a_subject(number) for number in range(2, 6)])
    assert len(one._known._entries) == 5
    assert one.resolve([a_subject(1)]) == first
