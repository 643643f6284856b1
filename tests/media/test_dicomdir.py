"""A DICOMDIR holds what the instances say, linked as the standard asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread

from media.dicomdir import Record, write_dicomdir
from media.directory import read_directory
from media.errors import LabelFault
from media.links import Links
from media.records import element
from tests.media.builders import a_medium, an_instance


def records_of(medium: Path) -> list[Any]:
    """The records of a medium's DICOMDIR as pydicom reads them."""
    return list(dcmread(medium / "DICOMDIR").DirectoryRecordSequence)


def test_records_carry_the_keys_of_the_document(tmp_path: Path) -> None:
    """An SR DOCUMENT record has the last verification and the concept modifiers, and no word of the content."""
    medium = a_medium(tmp_path, an_instance("SR DOCUMENT"))
    record = records_of(medium.path)[-1]
    assert record.VerificationDateTime == "20210307080000"
    assert [item.RelationshipType for item in record.ContentSequence] == ["HAS CONCEPT MOD"]
    assert record.ConceptNameCodeSequence[0].CodeValue == "126000"
    assert b"nobody's business" not in (medium.path / "DICOMDIR").read_bytes()


def test_binary_keys_keep_their_value(tmp_path: Path) -> None:
    """32 rows, whose first byte is a space, are still 32 rows, and 1024 points 1024."""
    record = records_of(a_medium(tmp_path, an_instance("SPECTROSCOPY")).path)[-1]
    assert (record.Rows, record.Columns, record.DataPointRows, record.DataPointColumns) == (32, 32, 1, 1024)


def test_no_private_element_comes_into_a_record(tmp_path: Path) -> None:
    """Private elements inside a sequence that a record takes over stay behind."""
    ds = an_instance("PRESENTATION")
    image = ds.ReferencedSeriesSequence[0].ReferencedImageSequence[0]
    image.private_block(0x0011, "VENDOR", create=True).add_new(1, "LO", "secret of the vendor")
    medium = a_medium(tmp_path, ds)
    referenced = records_of(medium.path)[-1].ReferencedSeriesSequence[0].ReferencedImageSequence[0]
    assert referenced.ReferencedSOPInstanceUID == "2.25.99"
    assert b"secret of the vendor" not in (medium.path / "DICOMDIR").read_bytes()


def test_text_keeps_its_character_set(tmp_path: Path) -> None:
    """Names in another script come into the records with the character set that they are written in."""
    ds = an_instance(SpecificCharacterSet=["", "ISO 2022 IR 87"], StudyDescription="胸部")
    study = records_of(a_medium(tmp_path, ds).path)[1]
    assert study.StudyDescription == "胸部"


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"])
def test_the_encoding_of_the_source_leaves_no_trace(tmp_path: Path, syntax: str) -> None:
    """Implicit, explicit and big endian sources give the same DICOMDIR."""
    from media.pdi import write_medium
    from tests.media.builders import LABEL, written

    kinds = ("IMAGE", "SR DOCUMENT", "SPECTROSCOPY", "PRESENTATION")
    instances = [an_instance(kind, series=n) for n, kind in enumerate(kinds, 1)]
    plain = a_medium(tmp_path / "plain", *instances)
    files = [written(ds, tmp_path / "other", transfer_syntax=syntax) for ds in instances]
    other = write_medium(files, tmp_path / "medium", label=LABEL)
    assert (other.path / "DICOMDIR").read_bytes() == (plain.path / "DICOMDIR").read_bytes()


LEVELS = st.lists(st.integers(min_value=0, max_value=3), min_size=0, max_size=60)


@given(steps=LEVELS)
def test_links_lead_to_the_tree_that_was_written(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int]
) -> None:
    """Whatever the shape of the tree, following the offsets gives back each record below its parent."""
    levels = [0]
    for step in steps:
        levels.append(min(step, levels[-1] + 1))
    out = tmp_path_factory.mktemp("tree") / "DICOMDIR"
    written = [
        Record(level, "PRIVATE", element(0x00100020, "LO", b"%d" % n)) for n, level in enumerate(levels)
    ]
    write_dicomdir(out, iter(written), fileset_id="X", sop_instance_uid="1.2.3")
    directory = read_directory(out)
    links, offsets = Links(), []
    for record in directory.records():
        links.add(record)
        offsets.append(record.offset)
    tree = links.follow(directory.first)
    assert (tree.astray, tree.unreached) == (0, 0)
    assert [sum(1 for _ in tree.above(offset)) for offset in offsets] == levels
    assert directory.last == [o for o, level in zip(offsets, levels, strict=True) if level == 0][-1]


def test_a_directory_without_records_is_refused(tmp_path: Path) -> None:
    """An empty DICOMDIR is none."""
    with pytest.raises(LabelFault):
        write_dicomdir(tmp_path / "DICOMDIR", [], fileset_id="X", sop_instance_uid="1.2.3")
