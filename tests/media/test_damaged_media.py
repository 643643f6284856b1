"""Whatever a scratch or an enemy leaves of a medium, reading and checking it end with an answer."""

from __future__ import annotations

import contextlib
import os
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian

from media.checker import examine
from media.digests import digests_of
from media.errors import MediaError
from media.files import walk_medium
from media.opening import open_medium
from media.reader import read_medium
from tests.media.builders import a_medium, an_instance
from tests.media.images import SECTOR, an_image, both_orders

IMAGE = "DICOM/PA000001/ST000001/SE000001/IM000001"
# What a parser stumbles over: ends, signs, undefined lengths, item delimiters, sequences.
_BYTES = st.one_of(
    st.binary(min_size=1, max_size=8),
    st.sampled_from(
        [b"\xff\xff\xff\xff", b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0", b"SQ\0\0", b"UN", b"\0\0\0\x80"]
    ),
)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("whole")
    medium = a_medium(
        folder, an_instance(), an_instance("SR DOCUMENT", series=2), an_instance(patient=2)
    ).path
    return an_image(medium, folder / "medium.iso").read_bytes()


def look(path: Path, scratch: Path) -> None:
    """Do everything with a medium that is done without a site."""
    with open_medium(path, scratch=scratch) as opened:
        inside = opened.root.resolve()
        contents = None
        with contextlib.suppress(MediaError):
            contents = read_medium(opened.root)
        examine(opened.root, volume=opened.volume)
        digests_of(walk_medium(opened.root))
        for one in contents.instances if contents else ():
            assert one.path.resolve().is_relative_to(inside) and not one.path.is_symlink()


@settings(derandomize=True, deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damage_anywhere_ends_with_an_answer(image: bytes, tmp_path: Path, data: st.DataObject) -> None:
    """Descriptors, directories, DICOMDIR, instances and pages, spoiled together, give findings or a refusal."""
    content = bytearray(image)
    directory = content.index(b"DICM", 16 * 2048)
    for _ in range(data.draw(st.integers(1, 12))):
        around = data.draw(st.sampled_from([16 * 2048, 18 * 2048, 23 * 2048, directory, directory]))
        at = around + data.draw(st.integers(0, 4096))
        spoiled = data.draw(_BYTES)
        content[at : at + len(spoiled)] = spoiled
    length = data.draw(st.sampled_from([len(content), len(content), len(content) * 2 // 3]))
    path = tmp_path / "scratched.iso"
    path.write_bytes(content[:length])
    before = set(os.listdir(tmp_path))
    with contextlib.suppress(MediaError):
        look(path, tmp_path)
    assert set(os.listdir(tmp_path)) == before


def test_a_dicomdir_of_nothing_but_nested_sequences_ends(tmp_path: Path) -> None:
    """Sequences within sequences, deeper than any parser goes, are an unreadable DICOMDIR and not a crash."""
    medium = a_medium(tmp_path).path
    path = medium / "DICOMDIR"
    data = path.read_bytes()
    at = data.index(b"\x04\x00\x20\x12SQ")
    nested = b"\xfe\xff\x00\xe0\xff\xff\xff\xff\x04\x00\x20\x12SQ\0\0\xff\xff\xff\xff" * 20_000
    path.write_bytes(data[:at] + b"\x04\x00\x20\x12SQ\0\0\xff\xff\xff\xff" + nested)
    contents = read_medium(medium)
    assert len(contents.instances) == 1 and contents.deviations
    assert not examine(medium).report.passed


def test_a_text_that_is_a_sequence_is_told(tmp_path: Path) -> None:
    """A record whose UID has become a sequence is a fault of the record."""
    medium = a_medium(tmp_path, an_instance(SOPInstanceUID="2.25.1" + "0" * 20)).path
    path = medium / "DICOMDIR"
    data = path.read_bytes()
    at = data.index(b"\x04\0\x11\x15UI") + 4  # Referenced SOP Instance UID in File
    length = int.from_bytes(data[at + 2 : at + 4], "little")
    inner = b"\x08\0\x18\0UI" + (length - 20).to_bytes(2, "little") + b"1" * (length - 20)
    item = b"\xfe\xff\x00\xe0" + len(inner).to_bytes(4, "little") + inner
    spoiled = b"SQ\0\0" + len(item).to_bytes(4, "little") + item
    path.write_bytes(data[:at] + spoiled + data[at + 4 + length :])
    assert len(path.read_bytes()) == len(data)
    assert not examine(medium).report.passed
    assert len(read_medium(medium).instances) == 1


def test_a_page_in_no_character_set_is_told(tmp_path: Path) -> None:
    """A page that names a character set that there is not is a fault of the page."""
    medium = a_medium(tmp_path).path
    (medium / "INDEX.HTM").write_bytes(b"<?xml version='1.0' encoding='UTFUN'?><html/>")
    (layout,) = [one for one in examine(medium).report.checks if one.name == "layout"]
    assert "a page is not well-formed XHTML" in layout.what


def test_a_file_larger_than_its_medium_is_left_out(tmp_path: Path) -> None:
    """A sparse file that claims terabytes as README or page is not read into the memory."""
    medium = a_medium(tmp_path).path
    os.truncate(medium / "README.TXT", 1 << 36)
    os.truncate(medium / "INDEX.HTM", 1 << 36)
    (layout,) = [one for one in examine(medium).report.checks if one.name == "layout"]
    assert "README.TXT cannot be read, or is larger than any text" in layout.what
    assert "a page cannot be read, or is larger than any page" in layout.what


def a_deflated_bomb(medium: Path) -> None:
    """An instance of a megabyte that inflates to one of half a gigabyte."""
    path = medium / IMAGE
    ds = dcmread(path)
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    ds.save_as(path, enforce_file_format=True)
    content = path.read_bytes()
    begin = 144 + int.from_bytes(content[140:144], "little")
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = stream.compress(b"\x08\0\x05\0UN\0\0" + (0x1FFFFFF0).to_bytes(4, "little"))
    for _ in range(1 << 9):
        deflated += stream.compress(bytes(1 << 20))
    path.write_bytes(content[:begin] + deflated + stream.flush())


def an_endless_value(medium: Path) -> None:
    """An instance whose Patient ID is a gigabyte of nothing."""
    content = (medium / IMAGE).read_bytes()
    at = content.index(b"\x10\0\x20\0LO")
    with (medium / IMAGE).open("wb") as file:
        file.write(content[:at] + b"\x10\0\x20\0UN\0\0" + (1 << 30).to_bytes(4, "little"))
        file.truncate(file.tell() + (1 << 30))


def an_endless_record(medium: Path) -> None:
    """A DICOMDIR whose first record is a gigabyte of nothing."""
    content = (medium / "DICOMDIR").read_bytes()
    at = content.index(b"\x04\0\x20\x12SQ")
    undefined = b"\xff\xff\xff\xff"
    with (medium / "DICOMDIR").open("wb") as file:
        file.write(content[: at + 8] + undefined + b"\xfe\xff\x00\xe0" + undefined)
        file.write(b"\x10\0\x10\0UN\0\0" + (1 << 30).to_bytes(4, "little"))
        file.truncate(file.tell() + (1 << 30))


@pytest.mark.parametrize("spoil", [a_deflated_bomb, an_endless_value, an_endless_record])
def test_no_value_fills_the_memory(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    """A small file that says that it is large, or inflates to it, is told of and not taken into memory."""
    medium = a_medium(tmp_path, an_instance(), an_instance(patient=2)).path
    spoil(medium)
    tracemalloc.start()
    try:
        contents = read_medium(medium)
        report = examine(medium).report
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert contents.deviations and not report.passed
    assert most < 300 << 20


def test_directories_that_lie_upon_one_another_end(tmp_path: Path) -> None:
    """An image of which each directory reaches to its end is refused, not read once for each of them."""
    image = tmp_path / "medium.iso"
    count, size = 1 << 12, 64 << 20
    entries = [
        b"\x2a\0%s%s\0\0\0\0\0\0\0\2\0\0\1\0\0\1\x08%08X\0"
        % (both_orders(1000 + one), both_orders(size - (1000 + one) * SECTOR), one)
        for one in range(count)
    ]
    in_one = SECTOR // 42
    sectors = [b"".join(entries[at : at + in_one]).ljust(SECTOR, b"\0") for at in range(0, count, in_one)]
    primary = bytearray(SECTOR)
    primary[:7], primary[80:88], primary[128:130] = b"\1CD001\1", both_orders(size // SECTOR), b"\0\x08"
    primary[156:190] = b"\x22\0%s%s\0\0\0\0\0\0\0\2\0\0\1\0\0\1\1\0" % (
        both_orders(20),
        both_orders(len(sectors) * SECTOR),
    )
    with image.open("wb") as file:
        file.seek(16 * SECTOR)
        file.write(primary + b"\xffCD001\1".ljust(SECTOR, b"\0") + bytes(2 * SECTOR) + b"".join(sectors))
        file.truncate(size)
    with pytest.raises(MediaError, match="its directories hold more than it does"), open_medium(image):
        pass
