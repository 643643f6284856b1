"""Structured content: cleaned by concept, and every item that stays is found where references say."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from policies.engine import Engine
from policies.errors import Refusal
from policies.loader import load_library
from policies.model import Policy
from policies.standard.tables import ConceptRow, Option, concepts
from tests.policies.pseudonyms_for_tests import CountedPseudonyms
from tests.policies.reports import a_reference, a_report, an_item, coded

FINDING = Code("121071", "DCM", "Finding")
"""A concept without a row as CONTAINER, CODE or NUM: such an item stays."""
ACCESSION = Code("121022", "DCM", "Accession Number")
"""A concept whose TEXT goes under every option."""


def a_policy(*options: Option) -> Policy:
    return Policy.model_validate(
        {
            "name": "p",
            "version": "1",
            "stage": "anonymize",
            "title": "t",
            "description": "d",
            "options": sorted(options),
        }
    )


CLEANING = a_policy(Option.CLEAN_STRUCTURED_CONTENT)


def carried(ds: Dataset, folder: Path, policy: Policy = CLEANING, *, implicit: bool = False) -> Dataset:
    path, out = folder / "in.dcm", folder / "out.dcm"
    out.unlink(missing_ok=True)
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    dcmwrite(path, ds, enforce_file_format=True, implicit_vr=implicit, little_endian=True)
    engine = Engine(policy)
    with engine.read(path) as draft:
        engine.write(draft, CountedPseudonyms().resolve([draft.subject]), out)
    return pydicom.dcmread(out)


def going(name: str = "") -> Dataset:
    return an_item("TEXT", ACCESSION, TextValue=name)


def named(name: str, *children: Dataset, relationship: str = "CONTAINS") -> Dataset:
    """An item that stays, told apart from others by its code."""
    code = coded(name, "Something")
    return an_item("CODE", FINDING, *children, relationship=relationship, ConceptCodeSequence=[code])


def name_of(item: Dataset) -> str:
    return str(item.ConceptCodeSequence[0].CodeValue)


def found(ds: Dataset, place: object) -> Dataset:
    """The item at a place, counted as PS3.3 C.17.3.2.5 says."""
    first, *numbers = [place] if isinstance(place, int) else list(place)  # type: ignore[call-overload]
    assert first == 1
    for number in numbers:
        ds = ds.ContentSequence[number - 1]
    return ds


def all_items(ds: Dataset) -> Iterator[Dataset]:
    for item in ds.get("ContentSequence", []):
        yield item
        yield from all_items(item)


def references(ds: Dataset) -> list[Dataset]:
    return [item for item in all_items(ds) if "ReferencedContentItemIdentifier" in item]


# The concepts of Table E.3.4-1.


def expected(row: ConceptRow, options: frozenset[Option]) -> str:
    chosen = {action for option, action in row.options.items() if option in options}
    return "C" if "C" in chosen else "K" if "K" in chosen else row.basic


REFER = ("UIDREF", "IMAGE", "COMPOSITE", "WAVEFORM")


def wrong(row: ConceptRow, item: Dataset | None, options: frozenset[Option]) -> str:
    action = expected(row, options)
    if action == "X/D":
        action = "D" if row.value_type in REFER else "X"
    if item is None or action == "X":
        return "" if item is None and action == "X" else f"{action}: {item is None}"
    before = an_item(row.value_type)
    kept_uids = Option.RETAIN_UIDS in options
    if row.value_type in REFER:
        uid = (
            item.UID if row.value_type == "UIDREF" else item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        )
        original = uid in ("1.2.3.88.8", "1.2.3.88.9")
        keeps = action == "K" if row.value_type == "UIDREF" else kept_uids
        return "" if original is keeps else "its UID"
    if row.value_type == "TEXT":
        return (
            "" if item.TextValue == {"K": before.TextValue, "C": "chest", "D": "REMOVED"}[action] else "text"
        )
    if row.value_type == "PNAME":
        return "" if item.PersonName and item.PersonName != before.PersonName else "name"
    if row.value_type in ("DATE", "DATETIME"):
        keyword = {"DATE": "Date", "DATETIME": "DateTime"}[row.value_type]
        same = item[keyword].value == before[keyword].value
        return "" if item[keyword].value and same is (action == "K") else "date"
    return ""


OPTIONS = [
    frozenset({Option.CLEAN_STRUCTURED_CONTENT, *more})
    for more in (
        (),
        (Option.CLEAN_DESCRIPTORS,),
        (Option.RETAIN_UIDS,),
        (Option.RETAIN_DEVICE_IDENTITY,),
        (Option.RETAIN_INSTITUTION_IDENTITY,),
        (Option.RETAIN_PATIENT_CHARACTERISTICS,),
        (Option.RETAIN_LONGITUDINAL_FULL_DATES,),
        (Option.RETAIN_LONGITUDINAL_MODIFIED_DATES,),
        (Option.RETAIN_UIDS, Option.RETAIN_LONGITUDINAL_MODIFIED_DATES, Option.CLEAN_DESCRIPTORS),
    )
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "+".join(sorted(options)[1:]) or "alone")
def test_every_concept_is_treated_as_its_row_says(options: frozenset[Option], tmp_path: Path) -> None:
    """All rows of Table E.3.4-1 in one report: each item goes, stays, or is replaced by concept and value type."""
    rows = list(concepts().values())
    ds = a_report(*(an_item(row.value_type, Code(row.code, row.scheme, "Something")) for row in rows))
    out = carried(ds, tmp_path, a_policy(*options))
    after = {
        (
            item.ConceptNameCodeSequence[0].CodeValue,
            item.ConceptNameCodeSequence[0].CodingSchemeDesignator,
            item.ValueType,
        ): item
        for item in out.ContentSequence
    }
    faults = {
        (row.code, row.value_type): said
        for row in rows
        if (said := wrong(row, after.get((row.code, row.scheme, row.value_type)), options))
    }
    assert faults == {}


def test_a_long_code_is_a_concept_too(tmp_path: Path) -> None:
    """A concept whose code is written as Long Code Value is found in the table like any other."""
    item = going("A-77")
    code = item.ConceptNameCodeSequence[0]
    code.LongCodeValue = code.CodeValue
    del code.CodeValue
    assert "ContentSequence" not in carried(a_report(item), tmp_path)


def test_an_item_that_nobody_can_tell_goes(tmp_path: Path) -> None:
    """Without value type and without reference an item goes; with both, too."""
    nothing, both = Dataset(), named("b")
    nothing.RelationshipType, nothing.TextValue = "CONTAINS", "chest"
    both.ReferencedContentItemIdentifier = [1, 1]
    out = carried(a_report(named("a"), nothing, both), tmp_path)
    assert [name_of(item) for item in out.ContentSequence] == ["a"]


# References by place.


def test_a_reference_follows_its_item(tmp_path: Path) -> None:
    """Items before it go, and a reference says where its item is now."""
    ds = a_report(
        going(), named("a"), going(), named("b", going(), named("c")), named("d", a_reference(1, 4, 2))
    )
    out = carried(ds, tmp_path)
    (reference,) = references(out)
    assert list(reference.ReferencedContentItemIdentifier) == [1, 2, 1]
    assert name_of(found(out, reference.ReferencedContentItemIdentifier)) == "c"
    assert reference.RelationshipType == "INFERRED FROM"


def test_a_reference_goes_with_its_item(tmp_path: Path) -> None:
    """A reference to an item that goes, or to a place where nothing is, goes too; those behind it are counted anew."""
    ds = a_report(
        going(),
        named("a", a_reference(1, 1), a_reference(1, 9), a_reference(1, 2, 4), a_reference(1), named("b")),
        named("c", a_reference(1, 2, 5), a_reference(2, 1), a_reference(1, 2, 0)),
    )
    out = carried(ds, tmp_path)
    kept = [reference.ReferencedContentItemIdentifier for reference in references(out)]
    assert [place if isinstance(place, int) else list(place) for place in kept] == [[1, 1, 2], 1, [1, 1, 3]]
    assert name_of(found(out, kept[2])) == "b"


def test_coordinates_go_with_what_they_lie_on(tmp_path: Path) -> None:
    """Coordinates whose image goes say nothing and go, by value or by reference; those of a kept image stay."""
    on_gone = an_item("SCOORD", FINDING, a_reference(1, 1, 1, relationship="SELECTED FROM"))
    on_kept = an_item("SCOORD", FINDING, an_item("IMAGE", None, relationship="SELECTED FROM"))
    in_time = an_item("TCOORD", FINDING, a_reference(1, 2, relationship="SELECTED FROM"))
    gone = an_item("TEXT", ACCESSION, an_item("IMAGE", None))
    ds = a_report(gone, on_gone, in_time, on_kept, named("a", a_reference(1, 2), a_reference(1, 4)))
    out = carried(ds, tmp_path)
    assert [item.ValueType for item in out.ContentSequence] == ["SCOORD", "CODE"]
    (reference,) = references(out)
    assert list(reference.ReferencedContentItemIdentifier) == [1, 1]


def test_cells_of_tables_refer_like_items(tmp_path: Path) -> None:
    """A cell that refers to an item of the document follows it, and goes with it; other cells stay."""
    cells = []
    for column, place in enumerate(((1, 1), (1, 2), None), 1):
        cell = Dataset()
        cell.TableRowNumber, cell.TableColumnNumber = 1, column
        if place:
            cell.ReferencedContentItemIdentifier = list(place)
        else:
            cell.NumericValue = "5"
        cells.append(cell)
    values = Dataset()
    values.NumberOfTableRows, values.NumberOfTableColumns = 1, 3
    values.CellValuesSequence = cells
    table = an_item("TABLE", FINDING, TabulatedValuesSequence=[values])
    del table.ReferencedSOPSequence
    out = carried(a_report(going(), named("a"), table), tmp_path)
    after = out.ContentSequence[1].TabulatedValuesSequence[0].CellValuesSequence
    assert [cell.TableColumnNumber for cell in after] == [2, 3]
    assert list(after[0].ReferencedContentItemIdentifier) == [1, 1]
    assert after[1].NumericValue == 5


def test_a_place_outside_of_a_document_is_none(tmp_path: Path) -> None:
    """A reference by place where no content tree is refers to nothing, and goes."""
    ds = a_report(named("a"))
    stray = coded("x")
    stray.ReferencedContentItemIdentifier = [1, 1]
    ds.AnatomicRegionSequence = [stray]
    assert "ReferencedContentItemIdentifier" not in carried(ds, tmp_path).AnatomicRegionSequence[0]


@st.composite
def trees(draw: st.DrawFn, depth: int = 0) -> list[Dataset]:
    """Content of any shape: items that stay and go, references to anywhere."""
    content = []
    for _ in range(draw(st.integers(0 if depth else 1, 4))):
        kind = draw(st.sampled_from(["stays", "stays", "goes", "refers"]))
        if kind == "refers":
            place = (1, *draw(st.lists(st.integers(1, 4), max_size=3)))
            content.append(a_reference(*place))
            continue
        item = named("x") if kind == "stays" else going()
        children = draw(trees(depth + 1)) if depth < 3 else []
        if children:
            item.ContentSequence = children
        content.append(item)
    return content


def undefined_lengths(ds: Dataset) -> None:
    for element in ds:
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True
                undefined_lengths(item)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=trees(), implicit=st.booleans(), undefined=st.booleans())
def test_references_lead_to_the_same_items_as_before(
    content: list[Dataset], implicit: bool, undefined: bool, tmp_path: Path
) -> None:
    """Whatever the shape of a document and of its encoding: a reference leads to the item that it led to before, and
    it is there exactly when it led to an item that stays."""
    ds = a_report(*content)
    for number, item in enumerate(all_items(ds)):
        if "ConceptCodeSequence" in item:
            item.ConceptCodeSequence[0].CodeValue = f"{number}"

    def walk(
        level: Dataset, place: tuple[int, ...], gone: bool
    ) -> Iterator[tuple[tuple[int, ...], Dataset, bool]]:
        for number, item in enumerate(level.get("ContentSequence", []), 1):
            goes = gone or "TextValue" in item
            yield (*place, number), item, goes
            yield from walk(item, (*place, number), goes)

    at = {place: (item, goes) for place, item, goes in walk(ds, (1,), False)}
    at[(1,)] = (ds, False)

    def is_kept(place: tuple[int, ...], seen: frozenset[tuple[int, ...]] = frozenset()) -> bool:
        item, goes = at.get(place, (None, True))
        if item is None or goes:
            return False
        if "ReferencedContentItemIdentifier" not in item or place in seen:
            return True
        value = item.ReferencedContentItemIdentifier
        return is_kept((value,) if isinstance(value, int) else tuple(value), seen | {place})

    wanted = []
    for place, (item, goes) in at.items():
        if "ReferencedContentItemIdentifier" in item and not goes and is_kept(place):
            value = item.ReferencedContentItemIdentifier
            target = at[(value,) if isinstance(value, int) else tuple(value)][0]
            wanted.append(
                name_of(target) if "ConceptCodeSequence" in target else target.get("RelationshipType", "root")
            )
    if undefined:
        undefined_lengths(ds)
    out = carried(ds, tmp_path, implicit=implicit)
    got = []
    for reference in references(out):
        target = found(out, reference.ReferencedContentItemIdentifier)
        got.append(
            name_of(target) if "ConceptCodeSequence" in target else target.get("RelationshipType", "root")
        )
    assert got == wanted


def test_a_deep_document_is_refused_by_name(tmp_path: Path) -> None:
    """Content nested deeper than anybody writes is refused, and takes no time."""
    item = named("x")
    for _ in range(40):
        item = named("x", item)
    with pytest.raises(Refusal) as refused:
        carried(a_report(item), tmp_path)
    assert refused.value.reason == "malformed"


def test_a_broken_document_is_refused_by_name(tmp_path: Path) -> None:
    """A content tree that is cut anywhere, or lies about a length, never passes with items lost."""
    ds = a_report(named("a", named("b")), named("c"))
    path = tmp_path / "whole.dcm"
    dcmwrite(path, ds, enforce_file_format=True, implicit_vr=False, little_endian=True)
    content = path.read_bytes()
    start = content.index(b"\x40\x00\x30\xa7SQ")
    engine = Engine(CLEANING)
    broken = tmp_path / "broken.dcm"
    for cut in range(start + 1, len(content)):
        broken.write_bytes(content[:cut])
        with pytest.raises(Refusal):
            engine.read(broken)
    for at in range(start + 8, len(content) - 8, 1):
        if content[at : at + 4] == b"\xfe\xff\x00\xe0":
            broken.write_bytes(content[: at + 4] + b"\xf0\x00\x00\x00" + content[at + 8 :])
            with pytest.raises(Refusal):
                engine.read(broken)


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not installed")
@pytest.mark.parametrize("policy", ["pseudonymization", "basic", "longitudinal-trial"])
def test_a_report_stays_legal(policy: str, tmp_path: Path) -> None:
    """A report with every value type, references and coordinates has no error that it had not before."""
    image = an_item("IMAGE", None, relationship="SELECTED FROM")
    evidence, series, study = Dataset(), Dataset(), Dataset()
    evidence.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    evidence.ReferencedSOPInstanceUID = "1.2.3.88.9"
    series.SeriesInstanceUID, series.ReferencedSOPSequence = "1.2.3.88.5", [evidence]
    study.StudyInstanceUID, study.ReferencedSeriesSequence = "1.2.3.88.2", [series]
    ds = a_report(
        an_item("PNAME", Code("121008", "DCM", "Person Observer Name"), relationship="HAS OBS CONTEXT"),
        going("A-77"),
        an_item("CONTAINER", FINDING, going("A-78")),
        an_item("NUM", FINDING, an_item("SCOORD", None, image, relationship="INFERRED FROM")),
        an_item("SCOORD3D", FINDING),
        an_item("UIDREF", Code("112040", "DCM", "Tracking Unique Identifier")),
        an_item("DATE", Code("111060", "DCM", "Study Date")),
        an_item("TIME", Code("111061", "DCM", "Study Time")),
        an_item("DATETIME", Code("111526", "DCM", "DateTime Started")),
        an_item("TEXT", FINDING),
        named("a", a_reference(1, 4, 1)),
    )
    ds.CurrentRequestedProcedureEvidenceSequence = [study]

    def errors(path: Path) -> list[str]:
        said = subprocess.run(["dciodvfy", "-new", path], capture_output=True, check=False).stderr
        return [line for line in said.decode("latin-1").splitlines() if line.startswith("Error")]

    carried(ds, tmp_path, load_library(policy))
    assert errors(tmp_path / "in.dcm") == []
    assert errors(tmp_path / "out.dcm") == []
