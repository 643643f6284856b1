"""Tests of taking over pseudonyms that exist already, at a real server with the service's own token."""

from __future__ import annotations

import multiprocessing
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from tests.conftest import SiteVault
from tests.vault.conftest import StageOne, open_case
from tests.vault.subjects import Identifier, a_subject, image, offset, patient_id
from vault.assignments import Assignments, Stage
from vault.custody import Custody, Purpose
from vault.errors import BadList, Collision, VaultRoomError
from vault.forgetting import remove_rows
from vault.importing import MOST_TOLD, Entry, Intake, Taken
from vault.keys import create_case_key
from vault.mapping import MappingStore
from vault.naming import Naming
from vault.pseudonyms import CasePseudonyms, IdentityPseudonyms
from vault.scheme import Form
from vault.server import EmbeddedServer

pytestmark = pytest.mark.vault

ACCESSION = Identifier("accession", "RIS", "ACC-1")
OPPOSED = "^line 2: it contradicts what the case gave or knows already$"


def entries(*pairs: tuple[Identifier, str]) -> list[Entry]:
    """A list: its lines begin below a header."""
    return [Entry(line, identifier, name) for line, (identifier, name) in enumerate(pairs, start=2)]


@pytest.fixture
def assigned(store: MappingStore, case: str) -> Assignments:
    """The store of stage 1, not begun."""
    return Assignments(store.database, stage=Stage.PSEUDONYMIZE, case=case)


@pytest.fixture
def intake(stage_one: StageOne, assigned: Assignments) -> Intake:
    """The way in, with the pseudonymizer's own token."""
    return stage_one().intake(assigned, assigned.begin)


@pytest.fixture
def later(stage_one: StageOne, assigned: Assignments) -> Callable[..., IdentityPseudonyms]:
    """Stage 1 as it runs after an import."""
    return lambda **settings: stage_one(naming=Naming(Form("T-"), assigned, **settings))


def content(store: MappingStore) -> list[tuple[object, ...]]:
    """Everything that the database holds, read past the store."""
    with sqlite3.connect(str(store.database._engine.url.database)) as database:
        tables = database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
        ).fetchall()
        return [row for (table,) in tables for row in database.execute(f"SELECT * FROM {table}").fetchall()]


def test_subjects_keep_their_pseudonyms(intake: Intake, later: Callable[..., IdentityPseudonyms]) -> None:
    """What a list brought is what stage 1 answers with; everything else is derived as usual."""
    brought = {patient_id(1): "SUBJ-0001", image(1, 0): "1.2.3.4", ACCESSION: "A 1", offset(1): "12"}
    assert intake.take(entries(*brought.items())) == Taken(new=4, known=0)
    answer = later().resolve([a_subject(1), a_subject(2)])
    assert answer.items() >= brought.items()
    assert answer[patient_id(2)].startswith("T-")
    assert answer[image(1, 1)].startswith("2.25.")


def test_the_same_list_again_changes_nothing(
    intake: Intake, later: Callable[..., IdentityPseudonyms], store: MappingStore
) -> None:
    """A list can be imported twice, also with a line written twice and after its patients were pseudonymized."""
    given = entries((patient_id(1), "SUBJ-0001"), (patient_id(1), "SUBJ-0001"), (offset(1), "+012"))
    assert intake.take(given) == Taken(new=2, known=0)
    later().resolve([a_subject(1)])
    before = content(store)
    assert intake.take(given) == Taken(new=0, known=2)
    assert content(store) == before


