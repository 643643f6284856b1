"""Every row of Table E.1-1 under every option, through the engine: what comes out is what the table says.

An instance is built that holds all attributes of the table at once: at the top level, in sequences where its IOD has
them, and where no IOD has them. What is expected is read from the table and the standard's words here, not asked of
:mod:`policies.profile`; where the project goes another way than the table, :data:`MARKED` and :data:`EMPTIED` say so.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from pathlib import Path

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from policies.elements import encode, encode_item, read_file_meta, tag_bytes
from policies.engine import Engine
from policies.model import Policy, Risk
from policies.profile import contradictions
from policies.standard import iods
from policies.standard.beyond import beyond
from policies.standard.tables import Option, attribute_type
from policies.telling import IDENTIFYING, NAMES, PLACES
from tests.policies.pseudonyms_for_tests import CountedPseudonyms

SHIFT = -100
NO_IOD = "1.2.840.10008.5.1.4.1.1.6"
"""A retired SOP Class, whose IOD the standard no longer prints: nothing is defined there."""
CT = "1.2.840.10008.5.1.4.1.1.2"
TIMEZONE = 0x00080201
ELSEWHERE = 0x00082218
"""Anatomic Region Sequence: it has no row, and no IOD has an attribute of the table in it."""

VALUES: Mapping[str, object] = {
    "AE": "ZZTITLE",
    "AS": "047Y",
    "CS": "ZZCODE",
    "DA": "19990314",
    "DS": "47.25",
    "DT": "19990314101112",
    "IS": "47",
    "LO": "chest Zzyxword",
    "LT": "chest Zzyxword",
    "OB": b"ZZOB",
    "PN": "Quirin^Vyx",
    "SH": "chest Zzyxwd",
    "ST": "chest Zzyxword",
    "TM": "101112",
    "UC": "chest Zzyxword",
    "UI": "1.2.3.4711",
    "UN": b"ZZUN",
    "UR": "http://zzyx.example",
    "US": 4711,
    "UT": "chest Zzyxword",
}
TELLING = {
    "SH": "QX-5512",
    "LO": "QX-5512",
    "ST": "QX-5512",
    "LT": "QX-5512",
    "UT": "QX-5512",
    "CS": "QX5512",
}
"""What identifies the patient is searched for in everything that stays; nothing that stays holds these."""
SHIFTED = {"DA": "19981204", "DT": "19981204101112"}
TEXTS = ("LO", "LT", "SH", "ST", "UC", "UT")

MARKED = {
    "PatientName": "the patient's pseudonym",
    "PatientID": "the patient's pseudonym",
    "StudyID": "the study's pseudonym",
    "StudyDate": "never empty, because a DICOMDIR needs it",
    "StudyTime": "never empty, because a DICOMDIR needs it",
    "ContributingEquipmentSequence": "names this program",
}
"""What the engine writes at the top level of every instance: there, but never the original."""

EMPTIED = {
    "ContentSequence": "a dummy content tree would say nothing true",
    "GraphicAnnotationSequence": "a dummy drawing would say nothing true",
}
"""Sequences whose action D removes them."""

NOT_MOVED = {
    "ContextGroupVersion": "published",
    "ContextGroupLocalVersion": "published",
    "DateOfManufacture": "the product's",
    "DateOfInstallation": "the product's",
    "EffectiveDateTime": "published",
    "HangingProtocolCreationDateTime": "published",
    "InformationIssueDateTime": "published",
    "ProductExpirationDateTime": "the product's",
    "TemplateVersion": "published",
    "TemplateLocalVersion": "published",
}
"""Dates that others know: moved with the patient's they would tell by how much, so C takes them out."""


@cache
def table() -> dict[int, dict[str, str]]:
    """The rows that are a single tag of a data set, read from the file itself; groups 0000, 0002 and 0004 are none."""
    text = resources.files("policies.standard").joinpath("confidentiality_profile.csv").read_text("utf-8")
    lines = [
        row for row in csv.DictReader(text.splitlines()) if "x" not in row["tag"] and "g" not in row["tag"]
    ]
    by_tag = {int(row["tag"][1:5] + row["tag"][6:10], 16): row for row in lines}
    return {tag: row for tag, row in by_tag.items() if tag >> 16 >= 0x0008}


def code_of(row: Mapping[str, str], options: frozenset[Option]) -> str:
    """What the table says under these options: a chosen column's action, cleaning before keeping, or the profile's."""
    chosen = {row.get(option.replace("-", "_"), "") for option in options}
    return "C" if "C" in chosen else "K" if "K" in chosen else row["basic_profile"]


