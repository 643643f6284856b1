"""``tce media`` with encrypted media and ZIP files, at the command line."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lxml import etree

from media.secure_files import is_closed
from tce.audit.trail import Trail
from tce.cli import main
from tce.config import MediaSettings, Settings, Site, save
from tests.certificates import a_holder
from tests.media.builders import an_instance, bytes_of, written
from tests.media.secure import BURNER, PASSWORD, READER, STRANGER

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tce(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs ``tce media`` at a site of its own and returns status and what was printed."""
    (tmp_path / "home").mkdir()
    save(Settings(), tmp_path / "home" / "tce.toml")

    def run(*arguments: object, home: str = "home") -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["--home", str(tmp_path / home), "media", *map(str, arguments)])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for number in (1, 2, 3):
        written(an_instance(patient=number % 2 + 1, number=number), tmp_path / "in")
    return tmp_path / "in"


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Path]:
    """Files of keys and certificates by the name of their option, and of a password."""
    found: dict[str, Path] = {}
    for name in (READER, BURNER, STRANGER):
        found[name], found[f"{name}-key"] = a_holder(name).save(tmp_path, name)
    found["password"] = tmp_path / "password.txt"
    found["password"].write_text(f"{PASSWORD}\n")
    return found


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The place for temporary files, in which nothing may be left."""
    place = tmp_path / "scratch"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    yield place
    assert list(place.iterdir()) == []


def signed(keys: dict[str, Path]) -> list[object]:
    return ["--sign-with", keys[f"{BURNER}-key"], "--signer", keys[BURNER]]


def test_a_medium_is_encrypted_proved_and_opened(
    tce: Run, source: Path, keys: dict[str, Path], tmp_path: Path
) -> None:
    """Recipient and password each open it; the check says who signed it; nothing of an instance is on it."""
    out, image = tmp_path / "out", tmp_path / "a.iso"
    how = ["--recipient", keys[READER], "--password-file", keys["password"], *signed(keys)]
    status, said, _ = tce("write", source, "--out", out, "--iso", image, "--label", "LUNG", *how)
    assert (status, "encrypted and signed, as STD-GEN-SEC-CD" in said) == (0, True)
    assert all(is_closed(path) for path in out.rglob("*") if path.is_file() and path.name != "README.TXT")
    assert not any(b"PSN000" in content or b"Thorax" in content for content in bytes_of(out).values())
    assert b"PSN000" not in image.read_bytes()
    for medium in (out, image):
        for opening in (["--key", keys[f"{READER}-key"]], ["--password-file", keys["password"]]):
            status, said, err = tce("check", medium, *opening, "--signer", keys[BURNER])
            assert (status, err) == (0, "")
            assert "ok   signer" in said
    status, said, _ = tce("check", out, "--key", keys[f"{READER}-key"], "--signer", keys[STRANGER], "--json")
    assert status == 1
    assert [one["name"] for one in json.loads(said)["media"][0]["checks"] if not one["passed"]] == ["signer"]


def test_the_site_knows_whom_it_trusts(tce: Run, source: Path, keys: dict[str, Path], tmp_path: Path) -> None:
    """A signer named in the settings needs no option; one that cannot be read is told."""
    out = tmp_path / "out"
    assert tce("write", source, "--out", out, "--recipient", keys[READER], *signed(keys))[0] == 0
    opening = ["check", out, "--key", keys[f"{READER}-key"]]
    assert tce(*opening)[0] == 1
    trusting = Settings(media=MediaSettings(trusted_signers=("signer.pem",)))
    save(trusting, tmp_path / "home" / "tce.toml")
    status, _, err = tce(*opening)
    assert (status, "media.trusted_signers" in err) == (1, True)
    shutil.copyfile(keys[BURNER], tmp_path / "home" / "signer.pem")
    assert tce(*opening)[0] == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "the medium is encrypted"),
        (("--key", f"{STRANGER}-key"), "closed for others"),
        (("--password-file", "other"), "the password is another one"),
    ],
)
def test_nothing_comes_out_without_the_right_key(
    tce: Run, source: Path, keys: dict[str, Path], tmp_path: Path, options: tuple[str, str], told: str
) -> None:
    """Each reason has its own sentence, and nothing of the medium is shown."""
    keys["other"] = tmp_path / "other.txt"
    keys["other"].write_text("Another horse 8 battery")
    out = tmp_path / "out"
    how = ["--recipient", keys[READER], "--password-file", keys["password"], *signed(keys)]
    assert tce("write", source, "--out", out, *how)[0] == 0
    given = [options[0], keys[options[1]]] if options else []
    status, said, err = tce("check", out, *given)
    assert (status, said) == (1, "")
    assert told in err
    assert PASSWORD not in err


def test_a_terminal_is_asked_for_the_password(
    tce: Run, source: Path, keys: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice when a medium is written, once when it is read; two that differ close nothing."""
    answers = [PASSWORD, "Other horse 9 battery", PASSWORD, PASSWORD, PASSWORD]
    monkeypatch.setattr("tce.cli.media_keys.ask_at_terminal", lambda prompt: answers.pop(0))
    out = tmp_path / "out"
    status, _, err = tce("write", source, "--out", out, "--password", *signed(keys))
    assert (status, "differ" in err, out.exists()) == (1, True, False)
    assert tce("write", source, "--out", out, "--password", *signed(keys))[0] == 0
    assert tce("check", out, "--signer", keys[BURNER])[0] == 0
    assert answers == []