def test_two_custodians_reveal_what_was_imported(
    intake: Intake, embedded_site_vault: SiteVault, store: MappingStore, case: str
) -> None:
    """An imported original is sealed like any other, also one whose patient was never met."""
    intake.take(entries((patient_id(1), "SUBJ-0001"), (image(7, 0), "1.2.3.7")))

    def custody(person: str) -> Custody:
        return Custody(embedded_site_vault.person(person), store, lambda event, detail: None)

    request = custody("carol").request(
        case,
        ["SUBJ-0001", "1.2.3.7"],
        purpose=Purpose.INCIDENTAL_FINDING,
        ticket="T-1",
        fields=["patient", "uid"],
        window=timedelta(hours=1),
    )
    custody("dave").approve(request.id)
    lines = custody("carol").reveal(request.id).lines
    assert {(line.pseudonym, line.original.reveal()) for line in lines} == {
        ("SUBJ-0001", patient_id(1).value),
        ("1.2.3.7", image(7, 0).value),
    }


def test_an_imported_uid_leads_to_its_patient_once_he_is_met(
    intake: Intake, later: Callable[..., IdentityPseudonyms], store: MappingStore, case: str
) -> None:
    """A UID that a list brought belongs to nobody at first, and then to the patient of its instance alone."""
    intake.take(entries((image(1, 0), "1.2.3.7")))
    assert store.patients(case, ["1.2.3.7"]) == {"1.2.3.7": frozenset({"1.2.3.7"})}
    patient = later().resolve([a_subject(1)])[patient_id(1)]
    assert store.patients(case, ["1.2.3.7", patient]) == {
        "1.2.3.7": frozenset({patient}),
        patient: frozenset({patient}),
    }


def test_no_original_is_in_the_database(intake: Intake, store: MappingStore, tmp_path: Path) -> None:
    """No byte of the database is an imported original, or a number of days in the clear."""
    intake.take(entries((patient_id(1), "SUBJ-0001"), (offset(1), "-31337"), (ACCESSION, "A-1")))
    for file in tmp_path.glob("mapping.db*"):
        found = file.read_bytes()
        assert not [one for one in (b"MRN-", b"HOSPITAL", b"ACC-1", b"31337") if one in found]


WRONG = [
    ("a subject with two IDs", [(patient_id(1), "S-1"), (patient_id(1), "S-2")], ["line 3", "line 2"]),
    ("two subjects with one", [(patient_id(1), "S-1"), (patient_id(2), "S-1")], ["line 3", "line 2"]),
    ("one ID for patient and accession", [(patient_id(1), "S-1"), (ACCESSION, "S-1")], ["line 3"]),
    ("padding hides a second ID", [(patient_id(1), "S-1"), (patient_id(1)._replace(value=" MRN-000001 "), "S-2")],
     ["line 3"]),
    ("too long for LO", [(patient_id(1), "S" * 65)], ["line 2", "VR LO"]),
    ("too long for SH", [(ACCESSION, "A" * 17)], ["line 2", "VR SH"]),
    ("a backslash", [(patient_id(1), "S\\1")], ["line 2"]),
    ("a path", [(patient_id(1), "../S1")], ["line 2"]),
    ("parts of a name", [(patient_id(1), "S^1")], ["line 2"]),
    ("not ASCII", [(patient_id(1), "Sü1")], ["line 2"]),
    ("nothing", [(patient_id(1), "")], ["line 2"]),
    ("no UID", [(image(1, 0), "1.2.03")], ["line 2", "VR UI"]),
    ("a UID of the standard", [(image(1, 0), "1.2.840.10008.1.2")], ["line 2"]),
    ("too long a UID", [(image(1, 0), "1." + "2" * 63)], ["line 2"]),
    ("days that move nothing", [(offset(1), "0")], ["line 2", "days"]),
    ("no days", [(offset(1), "ten")], ["line 2", "days"]),
    ("two numbers of days", [(offset(1), "-3"), (offset(1), "-4")], ["line 3", "line 2"]),
    ("the original itself", [(patient_id(1), "MRN-000001")], ["line 2", "itself"]),
    ("the original of a later line", [(patient_id(1), "MRN-000002"), (patient_id(2), "S-2")], ["line 2", "line 3"]),
    ("two that exchange their IDs", [(patient_id(1), "MRN-000002"), (patient_id(2), "MRN-000001")],
     ["line 2", "line 3"]),
    ("the original of another issuer", [(patient_id(1), "MRN-000002"), (patient_id(2)._replace(issuer=""), "S-2")],
     ["line 2", "line 3"]),
    ("another image's UID", [(image(1, 0), image(1, 1).value), (image(1, 1), "1.2.3")], ["line 2", "line 3"]),
    ("an original that is none", [(patient_id(1)._replace(value="A\\B"), "S-1")], ["line 2"]),
    ("an empty original", [(patient_id(1)._replace(value="  "), "S-1")], ["line 2"]),
    ("an empty list", [], ["nobody"]),
]  # fmt: skip


