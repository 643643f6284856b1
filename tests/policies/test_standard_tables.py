"""The tables of the standard: complete as published, and found by the tags that files carry."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections import Counter
from importlib import resources
from pathlib import Path

import pytest
from pydicom.datadict import keyword_for_tag

from policies.standard import iods, tables
from policies.standard.attributes import attribute_named, check_value
from policies.standard.beyond import (
    Risk,
    beyond,
    body_words,
    conversion_types,
    directory_keys,
    never_kept,
    opaque_syntaxes,
    risks,
    screen_types,
    volume_classes,
)
from policies.standard.codes import public_meaning
from policies.standard.tables import Option

CT = "1.2.840.10008.5.1.4.1.1.2"
BASIC_TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11"
COMPUTED_RADIOGRAPHY = "1.2.840.10008.5.1.4.1.1.1"


def test_the_confidentiality_profile_is_edition_2026d() -> None:
    """Every row is there, with the counts of Basic Profile actions of edition 2026d."""
    every = [*tables.rows().values(), *tables.wildcards()]
    assert Counter(row.basic for row in every) == {
        "X": 417,
        "D": 93,
        "U": 55,
        "Z": 42,
        "X/D": 23,
        "X/Z": 11,
        "X/Z/D": 8,
        "Z/D": 6,
        "X/Z/U*": 2,
    }
    assert all(row.basic in tables.action_codes() for row in every)


@pytest.mark.parametrize(
    ("option", "kept", "cleaned"),
    [
        (Option.CLEAN_PIXEL_DATA, 0, 0),
        (Option.CLEAN_RECOGNIZABLE_VISUAL_FEATURES, 0, 0),
        (Option.CLEAN_GRAPHICS, 0, 4),
        (Option.CLEAN_STRUCTURED_CONTENT, 0, 4),
        (Option.CLEAN_DESCRIPTORS, 0, 141),
        (Option.RETAIN_LONGITUDINAL_FULL_DATES, 169, 0),
        (Option.RETAIN_LONGITUDINAL_MODIFIED_DATES, 0, 169),
        (Option.RETAIN_PATIENT_CHARACTERISTICS, 14, 5),
        (Option.RETAIN_DEVICE_IDENTITY, 48, 11),
        (Option.RETAIN_UIDS, 60, 0),
        (Option.RETAIN_SAFE_PRIVATE, 0, 1),
        (Option.RETAIN_INSTITUTION_IDENTITY, 10, 0),
    ],
)
def test_every_option_column_is_read(option: Option, kept: int, cleaned: int) -> None:
    """Each option changes as many rows as its column has entries."""
    cells = Counter(row.options.get(option) for row in [*tables.rows().values(), *tables.wildcards()])
    assert (cells["K"], cells["C"]) == (kept, cleaned)


def test_the_codes_of_the_options_are_those_of_cid_7050() -> None:
    """The twelve options have the twelve codes 113101 to 113112, each its own meaning."""
    assert sorted(option.code for option in Option) == [str(code) for code in range(113101, 113113)]
    assert Option.RETAIN_LONGITUDINAL_FULL_DATES.code == "113106"
    assert Option.CLEAN_GRAPHICS.meaning == "Clean Graphics Option"
    assert tables.BASIC_CODE == ("113100", "Basic Application Confidentiality Profile")


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        (0x50000010, "Curve Data"),
        (0x501E3000, "Curve Data"),
        (0x60003000, "Overlay Data"),
        (0x60FE3000, "Overlay Data"),
        (0x60024000, "Overlay Comments"),
        (0x00090010, "Private Attributes"),
        (0x50011000, "Private Attributes"),
        (0x60013000, "Private Attributes"),
        (0x00100010, "Patient's Name"),
    ],
)
def test_wildcard_rows_cover_their_groups(tag: int, name: str) -> None:
    """A tag of a repeating or private group finds the row that covers it."""
    row = tables.row_of(tag)
    assert row is not None
    assert row.name == name


@pytest.mark.parametrize("tag", [0x60000010, 0x7FE00010, 0x00280010])
def test_a_tag_without_row_has_none(tag: int) -> None:
    """Geometry of overlays, pixels and matrix size have no row."""
    assert tables.row_of(tag) is None


def test_safe_private_elements_are_found_by_creator_not_by_block() -> None:
    """Table E.3.10-1 is complete, and its keys hold creator, group and low byte."""
    safe = tables.safe_private()
    assert len(safe) == 479
    assert len({creator for creator, _, _ in safe}) == 20
    assert safe["Philips PET Private Group", 0x7053, 0x00].vr == "DS"
    assert all(group & 1 and 0 <= element <= 0xFF for _, group, element in safe)


def test_a_concept_is_told_apart_by_its_value_type() -> None:
    """Clinical Report is kept as a reference by Retain UIDs, and cleaned as text by Clean Descriptors."""
    concepts = tables.concepts()
    assert len(concepts) == 214
    assert concepts["371524004", "SCT", "COMPOSITE"].options == {Option.RETAIN_UIDS: "K"}
    assert concepts["371524004", "SCT", "TEXT"].options == {Option.CLEAN_DESCRIPTORS: "C"}


def test_the_type_of_an_attribute_depends_on_iod_and_level() -> None:
    """The same attribute has a Type of its own in each IOD and at each level."""
    pet = tables.attribute_type("1.2.840.10008.5.1.4.1.1.128", (0x00080021,))
    ct = tables.attribute_type(CT, (0x00080021,))
    assert pet is not None
    assert ct is not None
    assert (pet.type, ct.type) == ("1", "3")
    nested = tables.attribute_type(CT, (0x00081140, 0x00081155))
    assert nested == tables.AttributeUse("1", mandatory_module=False, nested=True)
    assert tables.attribute_type(CT, (0x00081155,)) is None


def test_content_trees_are_looked_up_at_any_depth() -> None:
    """An item ten levels down in a report has the Type of an item two levels down."""
    content, concept_name = 0x0040A730, 0x0040A043
    shallow = tables.attribute_type(BASIC_TEXT_SR, (content, content, concept_name))
    assert shallow is not None
    assert tables.attribute_type(BASIC_TEXT_SR, (content,) * 10 + (concept_name,)) == shallow
    assert tables.attribute_type(BASIC_TEXT_SR, (content,) * 10 + (0x00280010,)) is None


def test_all_overlay_groups_are_one_module() -> None:
    """Overlay Data of the sixteenth overlay has the Type of the first one's, in an optional module."""
    use = tables.attribute_type(COMPUTED_RADIOGRAPHY, (0x601E3000,))
    assert use == tables.AttributeUse("1", mandatory_module=False, nested=False)


