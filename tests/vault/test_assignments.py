"""Tests of pseudonyms that no key gives: stable, one for one, agreed on by processes, and safe from exchange."""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Callable, Iterator
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from uuid import UUID

import pytest

from vault import naming
from vault.alphabets import Alphabet
from vault.assignments import Assignments, Given, Origin, Original, Stage
from vault.backup import back_up, restore
from vault.errors import BadPlan, Collision, StoreMissing, Tampered
from vault.keys import Kind
from vault.naming import Naming, Triple
from vault.scheme import Form, pseudonym
from vault.tables import Database


def digest_of(identifier: Triple) -> bytes:
    """A digest as the key server makes them: 32 bytes that nobody can foresee."""
    return hashlib.sha256("\0".join(("key of the tests", *identifier)).encode()).digest()


def digests_of(*identifiers: Triple) -> dict[Triple, bytes]:
    return {identifier: digest_of(identifier) for identifier in identifiers}


def a_patient(number: int) -> Triple:
    return "patient", "HOSPITAL", f"MRN-{number}"


def days_of(number: int) -> Triple:
    return "days", "HOSPITAL", f"MRN-{number}"


def an_image(number: int) -> Triple:
    return "uid", "", f"1.2.3.{number}"


def original(identifier: Triple) -> Original:
    return Original(Kind(identifier[0]), digest_of(identifier))


Opener = Callable[..., Assignments]


@pytest.fixture
def opened(url: str) -> Iterator[Opener]:
    """Opens the store as another process would; begun, unless told otherwise."""
    databases: list[Database] = []

    def open_(case: str = "C", stage: Stage = Stage.PSEUDONYMIZE, *, begun: bool = True) -> Assignments:
        databases.append(Database(url))
        store = Assignments(databases[-1], stage=stage, case=case)
        if begun:
            store.begin()
        return store

    yield open_
    for database in databases:
        database.close()


def test_what_was_drawn_stays(opened: Opener) -> None:
    """The same original has the same drawn pseudonym ever after, whoever asks; another has another."""
    wanted = digests_of(a_patient(1), a_patient(2), days_of(1), an_image(1))
    first = Naming(Form("T"), opened(), draws=True).names(wanted)
    assert Naming(Form("T"), opened(), draws=True).names(wanted) == first
    assert len(set(first.values())) == len(first)
    assert Form("T").holds(first[a_patient(1)])
    assert UUID(int=int(first[an_image(1)].removeprefix("2.25."))).version == 4
    assert -3650 <= int(first[days_of(1)]) <= -1


def test_nothing_of_an_original_is_in_what_is_drawn(opened: Opener) -> None:
    """Two cases, two stages and two stores that were begun one after the other draw different pseudonyms."""
    wanted = digests_of(a_patient(1), an_image(1))
    places = [("C", Stage.PSEUDONYMIZE), ("D", Stage.PSEUDONYMIZE), ("C", Stage.ANONYMIZE)]
    stores = [opened(case, stage) for case, stage in places]
    answers = [Naming(assignments=store, draws=True).names(wanted) for store in stores]
    stores[0].forget()
    stores[0].begin()
    answers.append(Naming(assignments=stores[0], draws=True).names(wanted))
    assert len({answer[a_patient(1)] for answer in answers}) == 4
    assert len({answer[an_image(1)] for answer in answers}) == 4


def draw_in_a_process(url: str, start: Barrier, answers: Queue[dict[Triple, str]]) -> None:
    store = Assignments(Database(url), stage=Stage.ANONYMIZE, case="C")
    start.wait(60)
    store.begin()
    way = Naming(assignments=store, draws=True)
    found: dict[Triple, str] = {}
    for number in range(1, 120):
        found |= way.names(
            digests_of(a_patient(number), an_image(number), days_of(number), a_patient(number + 1))
        )
    answers.put(found)


