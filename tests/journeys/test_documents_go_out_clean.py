"""Manifests and additional information: no name goes out, and other software reads what does.

The instances are identified, the documents are full of names, and DCMTK has its part in both directions: its
``xml2dsr`` writes the documents anew and its ``storescu`` sends them; ``dsrdump`` and dicom3tools' ``dciodvfy`` read
what arrives.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from policies.loader import load_library
from policies.residue import Residue
from tce.actors.receiver import MediumReport
from tce.documents import teaching_file_info
from tce.documents.codes import Category, Confirmed, ExportTitle, InformationTitle, Level, Scheme
from tce.documents.content import concept
from tce.documents.manifest import DOCUMENT_CLASSES, DocumentKind, Manifest, parse, recognise
from tce.documents.teaching_file_info import PolicyRequest, TeachingFileInfo
from tce.network.storage_scu import send
from tce.road import Peer, PolicyTerms
from tce.states import State
from tests.builders import a_ct_study, an_mr_study
from tests.tce.parts import (
    CASE,
    SELECTOR,
    CaseShelf,
    a_manager,
    a_receiver,
    documents,
    references,
    terms,
)

DCMTK = ("storescu", "dsr2xml", "xml2dsr", "dsrdump")
needs_dcmtk = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in DCMTK), reason=f"DCMTK's {', '.join(DCMTK)} are not installed"
)

# Known from the header of the instances: who the patient is.
KNOWN = ("Quistgaard", "QMRN-7719", "Henriette")
# In no header: people, places, numbers and days that only the documents speak of.
UNKNOWN = (
    "Brzezinski",
    "Ostervold",
    "ostervold@clinic.example",
    "Xylograd",
    "+45 5550 1234",
    "2019-07-23",
    "23.07.2019",
    "A-550-1234",
)
PLANTED = (*KNOWN, *UNKNOWN)
TOLD = f"nodule of the left lung in {KNOWN[0]}, {KNOWN[1]}; see {UNKNOWN[0]} in {UNKNOWN[3]} on {UNKNOWN[5]}"
ROWS = {
    row: (f"{row} {one}", "nodule")
    for row, one in zip(
        ("keywords", "history", "finding", "discussion", "impression", "diagnosis", "anatomy", "pathology"),
        PLANTED,
        strict=False,
    )
}
INFO = TeachingFileInfo(
    author=f"Prof. {UNKNOWN[1]}",
    abstract=TOLD,
    affiliation=f"Hospital of {UNKNOWN[3]}, tel. {UNKNOWN[4]}",
    contact=f"{UNKNOWN[2]}, {UNKNOWN[7]}, {UNKNOWN[6]}",
    category=Category.PULMONARY,
    level=Level.ADVANCED,
    modality=("CT",),
    diagnoses_confirmed=Confirmed.YES,
    organ_system=(f"organ {KNOWN[0].upper()}^{KNOWN[2].upper()}",),
    **ROWS,
)
POLICIES = ("basic", "longitudinal-trial")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the receiver's medium holds, and what is left at the manager."""

    sent: list[Path]
    files: list[Path]
    manager: Path

    def documents(self, kind: DocumentKind) -> list[Dataset]:
        found = (dcmread(path) for path in self.files)
        return [ds for ds in found if recognise(str(ds.SOPClassUID), ds) is kind]


def selected(home: Path, policy: str, scheme: Scheme) -> tuple[list[Path], list[Path]]:
    """Identified instances of two studies, and documents that name everybody."""
    instances = []
    home.mkdir(parents=True)
    studies = [*a_ct_study(patient=1, slices=2), *an_mr_study(patient=1, slices=1)]
    for place, sample in enumerate(studies):
        ds = sample.instance
        ds.PatientName, ds.PatientID = f"{KNOWN[0]}^{KNOWN[2]}", KNOWN[1]
        instances.append(home / f"{place:04d}")
        ds.save_as(instances[-1], enforce_file_format=True)
    found = load_library(policy)
    observer = f"{UNKNOWN[1]}^{UNKNOWN[0]}"
    said = Manifest(ExportTitle.TEACHING, (), description=TOLD, observer=observer)
    request = PolicyRequest(found.name, found.version, found.digest, CASE)
    made = documents(instances, home / "documents", request=request, info=INFO, manifest=said, scheme=scheme)
    return instances, made


def carried(home: Path, policy: str, instances: list[Path], made: list[Path], *, by_dcmtk: bool) -> Outcome:
    """Let a selection go all the way."""
    media: list[MediumReport] = []
    found = load_library(policy)
    approved = PolicyTerms(found.name, found.version, found.digest)
    with a_receiver(home / "receiver", media) as receiver:
        shelf = CaseShelf({CASE: replace(terms(receiver.peer), policy=approved)})
        with a_manager(home / "manager", shelf, policy=found) as manager:
            (by_storescu if by_dcmtk else by_us)([*instances, *made], manager.peer)
            manager.wait_for(lambda all_: [one.state for one in all_] == [State.DELIVERED])
        receiver.wait_for(lambda all_: [one.state for one in all_] == [State.DELIVERED])
    return Outcome([*instances, *made], sorted(media[0].path.iterdir()), home / "manager")