@pytest.mark.parametrize(
    ("sop_class_uid", "known", "iod"),
    [
        (CT, True, "ct-image"),
        ("1.2.840.10008.5.1.4.1.1.66.7", True, "segmentation"),
        ("1.2.840.10008.5.1.4.1.1.6", True, None),
        ("1.2.840.10008.1.3.10", False, None),
        ("1.2.840.10008.1.20.1", False, None),
        ("1.2.840.10008.1.1", False, None),
        ("1.2.840.10008.5.1.4.1.1.501.1", False, None),
        ("1.3.12.2.1107.5.9.1", False, None),
        ("", False, None),
    ],
)
def test_storage_sop_classes_are_told_from_others(sop_class_uid: str, known: bool, iod: str | None) -> None:
    """Storage SOP Classes are known, retired ones without IOD; DICOMDIR, services and private ones are not."""
    assert tables.is_known_sop_class(sop_class_uid) is known
    assert tables.iod_of(sop_class_uid) == iod


def test_what_the_table_forgets_is_not_in_the_table() -> None:
    """Each further attribute has a keyword of PS3.6, an action of its own, and no row of E.1-1."""
    for tag, row in beyond().items():
        assert keyword_for_tag(tag) == row.keyword
        assert tables.row_of(tag) is None, row.keyword
        assert row.action in ("X", "U", "Z"), row.keyword
        assert row.reason, row.keyword
        assert row.source, row.keyword


@pytest.mark.parametrize(
    ("keyword", "action"),
    [
        ("MultiFrameSourceSOPInstanceUID", "U"),
        ("SOPInstanceUIDOfConcatenationSource", "U"),
        ("ReferencedColorPaletteInstanceUID", "U"),
        ("VolumeFrameOfReferenceUID", "U"),
        ("RetrieveLocationUID", "X"),
        ("RetrieveURL", "X"),
        ("PatientBirthDateInAlternativeCalendar", "X"),
        ("EncryptedAttributesSequence", "X"),
        ("TrackingID", "Z"),
    ],
)
def test_the_attributes_that_the_table_forgets_are_listed(keyword: str, action: str) -> None:
    """Instance references, ways back and birth dates that E.1-1 has no row for are still treated."""
    assert beyond()[attribute_named(keyword).tag].action == action


def test_every_sop_class_at_risk_is_a_storage_sop_class() -> None:
    """The list of SOP Classes at risk names only what can arrive, for every risk that a class can bear."""
    assert all(tables.is_known_sop_class(uid) for uid in risks())
    told_otherwise = {
        Risk.BURNED_IN_ANNOTATION,
        Risk.FILM_SCAN,
        Risk.RECOGNIZABLE_VISUAL_FEATURES,
        Risk.OPAQUE_STREAM,
    }
    assert set(risks().values()) == set(Risk) - told_otherwise
    assert risks()["1.2.840.10008.5.1.4.1.1.104.1"] == Risk.ENCAPSULATED_DOCUMENT
    assert CT not in risks()


def test_ultrasound_volumes_and_voices_are_at_risk_too() -> None:
    """What shows or tells the patient by another name than 'ultrasound' or 'photograph' is not forgotten."""
    assert risks()["1.2.840.10008.5.1.4.1.1.6.2"] == Risk.ULTRASOUND
    assert risks()["1.2.840.10008.5.1.4.1.1.9.4.1"] == Risk.AUDIO
    assert risks()["1.2.840.10008.5.1.4.1.1.68.1"] == Risk.VISIBLE_LIGHT