def outcome(code: str, kind: str, *, goes_with_its_module: bool) -> str:
    """Table E.1-1a for a Type; where the action would leave the IOD, the nearest that does not (E.1.1)."""
    if code == "X/Z/U*":
        return "K"
    if code == "X":
        must_stay = kind in ("1", "2", "2C") and not goes_with_its_module
        return {"1": "D", "2": "Z", "2C": "Z"}[kind] if must_stay else "X"
    if code in ("K", "C", "U", "D"):
        return code
    first, *_ = code.split("/")
    return {"1": "D", "2": "Z", "3": first}[kind[0]]


def value_of(tag: int) -> object:
    if tag == TIMEZONE:
        return "+0100"
    vr = table()[tag]["vr"]
    if tag in PLACES and vr in TEXTS:
        # A word of its own for each: those that go are searched for in those that stay.
        return f"chest Zz{tag:08x}"
    return TELLING[vr] if tag in IDENTIFYING | NAMES and vr in TELLING else VALUES[vr]


class Place:
    """One attribute at one place of the instance."""

    def __init__(self, sop_class_uid: str, path: tuple[int, ...]) -> None:
        self.path = path
        self.row = table()[path[-1]]
        use = attribute_type(sop_class_uid, path)
        self.kind = use.type if use else "3"
        self.goes_with_its_module = not (use and (use.nested or use.mandatory_module))

    def expected(self, options: frozenset[Option]) -> str:
        code = code_of(self.row, options)
        if len(self.path) == 1 and self.row["keyword"] in MARKED and code not in ("K", "C"):
            return "D"
        if len(self.path) == 1 and self.row["keyword"] == "ContributingEquipmentSequence":
            return "D"
        action = outcome(code, self.kind, goes_with_its_module=self.goes_with_its_module)
        return "X" if action == "D" and self.row["keyword"] in EMPTIED else action


def every_class() -> list[str]:
    return sorted(iods._iod_of_sop_class())


def kept_without_a_row(path: tuple[int, ...]) -> bool:
    return all(tag not in table() and tag not in beyond() and tag != 0x0018A001 for tag in path)


@cache
def places() -> dict[str, list[Place]]:
    """For each attribute, one SOP Class for each depth at which an IOD has it; and all of them where none has."""
    found: dict[tuple[int, int], tuple[str, tuple[int, ...]]] = {}
    for uid in every_class():
        iod = iods.iod_of(uid)
        assert iod is not None
        for module in iods._modules_of(iod):
            for written in module.types:
                if "xx" in written:
                    continue
                path = tuple(int(part, 16) for part in written.split("/"))
                if path[-1] in table() and kept_without_a_row(path[:-1]):
                    found.setdefault((path[-1], len(path)), (uid, path))
    by_class: dict[str, list[tuple[int, ...]]] = {}
    for uid, path in found.values():
        by_class.setdefault(uid, []).append(path)
    for uid in (NO_IOD, CT):
        by_class.setdefault(uid, []).extend((tag,) for tag in table())
        by_class[uid].extend((ELSEWHERE, tag) for tag in table())
        by_class[uid].extend((ELSEWHERE, ELSEWHERE, tag) for tag in table())
    return {uid: [Place(uid, path) for path in dict.fromkeys(paths)] for uid, paths in by_class.items()}


def an_item() -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "T-1", "SRT", "chest Zzyxword"
    item.PatientName = "Quirin^Vyx"
    item.ReferencedSOPInstanceUID = "1.2.3.4712"
    item.ValueType = "CONTAINER"
    return item


def an_instance(sop_class_uid: str) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = sop_class_uid
    ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4711"
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPInstanceUID = ds.StudyInstanceUID = ds.SeriesInstanceUID = "1.2.3.4711"
    for place in places()[sop_class_uid]:
        level = ds
        for tag in place.path[:-1]:
            if tag not in level:
                level.add_new(tag, "SQ", Sequence([Dataset()]))
            level = level[tag].value[0]
        vr = place.row["vr"]
        if vr == "SQ":
            if place.path[-1] not in level:
                level.add_new(place.path[-1], "SQ", Sequence([an_item()]))
        else:
            level.add_new(place.path[-1], vr, value_of(place.path[-1]))
    return ds


@cache
def built(sop_class_uid: str, folder: Path) -> Path:
    path = folder / f"{sop_class_uid}.dcm"
    an_instance(sop_class_uid).save_as(path, enforce_file_format=True)
    return path


