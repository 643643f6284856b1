"""References between instances lead after both stages where they led before, in every family that has some.

Each line of ``references.csv`` is one way to refer: the kind of instance, the attributes that lead to the UID, and
whose UID it is. An instance is built of each kind; its references point at a CT series, at each other and at entities.
The set goes through stage 1 and stage 2, and each UID must be that of its target's result.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from policies.engine import Engine
from policies.loader import load_library
from policies.model import Policy, Risk
from policies.verify import check_references
from tests.policies.pseudonyms_for_tests import CountedPseudonyms

_STORAGE = "1.2.840.10008.5.1.4.1.1."
CLASSES = {
    "CT": _STORAGE + "2",
    "ECT": _STORAGE + "2.1",
    "RTSTRUCT": _STORAGE + "481.3",
    "RTPLAN": _STORAGE + "481.5",
    "RTDOSE": _STORAGE + "481.2",
    "RTRECORD": _STORAGE + "481.4",
    "RTIMAGE": _STORAGE + "481.1",
    "REG": _STORAGE + "66.1",
    "DEFORMABLE": _STORAGE + "66.3",
    "FIDUCIALS": _STORAGE + "66.2",
    "SEG": _STORAGE + "66.4",
    "SURFACE": _STORAGE + "66.5",
    "MAP": _STORAGE + "30",
    "RWV": _STORAGE + "67",
    "GSPS": _STORAGE + "11.1",
    "BLENDING": _STORAGE + "11.4",
    "VOLUMETRIC": _STORAGE + "11.6",
    "KOS": _STORAGE + "88.59",
    "SR": _STORAGE + "88.34",
    "ECG": _STORAGE + "9.1.1",
    "TRACT": _STORAGE + "66.6",
    "ANN": _STORAGE + "91.1",
    "PALETTE": "1.2.840.10008.5.1.4.39.1",
    "IMPLANTS": "1.2.840.10008.5.1.4.44.1",
}


def references() -> list[tuple[str, str, str]]:
    """Kind of instance, keywords that lead to the UID, and whose UID it is (empty for one of the standard's own)."""
    with (Path(__file__).parent / "references.csv").open(encoding="utf-8", newline="") as lines:
        return [(line["kind"], line["path"], line["target"]) for line in csv.DictReader(lines)]


WITHOUT_STUDY = ("PALETTE", "IMPLANTS")
CONTEXT = "1.2.840.10008.6.1.925"
"""A UID of the standard's own (CID 7050), which is no reference to an instance and stays."""


def uid_of(target: str) -> str:
    """The UID of an instance, or of an entity."""
    names = [
        *CLASSES,
        "study",
        "series",
        "frame",
        "dose point",
        "fiducial",
        "tracking",
        "input set",
        "time",
        "group",
    ]
    return f"1.2.3.99.{names.index(target) + 1}" if target else CONTEXT


def put(ds: Dataset, path: str, uid: str, refers_to: str) -> None:
    *sequences, keyword = path.split(".")
    for sequence in sequences:
        if sequence not in ds:
            setattr(ds, sequence, Sequence([Dataset()]))
        ds = ds[sequence].value[0]
    setattr(ds, keyword, uid)
    if keyword == "ReferencedSOPInstanceUID":
        ds.ReferencedSOPClassUID = CLASSES.get(refers_to, "1.2.840.10008.3.1.2.3.1")


def got(ds: Dataset, path: str) -> tuple[str, str]:
    """The UID at a path and the SOP Class beside it, each empty where it is not there."""
    *sequences, keyword = path.split(".")
    for sequence in sequences:
        if not ds.get(sequence):
            return "", ""
        ds = ds[sequence].value[0]
    return str(ds.get(keyword, "")), str(ds.get("ReferencedSOPClassUID", ""))


def an_instance(kind: str) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = CLASSES[kind]
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = uid_of(kind)
    if kind not in WITHOUT_STUDY:
        ds.PatientName, ds.PatientID = "Quirin^Vyx", "PID-5512"
        ds.StudyInstanceUID = uid_of("study")
        ds.SeriesInstanceUID = uid_of("series") if kind == "CT" else f"{uid_of('series')}.{uid_of(kind)[9:]}"
        ds.FrameOfReferenceUID = uid_of("frame")
    for owner, path, target in references():
        if owner == kind:
            put(ds, path, uid_of(target), target)
    return ds


def accepting(name: str) -> Policy:
    policy = load_library(name)
    accepted = [{"risk": risk, "reason": "nothing is shown here"} for risk in Risk]
    return Policy.model_validate({**policy.model_dump(exclude={"accept"}), "accept": accepted})


@pytest.fixture(scope="module", params=["basic", "longitudinal-trial"])
def both_stages(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The set after both stages, by what the instances are."""
    folder, pseudonyms = tmp_path_factory.mktemp("references"), CountedPseudonyms()
    stages = [Engine(accepting(name)) for name in ("pseudonymization", request.param)]
    made = {}
    for kind in CLASSES:
        path = folder / f"{kind}-0.dcm"
        an_instance(kind).save_as(path, enforce_file_format=True)
        for number, engine in enumerate(stages, 1):
            out = folder / f"{kind}-{number}.dcm"
            with engine.read(path) as draft:
                engine.write(draft, pseudonyms.resolve([draft.subject]), out)
            path = out
        made[kind] = path
    return made


def test_every_reference_leads_where_it_led(both_stages: dict[str, Path]) -> None:
    """Instance, class, study, series and frame of reference of a reference are those of its target's result, and what
    was one entity is one entity in every instance that names it."""
    made = {kind: pydicom.dcmread(path) for kind, path in both_stages.items()}
    ct = made["CT"]
    new = {
        **{kind: str(ds.SOPInstanceUID) for kind, ds in made.items()},
        "study": ct.StudyInstanceUID,
        "series": ct.SeriesInstanceUID,
        "frame": ct.FrameOfReferenceUID,
        "": CONTEXT,
    }
    faults = []
    for kind, path, target in references():
        uid, sop_class = got(made[kind], path)
        if (
            kind == "GSPS"
            and path.startswith("GraphicAnnotation")
            and "GraphicAnnotationSequence" not in made[kind]
        ):
            # Without the option Clean Graphics the annotations of a presentation state go (action D).
            continue
        if not uid.startswith("2.25.") and target:
            faults.append(f"{kind} {path}: {uid or 'gone'}")
        elif uid != new.setdefault(target, uid):
            faults.append(f"{kind} {path}: not {target}")
        elif target in CLASSES and sop_class not in ("", CLASSES[target]):
            faults.append(f"{kind} {path}: another class")
    assert faults == []
    assert len(set(new.values())) == len(new)


def test_the_verification_agrees(both_stages: dict[str, Path]) -> None:
    """The check of references, which shares no rule with the engine, finds the whole set in order."""
    assert check_references(list(both_stages.values())) == []
