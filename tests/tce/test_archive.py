"""An archive as the source of a selection: DCMTK's and Orthanc, and one of ours that answers what it was not asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, evt

from tce.archive import FoundStudy, Question, ask, fetch
from tce.errors import Refused
from tce.network.query_retrieve import FIND, GET, QueryFailed
from tce.network.storage_scu import send
from tce.road import Peer
from tests.builders import a_ct_image, a_ct_study, an_mr_study, written
from tests.tce.pacs import PACS, a_dcmqrscp, a_free_port, an_orthanc, needs_dcmqrscp, needs_orthanc

CALLING = "SELECTOR"
Archive = Callable[[Path, Sequence[Peer]], AbstractContextManager[Peer]]
ARCHIVES = [
    pytest.param(a_dcmqrscp, marks=[pytest.mark.peer, needs_dcmqrscp], id="dcmqrscp"),
    pytest.param(an_orthanc, marks=[pytest.mark.peer, needs_orthanc], id="orthanc"),
]


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """A CT and an MR study of one patient, a CT study of another."""
    home = tmp_path_factory.mktemp("studies")
    return {
        "ct": written(a_ct_study(patient=1), home / "ct"),
        "mr": written(an_mr_study(patient=1), home / "mr"),
        "other": written(a_ct_study(patient=2), home / "other"),
    }


@pytest.fixture(scope="module")
def here() -> Peer:
    """Where an archive moves to."""
    return Peer(CALLING, "127.0.0.1", a_free_port())


@pytest.fixture(scope="module", params=ARCHIVES)
def archive(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    studies: dict[str, list[Path]],
    here: Peer,
) -> Iterator[Peer]:
    """An archive that holds the studies and knows where we listen."""
    start: Archive = request.param
    with start(tmp_path_factory.mktemp("archive") / "home", [here]) as peer:
        assert send([path for paths in studies.values() for path in paths], peer, CALLING).failed == ()
        yield peer


def a_question(about: Sequence[Path], **changed: str) -> Question:
    """A question that every key of a study answers, but for those that are changed."""
    ds = dcmread(about[0])
    keys = {"patient": ds.PatientID, "accession": ds.AccessionNumber, "date": ds.StudyDate}
    return Question(**(keys | {"modality": ds.Modality} | changed))


def uid(about: Sequence[Path]) -> str:
    return str(dcmread(about[0]).StudyInstanceUID)


@pytest.mark.parametrize("key", ["patient", "accession", "date", "modality"])
def test_each_key_is_asked_for(archive: Peer, studies: dict[str, list[Path]], key: str) -> None:
    """What has the value is found, and what has another is not."""
    question = a_question(studies["mr"])
    only = Question(**{key: getattr(question, key)})
    expected = {
        uid(paths)
        for paths in studies.values()
        if getattr(a_question(paths), key) == getattr(question, key)
        or (key == "modality" and any(dcmread(path).Modality == question.modality for path in paths))
    }
    answer = ask(archive, CALLING, only)
    assert {study.study_uid for study in answer.studies} == expected
    assert uid(studies["mr"]) in expected


def test_keys_together_narrow(archive: Peer, studies: dict[str, list[Path]]) -> None:
    """All that is asked for has to be true of a study."""
    [found] = ask(archive, CALLING, a_question(studies["ct"])).studies
    assert (found.study_uid, found.patient) == (uid(studies["ct"]), dcmread(studies["ct"][0]).PatientID)
    assert ask(archive, CALLING, a_question(studies["ct"], accession="NONE")).studies == ()


@pytest.mark.parametrize("way", ["get", "move"])
def test_studies_come_whole(
    archive: Peer, studies: dict[str, list[Path]], here: Peer, tmp_path: Path, way: str
) -> None:
    """C-GET over the association that asks, C-MOVE to where we listen: every instance of the study, as a file."""
    told: list[int] = []
    found = ask(archive, CALLING, a_question(studies["ct"])).studies
    listen = (here.host, here.port) if way == "move" else None
    files = fetch(archive, CALLING, found, tmp_path / "came", listen=listen, progress=told.append)
    expected = {str(dcmread(path).SOPInstanceUID) for path in studies["ct"]}
    assert {str(dcmread(path).SOPInstanceUID) for path in files} == expected
    assert told == list(range(1, len(expected) + 1))
    assert (tmp_path / "came").stat().st_mode & 0o077 == 0


def test_what_the_archive_no_longer_has_ends_the_selection(archive: Peer, tmp_path: Path) -> None:
    """A study that vanished between question and answer is not an empty selection, whatever the archive says of it."""
    gone = FoundStudy("1.2.3.4", "P", "20310517", ("CT",), 1, 1)
    with pytest.raises((Refused, QueryFailed), match=r"sent nothing|answered status"):
        fetch(archive, CALLING, [gone], tmp_path / "came")


@contextmanager
def an_archive_that_answers(*matches: Dataset, failed: int = 0) -> Iterator[Peer]:
    """An archive that gives these answers, whatever it is asked, and cannot send so many instances."""

    def find(event: Any) -> Iterator[tuple[int, Dataset | None]]:
        for match in matches:
            yield 0xFF00, match

    def get(event: Any) -> Iterator[Any]:
        yield failed
        for _ in range(failed):
            instance = a_ct_image()
            instance.SOPClassUID = "1.2.3.4"  # nobody has agreed to take it
            yield 0xFF00, instance

    ae = AE(ae_title=PACS)
    ae.add_supported_context(FIND, ExplicitVRLittleEndian)
    ae.add_supported_context(GET, ExplicitVRLittleEndian)
    handlers = [(evt.EVT_C_FIND, find), (evt.EVT_C_GET, get)]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        yield Peer(PACS, "127.0.0.1", server.server_address[1])
    finally:
        server.shutdown()


def a_match(**changed: str) -> Dataset:
    """A study as an archive answers."""
    ds = Dataset()
    said = {"StudyInstanceUID": "1.2.3", "PatientID": "P1", "AccessionNumber": "A1", "StudyDate": "20310517"}
    for keyword, value in (
        said | {"ModalitiesInStudy": "CT", "QueryRetrieveLevel": "STUDY"} | changed
    ).items():
        setattr(ds, keyword, value)
    return ds


@pytest.mark.parametrize(
    "wrong",
    [
        {"PatientID": "P2"},
        {"PatientID": ""},
        {"AccessionNumber": "A2"},
        {"StudyDate": "20310601"},
        {"StudyDate": ""},
        {"ModalitiesInStudy": "MR"},
        {"StudyInstanceUID": ""},
    ],
    ids=str,
)
def test_what_was_not_asked_for_is_left_out(wrong: dict[str, str]) -> None:
    """An archive that ignores a key answers with other people's studies: they are counted and never chosen."""
    question = Question("P1", "A1", "20310501-20310531", "CT")
    right = a_match(StudyInstanceUID="1.2.4", ModalitiesInStudy=["CT", "SR"])  # type: ignore[arg-type]
    with an_archive_that_answers(a_match(**wrong), right) as peer:
        answer = ask(peer, CALLING, question)
    assert ([study.study_uid for study in answer.studies], answer.beside) == (["1.2.4"], 1)


