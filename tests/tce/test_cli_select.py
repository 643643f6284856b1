"""``tce select`` as a person sees it: in a terminal of its own, with media and archives, and as a script runs it."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from media.pdi import write_medium
from tce import archive
from tce.archive import Answer, Question
from tce.audit.trail import Trail
from tce.cli import main
from tce.config import NetworkSettings, SelectorSettings, Settings, Site, save
from tce.documents.codes import DelayReason, ExportTitle, InformationTitle, Scheme
from tce.documents.manifest import DocumentKind, recognise
from tce.documents.settings import DocumentSettings
from tce.network.storage_scp import StorageListener
from tce.network.storage_scu import send
from tce.network.store_reader import Arrival, Status
from tce.road import Peer, manifest_mark
from tests.builders import a_ct_image, a_ct_study, an_mr_study, written
from tests.media.builders import LABEL
from tests.tce.listening import Keeping, Kept
from tests.tce.pacs import a_dcmqrscp, a_free_port, an_orthanc, needs_dcmqrscp, needs_orthanc
from tests.tce.parts import pseudonymized_ct

SELECTOR = "TCE_SELECTOR"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site that knows no case: what is selected names one all the same."""
    network = NetworkSettings(selector=SelectorSettings(port=a_free_port()))
    (tmp_path / "site").mkdir()
    save(Settings(network=network), tmp_path / "site" / "tce.toml")
    return Site(tmp_path / "site")


@pytest.fixture
def kept() -> list[Kept]:
    return []


@pytest.fixture
def manager(kept: list[Kept]) -> Iterator[Peer]:
    """An Export Manager that keeps what it gets."""

    def take(arrival: Arrival) -> Keeping:
        return Keeping(arrival, kept, Status.SUCCESS)

    with StorageListener("TCE_MANAGER", "127.0.0.1", 0, [SELECTOR], take) as listener:
        yield Peer("TCE_MANAGER", "127.0.0.1", listener.port)


def words(site: Site, manager: Peer, *more: object) -> list[str]:
    to = f"{manager.ae_title}@{manager.host}:{manager.port}"
    command = ["--home", site.home, "select", "--case", "lung-1", "--no-policy", "--to", to, *more]
    return [str(word) for word in command]


