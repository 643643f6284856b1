"""Private elements: kept by creator and element, wherever their block lies, and treated by their VR."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from policies.errors import Refusal
from policies.loader import loads
from policies.model import Policy
from tests.builders import a_ct_image
from tests.policies.test_engine import Carrier

KNOWN = "GEMS_ACQU_01"
"""A creator that manufacturers publish; (0019,xx23), (0019,xx24) and (0019,xx9E) of it are in Table E.3.10-1."""
PHILIPS = "Philips Imaging DD 001"


@pytest.fixture
def carry(tmp_path: Path) -> Carrier:
    return Carrier(tmp_path)


def a_policy(*kept: dict[str, str], dates: str = "shift", more: tuple[str, ...] = ()) -> Policy:
    """A policy of stage 2 that keeps safe private elements, and those named."""
    temporal = {"remove": [], "keep": ["retain-longitudinal-full-dates"]}
    options = [*temporal.get(dates, ["retain-longitudinal-modified-dates"]), "retain-safe-private", *more]
    lines = [f"options: [{', '.join(options)}]", f"dates: {dates}", *(["private:"] if kept else [])]
    for one in kept:
        fields = {"creator": "ACME", "group": "0099", "reason": "the trial needs it", **one}
        lines.append("  - {" + ", ".join(f"{key}: '{value}'" for key, value in fields.items()) + "}")
    head = "name: p\nversion: 1\nstage: anonymize\ntitle: t\ndescription: d\n"
    return loads(head + "\n".join(lines) + "\n", "p.yaml")


def an_image() -> Dataset:
    """A CT image without private elements."""
    ds = a_ct_image()
    ds.remove_private_tags()
    return ds


def with_private(*elements: tuple[int, str, Any], creator: str = "ACME", group: int = 0x0099) -> Dataset:
    """A CT image with private elements (low byte, VR, value)."""
    ds = an_image()
    block = ds.private_block(group, creator, create=True)
    for element, vr, value in elements:
        block.add_new(element, vr, value)
    return ds


def private_of(ds: Dataset) -> dict[int, Any]:
    """The private elements of one level, by tag."""
    return {int(element.tag): element.value for element in ds if element.tag.is_private}


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_several_blocks_of_one_creator(carry: Carrier, syntax: str) -> None:
    """An element is known by its creator in every block and group that the creator reserved, and in no other's."""
    ds = an_image()
    for block, creator in ((0x10, "OTHER"), (0x42, "ACME "), (0xF0, "ACME"), (0x43, "acme")):
        ds.add_new(0x00990000 | block, "LO", creator)
        ds.add_new(0x00990001 | block << 8, "DS", "1.5")
        ds.add_new(0x00990002 | block << 8, "DS", "2.5")
    ds.add_new(0x00970010, "LO", "ACME")
    ds.add_new(0x00971001, "DS", "3.5")
    out = carry(ds, a_policy({"element": "01", "vr": "DS"}), syntax)
    assert set(private_of(out)) == {0x00990042, 0x00994201, 0x009900F0, 0x0099F001}


def test_a_block_that_two_creators_claim_is_refused(carry: Carrier) -> None:
    """Where a creator element stands twice with different names, nobody can say whose the block is."""
    path = carry.save(with_private((1, "LO", "BUILT")))
    content = path.read_bytes()
    creator = b"\x99\x00\x10\x00LO\x04\x00ACME"
    assert content.count(creator) == 1
    path.write_bytes(content.replace(creator, b"\x99\x00\x10\x00LO\x04\x00EVIL" + creator))
    with pytest.raises(Refusal) as refused:
        carry.carry_file(path, a_policy({"element": "01"}))
    assert refused.value.reason == "duplicate-elements"


def test_elements_without_a_creator_go(carry: Carrier) -> None:
    """An element in a block that nobody reserved goes, and so does one in front of all blocks."""
    ds = an_image()
    ds.add_new(0x00991001, "DS", "1.5")
    ds.add_new(0x00990002, "DS", "1.5")
    assert private_of(carry(ds, a_policy({"element": "01"}, {"element": "02"}))) == {}


def test_a_creator_goes_with_the_last_element_of_its_block(carry: Carrier) -> None:
    """Nothing of a block stays when no element of it does: a creator may be named after a hospital or a person."""
    ds = with_private((1, "LO", "for John Smith"), (2, "DS", "7"))
    ds.PatientName = "Smith^John"
    ds.private_block(0x0097, "Smith Hospital", create=True).add_new(1, "DS", "1")
    assert private_of(carry(ds, a_policy({"element": "01"}))) == {}


