"""Query and retrieval: tce.network.query_retrieve, with DCMTK's archive and Orthanc."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from pydicom import dcmread

from tce.network.calling import PeerUnavailable
from tce.network.query_retrieve import Level, QueryFailed, Wanted, find, get, move
from tce.network.storage_scp import StorageListener
from tce.network.storage_scu import send
from tce.network.store_reader import Status
from tce.road import Peer
from tests.builders import a_ct_study, written
from tests.tce.listening import Keeping, Kept
from tests.tce.pacs import PACS, a_dcmqrscp, a_free_port, an_orthanc, needs_dcmqrscp, needs_orthanc

CALLING = "SELECTOR"
CT = "1.2.840.10008.5.1.4.1.1.2"
Archive = Callable[[Path, Sequence[Peer]], AbstractContextManager[Peer]]
ARCHIVES = [
    pytest.param(a_dcmqrscp, marks=[pytest.mark.peer, needs_dcmqrscp], id="dcmqrscp"),
    pytest.param(an_orthanc, marks=[pytest.mark.peer, needs_orthanc], id="orthanc"),
]


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Files of two patients."""
    home = tmp_path_factory.mktemp("studies")
    return [
        *written(a_ct_study(slices=3), home / "one"),
        *written(a_ct_study(patient=2, slices=3), home / "two"),
    ]


@pytest.fixture(scope="module")
def here() -> Peer:
    """Where our listener is, when there is one."""
    return Peer(CALLING, "127.0.0.1", a_free_port())


@pytest.fixture(scope="module", params=ARCHIVES)
def archive(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, studies: list[Path], here: Peer
) -> Iterator[Peer]:
    """An archive that holds the studies and knows our listener."""
    start: Archive = request.param
    with start(tmp_path_factory.mktemp("archive") / "home", [here]) as peer:
        assert send(studies, peer, CALLING).failed == ()
        yield peer


def of_first_patient(studies: list[Path]) -> list[Path]:
    patient = dcmread(studies[0]).PatientID
    return [path for path in studies if dcmread(path).PatientID == patient]


def wanted(paths: Sequence[Path]) -> list[Wanted]:
    """Each file by its UIDs."""
    found = [dcmread(path) for path in paths]
    return [
        Wanted(str(ds.StudyInstanceUID), str(ds.SeriesInstanceUID), (str(ds.SOPInstanceUID),)) for ds in found
    ]


def uids(paths: Sequence[Path]) -> set[str]:
    return {str(dcmread(path).SOPInstanceUID) for path in paths}


def test_studies_are_found_by_patient(archive: Peer, studies: list[Path]) -> None:
    """What is asked for comes back, of that patient only."""
    ds = dcmread(studies[0])
    found = find(
        archive, CALLING, Level.STUDY, {"PatientID": ds.PatientID, "StudyInstanceUID": "", "StudyDate": ""}
    )
    assert {one.StudyInstanceUID for one in found} == {
        dcmread(path).StudyInstanceUID for path in of_first_patient(studies)
    }


def test_instances_of_a_series_are_found(archive: Peer, studies: list[Path]) -> None:
    """The IMAGE level names each instance."""
    ds = dcmread(studies[0])
    keys = {"StudyInstanceUID": ds.StudyInstanceUID, "SeriesInstanceUID": ds.SeriesInstanceUID}
    found = find(archive, CALLING, Level.IMAGE, keys | {"SOPInstanceUID": ""})
    assert {one.SOPInstanceUID for one in found} == uids(
        [path for path in studies if dcmread(path).SeriesInstanceUID == ds.SeriesInstanceUID]
    )


def test_nothing_found_is_an_empty_answer(archive: Peer) -> None:
    """A patient that the archive does not have is no failure."""
    assert find(archive, CALLING, Level.STUDY, {"PatientID": "NOBODY", "StudyInstanceUID": ""}) == []


def test_too_many_matches_are_a_failure(archive: Peer) -> None:
    """A question that is too wide ends, and says what to do."""
    with pytest.raises(QueryFailed, match="more than 1 match"):
        find(archive, CALLING, Level.STUDY, {"PatientID": "", "StudyInstanceUID": ""}, most=1)


