"""Reports as text on the pages of a medium."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from media.documents import Line, read_document
from tests.media.builders import a_code, an_instance, written


def an_item(kind: str, name: str = "", *below: Dataset, **attributes: Any) -> Dataset:
    """One content item."""
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", kind
    if name:
        item.ConceptNameCodeSequence = Sequence([a_code("1", name)])
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    if below:
        item.ContentSequence = Sequence(list(below))
    return item


def an_image_reference(uid: str, *, frame: int | None = None) -> Dataset:
    """A content item that refers to an image, or to a frame of it."""
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", uid
    if frame is not None:
        reference.ReferencedFrameNumber = frame
    return an_item("IMAGE", ReferencedSOPSequence=Sequence([reference]))


def a_measurement(value: str, unit: str) -> Dataset:
    """The value of a NUM item."""
    measured = Dataset()
    measured.NumericValue = value
    measured.MeasurementUnitsCodeSequence = Sequence([a_code(unit, "some unit", scheme="UCUM")])
    return measured


def test_a_report_reads_as_it_is_nested(tmp_path: Path) -> None:
    """Containers, texts, codes, numbers, dates and references come in their order, as deep as they stand."""
    report = an_instance("SR DOCUMENT")
    size = an_item("NUM", "Diameter", MeasuredValueSequence=Sequence([a_measurement("12.5", "mm")]))
    count = an_item("NUM", "Lesions", MeasuredValueSequence=Sequence([a_measurement("3", "{lesions}")]))
    site = an_item("CODE", "Site", ConceptCodeSequence=Sequence([a_code("2", "Left lung")]))
    text = an_item("TEXT", "Conclusion", TextValue="No change.\r\nSee before.")
    date = an_item("DATE", "Compared with", Date="20210304")
    place = an_item("SCOORD", "Region", GraphicData=[1.0, 2.0])
    findings = an_item("CONTAINER", "Findings", size, count, site, an_image_reference("2.25.7"), place)
    report.ContentSequence = Sequence([findings, text, date])
    document = read_document(written(report, tmp_path / "in"))
    assert document is not None
    assert document.title == "Imaging Measurement Report" and document.flags == ("COMPLETE", "VERIFIED")
    assert document.lines == [
        Line(0, "Findings"),
        Line(1, "Diameter", ("12.5 mm",)),
        Line(1, "Lesions", ("3 lesions",)),
        Line(1, "Site", ("Left lung",)),
        Line(1, "Reference", ("refers to: image",)),
        Line(0, "Conclusion", ("No change.", "See before.")),
        Line(0, "Compared with", ("20210304",)),
    ]


def test_the_images_that_a_selection_names_are_found(tmp_path: Path) -> None:
    """A key object selection tells its images, and the frame where it chose one."""
    selection = an_instance("KEY OBJECT DOC")
    chosen = [an_image_reference("2.25.1"), an_image_reference("2.25.2", frame=5)]
    selection.ContentSequence = Sequence(chosen)
    document = read_document(written(selection, tmp_path / "in"))
    assert document is not None and document.images == {"2.25.1": 0, "2.25.2": 5}


def test_a_report_without_end_is_cut_and_counted(tmp_path: Path) -> None:
    """Of a report of many items the first are shown and the others counted."""
    report = an_instance("SR DOCUMENT")
    report.ContentSequence = Sequence([an_item("TEXT", "Item", TextValue=str(n)) for n in range(250)])
    document = read_document(written(report, tmp_path / "in"))
    assert document is not None and (len(document.lines), document.left_out) == (200, 50)


def test_a_long_report_is_cut_and_counted(tmp_path: Path) -> None:
    """Of a report of long texts as many are shown as a person reads on a page."""
    report = an_instance("SR DOCUMENT")
    report.ContentSequence = Sequence([an_item("TEXT", "Item", TextValue="x" * 1500) for _ in range(20)])
    document = read_document(written(report, tmp_path / "in"))
    assert document is not None and (len(document.lines), document.left_out) == (13, 7)


def test_a_report_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    """A file that breaks the parser, and items nested without end, are no report and no error."""
    path = tmp_path / "x"
    path.write_bytes(bytes(128) + b"DICM" + b"\2\0\0\0XX" * 40)
    assert read_document(path) is None
    depth = 3000
    opening = b"\x40\x00\x30\xa7SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    nested = written(an_instance("SR DOCUMENT", ContentSequence=None), tmp_path / "in")
    nested.write_bytes(nested.read_bytes() + opening * depth)
    assert read_document(nested) is None
