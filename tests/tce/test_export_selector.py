"""The Export Selector: tce.actors.export_selector, against a listener that keeps what it gets."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from media.pdi import write_medium
from tce.actors.export_selector import select
from tce.candidates import Candidate, examine
from tce.documents import teaching_file_info
from tce.documents.codes import DelayReason, ExportTitle
from tce.documents.manifest import DocumentKind, parse, recognise
from tce.errors import Refused, TceError
from tce.exports import Exports
from tce.network.calling import PeerUnavailable
from tce.network.storage_scp import StorageListener
from tce.network.store_reader import Arrival, Status
from tce.road import Peer, manifest_mark
from tests.builders import a_ct_image, a_ct_study, an_mr_study, written
from tests.media.builders import LABEL
from tests.tce.listening import Keeping, Kept
from tests.tce.parts import CASE, SELECTOR, CaseShelf, a_manager, a_request, pseudonymized_ct, terms

REQUEST = a_request()


@contextmanager
def a_manager_that_keeps(kept: list[Dataset], *, refuse: str = "") -> Iterator[Peer]:
    def take(arrival: Arrival) -> Keeping:
        refused = arrival.sop_instance_uid == refuse
        return Keeping(arrival, everything, Status.CANNOT_UNDERSTAND if refused else Status.SUCCESS)

    everything: list[Kept] = []
    with StorageListener("MANAGER", "127.0.0.1", 0, [SELECTOR], take) as listener:
        yield Peer("MANAGER", "127.0.0.1", listener.port)
    kept += [one.read() for one in everything if one.sop_instance_uid != refuse]


def of_kind(kept: list[Dataset], kind: DocumentKind) -> list[Dataset]:
    return [ds for ds in kept if recognise(ds.SOPClassUID, ds) is kind]


def test_a_study_is_sent_with_manifest_and_request(tmp_path: Path) -> None:
    """Everything found is sent, the manifest references all of it, and the request names case and policy."""
    files = written(a_ct_study(), tmp_path / "in")
    kept: list[Dataset] = []
    told: list[tuple[int, int]] = []
    with a_manager_that_keeps(kept) as peer:
        account = select(
            [tmp_path / "in"],
            REQUEST,
            peer,
            SELECTOR,
            title=ExportTitle.RESEARCH,
            delay=[DelayReason.FINAL_REPORT],
            progress=lambda done, total: told.append((done, total)),
        )
    assert (account.patients, account.studies, account.instances, account.manifests) == (1, 1, len(files), 1)
    assert account.set_aside == ()
    assert told[-1] == (len(files), len(files))
    (information,) = of_kind(kept, DocumentKind.INFORMATION)
    (manifest,) = of_kind(kept, DocumentKind.MANIFEST)
    assert teaching_file_info.parse(information)[1] == REQUEST
    said = parse(manifest)
    assert said.faults == ()
    assert (said.manifest.title, said.manifest.delay_reasons) == (
        ExportTitle.RESEARCH,
        (DelayReason.FINAL_REPORT,),
    )
    assert {one.sop_instance_uid for one in said.manifest.references} == {
        str(ds.SOPInstanceUID) for ds in kept if ds is not manifest
    }


def test_two_patients_become_two_selections(tmp_path: Path) -> None:
    """A manifest is of one patient: each patient's manifest references that patient's instances only."""
    written(a_ct_study(patient=1), tmp_path / "in")
    written(an_mr_study(patient=2), tmp_path / "in")
    kept: list[Dataset] = []
    with a_manager_that_keeps(kept) as peer:
        account = select([tmp_path / "in"], REQUEST, peer, SELECTOR)
    assert (account.patients, account.manifests) == (2, 2)
    for manifest in of_kind(kept, DocumentKind.MANIFEST):
        own = {str(ds.SOPInstanceUID) for ds in kept if ds.PatientID == manifest.PatientID}
        referenced = {one.sop_instance_uid for one in parse(manifest).manifest.references}
        assert referenced == own - {str(manifest.SOPInstanceUID)}


def test_two_studies_of_one_patient_are_one_selection(tmp_path: Path) -> None:
    """Each study has its manifest, and each manifest names the other."""
    written(a_ct_study(patient=1), tmp_path / "in")
    written(an_mr_study(patient=1), tmp_path / "in")
    kept: list[Dataset] = []
    with a_manager_that_keeps(kept) as peer:
        account = select([tmp_path / "in"], REQUEST, peer, SELECTOR)
    assert (account.patients, account.studies, account.manifests) == (1, 2, 2)
    first, second = map(parse, of_kind(kept, DocumentKind.MANIFEST))
    assert first.siblings == {second.sop_instance_uid}
    assert first.manifest == second.manifest
    assert len(of_kind(kept, DocumentKind.INFORMATION)) == 1


def not_dicom(path: Path) -> None:
    path.write_text("a letter")


def without_uid(path: Path) -> None:
    ds = a_ct_image()
    del ds.SOPInstanceUID
    ds.save_as(path, enforce_file_format=False)


def private_class(path: Path) -> None:
    ds = a_ct_image()
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.3.12.2.1107.5.9.1"
    ds.save_as(path, enforce_file_format=True)


def unknown_class(path: Path) -> None:
    ds = a_ct_image()
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.9999"
    ds.save_as(path, enforce_file_format=True)


def without_study(path: Path) -> None:
    ds = a_ct_image()
    del ds.StudyInstanceUID
    ds.save_as(path, enforce_file_format=True)


def cut_in_pixels(path: Path) -> None:
    a_ct_image().save_as(path, enforce_file_format=True)
    path.write_bytes(path.read_bytes()[:-2000])


def cut_in_header(path: Path) -> None:
    a_ct_image().save_as(path, enforce_file_format=True)
    path.write_bytes(path.read_bytes()[:1500])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (not_dicom, "not-dicom"),
        (empty, "not-dicom"),
        (cut_in_pixels, "truncated"),
        (cut_in_header, "truncated"),
        (without_uid, "no-sop-instance-uid"),
        (private_class, "private-sop-class"),
        (unknown_class, "unknown-sop-class"),
        (without_study, "malformed"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_cannot_be_selected_is_set_aside(tmp_path: Path, spoil: object, reason: str) -> None:
    """It is named with the reason, never sent, never referenced, and the others go on."""
    files = written(a_ct_study(), tmp_path / "in")
    spoil(tmp_path / "in" / "bad")  # type: ignore[operator]
    kept: list[Dataset] = []
    with a_manager_that_keeps(kept) as peer:
        account = select([tmp_path / "in"], REQUEST, peer, SELECTOR)
    assert [(one.path.name, one.reason) for one in account.set_aside] == [("bad", reason)]
    assert account.instances == len(files)
    assert len(kept) == len(files) + 2


def test_what_the_manager_refuses_is_not_referenced(tmp_path: Path) -> None:
    """An instance that was not taken is set aside, and the manifest can still be completed."""
    files = written(a_ct_study(), tmp_path / "in")
    refused = str(dcmread(files[0]).SOPInstanceUID)
    kept: list[Dataset] = []
    with a_manager_that_keeps(kept, refuse=refused) as peer:
        account = select(files, REQUEST, peer, SELECTOR)
    assert [(one.path, one.reason) for one in account.set_aside] == [(files[0], "not-accepted")]
    (manifest,) = of_kind(kept, DocumentKind.MANIFEST)
    assert refused not in {one.sop_instance_uid for one in parse(manifest).manifest.references}


def test_of_a_medium_goes_what_its_directory_names(tmp_path: Path) -> None:
    """What lies beside the File-set stays, and what is missing of it is named."""
    medium = write_medium(pseudonymized_ct(tmp_path / "ps"), tmp_path / "medium", label=LABEL).path
    named = sorted((medium / "DICOM").rglob("IM*"))
    shutil.copy(named[0], medium / "DICOM" / "BESIDE")
    named[1].unlink()
    kept: list[Dataset] = []
    with a_manager_that_keeps(kept) as peer:
        account = select([medium], REQUEST, peer, SELECTOR)
    assert [(one.path, one.reason) for one in account.set_aside] == [(named[1], "not-on-medium")]
    there = [path for path in (medium / "DICOM").rglob("*") if path.is_file()]
    assert {str(dcmread(path).SOPInstanceUID) for path in there if path.name != "BESIDE"} == {
        str(ds.SOPInstanceUID) for ds in kept if recognise(ds.SOPClassUID, ds) is DocumentKind.INSTANCE
    }
    with a_manager_that_keeps(again := []) as peer:
        by_file = select([medium / "DICOMDIR"], REQUEST, peer, SELECTOR)
    assert (by_file.instances, len(again)) == (account.instances, len(kept))


def test_of_a_medium_that_cannot_be_read_nothing_goes(tmp_path: Path) -> None:
    """Half a directory is no selection; its folders can still be named by themselves."""
    medium = write_medium(pseudonymized_ct(tmp_path / "ps"), tmp_path / "medium", label=LABEL).path
    os.truncate(medium / "DICOMDIR", 500)
    with pytest.raises(Refused, match="1 file was set aside"):
        select([medium], REQUEST, Peer("MANAGER", "127.0.0.1", 1), SELECTOR)
    candidates, _ = examine([medium / "DICOM"])
    assert len(candidates) == len([path for path in (medium / "DICOM").rglob("*") if path.is_file()])


def test_nothing_goes_before_it_was_agreed_to(tmp_path: Path) -> None:
    """Whoever is asked sees all that would go; a no leaves the Export Manager without one instance."""
    files = written(a_ct_study(), tmp_path)
    shown: list[int] = []

    def no(candidates: Sequence[Candidate]) -> None:
        shown.append(len(candidates))
        raise Refused("no")

    kept: list[Dataset] = []
    with a_manager_that_keeps(kept) as peer, pytest.raises(Refused):
        select(files, REQUEST, peer, SELECTOR, agree=no)
    assert shown == [len(files)]
    assert kept == []


def test_what_was_not_chosen_stays(tmp_path: Path) -> None:
    """Where studies were chosen, what came beside them is set aside and never referenced."""
    chosen = written(a_ct_study(), tmp_path / "in")
    beside = written(an_mr_study(patient=1), tmp_path / "in")
    study = str(dcmread(chosen[0]).StudyInstanceUID)

    def of_study(candidate: Candidate) -> bool:
        return candidate.reference.study_uid == study

    kept: list[Dataset] = []
    with a_manager_that_keeps(kept) as peer:
        account = select([tmp_path / "in"], REQUEST, peer, SELECTOR, chosen=of_study)
    assert {(one.path, one.reason) for one in account.set_aside} == {(path, "not-chosen") for path in beside}
    assert {str(ds.StudyInstanceUID) for ds in kept} == {study}


def test_the_mark_is_that_of_the_manifests(tmp_path: Path) -> None:
    """One mark a patient, made of the manifests that go together; the Export Manager can make it, too."""
    written(a_ct_study(patient=1), tmp_path / "in")
    written(an_mr_study(patient=1), tmp_path / "in")
    written(a_ct_study(patient=2), tmp_path / "in")
    kept: list[Dataset] = []
    with a_manager_that_keeps(kept) as peer:
        account = select([tmp_path / "in"], REQUEST, peer, SELECTOR)
    uids: dict[str, list[str]] = {}
    for ds in of_kind(kept, DocumentKind.MANIFEST):
        uids.setdefault(ds.PatientID, []).append(str(ds.SOPInstanceUID))
    assert sorted(map(len, uids.values())) == [1, 2]
    assert sorted(account.marks) == sorted(manifest_mark(found) for found in uids.values())


def test_the_manager_finds_an_export_by_its_mark(tmp_path: Path) -> None:
    """What the selector is told at the end leads to its export, and to no other, whatever id that has."""
    with a_manager(tmp_path / "manager", CaseShelf({CASE: terms()})) as manager:
        marks = {
            patient: select(
                [pseudonymized_ct(tmp_path / str(patient), patient=patient)[0].parent],
                a_request(),
                manager.peer,
                SELECTOR,
            ).marks
            for patient in (1, 2)
        }
        manager.wait_for(lambda found: len(found) == 2)
        index = Exports(manager.exports_url)
        found = [index.find(mark) for [mark] in marks.values()]
        assert [index.mark(export) for export in found] == [mark for [mark] in marks.values()]
        index.close()
    assert len({export.id for export in found}) == 2


def test_nothing_to_select_is_refused(tmp_path: Path) -> None:
    """A folder without instances sends nothing and says so."""
    not_dicom(tmp_path / "letter")
    with pytest.raises(Refused, match="1 file was set aside"):
        select([tmp_path], REQUEST, Peer("MANAGER", "127.0.0.1", 1), SELECTOR)


def test_a_selection_without_a_case_is_refused(tmp_path: Path) -> None:
    """Nothing is sent that could only be held."""
    files = written(a_ct_study(), tmp_path)
    with pytest.raises(Refused, match="no case"):
        select(files, a_request(case=""), Peer("MANAGER", "127.0.0.1", 1), SELECTOR)


def test_a_source_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """A mistyped folder is not an empty one."""
    with pytest.raises(TceError, match="There is no file or folder"):
        select([tmp_path / "nowhere"], REQUEST, Peer("MANAGER", "127.0.0.1", 1), SELECTOR)


def test_a_manager_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """The peer is named, and what to do."""
    files = written(a_ct_study(), tmp_path)
    with pytest.raises(PeerUnavailable, match="does not answer"):
        select(files, REQUEST, Peer("MANAGER", "127.0.0.1", 1), SELECTOR)