def by_script(site: Site, manager: Peer, *more: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(words(site, manager, *more))
    return int(str(ended.value.code))


def at_terminal(command: Sequence[str], answers: str) -> tuple[int, str]:
    """Run ``tce`` in a terminal, answer each question with a letter; return the status and what stood there."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "160"}
    process = subprocess.Popen(
        [sys.executable, "-m", "tce", *command], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    shown, waiting = b"", list(answers)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if not select.select([ours], [], [], 1.0)[0]:
            continue
        try:
            shown += os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if waiting and shown.count(b"[y/N]") > len(answers) - len(waiting):
            os.write(ours, f"{waiting.pop(0)}\n".encode())
    else:
        process.kill()
    status = process.wait(60)
    os.close(ours)
    return status, shown.decode()


def uids(kept: Sequence[Kept], kind: DocumentKind) -> set[str]:
    return {one.sop_instance_uid for one in kept if recognise((ds := one.read()).SOPClassUID, ds) is kind}


def test_a_person_is_shown_what_would_go_and_asked(
    site: Site, manager: Peer, kept: list[Kept], tmp_path: Path
) -> None:
    """Patient, date, modality, series and instances of each study; a no sends nothing, a yes everything."""
    files = [
        *written(a_ct_study(patient=1), tmp_path / "in" / "ct"),
        *written(an_mr_study(patient=2), tmp_path / "in" / "mr"),
    ]
    command = words(site, manager, tmp_path / "in")
    status, shown = at_terminal(command, "n")
    assert (status, kept) == (1, [])
    assert "nothing was sent" in shown
    for path in (files[0], files[-1]):
        ds = dcmread(path)
        assert ds.PatientID in shown and ds.StudyDate in shown
    assert "CT" in shown and "MR" in shown
    assert f"2 patients, 2 studies, {len(files)} instances" in shown
    status, shown = at_terminal(command, "y")
    assert status == 0
    assert len(uids(kept, DocumentKind.INSTANCE)) == len(files)
    marks = re.findall(r"tce exports show ([0-9a-f]{12})", shown)
    assert sorted(marks) == sorted(manifest_mark([uid]) for uid in uids(kept, DocumentKind.MANIFEST))


def test_what_stands_in_an_instance_commands_no_terminal(site: Site, manager: Peer, tmp_path: Path) -> None:
    """A Patient ID is shown as it is written, brackets too, and its control characters do nothing."""
    ds = a_ct_image()
    ds.PatientID = "A[red]B[/]\x07\x9b2J"
    ds.save_as(tmp_path / "one", enforce_file_format=True)
    status, shown = at_terminal(words(site, manager, tmp_path / "one"), "n")
    assert status == 1
    assert "A[red]B[/]??2J" in shown


def test_a_script_says_yes_or_nothing_goes(
    site: Site, manager: Peer, kept: list[Kept], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nobody can be asked, nothing is sent by chance; and no identifier stands in what a script prints."""
    files = written(a_ct_study(), tmp_path / "in")
    assert by_script(site, manager, tmp_path / "in") == 1
    assert "--yes" in capsys.readouterr().err
    assert kept == []
    assert by_script(site, manager, tmp_path / "in", "--yes") == 0
    printed = capsys.readouterr()
    assert len(uids(kept, DocumentKind.INSTANCE)) == len(files)
    ds = dcmread(files[0])
    for value in (ds.PatientID, ds.StudyDate, ds.StudyInstanceUID, str(ds.PatientName)):
        assert value not in printed.out + printed.err


@pytest.mark.parametrize(
    "more", [[], ["in", "--from", "PACS@127.0.0.1:1"], ["in", "--patient", "P"]], ids=str
)
def test_one_source_is_named(
    site: Site, manager: Peer, more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Files or an archive: what is not said, or said twice, is not guessed."""
    assert by_script(site, manager, *more, "--yes") == 1
    assert "not said where to select from" in capsys.readouterr().err


def test_a_medium_with_a_gap_is_told(
    site: Site, manager: Peer, kept: list[Kept], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is there goes, what the DICOMDIR names in vain is listed, and the status says so."""
    medium = write_medium(pseudonymized_ct(tmp_path / "ps"), tmp_path / "medium", label=LABEL).path
    gone = min((medium / "DICOM").rglob("IM*"))
    gone.unlink()
    assert by_script(site, manager, medium, "--yes") == 3
    printed = capsys.readouterr()
    assert "not-on-medium" in printed.err and gone.name in printed.err
    left = [path for path in (medium / "DICOM").rglob("*") if path.is_file()]
    assert len(uids(kept, DocumentKind.INSTANCE)) == len(left)


@pytest.mark.peer
@pytest.mark.parametrize(
    "start",
    [
        pytest.param(a_dcmqrscp, marks=needs_dcmqrscp, id="dcmqrscp"),
        pytest.param(an_orthanc, marks=needs_orthanc, id="orthanc"),
    ],
)
@pytest.mark.parametrize("way", [[], ["--move"]], ids=["get", "move"])
def test_a_study_of_an_archive_is_selected(
    site: Site,
    manager: Peer,
    kept: list[Kept],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    start: type,
    way: list[str],
) -> None:
    """Asked for by patient and modality, fetched, sent with its manifest; the other study stays, and no copy does."""
    files = written(a_ct_study(patient=1), tmp_path / "ct")
    other = written(an_mr_study(patient=1), tmp_path / "mr")
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    selector = site.settings.network.selector
    with start(tmp_path / "archive", [Peer(SELECTOR, "127.0.0.1", selector.port)], calling=SELECTOR) as pacs:
        assert send([*files, *other], pacs, SELECTOR).failed == ()
        asked = ["--from", f"{pacs.ae_title}@{pacs.host}:{pacs.port}", "--modality", "CT", *way, "--yes"]
        patient = str(dcmread(files[0]).PatientID)
        assert by_script(site, manager, *asked, "--patient", patient) == 0
        assert by_script(site, manager, *asked, "--patient", "NOBODY") == 1
    assert uids(kept, DocumentKind.INSTANCE) == {str(dcmread(path).SOPInstanceUID) for path in files}
    assert len(uids(kept, DocumentKind.MANIFEST)) == 1
    assert list((tmp_path / "scratch").iterdir()) == []
    told = [
        (one.event, one.detail.get("studies") or one.detail["instances"])
        for one in Trail(site.audit_trail).records()
        if one.event.startswith("archive.")
    ]
    assert told == [
        ("archive.asked", "1"),
        ("archive.fetched", str(len(files))),
        ("archive.asked", "0"),
    ]
    assert patient not in site.audit_trail.read_text()


@pytest.mark.peer
@needs_orthanc
def test_an_archive_that_sends_another_patient_is_not_believed(
    site: Site,
    manager: Peer,
    kept: list[Kept],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What an archive files under the patient that was asked for, and what its instances say, have to agree."""
    files = written(a_ct_study(patient=1), tmp_path / "ct")
    patient = str(dcmread(files[0]).PatientID)
    ask = archive.ask

    def misfiled(pacs: Peer, calling: str, question: Question) -> Answer:
        return ask(pacs, calling, Question(patient=patient))

    monkeypatch.setattr("tce.archive.ask", misfiled)
    with an_orthanc(tmp_path / "archive", calling=SELECTOR) as pacs:
        assert send(files, pacs, SELECTOR).failed == ()
        asked = ["--from", f"{pacs.ae_title}@{pacs.host}:{pacs.port}", "--yes"]
        assert by_script(site, manager, *asked, "--patient", "ANOTHER") == 1
    assert "nothing to select" in capsys.readouterr().err
    assert kept == []


def test_an_archive_does_not_send_in_the_clear(
    site: Site, manager: Peer, capsys: pytest.CaptureFixture[str]
) -> None:
    """C-MOVE to an address that other machines reach wants TLS, or a setting that says otherwise."""
    network = site.settings.network
    open_to_all = network.selector.model_copy(update={"host": "0.0.0.0"})
    save(Settings(network=network.model_copy(update={"selector": open_to_all})), site.home / "tce.toml")
    assert by_script(site, manager, "--from", "PACS@127.0.0.1:1", "--patient", "P", "--move", "--yes") == 1
    assert "could send to this machine without TLS" in capsys.readouterr().err


@pytest.mark.parametrize("scheme", Scheme, ids=str)
def test_documents_are_written_in_the_codes_that_are_set(
    site: Site, manager: Peer, kept: list[Kept], tmp_path: Path, scheme: Scheme
) -> None:
    """Title, delay and information are coded as ``selected_codes`` says."""
    settings = site.settings.model_copy(update={"documents": DocumentSettings(selected_codes=scheme)})
    save(settings, site.home / "tce.toml")
    written(a_ct_study(patient=1, slices=1), tmp_path / "in")
    assert by_script(Site(site.home), manager, "--yes", "--delay", "death", tmp_path / "in") == 0
    said = {code for one in kept for code in codes_of(one.read())}
    wanted = [ExportTitle.TRIAL, InformationTitle.ADDITIONAL_INFORMATION, DelayReason.DEATH]
    assert {one.code(scheme)[:2] for one in wanted} == said & {
        one.code(either)[:2] for one in wanted for either in Scheme
    }


def codes_of(ds: Dataset) -> Iterator[tuple[str, str]]:
    """Every code of a document, as value and scheme."""
    for item in ds.iterall():
        if item.keyword in ("ConceptNameCodeSequence", "ConceptCodeSequence"):
            yield item.value[0].CodeValue, item.value[0].CodingSchemeDesignator
