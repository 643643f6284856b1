"""What is left of sequences and items of which everything goes."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from policies.loader import load_library
from policies.verify import Verification
from tests.builders import a_ct_image, an_enhanced_ct
from tests.policies.test_engine import Carrier
from tests.policies.test_private import a_policy, private_of, with_private

ALL_KINDS = pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])


@pytest.fixture
def carry(tmp_path: Path) -> Carrier:
    return Carrier(tmp_path)


def item(**values: object) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


@ALL_KINDS
def test_an_item_of_which_nothing_is_left_goes(carry: Carrier, syntax: str) -> None:
    """What is removed only when it is written leaves no empty item, and a sequence of such items goes."""
    ds = a_ct_image()
    person = "Physician of the Request^Somebody"
    ds.RequestAttributesSequence = Sequence([item(RequestingPhysician=person)])
    ds.AnatomicRegionSequence = Sequence(
        [item(CodeValue="T-D4000", CodingSchemeDesignator="SRT", CodeMeaning="Abdomen")]
    )
    out = carry(ds, "pseudonymization", syntax)
    assert "RequestAttributesSequence" not in out
    assert len(out.AnatomicRegionSequence) == 1


@ALL_KINDS
def test_an_item_beside_one_that_goes_stays(carry: Carrier, syntax: str) -> None:
    """Only the item of which nothing is left goes."""
    ds = a_ct_image()
    ds.RequestAttributesSequence = Sequence(
        [item(RequestingPhysician="Somebody^Else"), item(RequestedProcedurePriority="LOW")]
    )
    out = carry(ds, "pseudonymization", syntax)
    assert [list(part.keys()) for part in out.RequestAttributesSequence] == [[0x00401003]]


@ALL_KINDS
def test_what_holds_only_such_items_goes_as_well(carry: Carrier, syntax: str) -> None:
    """At every depth: an item that held nothing but a sequence that goes is left empty, so it goes."""
    ds = a_ct_image()
    inner = item(RequestAttributesSequence=Sequence([item(RequestingPhysician="Somebody^Else")]))
    ds.SourceImageSequence = Sequence([inner])
    assert "SourceImageSequence" not in carry(ds, "pseudonymization", syntax)


def test_an_item_that_was_empty_stays(carry: Carrier) -> None:
    """What was empty in the source is the source's business."""
    ds = a_ct_image()
    ds.RequestAttributesSequence = Sequence([Dataset(), item(RequestingPhysician="Somebody^Else")])
    out = carry(ds, "pseudonymization")
    assert [len(part) for part in out.RequestAttributesSequence] == [0]


@ALL_KINDS
def test_a_required_sequence_stands_empty(carry: Carrier, syntax: str) -> None:
    """A sequence of Type 2 stays when its last item goes (PS3.3: Radiopharmaceutical Code Sequence and others)."""
    ds = a_ct_image()
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.128"
    ds.Modality = "PT"
    ds.RadiopharmaceuticalInformationSequence = Sequence([item(RequestingPhysician="Somebody^Else")])
    out = carry(ds, "pseudonymization", syntax)
    assert len(out.RadiopharmaceuticalInformationSequence) == 0


def test_an_unknown_sequence_goes_the_same_way(carry: Carrier) -> None:
    """A sequence that is written as UN leaves no empty item either."""
    ds = a_ct_image()
    ds.remove_private_tags()
    del ds.RequestAttributesSequence
    path = carry.save(ds)
    name = b"Somebody^Else "
    inner = b"\x32\x00\x32\x10" + len(name).to_bytes(4, "little") + name
    items = b"\xfe\xff\x00\xe0" + len(inner).to_bytes(4, "little") + inner
    element = b"\x40\x00\x75\x02UN\0\0" + len(items).to_bytes(4, "little") + items
    octets = path.read_bytes()
    at = octets.index(b"\xe0\x7f\x10\x00O")
    path.write_bytes(octets[:at] + element + octets[at:])
    out = carry.carry_file(path, load_library("pseudonymization"))
    assert element[:6] not in out.read_bytes()


@ALL_KINDS
def test_a_private_sequence_goes_with_its_creator(carry: Carrier, syntax: str) -> None:
    """Of a private sequence that the policy keeps nothing stays when nothing stays in its items."""
    policy = a_policy({"element": "01", "vr": "SQ"}, {"element": "02", "vr": "SQ"})
    gone = Sequence([item(RequestingPhysician="Somebody^Else")])
    kept = Sequence([item(RequestingPhysician="Somebody^Else"), item(Rows=3)])
    assert private_of(carry(with_private((1, "SQ", gone)), policy, syntax)) == {}
    out = private_of(carry(with_private((1, "SQ", gone), (2, "SQ", kept)), policy, syntax))
    assert sorted(out) == [0x00990010, 0x00991002]
    left = out[0x00991002]  # pydicom leaves it as bytes where no VR is written
    assert (left.count(b"\xfe\xff\x00\xe0") if isinstance(left, bytes) else len(left)) == 1


@pytest.mark.parametrize("nothing", [{"RequestingPhysician": "Somebody^Else"}, {"NumericValue": "8.125"}])
def test_every_frame_keeps_its_item(carry: Carrier, nothing: dict[str, str]) -> None:
    """Items of Per-Frame Functional Groups are counted like the frames, so that even an empty one stays."""
    ds = an_enhanced_ct(frames=3)
    ds.PerFrameFunctionalGroupsSequence[1] = item(**nothing)
    path = carry.save(ds)
    path.write_bytes(path.read_bytes().replace(b"8.125", b"Zyxwv"))
    policy = load_library("pseudonymization")
    made = carry.carry_file(path, policy)
    out = pydicom.dcmread(made)
    assert [len(part) > 0 for part in out.PerFrameFunctionalGroupsSequence] == [True, False, True]
    assert not [found for found in Verification(policy).check(made, path) if found.code == "empty-item"]