@pytest.mark.parametrize(("pairs", "told"), [one[1:] for one in WRONG], ids=[one[0] for one in WRONG])
def test_what_cannot_be_is_refused_as_a_whole(
    intake: Intake, store: MappingStore, pairs: list[tuple[Identifier, str]], told: list[str]
) -> None:
    """Each fault is told by its line and without a value, and not even the right lines are taken over."""
    before = content(store)
    with pytest.raises(BadList) as fault:
        intake.take(entries(*pairs, *([(patient_id(9), "GOOD-9")] if pairs else [])))
    said = fault.value.what + fault.value.next_step
    assert all(words in said for words in told)
    assert not [
        value
        for identifier, name in pairs
        for value in (identifier.value.strip(), name)
        if len(value) > 1 and value in said
    ]
    assert content(store) == before


def test_every_fault_is_told_at_once(intake: Intake) -> None:
    """Somebody who corrects a list sees all of its faults, and of very many the first ones."""
    with pytest.raises(BadList) as fault:
        intake.take(entries(*((patient_id(number), "?") for number in range(50))))
    assert fault.value.what.count("line ") == MOST_TOLD
    assert "30 more" in fault.value.what


def test_who_was_pseudonymized_already_is_refused(
    intake: Intake, later: Callable[..., IdentityPseudonyms], stage_one: StageOne, store: MappingStore
) -> None:
    """A subject that the case gave a derived pseudonym gets no second one from a list, whichever line it is in."""
    stage_one().resolve([a_subject(1)])
    before = content(store)
    with pytest.raises(BadList) as fault:
        intake.take(entries((patient_id(2), "S-2"), (patient_id(1), "S-1"), (image(1, 1), "1.2.3")))
    assert fault.value.what.count("line") == 2
    assert "line 3" in fault.value.what
    assert "line 4" in fault.value.what
    assert content(store) == before


def test_a_derived_pseudonym_is_not_given_to_another(intake: Intake, stage_one: StageOne) -> None:
    """An imported pseudonym that stands for somebody else already is a collision."""
    derived = stage_one().resolve([a_subject(1)])[patient_id(1)]
    with pytest.raises(BadList, match=OPPOSED):
        intake.take(entries((patient_id(2), derived)))


def test_lists_do_not_contradict_each_other(intake: Intake) -> None:
    """A later list neither renames a subject, nor gives his ID to another."""
    intake.take(entries((patient_id(1), "S-1")))
    with pytest.raises(BadList, match=OPPOSED):
        intake.take(entries((patient_id(1), "S-2")))
    with pytest.raises(BadList, match=OPPOSED):
        intake.take(entries((patient_id(2), "S-1")))
    assert intake.take(entries((patient_id(1), "S-1"), (patient_id(2), "S-2"))) == Taken(new=1, known=1)


