"""Files that survive: tce.spool."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRLittleEndian

from tce.errors import ExportError
from tce.spool import Durability, Header, Spool, Spooled, part10_header, read_header
from tests.builders import a_ct_image

HEADER = Header("1.2.840.10008.5.1.4.1.1.2", "1.2.3.4", str(ExplicitVRLittleEndian), "SELECTOR")


def encoded(ds: Dataset) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, ds)
    return bytes(buffer.getvalue())


def put(spool: Spool, dataset: bytes, header: Header = HEADER) -> Spooled:
    incoming = spool.begin(header)
    incoming.write(dataset)
    return incoming.finish()


def test_a_spooled_file_is_part_10_with_the_data_set_as_it_came(tmp_path: Path) -> None:
    """What is spooled can be read by everybody, and its data set has not one byte changed."""
    sent = encoded(a_ct_image())
    spool = Spool(tmp_path)
    stored = spool.path(put(spool, sent).name)
    assert stored.read_bytes().endswith(sent)
    ds = dcmread(stored)
    assert ds.Modality == "CT"
    assert ds.file_meta.SourceApplicationEntityTitle == "SELECTOR"
    assert ds.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


@pytest.mark.parametrize("uid", ["1.2.3", "1.2.34"], ids=["odd", "even"])
def test_a_header_says_what_was_written_into_it(uid: str) -> None:
    """The index can be made again from what lies in the spool."""
    header = HEADER._replace(sop_instance_uid=uid)
    written = part10_header(header)
    assert read_header(written + b"data") == (header, len(written))


def test_files_that_are_finished_together_are_all_there(tmp_path: Path) -> None:
    """Each has its name and its bytes, and one that the disk does not take keeps no other from it."""
    spool = Spool(tmp_path)
    incoming = [spool.begin(HEADER) for _ in range(4)]
    for number, one in enumerate(incoming):
        one.write(b"data set %d" % number)
    sorted(spool.unfinished.iterdir())[2].unlink()
    finished = spool.finish(incoming)
    assert finished[2] is None
    kept = [spool.path(one.name).read_bytes() for one in finished if one is not None]
    assert [content[-1:] for content in kept] == [b"0", b"1", b"3"]
    assert len(list(spool.names())) == 3


def test_examining_a_file_gives_what_storing_it_gave(tmp_path: Path) -> None:
    """A file that the index lost is entered as it would have been."""
    spool = Spool(tmp_path)
    spooled = put(spool, b"some data set")
    assert spool.examine(spooled.name) == spooled


def test_the_digest_tells_transfer_syntaxes_apart(tmp_path: Path) -> None:
    """The same bytes in another encoding are another content."""
    spool = Spool(tmp_path)
    implicit = HEADER._replace(transfer_syntax_uid="1.2.840.10008.1.2")
    first, again, other = put(spool, b"same"), put(spool, b"same"), put(spool, b"same", implicit)
    assert spool.digest(first) == spool.digest(again)
    assert spool.digest(first) != spool.digest(other)


def test_names_say_nothing(tmp_path: Path) -> None:
    """No file or folder name of the spool holds an identifier."""
    spool = Spool(tmp_path)
    name = put(spool, b"data").name
    assert "1.2.3.4" not in name
    assert name not in put(spool, b"data").name


def test_what_a_dead_process_left_unfinished_is_cleared(tmp_path: Path) -> None:
    """Bytes that nobody was promised are gone after a restart; those that somebody was promised stay."""
    spool = Spool(tmp_path)
    kept = put(spool, b"data")
    (tmp_path / "unfinished" / "half").write_bytes(b"da")
    spool.own()
    assert list((tmp_path / "unfinished").iterdir()) == []
    assert set(spool.names()) == {kept.name}


def test_one_process_owns_a_spool(tmp_path: Path) -> None:
    """A second owner is turned away, and let in when the first is gone."""
    first, second = Spool(tmp_path), Spool(tmp_path)
    first.own()
    with pytest.raises(ExportError, match="another process"):
        second.own()
    first.release()
    second.own()


def test_a_foreign_file_is_not_taken_for_its_own(tmp_path: Path) -> None:
    """A file that somebody put into the spool is named, not guessed at."""
    spool = Spool(tmp_path)
    name = put(spool, b"data").name
    spool.path(name).write_bytes(b"not a spooled file")
    with pytest.raises(ExportError, match="not its own"):
        spool.examine(name)


@pytest.mark.parametrize("durability", Durability)
def test_fragments_become_one_file(tmp_path: Path, durability: Durability) -> None:
    """However the data set is cut, what lies there is its bytes in order; nothing is there before the end."""
    spool = Spool(tmp_path, durability)
    incoming = spool.begin(HEADER)
    for fragment in (b"ab", b"", b"c" * 200_000, b"d"):
        incoming.write(memoryview(fragment))
    assert list(spool.names()) == []
    spooled = incoming.finish()
    assert list(spool.names()) == [spooled.name]
    written = spool.path(spooled.name).read_bytes()
    assert written == part10_header(HEADER) + b"ab" + b"c" * 200_000 + b"d"
    assert spooled.size == len(written)


def test_what_is_discarded_leaves_nothing(tmp_path: Path) -> None:
    """An instance that did not come to its end takes no room; one that did is not lost by a late discard."""
    spool = Spool(tmp_path)
    half = spool.begin(HEADER)
    half.write(b"ha")
    half.discard()
    half.discard()
    assert [*spool.names(), *(tmp_path / "unfinished").iterdir()] == []
    whole = spool.begin(HEADER)
    name = whole.finish().name
    whole.discard()
    assert list(spool.names()) == [name]


def test_threads_share_the_flush_of_a_folder(tmp_path: Path) -> None:
    """Instances that arrive at the same time are all there afterwards, each under a name of its own."""
    spool = Spool(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        names = set(pool.map(lambda number: put(spool, b"%d" % number).name, range(200)))
    assert len(names) == 200
    assert set(spool.names()) == names