def test_a_saved_screen_is_told_by_its_image_type() -> None:
    """A screen stored as a CT image is recognised by a value of Image Type that is legal for its VR."""
    assert screen_types()["SCREEN SAVE"] == Risk.SECONDARY_CAPTURE
    assert "AXIAL" not in screen_types()
    for image_type in screen_types():
        check_value(attribute_named("ImageType"), image_type)


def test_what_is_never_kept_is_known_to_the_dictionary() -> None:
    """Each attribute that no policy may keep is one of PS3.6."""
    assert all(attribute_named(keyword).keyword == keyword for keyword in never_kept())


def test_keys_of_directories_are_what_an_iod_leaves_optional() -> None:
    """A key is listed only where the attribute's own Type does not already demand a value."""
    assert directory_keys()
    for sop_class_uid, tag in directory_keys():
        use = tables.attribute_type(sop_class_uid, (tag,))
        assert tables.iod_of(sop_class_uid) is not None
        assert use is None or use.type != "1"


def test_the_tables_are_complete_in_the_package() -> None:
    """Each line of a published table is one row; none is lost to a key used twice."""
    folder = Path(tables.__file__).parent
    for name, count in (
        ("confidentiality_profile.csv", len(tables.rows()) + len(tables.wildcards())),
        ("safe_private_attributes.csv", len(tables.safe_private())),
        ("structured_content_concepts.csv", len(tables.concepts())),
        ("beyond_the_table.csv", len(beyond())),
        ("risks.csv", len(risks())),
        ("never_kept.csv", len(never_kept())),
        ("directory_keys.csv", len(directory_keys())),
        ("screen_types.csv", len(screen_types())),
        ("conversion_types.csv", len(conversion_types())),
        ("opaque_transfer_syntaxes.csv", len(opaque_syntaxes())),
        ("volume_classes.csv", len(volume_classes())),
        ("body_words.csv", len({entry.word for entry in body_words()})),
    ):
        with (folder / name).open(encoding="utf-8", newline="") as lines:
            assert len(list(csv.DictReader(lines))) == count, name


@pytest.mark.parametrize("name", ["PatientAge", "(0010,1010)"])
def test_an_attribute_is_named_by_keyword_or_tag(name: str) -> None:
    """Both ways lead to the same attribute, written the same way."""
    found = attribute_named(name)
    assert (found.tag, found.written, found.vr) == (0x00101010, "PatientAge", "AS")


def test_a_misspelt_keyword_is_answered_with_the_nearest() -> None:
    """A misspelt keyword is refused with the keyword that was meant."""
    with pytest.raises(ValueError, match=r"write PatientName$"):
        attribute_named("PatientNam")


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("StudyDate", "yesterday"),
        ("PatientAge", "35-39"),
        ("PatientSex", "male "),
        ("AccessionNumber", "x" * 17),
        ("Rows", "many"),
        ("PixelData", "x"),
        ("ContentSequence", "x"),
        ("StudyID", ""),
    ],
)
def test_a_value_that_its_vr_does_not_allow_is_refused(keyword: str, value: str) -> None:
    """Only a value that is legal for the VR can replace one."""
    with pytest.raises(ValueError, match="value"):
        check_value(attribute_named(keyword), value)


def test_modules_read_one_by_one_are_those_of_the_file() -> None:
    """Reading only the modules that are asked for gives what reading the whole file gives."""
    packed = resources.files("policies.standard").joinpath("iod_attribute_types.json.gz").read_bytes()
    whole = json.loads(gzip.decompress(packed))
    tables = iods._tables()
    assert {name: iods._module_types(name) for name in tables.modules} == whole["modules"]
    assert tables.ciods == whole["ciods"]
    assert tables.sop_classes == whole["sop_classes"]


def test_codes_found_one_by_one_are_those_of_the_file() -> None:
    """Every code of the table is found by scheme and value, with each name that it has been called by."""
    packed = resources.files("policies.standard").joinpath("code_meanings.csv.gz").read_bytes()
    whole: dict[tuple[str, str], set[str]] = {}
    for scheme, value, meaning in csv.reader(io.StringIO(gzip.decompress(packed).decode())):
        whole.setdefault((scheme, value), set()).add(meaning)
    assert len(whole) > 20_000
    for code, meanings in whole.items():
        found = public_meaning(*code)
        assert found is not None
        assert all(meaning in found for meaning in meanings)
    assert public_meaning("SCT", "4711") is None
    assert public_meaning("99HOSP", "") is None


@pytest.mark.parametrize("keyword", ["BeamName", "BlockName", "ApplicationSetupName", "InstructionText"])
def test_names_that_people_give_are_free_text(keyword: str) -> None:
    """What somebody types to call a beam, a block or a step goes like a label, or keeps its safe words."""
    row = beyond()[attribute_named(keyword).tag]
    assert (row.action, dict(row.options)) == ("X", {Option.CLEAN_DESCRIPTORS: "C"})