@pytest.mark.parametrize(
    ("left_out", "status", "told"),
    [("signer", 2, "an encrypted medium is signed"), ("recipient", 2, "signed when it is encrypted")],
)
def test_encrypted_and_signed_go_together(
    tce: Run, source: Path, keys: dict[str, Path], tmp_path: Path, left_out: str, status: int, told: str
) -> None:
    """A medium that is encrypted and not signed, or signed and not encrypted, is a mistake of the command."""
    how = signed(keys) if left_out == "recipient" else ["--recipient", keys[READER]]
    found = tce("write", source, "--out", tmp_path / "out", *how)
    assert (found[0], told in found[2]) == (status, True)


def test_a_weak_password_closes_nothing(
    tce: Run, source: Path, keys: dict[str, Path], tmp_path: Path
) -> None:
    """It is refused before anything is written, and the rule is told."""
    keys["password"].write_text("12345678")
    out = tmp_path / "out"
    status, _, err = tce("write", source, "--out", out, "--password-file", keys["password"], *signed(keys))
    assert (status, "too weak" in err, "12 to 128 characters" in err, out.exists()) == (1, True, True, False)


def test_several_media_are_encrypted(tce: Run, keys: dict[str, Path], tmp_path: Path) -> None:
    """What one medium does not hold goes onto several, each closed and whole, with an image of its own."""
    for patient in (1, 2, 3):
        big = an_instance(patient=patient, Rows=800, Columns=1000, PixelData=bytes(1_600_000))
        written(big, tmp_path / "in")
    out, image = tmp_path / "out", tmp_path / "a.iso"
    how = ["--recipient", keys[READER], *signed(keys), "--capacity", "3MB", "--iso", image]
    status, said, err = tce("write", tmp_path / "in", "--out", out, *how)
    assert (status, err) == (0, "")
    assert "3 media" in said
    for number in (1, 2, 3):
        image = tmp_path / f"a_{number}.iso"
        assert image.stat().st_size <= 3_000_000
        assert tce("check", image, "--key", keys[f"{READER}-key"], "--signer", keys[BURNER])[0] == 0


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_zip_is_written_and_read(
    tce: Run, source: Path, keys: dict[str, Path], tmp_path: Path, encrypted: bool
) -> None:
    """A ZIP file for e-mail beside the medium; a plain one comes with a warning."""
    out, mail = tmp_path / "out", tmp_path / "DICOM.ZIP"
    how = ["--recipient", keys[READER], *signed(keys)] if encrypted else []
    opening = ["--key", keys[f"{READER}-key"], "--signer", keys[BURNER]] if encrypted else []
    status, said, err = tce("write", source, "--out", out, "--zip", mail, *how)
    assert status == 0
    assert "DICOM-ZIP in the subject" in said
    assert ("not encrypted" in err) == (not encrypted)
    with zipfile.ZipFile(mail) as archive:
        names = archive.namelist()
        assert "DICOMDIR" in names
        assert b"ZIP-MAIL" in archive.read("README.TXT")
    assert tce("check", mail, *opening)[0] == 0
    assert encrypted == ("INDEX.HTM" not in names)