@pytest.mark.parametrize("draws", [False, True])
def test_a_refusal_does_not_tell_whether_a_guess_was_right(
    intake: Intake, later: Callable[..., IdentityPseudonyms], assigned: Assignments, draws: bool
) -> None:
    """The right pseudonym of a patient, that of another, and a patient who is unknown: the answer is the same."""
    assigned.begin()
    names = later(draws=draws).resolve([a_subject(1), a_subject(2)])
    right, wrong = names[patient_id(1)], names[patient_id(2)]
    said = []
    for patient, guess in ((1, right), (1, wrong), (99, wrong), (1, "S-1"), (99, patient_id(1).value)):
        with pytest.raises(BadList, match=OPPOSED) as fault:
            intake.take(entries((patient_id(patient), guess)))
        said.append((fault.value.what, fault.value.next_step))
    assert len(set(said)) == 1


@pytest.mark.parametrize("way", ["derived", "drawn", "imported"])
def test_an_id_of_a_patient_of_the_case_is_nobodys_pseudonym(
    intake: Intake, later: Callable[..., IdentityPseudonyms], assigned: Assignments, way: str
) -> None:
    """Who is on no line of the list, but known to the case, is not named by his ID; nor can he join later as one."""
    assigned.begin()
    if way == "imported":
        intake.take(entries((patient_id(1), "S-1")))
    else:
        later(draws=way == "drawn").resolve([a_subject(1)])
    with pytest.raises(BadList, match=OPPOSED):
        intake.take(entries((patient_id(2), patient_id(1).value)))
    intake.take(entries((patient_id(3), patient_id(4).value)))
    with pytest.raises(BadList, match=OPPOSED):
        intake.take(entries((patient_id(4), "S-4")))


def test_a_derived_pseudonym_that_a_list_gave_away_stops_the_job(
    intake: Intake,
    later: Callable[..., IdentityPseudonyms],
    stage_one: StageOne,
    embedded_site_vault: SiteVault,
) -> None:
    """When a new patient's derived pseudonym is the imported one of another, nothing is told."""
    elsewhere = stage_one(case="elsewhere").resolve([a_subject(2)])[patient_id(2)]
    intake.take(entries((patient_id(1), elsewhere)))
    with pytest.raises(Collision) as fault:
        later().resolve([a_subject(2)])
    assert elsewhere not in fault.value.what


def test_a_closed_list_takes_nobody_else(
    intake: Intake, later: Callable[..., IdentityPseudonyms], store: MappingStore
) -> None:
    """A patient who is not on the closed list gets no pseudonym, nor do his identifiers, and nothing of him is kept."""
    intake.take(entries((patient_id(1), "S-1")))
    before = len(content(store))
    closed = later(listed_only=True)
    assert closed.resolve([a_subject(2)]) == {}
    assert len(content(store)) == before
    answer = closed.resolve([a_subject(1), a_subject(2)])
    assert answer[patient_id(1)] == "S-1"
    assert image(1, 0) in answer
    assert not {patient_id(2), image(2, 0), offset(2)} & answer.keys()
    assert closed.resolve([a_subject(1)])[patient_id(1)] == "S-1"


def test_what_is_drawn_is_sealed_and_stays(
    later: Callable[..., IdentityPseudonyms], assigned: Assignments, store: MappingStore, case: str
) -> None:
    """Stage 1 with drawn pseudonyms answers every process alike, and each original is sealed under what was drawn."""
    assigned.begin()
    first = later(draws=True).resolve([a_subject(1), a_subject(2)])
    assert later(draws=True).resolve([a_subject(2), a_subject(1)]) == first
    kept = {row.pseudonym for row in store.rows(case, [first[patient_id(1)], first[patient_id(2)]])}
    assert kept >= {name for identifier, name in first.items() if identifier[0] != "days"}
    derived = later().resolve([a_subject(3)])[patient_id(3)]
    assert derived not in first.values()


def test_an_imported_pseudonym_is_not_drawn_over(
    intake: Intake, later: Callable[..., IdentityPseudonyms]
) -> None:
    """A case that draws keeps what a list brought."""
    intake.take(entries((patient_id(1), "S-1"), (offset(1), "-7")))
    answer = later(draws=True).resolve([a_subject(1)])
    assert (answer[patient_id(1)], answer[offset(1)]) == ("S-1", "-7")


