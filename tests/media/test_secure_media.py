"""A lost secure medium shows nothing; an intact one proves who wrote it, and what was done to another one is told."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cryptography.x509 import load_pem_x509_certificate

from media.checker import check_medium
from media.errors import ClosedFile, OutputRefused
from media.profiles import Profile
from media.secure_files import close_file
from media.secure_keys import Keys
from media.secure_media import Unlocking, protect_medium, secure_identifier
from tests.certificates import a_holder
from tests.media.builders import LABEL, SOP_CLASSES, a_medium, an_instance, bytes_of
from tests.media.secure import (
    BURNER,
    PASSWORD,
    READER,
    STRANGER,
    a_protection,
    a_secure_medium,
    keys_of,
    the_password,
)

IMAGES = "DICOM/PA000001/ST000001/SE000001"
_PHI = [b"PSN0001", b"Thorax", b"2.25.", b"CT", b"1.2.840.10008", b"20210304", b"DICM", b"IHE_PDI", b"JFIF"]


def unlocked(medium: Path, keys: Keys, *, trusted: str = BURNER) -> tuple[Path, Unlocking]:
    """A medium opened into a folder, and what was found."""
    private = medium.parent / f"{medium.name}-open"
    shutil.rmtree(private, ignore_errors=True)
    private.mkdir()
    known = [load_pem_x509_certificate(a_holder(trusted).certificate)] if trusted else []
    unlock = Unlocking(keys, known)
    return unlock(medium, private), unlock


def failed(medium: Path, *, trusted: str = BURNER) -> dict[str, str]:
    """Every check that fails, with its sentence, for the holder of the right key."""
    root, unlock = unlocked(medium, keys_of(), trusted=trusted)
    checks = [*unlock.checks(), *check_medium(root).checks]
    return {check.name: check.what for check in checks if not check.passed}


def test_a_lost_medium_shows_nothing(tmp_path: Path) -> None:
    """No name, date, UID or word of an instance stands on it; README.TXT is all there is to read."""
    instances = [an_instance(patient=p, number=n) for p in (1, 2) for n in (1, 2)]
    medium = a_secure_medium(tmp_path, *instances, password=PASSWORD)
    held = bytes_of(medium)
    assert sorted(held) == [
        *(f"DICOM/PA00000{p}/ST000001/SE000001/IM00000{n}" for p in (1, 2) for n in (1, 2)),
        "DICOMDIR",
        "README.TXT",
    ]
    readme = held.pop("README.TXT")
    for content in (*held.values(), readme):
        assert [word for word in _PHI if len(word) > 3 and word in content] == []
    assert b"STD-GEN-SEC-CD" in readme
    assert b"--password-file" in readme
    assert PASSWORD.encode() not in readme
    assert readme.isascii()
    sizes = {len(content) for name, content in held.items() if name != "DICOMDIR"}
    assert len(sizes) == 1, "instances alike differ in nothing that can be seen"


def test_the_medium_opens_to_the_plain_one(tmp_path: Path) -> None:
    """Every DICOM file and the DICOMDIR come out as they went in, by key and by password, and all checks pass."""
    medium = a_secure_medium(tmp_path, an_instance(), an_instance(number=2), password=PASSWORD)
    plain = bytes_of(tmp_path / "secure-plain/medium")
    for keys in (keys_of(), the_password()):
        root, unlock = unlocked(medium, keys)
        opened = bytes_of(root)
        assert {name: opened[name] for name in plain if name.startswith("DICOM")} == {
            name: content for name, content in plain.items() if name.startswith("DICOM")
        }
        rounds = [one for one in unlock.deviations() if "rounds of PBKDF2" not in one]
        assert rounds == []
    assert failed(medium) == {}


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        (Keys(), "no-key"),
        (keys_of(STRANGER), "wrong-key"),
        (the_password("Another horse 8 battery"), "wrong-password"),
    ],
)
def test_a_key_that_does_not_fit_opens_nothing(tmp_path: Path, keys: Keys, reason: str) -> None:
    """Without a key, with another one or another password the medium stays closed, and it is said which it was."""
    medium = a_secure_medium(tmp_path, password=PASSWORD)
    with pytest.raises(ClosedFile) as refusal:
        unlocked(medium, keys)
    assert refusal.value.reason == reason
    assert "the medium" in refusal.value.what
    assert refusal.value.next_step


def test_an_altered_file_is_named(tmp_path: Path) -> None:
    """One byte in one file: the file is named, and everything else still opens."""
    medium = a_secure_medium(tmp_path, an_instance(), an_instance(number=2))
    path = medium / IMAGES / "IM000002"
    octets = bytearray(path.read_bytes())
    octets[-1500] ^= 1
    path.write_bytes(octets)
    found = failed(medium)
    assert found["opening"].startswith(f"{IMAGES}/IM000002 is no whole envelope any more")
    assert "IM000001" not in found["opening"]
    _, unlock = unlocked(medium, keys_of())
    assert unlock.opened == 2


def test_a_file_that_was_cut_off_is_named(tmp_path: Path) -> None:
    """A medium that was not copied to its end says where."""
    medium = a_secure_medium(tmp_path)
    path = medium / IMAGES / "IM000001"
    path.write_bytes(path.read_bytes()[:-100])
    assert "was cut off" in failed(medium)["opening"]


def test_an_altered_directory_is_told_from_a_wrong_key(tmp_path: Path) -> None:
    """The directory that does not open with a key that fits is altered; it is not said that the key is wrong."""
    medium = a_secure_medium(tmp_path)
    octets = bytearray((medium / "DICOMDIR").read_bytes())
    octets[900] ^= 1
    (medium / "DICOMDIR").write_bytes(octets)
    assert failed(medium)["opening"].startswith("DICOMDIR is no whole envelope any more")


def test_swapped_files_are_found(tmp_path: Path) -> None:
    """Each of two files is whole and signed, but not the one that the directory names."""
    medium = a_secure_medium(tmp_path, an_instance(), an_instance(number=2))
    one, two = medium / IMAGES / "IM000001", medium / IMAGES / "IM000002"
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    found = failed(medium)
    assert set(found) == {"agreement"}
    assert "names another SOP Instance than its file" in found["agreement"]


def test_missing_and_added_files_are_found(tmp_path: Path) -> None:
    """The directory is signed as well: it names what was taken away, and does not name what was put there."""
    medium = a_secure_medium(tmp_path, an_instance(), an_instance(number=2))
    other = a_secure_medium(tmp_path, an_instance(number=3), name="other")
    (medium / IMAGES / "IM000002").unlink()
    shutil.copyfile(other / IMAGES / "IM000001", medium / IMAGES / "IM000009")
    found = failed(medium)
    assert "is not there" in found["files"]
    assert "no record" in found["files"]


def test_a_file_that_is_not_encrypted_is_found(tmp_path: Path) -> None:
    """A page, a thumbnail or a plain instance on a secure medium shows what the medium hides."""
    medium = a_secure_medium(tmp_path)
    plain = a_medium(tmp_path / "plain", an_instance(number=2)).path
    shutil.copyfile(plain / IMAGES / "IM000001", medium / IMAGES / "IM000002")
    assert failed(medium)["protection"] == "1 files are not encrypted"


def test_another_signer_is_told_from_the_trusted_one(tmp_path: Path) -> None:
    """A medium that a stranger wrote for the same reader opens, and does not pass."""
    medium = a_secure_medium(tmp_path, signer=STRANGER)
    assert "whom this site does not trust: sha256:" in failed(medium)["signer"]
    assert failed(medium, trusted=STRANGER) == {}
    assert "signer" in failed(medium, trusted="")


def test_one_file_by_another_signer_is_found(tmp_path: Path) -> None:
    """A file that somebody else has put in the place of the signer's is not covered by the trust in the signer."""
    medium = a_secure_medium(tmp_path, an_instance(), an_instance(number=2))
    forged = a_secure_medium(
        tmp_path, an_instance(), an_instance(number=2, StudyDescription="X"), name="forged", signer=STRANGER
    )
    shutil.copyfile(forged / IMAGES / "IM000002", medium / IMAGES / "IM000002")
    assert failed(medium)["signer"].startswith("1 files are signed by one whom this site does not trust")