@pytest.mark.parametrize(
    ("vr", "value", "left"),
    [
        ("DS", "1.5", "1.5"),
        ("FD", 0.5, 0.5),
        ("US", 7, 7),
        ("CS", "SPIRAL", "SPIRAL"),
        ("LO", "mode 7", "mode 7"),
        ("LO", "seen by Quirin", None),
        ("ST", "made 20240301, checked 2024-03-02", "made 20231122, checked 2023-11-23"),
        ("LO", "03/04/2024", None),
        ("CS", "QUIRIN", None),
        ("IS", "20240301", "20231122"),
        ("DA", "20240301", "20231122"),
        ("DT", "20240301120000.5+0100", "20231122120000.5+0100"),
        ("DT", "2024", None),
        ("TM", "120000", "120000"),
        ("TM", "20240301", None),
        ("PN", "Quirin^Vyx", None),
        ("AE", "STATION", None),
        ("UR", "http://a.example", None),
        ("AS", "045Y", "045Y"),
        ("OB", b"\1\2", b"\1\2"),
    ],
)
def test_a_kept_value_is_treated_by_its_vr(carry: Carrier, vr: str, value: Any, left: Any) -> None:
    """Kept values are searched for the patient, their dates move, and names and addresses go."""
    ds = with_private((1, vr, value))
    ds.PatientName = "Quirin^Vyx"
    out = private_of(carry(ds, a_policy({"element": "01"})))
    assert out == ({} if left is None else {0x00990010: "ACME", 0x00991001: left})


def test_a_kept_uid_is_mapped(carry: Carrier) -> None:
    """UIDs in kept private elements get the same pseudonyms as everywhere else."""
    ds = with_private((1, "UI", "1.2.3"))
    ds.private_block(0x0099, "ACME").add_new(2, "UI", ds.StudyInstanceUID)
    out = carry(ds, a_policy({"element": "01"}, {"element": "02"}))
    assert str(out[0x00991001].value).startswith("2.25.")
    assert out[0x00991002].value == out.StudyInstanceUID


@pytest.mark.parametrize(("dates", "left"), [("remove", "on , later"), ("keep", "on 20240301, later")])
def test_dates_in_kept_text_follow_the_policy(carry: Carrier, dates: str, left: str) -> None:
    """Where dates are removed they go from text as well, where they are kept they stay."""
    out = carry(with_private((1, "LO", "on 20240301, later"), (2, "DA", "20240301")),
                a_policy({"element": "01"}, {"element": "02"}, dates=dates))  # fmt: skip
    assert out[0x00991001].value == left
    assert (0x00991002 in out) is (dates == "keep")


@pytest.mark.parametrize("dates", ["remove", "shift", "keep"])
def test_numbers_that_are_dates_go_where_dates_move(carry: Carrier, dates: str) -> None:
    """Seconds since 1970 and other time stamps are told by their published name, and stay only where dates do."""
    actual = {"creator": "GEMS_IDEN_01", "group": "0009", "element": "27"}
    ds = with_private((0x27, "SL", 1709251200), creator="GEMS_IDEN_01", group=0x0009)
    ds.private_block(0x0149, "SIEMENS Ultrasound SC2000", create=True).add_new(3, "FD", 1709251200.5)
    out = private_of(carry(ds, a_policy(actual, dates=dates)))
    assert (set(out) == {0x00090010, 0x00091027, 0x01490010, 0x01491003}) is (dates == "keep")
    assert (out == {}) is (dates != "keep")


def test_a_vr_that_contradicts_what_is_known_is_not_trusted(carry: Carrier) -> None:
    """The table calls a number safe; a text in its place is not what it speaks of."""
    ds = with_private((0x24, "LO", "anything at all"), (0x23, "IS", "40"), creator=KNOWN, group=0x0019)
    assert private_of(carry(ds, a_policy())) == {0x00190010: KNOWN, 0x00191023: 40}


@pytest.mark.parametrize("vr", ["DS", "UN"])
def test_an_unknown_vr_is_the_tables(carry: Carrier, vr: str) -> None:
    """An element of VR UN, or in implicit encoding, has the VR that the table, the policy or its maker gives it."""
    policy = a_policy({"element": "01", "vr": "LO"}, {"element": "02"})
    ds = with_private((0x24, vr, "0.5" if vr == "DS" else b"0.5 "), creator=KNOWN, group=0x0019)
    block = ds.private_block(0x0099, "ACME", create=True)
    block.add_new(1, "UN", b"20240301")
    block.add_new(2, "UN", b"anything")
    out = carry(ds, policy)
    assert set(private_of(out)) == {0x00190010, 0x00191024, 0x00990010, 0x00991001}
    assert out[0x00991001].value in ("20231122", b"20231122")
    assert bytes(str(out[0x00191024].value), "ascii").strip() == b"0.5" or out[0x00191024].value == b"0.5 "
    implicit = carry(ds, policy, ImplicitVRLittleEndian)
    assert 0x00991002 not in implicit


