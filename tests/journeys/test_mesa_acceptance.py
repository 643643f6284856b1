"""What MESA, the test software of IHE, measures on an exported set: a test for each of its points.

Its test 3001 selects identified instances and looks at what the Receiver got; its test 3003 selects first with and then
without Delay Reason. Selector, manager and receiver are the real actors over real associations; instances and
their headers carry a value in every attribute that MESA expects to be gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from policies.loader import load_library
from tce.actors.export_selector import select
from tce.actors.receiver import MediumReport
from tce.documents.codes import (
    KEY_OBJECT_DESCRIPTION,
    KEY_OBJECT_SELECTION,
    Code,
    DelayReason,
    ExportTitle,
    Scheme,
)
from tce.documents.content import code, concept
from tce.documents.disposition import Disposition, DocumentRules
from tce.documents.manifest import Manifest, ParsedManifest, parse
from tce.documents.teaching_file_info import PolicyRequest
from tce.ledger import Export
from tce.network.storage_scu import send
from tce.road import PolicyTerms
from tce.samples import Sample
from tce.states import State
from tests.builders import a_ct_study, an_mr_study
from tests.tce.parts import CASE, SELECTOR, CaseShelf, Running, a_manager, a_receiver, documents, terms

POLICY = load_library("basic")
REQUEST = PolicyRequest(POLICY.name, POLICY.version, POLICY.digest, CASE)

# deltaIM.txt and deltaKON.txt: what is blank, or replaced with a configured value, in instances and manifests.
DELTAS = {
    (0x0008, 0x0050): "MESA-ACC-1",
    (0x0008, 0x0090): "MesaReferring^Rita",
    (0x0008, 0x0092): "1 Mesa Referring Street",
    (0x0008, 0x0094): "555-0100-94",
    (0x0008, 0x1048): "MesaRecord^Rob",
    (0x0008, 0x1050): "MesaPerforming^Pat",
    (0x0008, 0x1060): "MesaReading^Rae",
    (0x0008, 0x1070): "MesaOperator^Olga",
    (0x0008, 0x1080): "mesadiagnosis admitted",
    (0x0010, 0x0010): "MesaPatient^Paula",
    (0x0010, 0x0020): "MESA-PID-1",
    (0x0010, 0x0030): "19611103",
    (0x0010, 0x0032): "031415",
    (0x0010, 0x0040): "F",
    (0x0010, 0x1000): "MESA-OTHER-1",
    (0x0010, 0x1001): "MesaFormer^Paula",
    (0x0010, 0x1090): "MESA-LOCATOR-1",
    (0x0010, 0x2160): "mesaethnic",
    (0x0010, 0x2180): "mesaoccupation",
    (0x0010, 0x21B0): "mesahistory of a fall",
    (0x0010, 0x4000): "mesacomment on the patient",
    (0x0020, 0x0010): "MESASTUDY1",
    (0x0020, 0x4000): "mesacomment on the image",
}


@dataclass(frozen=True, slots=True)
class Exported:
    """What was selected, what became of it at the manager, and what each medium of the receiver holds."""

    selected: list[Dataset]
    exports: list[Export]
    media: list[list[Dataset]]

    @property
    def everything(self) -> list[Dataset]:
        return [ds for medium in self.media for ds in medium]

    @property
    def instances(self) -> list[Dataset]:
        """What came out, documents of the selection left out."""
        return [ds for ds in self.everything if not (is_manifest(ds) or is_information(ds))]

    @property
    def manifests(self) -> list[Dataset]:
        return [ds for ds in self.everything if is_manifest(ds)]

    @property
    def parsed(self) -> list[ParsedManifest]:
        return [parse(ds) for ds in self.manifests]


def is_manifest(ds: Dataset) -> bool:
    return bool(ds.SOPClassUID == KEY_OBJECT_SELECTION)


def is_information(ds: Dataset) -> bool:
    return "ConceptNameCodeSequence" in ds and ds.ConceptNameCodeSequence[0].CodeValue in ("TCE006", "128712")


def identified(folder: Path, samples: Iterable[Sample], patient: str = "") -> Path:
    """A folder with instances that carry a value in every attribute of MESA's lists."""
    folder.mkdir(parents=True)
    for place, sample in enumerate(samples):
        ds = sample.instance
        for number, value in DELTAS.items():
            if number in ds or number[0] != 0x0020:
                ds.add_new(Tag(number), dictionary_VR(number), value)
        ds.ImageComments = DELTAS[0x0020, 0x4000]
        ds.PatientID += patient
        ds.PatientName = f"{DELTAS[0x0010, 0x0010]}{patient}"
        ds.save_as(folder / f"{place:04d}", enforce_file_format=True)
    return folder