def a_policy(options: frozenset[Option]) -> Policy:
    return Policy.model_validate(
        {
            "name": "every-row",
            "version": "1",
            "stage": "anonymize",
            "title": "t",
            "description": "d",
            "options": sorted(options),
            "accept": [{"risk": risk, "reason": "nothing is shown here"} for risk in Risk],
        }
    )


def carried(sop_class_uid: str, options: frozenset[Option], folder: Path) -> Dataset:
    out = folder / "out.dcm"
    out.unlink(missing_ok=True)
    engine = Engine(a_policy(options))
    with engine.read(built(sop_class_uid, folder)) as draft:
        engine.write(draft, CountedPseudonyms(SHIFT).resolve([draft.subject]), out)
    return pydicom.dcmread(out)


def wrong(place: Place, ds: Dataset, options: frozenset[Option]) -> str:
    """A word for what is not as expected, or nothing."""
    level = ds
    for tag in place.path[:-1]:
        if tag not in level or not level[tag].value:
            # A level of which nothing stays goes as a whole; titles of application entities cannot be cleaned.
            may_go = (
                place.expected(options) in ("X", "C")
                if place.row["vr"] == "AE"
                else place.expected(options) == "X" or place.row["keyword"] in NOT_MOVED
            )
            return "" if may_go else "its level went"
        level = level[tag].value[0]
    element = level.get(place.path[-1])
    expected, vr = place.expected(options), place.row["vr"]
    original = None if vr == "SQ" else value_of(place.path[-1])
    if place.path[-1] == TIMEZONE and expected == "C":
        # It tells no date: it may stay, and where it goes no day is told with it.
        return "" if element is None or str(element.value) in ("+0100", "+0000", "") else "C: no time zone"
    if expected == "C" and place.row["keyword"] in NOT_MOVED:
        told = element is not None and str(element.value) in (original, SHIFTED[vr])
        return "C: it tells by how much dates move" if told else ""
    if element is None:
        gone = expected == "X" or (expected == "C" and vr not in ("DA", "DT", "TM", "SQ", *TEXTS))
        return "" if gone else f"{expected}: it went"
    if expected == "X":
        return "X: it stayed"
    if vr == "SQ":
        return wrong_sequence(expected, element.value, retains_uids=Option.RETAIN_UIDS in options)
    value = element.value
    same = value == original or str(value) == str(original)
    if expected == "K":
        return "" if same else "K: it changed"
    if expected == "C" and vr in SHIFTED:
        return "" if value == SHIFTED[vr] else "C: not shifted"
    if expected == "C" and vr in TEXTS:
        return "" if str(value).lower() == "chest" else "C: not cleaned"
    if expected == "C" and vr == "TM":
        return "" if same else "C: the time of day changed"
    if same:
        return f"{expected}: it stayed"
    if expected in ("D", "U") and value in (None, "", b""):
        return f"{expected}: it is empty"
    if expected == "U" and not str(value).startswith("2.25."):
        return "U: no new UID"
    return ""


def wrong_sequence(expected: str, items: Sequence, *, retains_uids: bool) -> str:
    text = " ".join(str(item) for item in items)
    if "Quirin^Vyx" in text or ("1.2.3.4712" in text and not retains_uids):
        return f"{expected}: an original stays inside"
    if expected == "Z":
        return "Z: it is not empty" if len(items) else ""
    return f"{expected}: it is empty" if not len(items) else ""


def faults(options: frozenset[Option], folder: Path) -> Iterator[str]:
    for uid in places():
        ds = carried(uid, options, folder)
        for place in places()[uid]:
            said = wrong(place, ds, options)
            if said:
                where = "/".join(f"{tag:08X}" for tag in place.path)
                yield f"{uid} {where} {place.row['keyword']}: {said}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rows")


def choosable(options: frozenset[Option]) -> bool:
    """Whether a policy may have these options together."""
    try:
        a_policy(options)
    except ValueError:
        return False
    return True


OPTIONS = tuple(option for option in Option if choosable(frozenset({option})))
DATES = (Option.RETAIN_LONGITUDINAL_FULL_DATES, Option.RETAIN_LONGITUDINAL_MODIFIED_DATES)


def test_all_rows_are_looked_at() -> None:
    """Each single tag of the table stands in an instance whose IOD has it, if one has, and in two where none has."""
    assert len(table()) == 653 - 4
    at_top = {uid: {place.path for place in found if len(place.path) == 1} for uid, found in places().items()}
    assert at_top[NO_IOD] == at_top[CT] == {(tag,) for tag in table()}
    in_an_iod = {place.path[-1] for found in places().values() for place in found if place.kind != "3"}
    assert len({place.path[-1] for found in places().values() for place in found}) == 649
    assert len(in_an_iod) > 150
    assert max(len(place.path) for found in places().values() for place in found) > 5