def a_nested_image(*, undefined: bool = False) -> Dataset:
    """A CT image with a private sequence: standard and private elements, with creators of the item's own."""
    inner = Dataset()
    inner.PatientName = "Quirin^Vyx"
    inner.StudyDate = "20240301"
    inner.ReferencedSOPInstanceUID = "1.2.3"
    inner.Rows = 7
    block = inner.private_block(0x0099, "ACME", create=True)
    block.add_new(2, "LO", "mode 7")
    block.add_new(3, "LO", "mode 8")
    deeper = Dataset()
    deeper.private_block(0x0099, "ACME", create=True).add_new(2, "LO", "deep")
    block.add_new(1, "SQ", Sequence([deeper]))
    outer = with_private((1, "SQ", Sequence([inner])))
    outer[0x00991001].is_undefined_length = undefined
    inner.is_undefined_length_sequence_item = undefined
    return outer


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("undefined", [True, False])
def test_a_kept_private_sequence_is_treated_item_by_item(
    carry: Carrier, syntax: str, undefined: bool
) -> None:
    """Inside it standard attributes follow the table, private ones the policy with the creators of their own item."""
    policy = a_policy({"element": "01", "vr": "SQ"}, {"element": "02", "vr": "LO"})
    out = carry(a_nested_image(undefined=undefined), policy, syntax)
    if syntax == ImplicitVRLittleEndian:
        out.private_block(0x0099, "ACME")  # pydicom knows no VR of it here
        raw = carry.written.path.read_bytes()  # type: ignore[union-attr]
        assert b"mode 7" in raw and b"deep" in raw and b"mode 8" not in raw
        assert b"Quirin" not in raw and b"20240301" not in raw
        return
    item = out[0x00991001].value[0]
    assert "PatientName" not in item or item.PatientName != "Quirin^Vyx"
    assert item.get("StudyDate", "") != "20240301"
    assert item.ReferencedSOPInstanceUID.startswith("2.25.")
    assert item.Rows == 7
    assert set(private_of(item)) == {0x00990010, 0x00991001, 0x00991002}
    assert private_of(item[0x00991001].value[0]) == {0x00990010: "ACME", 0x00991002: "deep"}


def as_unknown(ds: Dataset, path: Path) -> bytes:
    """The items of the sequence (0099,1001), in implicit encoding: what a UN element of it holds."""
    small = Dataset()
    small.add(ds[0x00991001])
    small.save_as(path, implicit_vr=True, little_endian=True)
    content = path.read_bytes()
    return content[content.index(b"\x99\x00\x01\x10") + 8 :]


def test_a_private_sequence_of_vr_un_is_treated_alike(carry: Carrier, tmp_path: Path) -> None:
    """A sequence that somebody wrote as UN is still a sequence, in implicit encoding (PS3.5 6.2.2)."""
    items = as_unknown(a_nested_image(), tmp_path / "small")
    ds = with_private((1, "UN", items))
    carry(ds, a_policy({"element": "01", "vr": "SQ"}, {"element": "02", "vr": "LO"}))
    raw = carry.written.path.read_bytes()  # type: ignore[union-attr]
    assert b"mode 7" in raw and b"deep" in raw
    assert b"mode 8" not in raw and b"Quirin" not in raw and b"20240301" not in raw and b"1.2.3\0" not in raw


def test_a_private_sequence_that_nobody_named_goes(carry: Carrier) -> None:
    """Without the policy or the table, a private sequence goes whole."""
    out = carry(a_nested_image(), a_policy({"element": "02"}))
    assert private_of(out) == {}


def test_a_sequence_of_the_safe_table_is_treated_item_by_item(carry: Carrier) -> None:
    """That the table calls a sequence safe does not make everything in it safe."""
    item = Dataset()
    item.PatientID = "QX-5512"
    item.StudyDate = "20240301"
    item.Rows = 7
    block = item.private_block(0x2001, PHILIPS, create=True)
    block.add_new(0x2D, "SS", 3)  # in the table
    block.add_new(0xF0, "LO", "not in the table")
    out = carry(with_private((0x5F, "SQ", Sequence([item])), creator=PHILIPS, group=0x2001), a_policy())
    left = out[0x2001105F].value[0]
    assert (left.Rows == 7 and "PatientID" not in left) or left.PatientID != "QX-5512"
    assert left.get("StudyDate", "") != "20240301"
    assert private_of(left) == {0x20010010: PHILIPS, 0x2001102D: 3}


