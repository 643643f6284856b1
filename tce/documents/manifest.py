"""The manifest: a Key Object Selection that says what is to be exported and why (RAD-51, TID 2010).

Built for the Export Selector, read for Export Manager and Receiver. A selection over several studies becomes
one document a study with the same content, each naming the others (Identical Documents Sequence). What a
manifest leads to is not decided here; faults are named, and the caller holds the export.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from pydicom.dataset import Dataset
from pydicom.uid import UID, generate_uid

from tce.documents import codes
from tce.documents.codes import (
    KEY_OBJECT_SELECTION,
    TEXT_SR_CLASSES,
    DelayReason,
    ExportTitle,
    Scheme,
    delay_reason,
    export_title,
    is_information_title,
)
from tce.documents.content import (
    Reference,
    code,
    coded,
    concept,
    first_code,
    flattened,
    nested,
    new_document,
    person,
    referenced,
    text,
    text_of,
)
from tce.errors import Refused
from tce.road import Hold, Reason

DOCUMENT_CLASSES = TEXT_SR_CLASSES | {KEY_OBJECT_SELECTION}
_UID = re.compile(r"[0-9.]{1,64}")
_REFERENCE_TYPES = frozenset({"IMAGE", "WAVEFORM", "COMPOSITE"})
_SHOWN_WITH = ("ReferencedSOPSequence", "ReferencedRealWorldValueMappingInstanceSequence")


class DocumentKind(StrEnum):
    """What an instance is on the road; decided by SOP Class and document title."""

    INSTANCE = "instance"
    MANIFEST = "manifest"
    INFORMATION = "information"


@dataclass(frozen=True, slots=True, repr=False)
class Manifest:
    """What a selection says: its title, what it references, whether export is delayed, free text."""

    title: ExportTitle
    references: tuple[Reference, ...]
    delay_reasons: tuple[DelayReason, ...] = ()
    description: str = ""
    observer: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class ParsedManifest:
    """One manifest document as received: what it says, which document it is, and what is wrong with it.

    ``siblings`` holds the SOP Instance UIDs of the other documents of a selection over several studies.
    """

    manifest: Manifest
    sop_instance_uid: str = field(repr=False)
    siblings: frozenset[str] = field(repr=False)
    faults: tuple[Reason, ...]


def recognise(sop_class_uid: str, ds: Dataset) -> DocumentKind:
    """Say what an instance is. A Key Object Selection with any other title is an ordinary instance."""
    if sop_class_uid == KEY_OBJECT_SELECTION and export_title(concept(ds)) is not None:
        return DocumentKind.MANIFEST
    if sop_class_uid in TEXT_SR_CLASSES and is_information_title(concept(ds)):
        return DocumentKind.INFORMATION
    return DocumentKind.INSTANCE


def build(
    manifest: Manifest,
    headers: Mapping[str, Dataset],
    *,
    scheme: Scheme = Scheme.IHERADTF,
    now: datetime,
    new_uid: Callable[[], str] = generate_uid,
) -> list[Dataset]:
    """Return the documents of a selection, one for each study it references, ready to be saved.

    ``headers`` holds for each Study Instance UID a data set of that study, from which Patient and General
    Study module are taken. Raises Refused when nothing is referenced, a study has no header, or the headers
    are not all of one patient.
    """
    study_uids = list(dict.fromkeys(reference.study_uid for reference in manifest.references))
    if not study_uids:
        raise Refused("the selection is empty", next_step="name files or folders with DICOM instances")
    if missing := [uid for uid in study_uids if uid not in headers]:
        raise Refused(f"{len(missing)} studies of the selection have no header to build a manifest from")
    patients = {
        tuple(text_of(headers[uid], keyword) for keyword in ("PatientID", "IssuerOfPatientID"))
        for uid in study_uids
    }
    if len(patients) > 1:
        raise Refused("the selection spans several patients", next_step="select for each patient on its own")
    documents = []
    for study_uid in study_uids:
        ds = new_document(KEY_OBJECT_SELECTION, headers[study_uid], "KO", now, new_uid)
        ds.StudyInstanceUID = UID(study_uid)
        ds.ConceptNameCodeSequence = [coded(manifest.title.code(scheme))]
        template = Dataset()
        template.MappingResource, template.TemplateIdentifier = "DCMR", "2010"
        ds.ContentTemplateSequence = [template]
        ds.CurrentRequestedProcedureEvidenceSequence = nested(manifest.references)
        ds.ContentSequence = list(_content(manifest, scheme))
        documents.append(ds)
    for ds in documents:
        others = [_self_reference(other) for other in documents if other is not ds]
        if others:
            ds.IdenticalDocumentsSequence = nested(others)
    return documents


def parse(ds: Dataset) -> ParsedManifest:
    """Read a manifest in either code scheme. Raises Hold when it is too malformed to be read at all."""
    try:
        title = export_title(concept(ds))
        if title is None:
            raise Hold([Reason("not-a-manifest", "the document has no title of an export")])
        content = list(ds.get("ContentSequence") or ())
        listed = _references(content)
        evidence = flattened(ds.get("CurrentRequestedProcedureEvidenceSequence") or ())
        identical = flattened(ds.get("IdenticalDocumentsSequence") or ())
        delay_codes = [first_code(item.get("ConceptCodeSequence")) for item in content if _may_delay(item)]
        manifest = Manifest(
            title=title,
            references=tuple(reference for reference in evidence if reference.sop_instance_uid in listed),
            delay_reasons=tuple(reason for reason in map(delay_reason, delay_codes) if reason),
            description=_text_of(content, codes.KEY_OBJECT_DESCRIPTION),
        )
        sop_instance_uid = str(ds.SOPInstanceUID)
        _require_uids([*evidence, *identical], listed)
    except Hold:
        raise
    except Exception:  # a peer's bytes may fail in any way, and must not stop what others sent
        raise Hold([Reason("malformed-manifest", "the manifest cannot be read")]) from None
    return ParsedManifest(
        manifest=manifest,
        sop_instance_uid=sop_instance_uid,
        siblings=frozenset(other.sop_instance_uid for other in identical) - {sop_instance_uid},
        faults=tuple(_faults(manifest, listed, evidence, delay_codes)),
    )


def value_type(sop_class_uid: str) -> str:
    """Return the content item type that references an instance of a SOP Class (TID 2010 rows 8 to 10)."""
    name = UID(sop_class_uid).name
    if "Waveform" in name or "ECG" in name:
        return "WAVEFORM"
    if "Image" in name or "Segmentation" in name or "Parametric Map" in name:
        return "IMAGE"
    return "COMPOSITE"


def _content(manifest: Manifest, scheme: Scheme) -> list[Dataset]:
    """Return the content tree in the order of TID 2010, which is non-extensible for IHE."""
    items = [
        code("HAS CONCEPT MOD", codes.TITLE_MODIFIER, reason.code(scheme))
        for reason in manifest.delay_reasons
    ]
    if manifest.observer:
        items.append(code("HAS OBS CONTEXT", codes.OBSERVER_TYPE, codes.OBSERVER_PERSON))
        items.append(person("HAS OBS CONTEXT", codes.OBSERVER_NAME, manifest.observer))
    if manifest.description:
        items.append(text("CONTAINS", codes.KEY_OBJECT_DESCRIPTION, manifest.description))
    items += [referenced(value_type(one.sop_class_uid), one) for one in manifest.references]
    return items


def _references(content: Sequence[Dataset]) -> dict[str, str]:
    """Return SOP Instance UID to SOP Class UID of everything that the content tree references.

    An image may name what it is to be shown with, a presentation state or a real world value mapping, inside of its
    own reference (PS3.3 C.18.4).
    """
    found: dict[str, str] = {}
    for item in content:
        if item.get("ValueType") not in _REFERENCE_TYPES:
            continue
        for sop in item.ReferencedSOPSequence:
            shown_with = [one for keyword in _SHOWN_WITH for one in sop.get(keyword) or ()]
            for one in (sop, *shown_with):
                found[str(one.ReferencedSOPInstanceUID)] = str(one.ReferencedSOPClassUID)
    return found


def _may_delay(item: Dataset) -> bool:
    """Whether an item is a title modifier, or of those that could be one, or says what only a modifier can say."""
    name = concept(item)
    if name is None:
        return bool(item.get("RelationshipType") == "HAS CONCEPT MOD")
    value = first_code(item.get("ConceptCodeSequence"))
    return codes.TITLE_MODIFIER.same(name) or delay_reason(value) is not None


def _require_uids(references: Sequence[Reference], listed: Mapping[str, str]) -> None:
    """Raise ValueError unless every UID has the form of one (PS3.5 section 9): the index takes nothing else."""
    uids = {
        uid
        for one in references
        for uid in (one.study_uid, one.series_uid, one.sop_class_uid, one.sop_instance_uid)
    }
    if not all(_UID.fullmatch(uid) for uid in uids.union(listed, listed.values())):
        raise ValueError


def _faults(
    manifest: Manifest,
    listed: Mapping[str, str],
    evidence: Sequence[Reference],
    delay_codes: Sequence[codes.Code | None],
) -> list[Reason]:
    faults = []
    if not listed:
        faults.append(Reason("empty-manifest", "the manifest references nothing"))
    if {one.sop_instance_uid: one.sop_class_uid for one in evidence} != dict(listed):
        faults.append(
            Reason("evidence-differs", "the manifest's evidence is not what its content tree references")
        )
    if len({one.sop_instance_uid for one in evidence}) != len(evidence):
        faults.append(Reason("evidence-repeats", "the manifest names an instance in more than one place"))
    if len(manifest.delay_reasons) != len(delay_codes):
        # An unknown modifier may well be a delay: what cannot be decided is not exported.
        faults.append(Reason("unknown-modifier", "the manifest has a title modifier that is no Delay Reason"))
    return faults


def _text_of(content: Sequence[Dataset], name: codes.Code) -> str:
    return next((str(item.TextValue) for item in content if name.same(concept(item))), "")


def _self_reference(ds: Dataset) -> Reference:
    return Reference(
        str(ds.StudyInstanceUID), str(ds.SeriesInstanceUID), str(ds.SOPClassUID), str(ds.SOPInstanceUID)
    )