def exported(
    home: Path,
    selections: Callable[[Running], list[Path]],
    *,
    exports: int,
    rules: DocumentRules = DocumentRules(),
) -> Exported:
    """Let a selector do something, and wait until ``exports`` exports are over and have become media."""
    media: list[MediumReport] = []
    with ExitStack() as stack:
        receiver = stack.enter_context(a_receiver(home / "receiver", media))
        approved = PolicyTerms(POLICY.name, POLICY.version, POLICY.digest)
        shelf = CaseShelf({CASE: replace(terms(receiver.peer), policy=approved)})
        manager = stack.enter_context(a_manager(home / "manager", shelf, policy=POLICY, rules=rules))
        sources = selections(manager)
        over = (State.DELIVERED, State.CANCELLED)
        found = manager.wait_for(lambda all_: len(all_) == exports and all(one.state in over for one in all_))
        delivered = sum(one.state is State.DELIVERED for one in found)
        receiver.wait_for(lambda all_: [one.state for one in all_] == [State.DELIVERED] * delivered)
    return Exported(
        [dcmread(path) for folder in sources for path in sorted(folder.iterdir())],
        found,
        [[dcmread(path) for path in sorted(report.path.iterdir())] for report in media],
    )


@pytest.fixture(scope="module", params=Scheme, ids=str)
def travelled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """3001: two studies of one patient and one of another, selected together for one case."""
    home = tmp_path_factory.mktemp("travel")

    def selections(manager: Running) -> list[Path]:
        sources = [
            identified(home / "first", [*a_ct_study(patient=1), *an_mr_study(patient=1)]),
            identified(home / "second", a_ct_study(patient=3), "2"),
        ]
        select(sources, REQUEST, manager.peer, SELECTOR, scheme=request.param)
        return sources

    return exported(home, selections, exports=2)