def characteristics(status: str, *, creator: str = KNOWN, **more: Any) -> Sequence:
    """Private Data Element Characteristics of one block in group 0019."""
    item = Dataset()
    item.PrivateGroupReference = 0x0019
    item.PrivateCreatorReference = creator
    item.BlockIdentifyingInformationStatus = status
    if "safe" in more:
        item.NonidentifyingPrivateElements = more["safe"]
    if "unsafe" in more:
        action = Dataset()
        action.IdentifyingPrivateElements = more["unsafe"]
        action.DeidentificationAction = "X"
        item.DeidentificationActionSequence = Sequence([action])
    return Sequence([item])


def a_declaring_image(said: Sequence, *, creator: str = KNOWN) -> Dataset:
    ds = with_private(
        (0x24, "DS", "0.5"),  # in the table
        (0xFA, "DS", "1.5"),
        (0xFB, "LO", "chest of Zzyx"),
        (0xFC, "OB", b"\1\2"),
        (0xFD, "SQ", Sequence([Dataset()])),
        (0xFE, "DA", "20240301"),
        creator=creator,
        group=0x0019,
    )
    ds.PrivateDataElementCharacteristicsSequence = said
    return ds


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize(
    ("said", "left"),
    [
        (characteristics("SAFE"), {0x24, 0xFA, 0xFB, 0xFE}),
        (characteristics("MIXED", safe=[0x24, 0xFA]), {0x24, 0xFA}),
        (characteristics("MIXED", safe=[0xFA]), {0xFA}),
        (characteristics("UNSAFE"), set()),
        (characteristics("SAFE", unsafe=[0x24, 0xFB]), {0xFA, 0xFE}),
        (characteristics("SAFE", creator="ANOTHER"), {0x24}),
        (characteristics("PERHAPS"), {0x24}),
    ],
)
def test_the_instances_own_word(carry: Carrier, syntax: str, said: Sequence, left: set[int]) -> None:
    """What the instance calls safe may stay, text cleaned and nothing opaque; what it calls unsafe goes in any case."""
    ds = a_declaring_image(said)
    if syntax == ImplicitVRLittleEndian:
        left = left & {0x24}  # nobody publishes the VR of the others
    out = carry(ds, a_policy(), syntax)
    found = {tag & 0xFF for tag in private_of(out) if tag & 0xFFFF > 0xFF}
    assert found == left
    assert "PrivateDataElementCharacteristicsSequence" not in out
    if 0xFB in found:
        assert out[0x001910FB].value == "chest"
    if 0xFE in found:
        assert out[0x001910FE].value == "20231122"


def test_the_instances_word_does_not_make_a_creator_known(carry: Carrier) -> None:
    """A creator that nobody publishes may be a person's name; the instance's word does not keep it."""
    said = characteristics("SAFE", creator="Quirin Vyx")
    assert private_of(carry(a_declaring_image(said, creator="Quirin Vyx"), a_policy())) == {}


def test_the_policy_is_stronger_than_the_instances_word(carry: Carrier) -> None:
    """What the policy names with a reason stays, also where the instance calls its block unsafe."""
    policy = a_policy({"creator": KNOWN, "group": "0019", "element": "FA"})
    out = carry(a_declaring_image(characteristics("UNSAFE")), policy)
    assert private_of(out) == {0x00190010: KNOWN, 0x001910FA: 1.5}


def test_characteristics_go_without_the_option(carry: Carrier) -> None:
    """The sequence names creators; it is gone where private elements are, and so is it where some stay."""
    out = carry(a_declaring_image(characteristics("SAFE")), "basic")
    assert "PrivateDataElementCharacteristicsSequence" not in out
    assert private_of(out) == {}


def test_a_large_private_value_stays_as_it_is(carry: Carrier) -> None:
    """Kept binary data beyond any window is copied, and its creator with it; what is not kept is not read for it."""
    ds = with_private((1, "OB", b"\7" * 300_000), (2, "OB", b"\7" * 300_000))
    out = carry(ds, a_policy({"element": "01"}))
    assert private_of(out) == {0x00990010: "ACME", 0x00991001: b"\7" * 300_000}