@pytest.mark.parametrize("level", Level)
def test_get_brings_what_was_asked_for(archive: Peer, studies: list[Path], level: Level) -> None:
    """A study, a series, or single instances come over the association that asked, from the archive's AE title."""
    one = dcmread(studies[0])
    study, series = str(one.StudyInstanceUID), str(one.SeriesInstanceUID)
    of_study = [path for path in studies if dcmread(path).StudyInstanceUID == study]
    of_series = [path for path in of_study if dcmread(path).SeriesInstanceUID == series]
    asked, expected = {
        Level.STUDY: ([Wanted(study)], of_study),
        Level.SERIES: ([Wanted(study, series)], of_series),
        Level.IMAGE: ([Wanted(study, series, tuple(uids(of_series[:2])))], of_series[:2]),
    }[level]
    kept: list[Kept] = []
    classes = sorted({str(dcmread(path).SOPClassUID) for path in expected})
    account = get(archive, CALLING, asked, classes, lambda of: Keeping(of, kept, Status.SUCCESS))
    assert {one.sop_instance_uid for one in kept} == uids(expected)
    assert {one.calling_ae for one in kept} == {PACS}
    assert account == (len(expected), 0)
    original = {str(ds.SOPInstanceUID): ds for ds in map(dcmread, expected)}
    for one in kept:
        assert one.read().get("PixelData") == original[one.sop_instance_uid].get("PixelData")


def test_move_sends_to_a_listener(archive: Peer, studies: list[Path], here: Peer) -> None:
    """The archive opens an association to the AE title that is named."""
    kept: list[Kept] = []
    with StorageListener(
        here.ae_title, here.host, here.port, [PACS], lambda of: Keeping(of, kept, Status.SUCCESS)
    ):
        account = move(archive, CALLING, wanted(studies[:2]), here.ae_title)
    assert {one.sop_instance_uid for one in kept} == uids(studies[:2])
    assert account == (2, 0)


def test_a_destination_that_the_archive_does_not_know_is_a_failure(
    archive: Peer, studies: list[Path]
) -> None:
    """Nobody waits for what will not come."""
    with pytest.raises(QueryFailed, match="status 0x"):
        move(archive, CALLING, wanted(studies[:1]), "STRANGER")


def test_what_cannot_be_stored_here_is_not_said_to_be_sent(archive: Peer, studies: list[Path]) -> None:
    """Of an instance that we refuse, an archive says so, or it goes away, and either is seen."""
    kept: list[Kept] = []
    try:
        account = get(
            archive, CALLING, wanted(studies[:2]), [CT], lambda of: Keeping(of, kept, Status.OUT_OF_RESOURCES)
        )
    except QueryFailed as exc:
        assert "went away" in exc.what
    else:
        assert account == (0, 2)


def test_an_archive_that_is_not_there_is_one_line() -> None:
    """Who is to be started or corrected is named."""
    with pytest.raises(PeerUnavailable, match="does not answer"):
        find(Peer(PACS, "127.0.0.1", 1), CALLING, Level.STUDY, {"PatientID": "X"})


def test_so_many_sop_classes_do_not_fit_an_association() -> None:
    """Asking for more than there are contexts is refused before anybody is called."""
    with pytest.raises(QueryFailed, match="SOP Classes"):
        get(
            Peer(PACS, "127.0.0.1", 1),
            CALLING,
            [Wanted("1.2")],
            [CT] * 128,
            lambda of: Keeping(of, [], Status.SUCCESS),
        )


def test_get_needs_no_sop_classes(archive: Peer, studies: list[Path]) -> None:
    """Without knowing what an archive holds, what is likely can come."""
    kept: list[Kept] = []
    assert (
        get(archive, CALLING, wanted(studies[:1]), [], lambda of: Keeping(of, kept, Status.SUCCESS)).sent == 1
    )
    assert {one.sop_instance_uid for one in kept} == uids(studies[:1])
