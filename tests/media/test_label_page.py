"""The label of a medium as a page to print."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as XmlTree

import pytest

from media.errors import OutputRefused, UnreadableMedium
from media.label_page import Label, label_of, write_label_page
from media.pages import MediumLabel
from media.pdi import Profile, write_medium
from media.secure_readme import write_secure_readme
from tests.media.builders import LABEL, a_medium, an_instance, written
from tests.media.test_pages import faults_of, text_of


def test_a_label_says_what_is_on_its_medium(tmp_path: Path) -> None:
    """File-set ID, institution, pseudonyms, profile and kind of content are read from the medium itself."""
    instances = [an_instance(patient=patient) for patient in (2, 1)]
    files = [written(ds, tmp_path / "in") for ds in instances]
    profile = Profile.STD_GEN_USB_JPEG
    medium = write_medium(files, tmp_path / "medium", label=LABEL, profile=profile)
    label = label_of(medium.path)
    assert label == Label(
        "CASE_7", "Institute of Trials", "STD-GEN-USB-JPEG", True, False, ("PSN0001", "PSN0002")
    )
    assert label.content == "DICOM PLUS WEB"


def test_an_encrypted_medium_names_no_patient(tmp_path: Path) -> None:
    """Of an encrypted medium the label says that it is, and nothing that could not be read on it."""
    folder = tmp_path / "secure"
    folder.mkdir()
    write_secure_readme(folder, LABEL, "STD-GEN-SEC-CD", certificates=True, password=False)
    enveloped = b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03" + bytes(100)
    (folder / "DICOMDIR").write_bytes(enveloped)
    label = label_of(folder)
    assert label == Label("CASE_7", "Institute of Trials", "STD-GEN-SEC-CD", False, True, ())
    write_label_page(tmp_path / "label.htm", [label], created="2026-01-02")
    text = text_of(XmlTree.parse(tmp_path / "label.htm").getroot())
    assert "DICOM ONLY, ENCRYPTED" in text and "not named on an encrypted medium" in text


def test_the_page_has_every_point(tmp_path: Path) -> None:
    """Case, pseudonyms, date, institution, content, File-set ID, number of the medium, profile, and words for a pen."""
    labels = [
        Label(f"LUNG_{number}", "Institut", "STD-GEN-CD", True, False, (f"LU-{number}",)) for number in (1, 2)
    ]
    out = tmp_path / "label.htm"
    write_label_page(out, labels, created="2026-01-02", case="lung-1 <&>", institution="Institüt")
    page = XmlTree.parse(out).getroot()
    assert faults_of(page) == []
    text = text_of(page)
    points = (
        "DICOM PLUS WEB LUNG_1",
        "Case lung-1 <&>",
        "Patients LU-2",
        "Created 2026-01-02",
        "By Institüt",
        "Medium 2 of 2",
        "Profile IHE PDI, STD-GEN-CD",
        "No printer?",
    )
    assert [point for point in points if point.replace(" ", "") not in text.replace(" ", "")] == []


def test_many_patients_are_counted(tmp_path: Path) -> None:
    """Where there is no room for all pseudonyms, the label says how many more there are."""
    label = Label("A", "I", "STD-GEN-CD", True, False, tuple(f"P{number}" for number in range(10)))
    assert label.patients_shown == "P0, P1, P2, P3, P4, P5 and 4 more"


def test_identified_material_gets_no_label(tmp_path: Path) -> None:
    """A medium with an instance that does not say its patient's identity was removed is refused."""
    medium = a_medium(tmp_path).path
    written(an_instance(number=2, PatientIdentityRemoved="NO"), medium / "MORE")
    with pytest.raises(UnreadableMedium, match="identity was removed"):
        label_of(medium)


def test_another_vendors_medium_gets_no_label(tmp_path: Path) -> None:
    """Where README.TXT is missing or another's, nothing is made up."""
    medium = a_medium(tmp_path).path
    (medium / "README.TXT").write_text("Portable media by somebody else")
    with pytest.raises(UnreadableMedium, match=r"README\.TXT"):
        label_of(medium)
    (medium / "README.TXT").unlink()
    with pytest.raises(UnreadableMedium, match=r"README\.TXT"):
        label_of(medium)


def test_a_label_overwrites_nothing(tmp_path: Path) -> None:
    """A file that is there stays as it is."""
    out = tmp_path / "label.htm"
    out.write_text("mine")
    label = Label("A", "I", "STD-GEN-CD", True, False, ())
    with pytest.raises(OutputRefused):
        write_label_page(out, [label], created="2026-01-02")
    assert out.read_text() == "mine"


def test_letters_of_an_institution_survive(tmp_path: Path) -> None:
    """An institution whose name is no ASCII is found in README.TXT as near as it comes."""
    label = MediumLabel("CASE_7", "Universität Süd", "x@example.org", "TCE", "0.1.0")
    medium = write_medium([written(an_instance(), tmp_path / "in")], tmp_path / "medium", label=label)
    assert label_of(medium.path).institution == "Universitat Sud"
