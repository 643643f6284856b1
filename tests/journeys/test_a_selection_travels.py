"""From the Export Selector to the Receiver's media: what MESA measures on an exported set (standards, 4.3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from policies.engine import Engine
from tce.actors.export_selector import select
from tce.actors.receiver import MediumReport
from tce.documents.codes import KEY_OBJECT_SELECTION
from tce.documents.manifest import ParsedManifest, parse
from tce.states import State
from tests.builders import a_ct_study, an_mr_study
from tests.derivation import LocalPseudonyms
from tests.tce.parts import CASE, SELECTOR, STAGE_1, CaseShelf, a_manager, a_receiver, a_request, terms


@dataclass(frozen=True, slots=True)
class Travelled:
    """What was selected, and what each medium holds."""

    selected: list[Dataset]
    media: list[list[Dataset]]

    @property
    def everything(self) -> list[Dataset]:
        return [ds for medium in self.media for ds in medium]

    @property
    def instances(self) -> list[Dataset]:
        """What came out, documents of the selection left out."""
        return [ds for ds in self.everything if ds.Modality != "KO" and not is_information(ds)]

    @property
    def manifests(self) -> list[ParsedManifest]:
        return [parse(ds) for ds in self.everything if ds.SOPClassUID == KEY_OBJECT_SELECTION]


def is_information(ds: Dataset) -> bool:
    return "ConceptNameCodeSequence" in ds and ds.ConceptNameCodeSequence[0].CodeValue == "TCE006"


def read_all(paths: Iterable[Path]) -> list[Dataset]:
    return [dcmread(path) for path in paths]


@pytest.fixture(scope="module")
def travelled(tmp_path_factory: pytest.TempPathFactory) -> Travelled:
    """Two studies of one patient and one of another, selected together for one case."""
    home = tmp_path_factory.mktemp("travel")
    engine, pseudonyms = Engine(STAGE_1), LocalPseudonyms(b"hospital")
    source = home / "in"
    source.mkdir()
    samples = [*a_ct_study(patient=1), *an_mr_study(patient=1), *a_ct_study(patient=3)]
    for place, sample in enumerate(samples):
        identified = home / "identified"
        sample.instance.save_as(identified, enforce_file_format=True)
        draft = engine.read(identified)
        engine.write(draft, pseudonyms.resolve([draft.subject]), source / f"{place:04d}")
        draft.close()
    media: list[MediumReport] = []
    with a_receiver(home / "receiver", media) as receiver:
        with a_manager(home / "manager", CaseShelf({CASE: terms(receiver.peer)})) as manager:
            select([source], a_request(), manager.peer, SELECTOR)
            manager.wait_for(lambda found: [one.state for one in found] == [State.DELIVERED] * 2)
        receiver.wait_for(lambda found: [one.state for one in found] == [State.DELIVERED] * 2)
    return Travelled(
        read_all(sorted(source.iterdir())), [read_all(sorted(report.path.iterdir())) for report in media]
    )


def shape(datasets: Iterable[Dataset]) -> Counter[tuple[int, ...]]:
    """How many studies there are of how many series of how many instances, without any UID."""
    studies: dict[str, Counter[str]] = {}
    for ds in datasets:
        studies.setdefault(ds.StudyInstanceUID, Counter())[ds.SeriesInstanceUID] += 1
    return Counter(tuple(sorted(series.values())) for series in studies.values())


def test_as_many_studies_series_and_instances_come_out_as_were_selected(travelled: Travelled) -> None:
    """Nothing is lost, nothing is added."""
    assert shape(travelled.instances) == shape(travelled.selected)


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "PatientID"])
def test_every_identifier_is_a_new_one(travelled: Travelled, keyword: str) -> None:
    """No identifier of the research zone is that of the hospital's pseudonyms."""
    before = {ds[keyword].value for ds in travelled.selected}
    assert before.isdisjoint(ds[keyword].value for ds in travelled.everything)


def test_each_patient_is_an_export_of_its_own(travelled: Travelled) -> None:
    """Two patients stay two, on two media."""
    patients = [{ds.PatientID for ds in medium} for medium in travelled.media]
    assert [len(one) for one in patients] == [1, 1]
    assert patients[0] != patients[1]


def test_there_is_a_manifest_for_each_study(travelled: Travelled) -> None:
    """As many manifests as studies, each in its own study."""
    of_manifests = [ds.StudyInstanceUID for ds in travelled.everything if ds.Modality == "KO"]
    assert sorted(of_manifests) == sorted({ds.StudyInstanceUID for ds in travelled.instances})


def test_every_reference_of_a_manifest_resolves(travelled: Travelled) -> None:
    """Evidence equals content tree, and all of it is on the same medium."""
    for medium in travelled.media:
        there = {str(ds.SOPInstanceUID) for ds in medium}
        for manifest in (parse(ds) for ds in medium if ds.Modality == "KO"):
            assert manifest.faults == ()
            referenced = {one.sop_instance_uid for one in manifest.manifest.references}
            assert referenced == {str(ds.SOPInstanceUID) for ds in medium if ds.Modality != "KO"}
            assert manifest.siblings <= there


def test_siblings_still_name_each_other(travelled: Travelled) -> None:
    """The manifests of the patient with two studies are identical documents of one another."""
    siblings = {one.sop_instance_uid: one.siblings for one in travelled.manifests if one.siblings}
    first, second = siblings
    assert siblings == {first: {second}, second: {first}}


def test_everything_says_that_identity_was_removed_and_how(travelled: Travelled) -> None:
    """Patient Identity Removed is YES and the method is given, on documents as on images."""
    for ds in travelled.everything:
        assert ds.PatientIdentityRemoved == "YES"
        assert "DeidentificationMethod" in ds or "DeidentificationMethodCodeSequence" in ds