def by_us(files: list[Path], to: Peer) -> None:
    assert send(files, to, SELECTOR).failed == ()


def by_storescu(files: list[Path], to: Peer) -> None:
    command = ["storescu", "-R", "-aet", SELECTOR, "-aec", to.ae_title, to.host, str(to.port)]
    subprocess.run([*command, *map(str, files)], check=True, capture_output=True)


def written_by_dcmtk(path: Path) -> Path:
    """The document as DCMTK writes it from its own reading of ours."""
    xml, out = path.with_suffix(".xml"), path.with_suffix(".dcm")
    subprocess.run(["dsr2xml", path, xml], check=True, capture_output=True)
    subprocess.run(["xml2dsr", xml, out], check=True, capture_output=True)
    return out


@pytest.fixture(scope="module", params=[(p, s) for p in POLICIES for s in Scheme], ids=" ".join)
def outcome(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """One selection under each policy of the library, coded in each scheme."""
    policy, scheme = request.param
    home = tmp_path_factory.mktemp("outcome")
    instances, made = selected(home / "in", policy, scheme)
    return carried(home, policy, instances, made, by_dcmtk=False)


def test_no_name_of_the_documents_goes_out(outcome: Outcome) -> None:
    """Neither the patient whom the header names nor people, places, numbers and days that no header knows."""
    found = Residue(PLANTED)
    assert found.unsearchable == ()
    assert {hit.which for path in outcome.sent for hit in found.search_file(path)} == set(range(len(PLANTED)))
    assert [hit for path in outcome.files for hit in found.search_file(path)] == []


def test_codes_and_plain_findings_go_out(outcome: Outcome) -> None:
    """Title, category, level and modality are there, in the scheme in which they came, and safe words are."""
    (information,) = outcome.documents(DocumentKind.INFORMATION)
    title = concept(information)
    assert title in [InformationTitle.ADDITIONAL_INFORMATION.code(scheme) for scheme in Scheme]
    info, request = teaching_file_info.parse(information)
    assert (info.category, info.level, info.modality) == (Category.PULMONARY, Level.ADVANCED, ("CT",))
    assert info.diagnoses_confirmed is Confirmed.YES
    assert request == PolicyRequest()
    assert "nodule of the left lung" in info.abstract
    assert "nodule" in info.keywords


def test_nothing_but_words_is_lost_from_the_documents(outcome: Outcome) -> None:
    """References, siblings and titles of manifests are whole, and their evidence equals their content."""
    first, second = (parse(ds) for ds in outcome.documents(DocumentKind.MANIFEST))
    assert first.faults == second.faults == ()
    assert first.siblings == {second.sop_instance_uid}
    assert first.manifest.title is ExportTitle.TEACHING
    assert first.manifest.references == second.manifest.references
    there = {one.sop_instance_uid for one in references(outcome.files)}
    assert {one.sop_instance_uid for one in first.manifest.references} == there - {
        first.sop_instance_uid,
        second.sop_instance_uid,
    }


def test_the_index_of_the_manager_holds_no_name(outcome: Outcome) -> None:
    """States and UIDs are kept, and no word of a document."""
    found = Residue(PLANTED)
    assert [hit for path in outcome.manager.glob("exports.db*") for hit in found.search_file(path)] == []


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools' dciodvfy is not installed")
def test_dciodvfy_finds_no_error_in_documents_that_go_out(outcome: Outcome) -> None:
    """Documents that were legal are legal."""
    for path in (one for one in outcome.files if is_document(one)):
        said = subprocess.run(["dciodvfy", "-new", path], capture_output=True, check=False).stderr
        assert b"Error" not in said, said.decode(errors="replace")


@pytest.mark.peer
@needs_dcmtk
def test_dcmtk_reads_documents_that_go_out(outcome: Outcome) -> None:
    """DCMTK checks tree, relationships and references, and has nothing to say but of a character set."""
    for path in (one for one in outcome.files if is_document(one)):
        done = subprocess.run(["dsrdump", "-v", path], capture_output=True, text=True, check=False)
        assert done.returncode == 0
        assert [line for line in done.stderr.splitlines() if line.startswith(("E:", "F:"))] == []


def is_document(path: Path) -> bool:
    return str(dcmread(path, specific_tags=["SOPClassUID"]).SOPClassUID) in DOCUMENT_CLASSES


@pytest.mark.peer
@needs_dcmtk
@pytest.mark.parametrize("scheme", Scheme, ids=str)
def test_a_selection_written_and_sent_by_dcmtk_is_exported(tmp_path: Path, scheme: Scheme) -> None:
    """Documents of another maker, in either scheme, give an export whose manifests say what they said."""
    instances, made = selected(tmp_path / "in", "basic", scheme)
    theirs = [written_by_dcmtk(path) for path in made]
    assert {str(dcmread(path).file_meta.ImplementationVersionName)[:12] for path in theirs} == {
        "OFFIS_DCMTK_"
    }
    outcome = carried(tmp_path, "basic", instances, theirs, by_dcmtk=True)
    test_no_name_of_the_documents_goes_out(outcome)
    test_codes_and_plain_findings_go_out(outcome)
    test_nothing_but_words_is_lost_from_the_documents(outcome)
