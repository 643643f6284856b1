"""The quick reader sees what pydicom sees, and leaves to pydicom what is not ordinary."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pydicom.data
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread

from media import instances
from media.errors import UnreadableInstance
from media.headers import read_header
from media.instances import Instance, read_instance
from media.record_types import levels_of, record_type_of
from media.records import body_of
from tests.media.builders import an_instance, one_of_each_kind, written

_TEXTS = ("PatientID", "PatientName", "StudyDescription", "SeriesDescription", "PatientIdentityRemoved")


def by_pydicom(path: Path) -> Instance:
    """The instance as pydicom reads it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(instances, "read_header", lambda *_: None)
        return read_instance(path)


def said(read: Any, path: Path) -> Any:
    """All that an instance says for its records, or why it cannot be read."""
    try:
        instance = read(path)
        kind = record_type_of(instance.sop_class_uid)
        bodies = [body_of(instance.attributes, level) for level in levels_of(kind)] if kind else []
    except UnreadableInstance as fault:
        return fault.reason
    plain = [getattr(instance, name) for name in Instance.__slots__ if name != "attributes"]
    texts = [instance.attributes.text(keyword) for keyword in _TEXTS]
    return plain, texts, [(body.data, body.missing, body.gap) for body in bodies]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_file_of_pydicom_is_read_alike() -> None:
    """Of each file, broken ones too, both readers say the same; of the most part the quick one says it."""
    files = sorted(Path(pydicom.data.__file__).with_name("test_files").rglob("*.dcm"))
    assert len(files) > 50
    quick = 0
    for path in files:
        assert said(read_instance, path) == said(by_pydicom, path), path.name
        quick += read_header(path, frozenset({0x00080018})) is not None
    assert quick > len(files) // 2


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"])
def test_every_kind_is_read_alike(tmp_path: Path, syntax: str) -> None:
    """An instance of each record type gives the same records by both readers, in every encoding."""
    for ds in one_of_each_kind():
        path = written(ds, tmp_path, transfer_syntax=syntax)
        assert said(read_instance, path) == said(by_pydicom, path), ds.SOPClassUID.name


def test_sequences_of_undefined_length_are_stepped_over(tmp_path: Path) -> None:
    """What follows a nested sequence of undefined length is read, and the sequence itself is none of its business."""
    ds = an_instance("PRESENTATION")
    for item in ds.ReferencedSeriesSequence:
        item.is_undefined_length_sequence_item = True
        item["ReferencedImageSequence"].is_undefined_length = True
    ds.RequestAttributesSequence = ds.ReferencedSeriesSequence
    ds["RequestAttributesSequence"].is_undefined_length = True
    path = written(ds, tmp_path)
    header = read_header(path, frozenset({0x00700080}))
    assert header is not None and header.elements[0x00700080][1].strip() == b"LABEL"
    assert said(read_instance, path) == said(by_pydicom, path)


def test_elements_beyond_the_first_octets_are_found(tmp_path: Path) -> None:
    """A header larger than what is read at once is read to its end."""
    path = written(an_instance("RT PLAN", PatientComments="x" * 10_000, RTPlanLabel="LATE"), tmp_path)
    header = read_header(path, frozenset({0x300A0002}))
    assert header is not None and header.elements[0x300A0002] == (b"SH", b"LATE")
    assert said(read_instance, path) == said(by_pydicom, path)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of one document."""
    return written(an_instance("SR DOCUMENT"), tmp_path_factory.mktemp("plain")).read_bytes()


@pytest.mark.filterwarnings("ignore::UserWarning")
@given(data=st.data())
def test_whatever_is_broken_is_judged_alike(
    plain: bytes, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With any octet changed or any end cut off, the quick reader gives the same answer or leaves it to pydicom."""
    place = data.draw(st.integers(min_value=128, max_value=len(plain) - 1))
    octet = data.draw(st.integers(min_value=0, max_value=255))
    cut = data.draw(st.booleans())
    changed = plain[:place] if cut else plain[:place] + bytes([octet]) + plain[place + 1 :]
    path = tmp_path_factory.mktemp("broken") / "file"
    path.write_bytes(changed)
    try:
        dcmread(io.BytesIO(changed), stop_before_pixels=True)
    except Exception:
        return  # pydicom cannot read the whole of it; the quick reader stops where it has what it needs
    assert said(read_instance, path) == said(by_pydicom, path)


def test_a_verification_that_breaks_the_parser_is_named(plain: bytes, tmp_path: Path) -> None:
    """An item with a Value Representation that is none makes the document unreadable, and stops nothing else."""
    broken = plain.replace(b"\x40\x00\x30\xa0DT", b"\x40\x00\x30\xa0BT")
    assert broken != plain
    (tmp_path / "file").write_bytes(broken)
    assert said(read_instance, tmp_path / "file") == said(by_pydicom, tmp_path / "file") == "malformed"


def test_an_ordinary_file_needs_no_pydicom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images as modalities write them are read without it."""

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(instances, "dcmread", never)
    for number in (1, 2):
        assert read_instance(written(an_instance(number=number), tmp_path)).identity_removed