@pytest.mark.parametrize("option", [None, *OPTIONS])
def test_every_row_under_every_option(option: Option | None, folder: Path) -> None:
    """Under the profile alone and with each option, every attribute of the table comes out as its row says: by the
    Type that it has at its place, at the top, nested where an IOD has it, and where none has it."""
    assert list(faults(frozenset({option} if option else ()), folder)) == []


@pytest.mark.parametrize("left_out", DATES)
def test_every_row_under_all_options_together(left_out: Option, folder: Path) -> None:
    """All options that do not contradict each other can be chosen at once, and each is obeyed."""
    assert list(faults(frozenset(OPTIONS) - {left_out}, folder)) == []


@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(options=st.frozensets(st.sampled_from(OPTIONS), min_size=2).filter(choosable))
def test_every_row_under_options_in_any_combination(options: frozenset[Option], folder: Path) -> None:
    """Whatever options are combined, every attribute comes out as the table says of them together."""
    assert list(faults(options, folder)) == []


def test_what_cannot_be_chosen_together_contradicts() -> None:
    """Two options that can be chosen alone can be chosen together, or the reason is told."""
    for one in OPTIONS:
        for other in OPTIONS:
            both = frozenset({one, other})
            assert choosable(both) is not bool(contradictions(both))


@pytest.mark.parametrize("option", [None, *OPTIONS])
def test_rows_that_cover_whole_groups(option: Option | None, folder: Path) -> None:
    """Curves, overlays, private attributes and what else is retired in groups go under every option, because nobody
    can say what they show; pixel data, whose tag was one of those, stay."""
    ds = an_instance(NO_IOD)
    ds.add_new(0x50000010, "US", 3)
    ds.add_new(0x501E3000, "OW", b"ZZ")
    ds.add_new(0x60003000, "OW", b"ZZ")
    ds.add_new(0x601E4000, "LT", "chest Zzyxword")
    ds.add_new(0x60FE0010, "US", 8)
    ds.private_block(0x0009, "NOBODY", create=True).add_new(1, "LO", "chest")
    ds.add_new(0x7F000010, "OW", b"ZZ")
    ds.add_new(0x00203101, "CS", "ZZ")
    ds.PixelData = b""
    ds["PixelData"].VR = "OW"
    item = Dataset()
    item.CodeValue = "T-1"
    item.add_new(0x50000010, "US", 3)
    item.add_new(0x60003000, "OW", b"ZZ")
    item.private_block(0x0009, "NOBODY", create=True).add_new(1, "LO", "chest")
    ds.AnatomicRegionSequence = [item]
    path, out = folder / "groups.dcm", folder / "groups-out.dcm"
    ds.save_as(path, enforce_file_format=True)
    out.unlink(missing_ok=True)
    engine = Engine(a_policy(frozenset({option} if option else ())))
    with engine.read(path) as draft:
        engine.write(draft, CountedPseudonyms(SHIFT).resolve([draft.subject]), out)
    tags = [int(element.tag) for element in pydicom.dcmread(out).iterall()]
    assert not [tag for tag in tags if tag >> 24 in (0x50, 0x60) or tag >> 16 & 1]
    assert [tag for tag in tags if tag >> 24 == 0x7F] == [0x7FE00010]
    assert 0x00203101 not in tags


def test_rows_outside_of_data_sets_go(folder: Path) -> None:
    """UIDs of commands, file meta and directories have rows too; inside a data set they have no place, and go."""
    stray = b"".join(
        encode(tag, b"UI", b"1.2.3.4711", explicit=True)
        for tag in (0x00001000, 0x00001001, 0x00020003, 0x00041511)
    )
    path = folder / "stray.dcm"
    ds = an_instance(NO_IOD)
    ds.pop("AnatomicRegionSequence", None)
    ds.save_as(path, enforce_file_format=True)
    content = path.read_bytes()
    start = read_file_meta(content).data_set_offset
    nested = encode(0x00082218, b"SQ", encode_item(stray), explicit=True)
    path.write_bytes(content[:start] + stray + nested + content[start:])
    out = folder / "stray-out.dcm"
    engine = Engine(a_policy(frozenset({Option.RETAIN_UIDS})))
    with engine.read(path) as draft:
        engine.write(draft, CountedPseudonyms().resolve([draft.subject]), out)
    made = out.read_bytes()
    assert not [tag for tag in (0x00001000, 0x00001001, 0x00041511) if tag_bytes(tag) + b"UI" in made]
    assert made.count(tag_bytes(0x00020003) + b"UI") == 1