def test_a_plain_medium_is_left_as_it_is(tmp_path: Path) -> None:
    """Keys that were given for nothing change nothing."""
    plain = a_medium(tmp_path).path
    root, unlock = unlocked(plain, keys_of())
    assert root == plain
    assert (unlock.is_secure, unlock.checks(), unlock.deviations()) == (False, [], [])


def test_a_medium_is_protected_whole_or_not_at_all(tmp_path: Path) -> None:
    """A folder that holds something is not written into, and a failure leaves nothing behind."""
    plain = a_medium(tmp_path).path
    taken, out = tmp_path / "taken", tmp_path / "out"
    taken.mkdir()
    (taken / "x").touch()
    options = {"label": LABEL, "profile": Profile.STD_GEN_CD, "protection": a_protection()}
    with pytest.raises(OutputRefused):
        protect_medium(plain, taken, **options)  # type: ignore[arg-type]
    assert [path.name for path in taken.iterdir()] == ["x"]
    (plain / IMAGES / "IM000001").chmod(0)
    if (plain / IMAGES / "IM000001").stat().st_uid:
        with pytest.raises(OutputRefused):
            protect_medium(plain, out, **options)  # type: ignore[arg-type]
        assert not out.exists()


def test_files_of_others_that_are_not_whole_file_ids_are_not_named(tmp_path: Path) -> None:
    """A stranger's file name may be a patient's; it is not repeated."""
    medium = a_secure_medium(tmp_path)
    path = medium / "MUSTER_ERIKA_1970.dcm"
    close_file(medium / "README.TXT", path, a_protection().recipients, a_protection().signer)
    path.write_bytes(path.read_bytes()[:-10])
    assert "MUSTER" not in str(failed(medium))


def test_secure_profiles_have_their_names() -> None:
    """The secure variant of each profile is named as PS3.11 names it."""
    assert secure_identifier(Profile.STD_GEN_CD) == "STD-GEN-SEC-CD"
    assert secure_identifier(Profile.STD_GEN_DVD_JPEG) == "STD-GEN-SEC-DVD-JPEG"
    assert secure_identifier(Profile.STD_GEN_USB_J2K) == "STD-GEN-SEC-USB-J2K"


def test_the_search_for_words_finds_them_on_a_plain_medium(tmp_path: Path) -> None:
    """The test of a lost medium would notice: a plain one has all these words."""
    held = b"".join(bytes_of(a_medium(tmp_path).path).values())
    assert all(word in held for word in _PHI if word != b"JFIF")
    assert SOP_CLASSES["IMAGE"].encode() in held
    assert a_holder(READER).key not in held