def test_many_processes_agree_on_what_is_drawn(url: str) -> None:
    """Processes that draw for the same originals at once agree on all: whoever comes second takes what is there."""
    processes = multiprocessing.get_context("spawn")
    start, answers = processes.Barrier(4), processes.Queue()
    workers = [processes.Process(target=draw_in_a_process, args=(url, start, answers)) for _ in range(4)]
    for worker in workers:
        worker.start()
    found = [answers.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join(60)
    assert all(answer == found[0] for answer in found)
    drawn = [name for identifier, name in found[0].items() if identifier[0] != "days"]
    assert len(set(drawn)) == len(drawn)


def test_a_draw_that_is_taken_is_made_again(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chance may hit what stands for another original; that one is not given twice."""
    draws = iter(["ONE", "ONE", "ONE", "TWO"])
    monkeypatch.setattr(naming, "drawn", lambda kind, form: next(draws))
    way = Naming(assignments=opened(), draws=True)
    assert way.names(digests_of(a_patient(1))) == {a_patient(1): "ONE"}
    assert way.names(digests_of(a_patient(2))) == {a_patient(2): "TWO"}


def test_a_collision_of_draws_is_an_error(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no draw is free the job stops, rather than to make two patients one."""
    monkeypatch.setattr(naming, "drawn", lambda kind, form: "ONE")
    way = Naming(assignments=opened(), draws=True)
    way.names(digests_of(a_patient(1)))
    with pytest.raises(Collision):
        way.names(digests_of(a_patient(2)))
    with pytest.raises(Collision):
        way.names(digests_of(a_patient(3), a_patient(4)))


def test_a_derived_pseudonym_that_a_list_gave_to_another_is_an_error(opened: Opener) -> None:
    """A keyed case stops when the pseudonym of a new patient is the imported one of another."""
    store, form = opened(), Form(length=9)
    claimed = pseudonym(Kind.PATIENT_ID, digest_of(a_patient(2)), form)
    store.give({original(a_patient(1)): claimed}, Origin.IMPORTED)
    assert Naming(form, store).names(digests_of(a_patient(1))) == {a_patient(1): claimed}
    with pytest.raises(Collision) as fault:
        Naming(form, store).names(digests_of(a_patient(2)))
    assert claimed not in str(fault.value)


def test_two_short_derived_pseudonyms_are_an_error_across_processes(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing is sealed, a case with short pseudonyms claims them: a second original of one stops the job."""
    monkeypatch.setattr(
        naming, "pseudonym", lambda kind, digest, form: "-1" if kind == "days" else f"{kind}-1"
    )
    first, later = (Naming(assignments=opened(stage=Stage.ANONYMIZE), claims=True) for _ in range(2))
    assert first.names(digests_of(a_patient(1))) == {a_patient(1): "patient-1"}
    assert later.names(digests_of(a_patient(1))) == {a_patient(1): "patient-1"}
    assert later.names(digests_of(an_image(1), days_of(1))).keys() == {an_image(1), days_of(1)}
    with pytest.raises(Collision):
        later.names(digests_of(a_patient(2)))
    assert later.assignments is not None
    assert later.assignments.imported() == frozenset()


def test_days_may_be_the_same_for_many(opened: Opener) -> None:
    """Two patients whose dates move alike are no collision."""
    offered = {original(days_of(number)): "-100" for number in (1, 2)}
    assert {given.pseudonym for given in opened().give(offered, Origin.IMPORTED).values()} == {"-100"}


@pytest.mark.parametrize("days", ["-1", "-3650", "36500", "7", "-36500"])
def test_days_are_covered_in_the_database(opened: Opener, days: str) -> None:
    """By how many days a patient's dates moved cannot be read from the database, and comes back with the original."""
    store = opened()
    store.give({original(days_of(number)): days for number in (1, 2)}, Origin.IMPORTED)
    with store._database.reading() as connection:
        stored = connection.exec_driver_sql("SELECT pseudonym FROM assigned_pseudonyms").scalars().all()
    assert len(set(stored)) == 2
    assert days not in stored
    assert store.given([original(days_of(1))])[original(days_of(1))] == Given(days, Origin.IMPORTED)


CHANGES = [
    "UPDATE assigned_pseudonyms SET pseudonym = 'OTHER' WHERE kind = 'patient' AND pseudonym = 'S-1'",
    "UPDATE assigned_pseudonyms SET origin = 'drawn' WHERE pseudonym = 'S-1'",
    "UPDATE assigned_pseudonyms SET pseudonym = '00000000' WHERE kind = 'days'",
    "UPDATE assigned_pseudonyms SET pseudonym = 'no number' WHERE kind = 'days'",
    "UPDATE assigned_pseudonyms SET tag = (SELECT tag FROM assigned_pseudonyms WHERE pseudonym = 'S-2')",
]


@pytest.mark.parametrize("change", CHANGES, ids=range(len(CHANGES)))
def test_a_changed_row_is_found(opened: Opener, change: str) -> None:
    """Whoever changes a pseudonym, an origin or days in the database without the key server is found out."""
    store = opened()
    originals = {original(a_patient(1)): "S-1", original(a_patient(2)): "S-2", original(days_of(1)): "-9"}
    store.give(originals, Origin.IMPORTED)
    with store._database.writing() as connection:
        connection.exec_driver_sql(change)
    with pytest.raises(Tampered):
        store.given(originals)


def test_two_exchanged_pseudonyms_are_found(opened: Opener) -> None:
    """Two patients cannot be made each other in the database."""
    store = opened()
    store.give({original(a_patient(1)): "S-1", original(a_patient(2)): "S-2"}, Origin.IMPORTED)
    with store._database.writing() as connection:
        for old, new in (("S-1", "-"), ("S-2", "S-1"), ("-", "S-2")):
            connection.exec_driver_sql(
                f"UPDATE assigned_pseudonyms SET pseudonym = '{new}' WHERE pseudonym = '{old}'"
            )
    with pytest.raises(Tampered):
        store.given([original(a_patient(1))])


def test_a_store_that_was_never_begun_gives_nothing(opened: Opener) -> None:
    """A database that lost its store is not filled anew in silence."""
    store = opened(begun=False)
    with pytest.raises(StoreMissing):
        Naming(assignments=store, draws=True).names(digests_of(a_patient(1)))
    assert store.given([original(a_patient(1))]) == {}


def test_a_store_has_one_name(opened: Opener) -> None:
    """Who begins a store that is there gets its name; a store that was forgotten begins under another."""
    store = opened()
    name = store.id
    assert name
    assert opened().begin() == name
    store.forget()
    assert store.id == ""
    assert store.begin() != name


def test_forgetting_a_case_leaves_the_others(opened: Opener) -> None:
    """After a case is forgotten nothing of its store is left, and all of every other's."""
    stores = [opened("C"), opened("D"), opened("C", Stage.ANONYMIZE)]
    for store in stores:
        store.give({original(a_patient(1)): "S-1", original(days_of(1)): "-9"}, Origin.IMPORTED)
    assert stores[0].forget() == 2
    assert stores[0].given([original(a_patient(1))]) == {}
    assert all(store.given([original(a_patient(1))]) for store in stores[1:])


def test_a_closed_list_knows_whom_it_has(opened: Opener) -> None:
    """A patient is listed when a list brought him, and not when a pseudonym was drawn for him before."""
    store = opened()
    store.give({original(a_patient(1)): "S-1"}, Origin.IMPORTED)
    Naming(assignments=store, draws=True).names(digests_of(a_patient(2)))
    closed = Naming(assignments=store, listed_only=True)
    patients = [a_patient(number) for number in (1, 2, 3)]
    assert closed.unlisted(digests_of(*patients)) == {a_patient(2), a_patient(3)}
    assert Naming(assignments=store).unlisted(digests_of(*patients)) == set()


def test_drawing_and_closed_lists_need_a_store() -> None:
    """A case that draws, or has a closed list, never falls back to derived pseudonyms."""
    for settings in ({"draws": True}, {"listed_only": True}, {"claims": True}):
        with pytest.raises(BadPlan):
            Naming(Form("", Alphabet.LETTERS, 12), **settings)


def test_all_or_none(opened: Opener) -> None:
    """Of a list that contradicts what is there nothing is kept."""
    store = opened()
    store.give({original(a_patient(1)): "S-1"}, Origin.IMPORTED)
    offered = {original(a_patient(2)): "S-2", original(a_patient(3)): "S-1"}
    with pytest.raises(Collision):
        store.give(offered, Origin.IMPORTED, all_or_none=True)
    assert store.given(offered) == {}


def test_a_lost_store_comes_back_from_a_backup(opened: Opener, url: str, tmp_path: Path) -> None:
    """Backup and restore carry the store and what it gave, so that every patient keeps the pseudonym."""
    store = opened()
    way = Naming(assignments=store, draws=True)
    first, name = way.names(digests_of(a_patient(1), days_of(1))), store.id
    back_up(url, tmp_path / "copy.db")
    store.forget()
    restore(tmp_path / "copy.db", url)
    assert store.id == name
    assert way.names(digests_of(a_patient(1), days_of(1))) == first