@pytest.mark.parametrize("option", ["--zip", "--iso"])
def test_what_is_made_of_a_medium_lies_beside_it(tce: Run, source: Path, tmp_path: Path, option: str) -> None:
    """An image or a ZIP file in the folder of the medium would be on it, and in itself."""
    out = tmp_path / "medium"
    status, _, said = tce("write", source, "--out", out, option, out / "IT")
    assert status == 1 and "on the medium" in said and not out.exists()


def test_the_case_of_a_medium_is_an_id(tce: Run, source: Path, tmp_path: Path) -> None:
    """What a person writes there goes into the audit trail, which takes no words."""
    status, _, said = tce("write", source, "--out", tmp_path / "medium", "--case", "Muster Erika")
    assert status == 1 and "legal case id" in said and "Muster" not in said
    assert not (tmp_path / "medium").exists()


def test_a_check_and_a_reading_write_nothing_onto_the_medium(tce: Run, source: Path, tmp_path: Path) -> None:
    """Certificate and copies lie beside it; a certificate replaces no file."""
    medium = tmp_path / "medium"
    assert tce("write", source, "--out", medium)[0] == 0
    before = sorted(medium.rglob("*"))
    kept = tmp_path / "kept.htm"
    kept.write_text("of yesterday")
    refused = [
        tce("check", medium, "--certificate", medium / "C.HTM"),
        tce("check", medium, "--certificate", kept),
        tce("check", medium, "--certificate", tmp_path / "nowhere" / "c.htm"),
        tce("read", medium, "--out", medium / "COPIES"),
    ]
    assert [status for status, _, _ in refused] == [1] * 4
    assert (
        "on the medium" in refused[0][2]
        and "does not exist" in refused[1][2]
        and "on the medium" in refused[3][2]
    )
    assert sorted(medium.rglob("*")) == before and kept.read_text() == "of yesterday"


def test_a_zip_that_is_too_large_leaves_nothing(tce: Run, tmp_path: Path) -> None:
    """The limit is looked at before anything has its name for good."""
    noise = b"".join(hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(50_000))
    written(an_instance(Rows=800, Columns=1000, PixelData=noise), tmp_path / "in")
    out, mail = tmp_path / "out", tmp_path / "DICOM.ZIP"
    status, _, err = tce("write", tmp_path / "in", "--out", out, "--zip", mail, "--zip-limit", "1")
    assert (status, "larger than 1 MiB" in err) == (1, True)
    assert not out.exists()
    assert not mail.exists()


def test_the_trail_tells_of_encrypted_media(
    tce: Run, source: Path, keys: dict[str, Path], tmp_path: Path
) -> None:
    """One Export a patient, to a medium of the profile's type, encrypted; and an attempt that failed."""
    out = tmp_path / "out"
    how = ["--recipient", keys[READER], *signed(keys), "--profile", "STD-GEN-USB-JPEG"]
    assert tce("write", source, "--out", out, *how)[0] == 0
    assert tce("write", source, "--out", out, *how)[0] == 1
    records = list(Trail(Site(tmp_path / "home").audit_trail).records())
    told = [(record.event, record.outcome, record.detail["encrypted"]) for record in records]
    assert told == [("medium.written", 0, "yes")] * 2 + [("medium.written", 4, "yes")] * 2
    roots = [etree.fromstring(record.message.encode()) for record in records]
    patients = "//*[@ParticipantObjectTypeCode='1']/@ParticipantObjectID"
    assert sorted(root.xpath(patients) for root in roots) == [["PSN0001"]] * 2 + [["PSN0002"]] * 2
    assert {root.xpath("string(//MediaType/@csd-code)") for root in roots} == {"110030"}
    assert str(out) not in "".join(record.message + str(record.detail) for record in records)