def test_a_study_that_cannot_be_sent_whole_is_not_selected(tmp_path: Path) -> None:
    """Half a study would look like a whole one to everybody after us."""
    study = FoundStudy("1.2.3", "P1", "20310517", ("CT",), 1, 2)
    with an_archive_that_answers(failed=2) as peer, pytest.raises(Refused, match="2 instances"):
        fetch(peer, CALLING, [study], tmp_path / "came")


@pytest.mark.parametrize(
    "question",
    [
        Question(),
        Question(patient="*"),
        Question(patient="P?"),
        Question(accession="A\\B"),
        Question(modality="*"),
        Question(date="-"),
        Question(date="2031"),
        Question(date="2031051720310518"),
        Question(date="20310517 20310518"),
    ],
    ids=lambda question: question.date or "keys",
)
def test_a_question_for_everything_is_refused(question: Question) -> None:
    """What could match more than the person means is not asked."""
    with pytest.raises(Refused):
        question.checked()


@pytest.mark.parametrize("date", ["20310517", "20310501-", "-20310531", "20310501-20310531"])
def test_dates_are_days_or_ranges(date: str) -> None:
    """Each form of the standard holds the day that is in it, and not the one before or after."""
    question = Question(date=date).checked()
    said = {"PatientID": "", "AccessionNumber": ""}
    assert question.is_met(said | {"StudyDate": "20310517"})
    outside = {"20310501-": "20310430", "-20310531": "20310601"}.get(date, "20300517")
    assert not question.is_met(said | {"StudyDate": outside})


def test_no_value_is_printed() -> None:
    """Questions and answers print as their types, with no patient in them."""
    study = FoundStudy("1.2.3", "CARLA^PATIENT", "20310517", ("CT",), 1, 2)
    text = repr(Question("CARLA^PATIENT", "ACC77", "20310517")) + repr(study)
    assert not any(word in text for word in ("CARLA", "ACC77", "20310517", "1.2.3"))