def test_stage_2_draws_and_takes_lists_too(
    embedded_site_vault: SiteVault, store: MappingStore, case: str
) -> None:
    """Under the case's key: drawn pseudonyms stay, listed ones are taken, and no identifier of stage 1 is stored."""
    create_case_key(embedded_site_vault.person("bob"), case)
    assigned = Assignments(store.database, stage=Stage.ANONYMIZE, case=case)

    def stage_two() -> CasePseudonyms:
        naming = Naming(Form("R"), assigned, draws=True)
        return CasePseudonyms(embedded_site_vault.service("manager"), case=case, naming=naming)

    taken = stage_two().intake(assigned, assigned.begin).take(entries((patient_id(1), "TRIAL-1")))
    assert taken == Taken(new=1, known=0)
    first = stage_two().resolve([a_subject(1), a_subject(2)])
    assert stage_two().resolve([a_subject(1), a_subject(2)]) == first
    assert first[patient_id(1)] == "TRIAL-1"
    assert Form("R").holds(first[patient_id(2)])
    assert not [row for row in content(store) if any("MRN-" in str(cell) for cell in row)]
    with pytest.raises(BadList):
        stage_two().intake(assigned, assigned.begin).take(entries((patient_id(2), "TRIAL-2")))


def import_in_a_process(
    home: Path, url: str, case: str, name: str, start: Barrier, answers: Queue[str]
) -> None:
    site = SiteVault(home, EmbeddedServer(home), None)  # type: ignore[arg-type]
    store = MappingStore(url)
    assigned = Assignments(store.database, stage=Stage.PSEUDONYMIZE, case=case)
    one = IdentityPseudonyms(site.service("pseudonymizer"), store, case=case, custodians=("carol", "dave"))
    intake = one.intake(assigned, assigned.begin)
    start.wait(60)
    try:
        intake.take(entries((patient_id(1), name), (patient_id(2), "S-2")))
        answers.put(name)
    except VaultRoomError as fault:
        answers.put(type(fault).__name__)


def test_of_two_contradicting_imports_at_once_one_is_refused(
    embedded_site_vault: SiteVault, mapping_url: str, case: str
) -> None:
    """Two processes that import contradicting lists at one moment do not both succeed, and the subject has one ID."""
    open_case(embedded_site_vault, case)
    MappingStore(mapping_url).close()
    processes = multiprocessing.get_context("spawn")
    start, answers = processes.Barrier(2), processes.Queue()
    workers = [
        processes.Process(
            target=import_in_a_process,
            args=(embedded_site_vault.home, mapping_url, case, name, start, answers),
        )
        for name in ("S-1", "S-9")
    ]
    for worker in workers:
        worker.start()
    said = sorted(answers.get(timeout=120) for _ in workers)
    for worker in workers:
        worker.join(60)
    assert said[0] in ("BadList", "Collision")
    assert said[1] in ("S-1", "S-9")
    store = MappingStore(mapping_url)
    assert Assignments(store.database, stage=Stage.PSEUDONYMIZE, case=case).imported() == {said[1], "S-2"}


def test_a_forgotten_case_has_no_assigned_pseudonyms(
    intake: Intake,
    later: Callable[..., IdentityPseudonyms],
    assigned: Assignments,
    store: MappingStore,
    case: str,
) -> None:
    """When the rows of a case are removed, what was drawn and imported for it goes as well, and of both stages."""
    intake.take(entries((patient_id(1), "S-1"), (offset(1), "-7")))
    later(draws=True).resolve([a_subject(2)])
    second = Assignments(store.database, stage=Stage.ANONYMIZE, case=case)
    second.begin()
    remove_rows(store, case)
    assert (assigned.id, second.id) == ("", "")
    assert assigned.imported() == frozenset()
    assert content(store) == [row for row in content(store) if case not in row]