@pytest.fixture(scope="module")
def delayed(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """3003: a study selected with a Delay Reason; later, with a further study, without one."""
    home = tmp_path_factory.mktemp("delay")

    def selections(manager: Running) -> list[Path]:
        sources = [identified(home / "a", a_ct_study(patient=1))]
        select(sources, REQUEST, manager.peer, SELECTOR, delay=list(DelayReason))
        manager.wait_for(lambda found: [one.state for one in found] == [State.DELAYED])
        sources.append(identified(home / "b", an_mr_study(patient=1)))
        select(sources, REQUEST, manager.peer, SELECTOR)
        return sources

    return exported(home, selections, exports=2)


def shape(datasets: Iterable[Dataset]) -> Counter[tuple[int, ...]]:
    """How many studies there are of how many series of how many instances, without any UID."""
    studies: dict[str, Counter[str]] = {}
    for ds in datasets:
        studies.setdefault(ds.StudyInstanceUID, Counter())[ds.SeriesInstanceUID] += 1
    return Counter(tuple(sorted(series.values())) for series in studies.values())


def text_of(ds: Dataset, number: tuple[int, int]) -> str:
    return str(ds[number].value or "") if number in ds else ""


def test_as_many_studies_series_and_instances_arrive_as_were_selected(travelled: Exported) -> None:
    """Same number of studies, of series in each study, and of instances in each series."""
    assert shape(travelled.instances) == shape(travelled.selected)


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_every_uid_differs_from_the_original(travelled: Exported, keyword: str) -> None:
    """No Study, Series or SOP Instance UID that was selected arrives."""
    before = {ds[keyword].value for ds in travelled.selected}
    assert before.isdisjoint(ds[keyword].value for ds in travelled.everything)


def test_every_reference_of_a_manifest_resolves_to_an_exported_instance(travelled: Exported) -> None:
    """What a manifest references is what arrived with it: all of it, and nothing else."""
    for medium in travelled.media:
        there = {str(ds.SOPInstanceUID) for ds in medium if not is_manifest(ds)}
        places = {
            (str(ds.StudyInstanceUID), str(ds.SeriesInstanceUID), str(ds.SOPClassUID), str(ds.SOPInstanceUID))
            for ds in medium
        }
        for manifest in (parse(ds) for ds in medium if is_manifest(ds)):
            references = manifest.manifest.references
            assert {one.sop_instance_uid for one in references} == there
            assert places.issuperset(
                (one.study_uid, one.series_uid, one.sop_class_uid, one.sop_instance_uid) for one in references
            )


def test_evidence_of_a_manifest_equals_its_content_tree(travelled: Exported) -> None:
    """Current Requested Procedure Evidence Sequence and content tree name the same instances."""
    assert [one.faults for one in travelled.parsed] == [()] * 3


def test_there_is_a_manifest_for_each_study(travelled: Exported) -> None:
    """As many manifests as studies, each in its own study."""
    of_manifests = sorted(ds.StudyInstanceUID for ds in travelled.manifests)
    assert of_manifests == sorted({ds.StudyInstanceUID for ds in travelled.instances})


def test_sibling_manifests_have_distinct_uids_and_name_each_other(travelled: Exported) -> None:
    """The manifests of the patient with two studies are identical documents of one another, of nobody else's."""
    siblings = {one.sop_instance_uid: one.siblings for one in travelled.parsed if one.siblings}
    first, second = siblings
    assert siblings == {first: {second}, second: {first}}
    assert len({ds.SeriesInstanceUID for ds in travelled.manifests}) == 3


def test_sibling_manifests_have_identical_content(travelled: Exported) -> None:
    """What the manifests of one selection say is the same, item for item."""
    first, second = (ds for ds in travelled.manifests if "IdenticalDocumentsSequence" in ds)
    assert first.ContentSequence == second.ContentSequence
    assert first.ConceptNameCodeSequence == second.ConceptNameCodeSequence
    evidence = "CurrentRequestedProcedureEvidenceSequence"
    assert first[evidence] == second[evidence]


@pytest.mark.parametrize("number", DELTAS, ids=lambda number: str(Tag(number)))
def test_an_attribute_of_the_lists_is_blank_or_has_the_value_that_is_configured(
    travelled: Exported, number: tuple[int, int]
) -> None:
    """What deltaIM and deltaKON name is blank in instances and documents, or holds a pseudonym of the case."""
    before = {text_of(ds, number) for ds in travelled.selected} - {""}
    assert before, "the attribute was not planted"
    pseudonymous = {(0x0008, 0x0050), (0x0010, 0x0010), (0x0010, 0x0020), (0x0020, 0x0010)}
    for ds in travelled.everything:
        after = text_of(ds, number)
        assert after not in before
        assert (after == "") is (number not in pseudonymous)


def test_name_and_id_of_a_patient_are_the_same_in_everything_of_an_export(travelled: Exported) -> None:
    """Instances, information and manifests of one patient carry one pseudonym; two patients stay two."""
    patients = [{(str(ds.PatientName), ds.PatientID) for ds in medium} for medium in travelled.media]
    assert [len(one) for one in patients] == [1, 1]
    assert patients[0] != patients[1]


def test_everything_says_that_identity_was_removed_and_how(travelled: Exported) -> None:
    """Patient Identity Removed is YES and the method is given, on documents as on images."""
    for ds in travelled.everything:
        assert ds.PatientIdentityRemoved == "YES"
        assert "DeidentificationMethod" in ds or "DeidentificationMethodCodeSequence" in ds


def test_a_delayed_manifest_is_not_exported_and_its_successor_is(delayed: Exported) -> None:
    """3003: the delayed export is cancelled by the later selection, which is delivered, with all of both studies."""
    first, second = delayed.exports
    assert (first.state, [reason.code for reason in first.reasons]) == (State.CANCELLED, ["superseded"])
    assert second.state is State.DELIVERED
    assert shape(delayed.instances) == shape(delayed.selected)


def test_the_receiver_gets_one_manifest_for_each_study_and_none_with_a_delay(delayed: Exported) -> None:
    """3003: three manifests were sent, two arrive, and neither carries a title modifier."""
    assert len(delayed.manifests) == 2
    assert [one.manifest.delay_reasons for one in delayed.parsed] == [(), ()]
    assert "113011" not in str(delayed.manifests)


def rows(ds: Dataset) -> list[tuple[str, str, Code | None]]:
    """The content tree of a manifest as a table: relationship, value type and concept of each row."""
    return [(item.RelationshipType, item.ValueType, concept(item)) for item in ds.ContentSequence]


def test_a_manifest_like_those_of_mesa_is_exported_and_keeps_its_structure(tmp_path: Path) -> None:
    """With language, observer and a description of its own, and no word of a case: the settings lead it to one."""
    language = Code("121049", "DCM", "Language of Content Item and Descendants")
    english = Code("eng", "ISO639_2", "English")
    sent: list[Dataset] = []

    def selections(manager: Running) -> list[Path]:
        source = identified(tmp_path / "in", a_ct_study(patient=1))
        instances = sorted(source.iterdir())
        said = Manifest(
            ExportTitle.TEACHING, (), description="Dr.Jost teaching file", observer="MesaObserver^Steve"
        )
        (path,) = documents(instances, tmp_path / "documents", manifest=said)
        ds = dcmread(path)
        ds.ContentSequence.insert(0, code("HAS CONCEPT MOD", language, english))
        ds.save_as(path, enforce_file_format=True)
        sent.append(ds)
        assert send([*instances, path], manager.peer, SELECTOR).failed == ()
        return [source]

    rules = DocumentRules(Disposition(descriptions={"Dr.Jost teaching file": CASE}))
    outcome = exported(tmp_path, selections, exports=1, rules=rules)
    (arrived,) = outcome.manifests
    # The Basic Profile lets the description go (PS3.15 table E.3.4-1); every other row keeps its place.
    assert rows(arrived) == [row for row in rows(sent[0]) if row[2] != KEY_OBJECT_DESCRIPTION]
    assert concept(arrived) == ExportTitle.TEACHING.code(Scheme.IHERADTF)
    assert "MesaObserver" not in str(arrived)
    assert "Jost" not in str(arrived)
