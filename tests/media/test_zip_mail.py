"""A ZIP for e-mail is one whole File-set, always the same; a hostile one is refused before it is unpacked."""

from __future__ import annotations

import shutil
import stat
import struct
import subprocess
import zipfile
from pathlib import Path

import pytest

from media.checker import check_medium
from media.errors import OutputRefused, UnreadableMedium
from media.zip_mail import is_zip, unpack_zip, write_zip
from tests.media.builders import a_medium, an_instance, bytes_of
from tests.media.secure import a_secure_medium


def a_zip(path: Path, *names: str, content: bytes = b"x", **attributes: int) -> Path:
    """A ZIP with files of these names; attributes are put into every entry."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            info = zipfile.ZipInfo(name)
            for attribute, value in attributes.items():
                setattr(info, attribute, value)
            archive.writestr(info, content)
    return path


def why_refused(path: Path) -> str:
    """The sentence with which a ZIP is refused; nothing is outside of the folder then."""
    around = path.parent / "around"
    around.mkdir(exist_ok=True)
    root = around / "root"
    shutil.rmtree(root, ignore_errors=True)
    with pytest.raises(UnreadableMedium) as refusal:
        unpack_zip(path, root)
    assert [one.name for one in around.iterdir()] == ["root"]
    assert refusal.value.next_step
    return refusal.value.what


def test_a_medium_comes_out_as_it_went_in(tmp_path: Path) -> None:
    """Every file is there, byte for byte, with the DICOMDIR in the root; the opened medium passes its checks."""
    medium = a_medium(tmp_path, an_instance(), an_instance(number=2)).path
    size = write_zip(medium, tmp_path / "DICOM.ZIP")
    assert size == (tmp_path / "DICOM.ZIP").stat().st_size
    assert is_zip(tmp_path / "DICOM.ZIP")
    assert not is_zip(medium / "DICOMDIR")
    unpack_zip(tmp_path / "DICOM.ZIP", tmp_path / "root")
    assert bytes_of(tmp_path / "root") == bytes_of(medium)
    assert check_medium(tmp_path / "root").passed
    with zipfile.ZipFile(tmp_path / "DICOM.ZIP") as archive:
        assert archive.namelist()[:2] == ["README.TXT", "DICOMDIR"]


def test_the_same_medium_gives_the_same_zip(tmp_path: Path) -> None:
    """Neither the time nor the machine stands in it."""
    medium = a_medium(tmp_path).path
    write_zip(medium, tmp_path / "a.zip")
    for path in medium.rglob("*"):
        path.touch()
        path.chmod(0o700)
    write_zip(medium, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_a_secure_medium_is_stored_in_it(tmp_path: Path) -> None:
    """The two go together: what is encrypted is put into the ZIP as it is."""
    medium = a_secure_medium(tmp_path)
    write_zip(medium, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        kinds = {info.filename: info.compress_type for info in archive.infolist()}
    assert kinds.pop("README.TXT") == zipfile.ZIP_DEFLATED
    assert set(kinds.values()) == {zipfile.ZIP_STORED}


def test_a_zip_that_no_mail_takes_is_not_written(tmp_path: Path) -> None:
    """The limit is kept, and nothing is left behind; an existing file is not written over."""
    medium = a_medium(tmp_path / "m").path
    out = tmp_path / "out" / "a.zip"
    with pytest.raises(OutputRefused, match="larger than"):
        write_zip(medium, out, limit=1000)
    assert list(out.parent.iterdir()) == []
    write_zip(medium, out, limit=1 << 20)
    with pytest.raises(OutputRefused, match="exists"):
        write_zip(medium, out)


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "a/../../x",
        "/x",
        "/etc/x",
        "..\\x",
        "C:\\x",
        "C:/x",
        "a//b",
        "./x",
        "a/./b",
        "x\x01",
        ". ./x",
        "a/...",
    ],
)
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    """Absolute names, `..`, drives and back slashes are refused, wherever they stand."""
    assert "outside of its folder" in why_refused(a_zip(tmp_path / "a.zip", "good", name))


def test_a_name_with_a_zero_is_refused(tmp_path: Path) -> None:
    """Readers differ in where such a name ends."""
    path = a_zip(tmp_path / "a.zip", "goodXbad")
    path.write_bytes(path.read_bytes().replace(b"goodXbad", b"good\0bad"))
    assert "outside of its folder" in why_refused(path)


@pytest.mark.parametrize("names", [("a", "a"), ("A", "a"), ("a", "a/b"), ("a/b", "A"), ("a", "a.")])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_no_file_is_there_twice(tmp_path: Path, names: tuple[str, ...]) -> None:
    """Two files of one name, also of one that only some systems hold to be the same, are refused."""
    assert "twice" in why_refused(a_zip(tmp_path / "a.zip", *names))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices_are_refused(tmp_path: Path, kind: int) -> None:
    """A link in a ZIP leads wherever its sender likes."""
    assert "links" in why_refused(
        a_zip(tmp_path / "a.zip", "a", content=b"/etc", external_attr=(kind | 0o777) << 16, create_system=3)
    )


def test_other_compressions_are_refused(tmp_path: Path) -> None:
    """Only what ISO/IEC 21320-1 allows is unpacked."""
    assert "deflate" in why_refused(
        a_zip(tmp_path / "a.zip", "a", content=bytes(99), compress_type=zipfile.ZIP_BZIP2)
    )


def test_a_bomb_is_refused_before_it_goes_off(tmp_path: Path) -> None:
    """Two gigabytes of nothing in some bytes are not unpacked."""
    path = a_zip(tmp_path / "a.zip", "a", content=bytes(500), compress_type=zipfile.ZIP_DEFLATED)
    octets = bytearray(path.read_bytes())
    struct.pack_into("<I", octets, octets.index(b"PK\1\2") + 24, 2_000_000_000)
    path.write_bytes(octets)
    assert "times larger" in why_refused(path)


def test_entries_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    """A ZIP whose files overlap holds more than it is long."""
    path = a_zip(tmp_path / "a.zip", "a", "b", content=bytes(5000))
    octets = bytearray(path.read_bytes())
    directory = octets.index(b"PK\1\2")
    second = octets.index(b"PK\1\2", directory + 4)
    for at in (directory, second):
        struct.pack_into("<II", octets, at + 20, 9000, 9000)
    path.write_bytes(octets)
    assert "hold more than it does" in why_refused(path)


def test_a_size_that_is_not_true_is_refused(tmp_path: Path) -> None:
    """What unpacks to more or less than the directory says is not taken."""
    path = a_zip(tmp_path / "a.zip", "a", content=bytes(500), compress_type=zipfile.ZIP_DEFLATED)
    octets = bytearray(path.read_bytes())
    struct.pack_into("<I", octets, octets.index(b"PK\1\2") + 24, 400)
    path.write_bytes(octets)
    assert "was not unpacked" in why_refused(path)


@pytest.mark.parametrize("cut", [30, 200, 1000])
def test_a_damaged_zip_is_refused(tmp_path: Path, cut: int) -> None:
    """A ZIP that was cut off, or whose bytes have changed, is damaged and not half taken."""
    write_zip(a_medium(tmp_path).path, tmp_path / "good.zip")
    octets = bytearray((tmp_path / "good.zip").read_bytes())
    (tmp_path / "cut.zip").write_bytes(octets[:-cut])
    assert "damaged" in why_refused(tmp_path / "cut.zip")
    octets[cut + 100] ^= 0xFF
    (tmp_path / "changed.zip").write_bytes(octets)
    assert "was not unpacked" in why_refused(tmp_path / "changed.zip")


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("7z") is None and shutil.which("zip") is None, reason="no zip program")
def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    """The password of a ZIP file is no protection that DICOM knows."""
    (tmp_path / "a").write_bytes(b"x")
    make = (
        ["zip", "-q", "-P", "secret", "a.zip", "a"]
        if shutil.which("zip")
        else ["7z", "a", "-psecret", "a.zip", "a"]
    )
    subprocess.run(make, cwd=tmp_path, check=True, capture_output=True)
    assert "encrypted as a ZIP" in why_refused(tmp_path / "a.zip")


def test_the_mark_of_encryption_is_enough(tmp_path: Path) -> None:
    """An entry that says that it is encrypted is refused without being tried."""
    path = a_zip(tmp_path / "a.zip", "a")
    octets = bytearray(path.read_bytes())
    octets[octets.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(octets)
    assert "encrypted as a ZIP" in why_refused(path)
