"""The tables of directory records agree with the dictionary and with themselves."""

from __future__ import annotations

import pytest
from pydicom.uid import UID_dictionary

from media.record_types import levels_of, record_type_of, record_types
from tests.media.builders import SEGMENTATION, SOP_CLASSES

# Storage SOP Classes that are neither retired nor have a record type in the editions that the table was made from.
WITHOUT_RECORD = {
    "CTDefinedProcedureProtocolStorage",
    "CTPerformedProcedureProtocolStorage",
    "ProtocolApprovalStorage",
    "XADefinedProcedureProtocolStorage",
    "XAPerformedProcedureProtocolStorage",
    "InventoryStorage",
    "DICOSThreatDetectionReportStorage",
    "DICOS2DAITStorage",
    "DICOS3DAITStorage",
    "DICOSQuadrupoleResonanceStorage",
}


def test_every_storage_sop_class_in_use_has_a_record_type() -> None:
    """Each current Storage SOP Class of the dictionary can go onto a medium, or is known to have no record."""
    current = {
        keyword: uid
        for uid, (_, kind, _, retired, keyword) in UID_dictionary.items()
        if kind == "SOP Class"
        and "Storage" in keyword
        and not retired
        and uid.startswith("1.2.840.10008.5.1.4")
    }
    assert {keyword for keyword, uid in current.items() if record_type_of(uid) is None} == WITHOUT_RECORD


@pytest.mark.parametrize("record", SOP_CLASSES)
def test_a_sop_class_leads_to_its_record_type(record: str) -> None:
    """The examples of the standard's table F.4-1 get the record types named there."""
    kind = record_type_of(SOP_CLASSES[record])
    assert kind is not None and kind.name == record


def test_a_segmentation_is_an_image() -> None:
    """A Segmentation, which is no picture to look at, has an IMAGE record all the same."""
    kind = record_type_of(SEGMENTATION)
    assert kind is not None and kind.name == "IMAGE"


def test_a_private_sop_class_has_no_record_type() -> None:
    """What is not in the standard's table has no record; PRIVATE records are not used."""
    assert record_type_of("1.2.3.4") is None


def test_keys_stand_in_the_order_of_their_tags() -> None:
    """Keys can be written one after the other into a legal data set."""
    for record in record_types().values():
        tags = [key.tag for key in record.keys]
        assert tags == sorted(set(tags)), record.name


def test_file_id_prefixes_differ() -> None:
    """Two kinds of record never get the same File ID."""
    prefixes = [record.prefix for record in record_types().values()]
    assert len(prefixes) == len(set(prefixes))


def test_levels_lead_from_the_root() -> None:
    """An image lies below a series, a study and a patient; a hanging protocol below nothing."""
    names = [level.name for level in levels_of(record_types()["IMAGE"])]
    assert names == ["PATIENT", "STUDY", "SERIES", "IMAGE"]
    assert [level.name for level in levels_of(record_types()["HANGING PROTOCOL"])] == ["HANGING PROTOCOL"]
