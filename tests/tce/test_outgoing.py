"""What changes in a document before it leaves: tce.documents.outgoing."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tce.documents import codes, manifest, teaching_file_info
from tce.documents.codes import Category, Code, DelayReason, ExportTitle, Level, Scheme
from tce.documents.content import Reference, code, text
from tce.documents.manifest import Manifest
from tce.documents.outgoing import outgoing
from tce.documents.teaching_file_info import PolicyRequest, TeachingFileInfo
from tests.builders import a_ct_image

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
REQUEST = PolicyRequest("longitudinal-trial", "1", "sha256:" + 64 * "a", "lung-trial")
INFO = TeachingFileInfo(
    "An author", "An abstract", ("a", "b"), Category.BREAST, Level.PRIMARY, "An institute"
)


def a_manifest(*delays: DelayReason, scheme: Scheme = Scheme.IHERADTF) -> Dataset:
    header = a_ct_image()
    reference = Reference(str(header.StudyInstanceUID), "1.1", str(header.SOPClassUID), "1.1.1")
    said = Manifest(ExportTitle.PUBLICATION, (reference,), delays, "lung-trial", "Selector^Sam")
    (ds,) = manifest.build(said, {reference.study_uid: header}, scheme=scheme, now=NOW)
    return ds


def an_information(request: PolicyRequest = REQUEST, *, scheme: Scheme = Scheme.IHERADTF) -> Dataset:
    return teaching_file_info.build(INFO, request, a_ct_image(), scheme=scheme, now=NOW)


def reread(ds: Dataset) -> Dataset:
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    return dcmread(buffer)


@pytest.mark.parametrize("scheme", Scheme, ids=str)
@pytest.mark.parametrize("reason", DelayReason, ids=lambda reason: reason.name)
def test_no_delay_reason_leaves(reason: DelayReason, scheme: Scheme) -> None:
    """Each of the eight is taken out in both schemes, and nothing else of the manifest is."""
    ds = reread(a_manifest(reason, DelayReason.DEATH, scheme=scheme))
    assert outgoing(ds)
    assert manifest.parse(reread(ds)).manifest.delay_reasons == ()
    assert ds.ContentSequence == a_manifest(scheme=scheme).ContentSequence


def test_another_modifier_stays() -> None:
    """Only what delays an export is for the Export Manager alone."""
    ds = a_manifest()
    other = code("HAS CONCEPT MOD", codes.TITLE_MODIFIER, Code("113037", "DCM", "Rejected"))
    ds.ContentSequence.insert(0, other)
    assert not outgoing(ds)
    assert ds.ContentSequence[0] == other


def test_the_request_is_taken_out() -> None:
    """After it nothing of scheme 99TCE is left, and the teaching content is whole."""
    ds = reread(an_information())
    assert outgoing(ds)
    assert teaching_file_info.parse(reread(ds)) == (INFO, PolicyRequest())
    assert "99TCE" not in str(ds)
    assert REQUEST.digest not in str(ds)


def test_a_request_below_another_item_is_taken_out_too() -> None:
    """Hiding a request deeper in the tree does not keep it, and leaves no empty sequence."""
    ds = an_information(PolicyRequest())
    ds.ContentSequence[1].ContentSequence = [text("HAS PROPERTIES", codes.CASE, "hidden")]
    assert outgoing(ds)
    assert "hidden" not in str(ds)
    assert "ContentSequence" not in ds.ContentSequence[1]


def test_what_needs_no_change_stays_as_it_came() -> None:
    """A document without delay and request is not touched, and so its very bytes take the road."""
    assert not outgoing(a_manifest())
    assert not outgoing(an_information(PolicyRequest()))


def test_no_document_of_the_profile_is_touched() -> None:
    """A Key Object Selection for another purpose keeps what it says, delays and private codes included."""
    ds = a_manifest(DelayReason.DEATH)
    ds.ConceptNameCodeSequence[0].CodeValue = "113004"
    ds.ConceptNameCodeSequence[0].CodingSchemeDesignator = "DCM"
    before = reread(ds)
    assert not outgoing(ds, Scheme.DCM)
    assert ds == before


@pytest.mark.parametrize("to", Scheme, ids=str)
@pytest.mark.parametrize("came_as", Scheme, ids=str)
def test_codes_leave_in_the_scheme_that_is_set(came_as: Scheme, to: Scheme) -> None:
    """Whatever scheme a document came in, it leaves as if it had been built in the other one."""
    for came, wanted in (
        (a_manifest(DelayReason.DEATH, scheme=came_as), a_manifest(scheme=to)),
        (an_information(scheme=came_as), an_information(PolicyRequest(), scheme=to)),
    ):
        ds = reread(came)
        assert outgoing(ds, to)
        assert ds.ConceptNameCodeSequence == wanted.ConceptNameCodeSequence
        assert ds.ContentSequence == wanted.ContentSequence
