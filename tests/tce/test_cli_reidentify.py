"""What custody reveals leaves the program shown, encrypted, or put back into instances: all of it, or nothing."""

from __future__ import annotations

import csv
import errno
import io
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from tce import reidentifying
from tce import revealed as revealing
from tce.cli import main
from tce.config import Site
from tests.builders import a_ct_study, an_mr_study, written
from tests.certificates import a_holder
from vault.envelopes import Recipient
from vault.server import EmbeddedServer

pytestmark = pytest.mark.vault

ALL = ("patient", "PatientName", "PatientBirthDate", "uid", "accession", "person")
REQUIRED = ("patient", "uid", "accession", "person")


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str


Tce = Callable[..., Said]


@dataclass(frozen=True)
class Hospital:
    """A site whose case encrypts its originals, with one CT study and one MR study of two patients pseudonymized."""

    home: Path
    originals: list[Path]
    pseudonymized: Path
    patients: dict[str, str] = field(repr=False)
    """Pseudonym by modality of the images."""

    def instances(self, modality: str) -> list[Path]:
        paths = sorted((self.pseudonymized / self.patients[modality]).rglob("*.dcm"))
        return [path for path in paths if pydicom.dcmread(path).Modality == modality]

    def original(self, modality: str) -> Dataset:
        found = (pydicom.dcmread(path) for path in self.originals)
        return next(ds for ds in found if ds.Modality == modality)


@pytest.fixture
def tce(capsys: pytest.CaptureFixture[str], hospital: Hospital) -> Tce:
    """Runs a command line at the site."""

    def run(*arguments: object) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["--home", str(hospital.home), *(str(argument) for argument in arguments)])
        printed = capsys.readouterr()
        return Said(int(ended.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    folder = tmp_path_factory.mktemp("reidentify")
    home = folder / "site"
    one, _ = a_holder("first").save(folder, "first")
    two, _ = a_holder("second").save(folder, "second")
    people = "--coordinator carla --approver ann --auditor otto --custodian kim --custodian lee"
    case = (
        "case new lung-1 --title Lung --purpose Trial --stage2 bands --prefix LU --receiver R@127.0.0.1:104"
    )
    steps = (
        f"init --no-second-factor --name test {people}",
        "--as carla policy submit pseudonymization",
        "--as ann policy approve pseudonymization",
        "policy new bands --like longitudinal-trial",
        "--as carla policy submit bands",
        "--as ann policy approve bands",
        f"{case} --encrypt-for {one} --encrypt-for {two}",
        "--as carla case submit lung-1",
        "--as ann case approve lung-1",
        f"pseudonymize {folder / 'in'} --case lung-1 --out {folder / 'ps'} --verify",
        f"anonymize {folder / 'ps'} --case lung-1 --out {folder / 'an'}",
    )
    originals = written([*a_ct_study(slices=2), *an_mr_study(slices=2)], folder / "in")
    try:
        for step in steps:
            with pytest.raises(SystemExit) as ended:
                main(["--home", str(home), *step.split()])
            assert ended.value.code == 0, step
        found = [pydicom.dcmread(path) for path in sorted((folder / "ps").rglob("*.dcm"))]
        patients = {ds.Modality: ds.PatientID for ds in found if ds.Modality in ("CT", "MR")}
        yield Hospital(home, originals, folder / "ps", patients)
    finally:
        EmbeddedServer(home / "vault").stop()


@pytest.fixture
def granted(tce: Tce) -> Callable[..., str]:
    """Asks for patients by pseudonym and has it approved; returns the id of the request."""

    def ask(pseudonyms: Sequence[str], fields: Sequence[str] = ALL) -> str:
        asked = tce(
            *("--as", "kim", "reidentify", "request", *pseudonyms, "--case", "lung-1"),
            *("--purpose", "incidental-finding", "--ticket", "T-1"),
            *(word for one in fields for word in ("--field", one)),
        )
        found = re.search(r"request ([0-9a-f]{16})", asked.out)
        assert found, asked.err
        assert tce("--as", "lee", "reidentify", "approve", found[1], "--yes").status == 0
        return found[1]

    return ask


def reveal(tce: Tce, request: str, *options: object) -> Said:
    return tce("--as", "kim", "reidentify", "reveal", request, *options)


def state(tce: Tce, request: str) -> str:
    listed = tce("--as", "lee", "reidentify", "list", "--json").out
    return re.search(rf'"id": "{request}",\s+"state": "(\w+)"', listed)[1]  # type: ignore[index]


def a_finding(hospital: Hospital, out: Path) -> Path:
    """A report that the trial wrote about the pseudonymized CT images, in a series of its own."""
    report = pydicom.dcmread(hospital.instances("SR")[0])
    report.SOPInstanceUID = report.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    report.SeriesInstanceUID = generate_uid()
    report.PatientComments = f"Finding in {report.PatientID}, see {report.StudyInstanceUID}."
    report.ClinicalTrialSubjectID = report.PatientID
    report.ClinicalTrialProtocolID = "XY-1"
    for keyword in ("EncryptedAttributesSequence", "ContributingEquipmentSequence"):
        delattr(report, keyword)
    out.mkdir(exist_ok=True)
    report.save_as(out / "finding.dcm")
    return out / "finding.dcm"


@pytest.fixture
def hospital_sr(hospital: Hospital) -> Hospital:
    hospital.patients["SR"] = hospital.patients["CT"]
    return hospital


def test_a_finding_goes_back_to_its_study(
    hospital_sr: Hospital, granted: Callable[..., str], tmp_path: Path, tce: Tce
) -> None:
    """A report that was made about pseudonymized images becomes one about the originals, fit for the archive."""
    finding = a_finding(hospital_sr, tmp_path / "in")
    request = granted([hospital_sr.patients["CT"]])
    said = reveal(tce, request, "--instances", finding, "--out", tmp_path / "out")
    assert said.status == 0, said.err
    assert "1 instance of 1 patient led back" in said.out and state(tce, request) == "used"
    [path] = [one for one in (tmp_path / "out").rglob("*") if one.is_file()]
    assert path.stat().st_mode & 0o077 == 0
    back, made = pydicom.dcmread(path), pydicom.dcmread(finding)
    original = hospital_sr.original("SR")
    for keyword in (
        *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"),
        *("StudyInstanceUID", "AccessionNumber", "StudyDate", "CurrentRequestedProcedureEvidenceSequence"),
    ):
        assert back[keyword] == original[keyword], keyword
    assert images_of(back) == images_of(original) != images_of(made)
    # What the trial made keeps its own name.
    assert back.SOPInstanceUID == back.file_meta.MediaStorageSOPInstanceUID == made.SOPInstanceUID
    assert back.SeriesInstanceUID == made.SeriesInstanceUID
    assert back.PatientComments == f"Finding in {original.PatientID}, see {original.StudyInstanceUID}."
    assert back.PatientIdentityRemoved == "NO" and back.StudyID == ""
    assert [one for one in back.group_dataset(0x0012) if one.keyword != "PatientIdentityRemoved"] == []
    assert hospital_sr.patients["CT"].encode() not in path.read_bytes()
    if shutil.which("dciodvfy"):
        assert not iod_errors(path) - iod_errors(finding)


def images_of(ds: Dataset) -> list[str]:
    """The instances that a report refers to, in the order of its content."""
    found = []
    for item in ds.get("ContentSequence", []):
        found += [one.ReferencedSOPInstanceUID for one in item.get("ReferencedSOPSequence", [])]
        found += images_of(item)
    return found


def iod_errors(path: Path) -> Counter[str]:
    said = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
    return Counter(line for line in said.stderr.splitlines() if line.startswith("Error"))


def test_pseudonymized_images_get_their_originals_back(
    hospital: Hospital, granted: Callable[..., str], tmp_path: Path, tce: Tce
) -> None:
    """Every UID of a whole study, file meta included, is the original one, and pixels are as they were."""
    request = granted([hospital.patients["MR"]], [*ALL, "free"])
    source = hospital.pseudonymized / hospital.patients["MR"]
    said = reveal(tce, request, "--instances", source, "--out", tmp_path / "out")
    assert said.status == 0, said.err
    originals = {ds.SOPInstanceUID: ds for ds in map(pydicom.dcmread, hospital.originals)}
    back = [pydicom.dcmread(path) for path in (tmp_path / "out").rglob("*.dcm")]
    assert len(back) == len(list(source.rglob("*.dcm")))
    for ds in back:
        original = originals[ds.SOPInstanceUID]
        assert ds.file_meta.MediaStorageSOPInstanceUID == original.SOPInstanceUID
        for keyword in (
            "StudyInstanceUID",
            "SeriesInstanceUID",
            "FrameOfReferenceUID",
            "PatientName",
            "PixelData",
        ):
            assert ds.get(keyword) == original.get(keyword), keyword


def test_only_granted_fields_come_back(
    hospital_sr: Hospital, granted: Callable[..., str], tmp_path: Path, tce: Tce
) -> None:
    """Name and birth date that nobody asked for stay empty, while what leads to the study is restored."""
    finding = a_finding(hospital_sr, tmp_path / "in")
    request = granted([hospital_sr.patients["CT"]], REQUIRED)
    assert reveal(tce, request, "--instances", finding, "--out", tmp_path / "out").status == 0
    back = pydicom.dcmread(tmp_path / "out" / "finding.dcm")
    assert (back.PatientName, back.PatientBirthDate) == ("", "")
    assert back.PatientID == hospital_sr.original("SR").PatientID


@pytest.mark.parametrize("missing", REQUIRED)
def test_what_the_grant_does_not_cover_is_refused(
    missing: str, hospital_sr: Hospital, granted: Callable[..., str], tmp_path: Path, tce: Tce
) -> None:
    """With a field missing nothing is written, the message names the field, and the grant is not used."""
    finding = a_finding(hospital_sr, tmp_path / "in")
    request = granted([hospital_sr.patients["CT"]], [one for one in REQUIRED if one != missing])
    said = reveal(tce, request, "--instances", finding, "--out", tmp_path / "out")
    assert said.status == 1 and "not-granted" in said.err and f"--field {missing}" in said.err
    assert state(tce, request) == "approved" and not (tmp_path / "out").exists()


def _of_another_patient(hospital: Hospital, folder: Path) -> str:
    shutil.copy(hospital.instances("MR")[0], folder / "other.dcm")
    return "another-patient"


def _named_for_another(hospital: Hospital, folder: Path) -> str:
    ds = pydicom.dcmread(folder / "finding.dcm")
    ds.PatientID = "TRIAL-77"
    ds.save_as(folder / "odd.dcm")
    return "another-patient"


def _of_stage_2(hospital: Hospital, folder: Path) -> str:
    shutil.copy(next((hospital.pseudonymized.parent / "an").rglob("*.dcm")), folder / "anonymized.dcm")
    return "no-reference"


def _unknown(hospital: Hospital, folder: Path) -> str:
    ds = hospital.original("MR")
    ds.save_as(folder / "identified.dcm")
    return "no-reference"


def _hidden(hospital: Hospital, folder: Path) -> str:
    ds = pydicom.dcmread(folder / "finding.dcm")
    ds.private_block(0x0099, "TRIAL", create=True).add_new(1, "OB", f"x{ds.PatientID}x".encode())
    ds.save_as(folder / "hidden.dcm")
    return "pseudonym-left"


def _no_instance(hospital: Hospital, folder: Path) -> str:
    (folder / "letter.txt").write_text("no instance")
    return "not-dicom"


@pytest.mark.parametrize(
    "spoil", [_of_another_patient, _named_for_another, _of_stage_2, _unknown, _hidden, _no_instance]
)
def test_all_or_nothing(
    spoil: Callable[[Hospital, Path], str],
    hospital_sr: Hospital,
    granted: Callable[..., str],
    tmp_path: Path,
    tce: Tce,
) -> None:
    """One instance that cannot be led back refuses all of them, by name; nothing is written, the grant stays."""
    a_finding(hospital_sr, tmp_path / "in")
    reason = spoil(hospital_sr, tmp_path / "in")
    request = granted([hospital_sr.patients["CT"]])
    said = reveal(tce, request, "--instances", tmp_path / "in", "--out", tmp_path / "out")
    assert said.status == 1 and reason in said.err
    assert ("one way" in said.err) is (reason == "no-reference")
    assert state(tce, request) == "approved"
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_grant_is_used_once_for_instances_too(
    hospital_sr: Hospital, granted: Callable[..., str], tmp_path: Path, tce: Tce
) -> None:
    """After instances were led back the grant gives neither a table nor other instances."""
    finding = a_finding(hospital_sr, tmp_path / "in")
    request = granted([hospital_sr.patients["CT"]])
    assert reveal(tce, request, "--instances", finding, "--out", tmp_path / "out").status == 0
    assert '"form":"instances"' in Site(hospital_sr.home).audit_trail.read_text()
    assert reveal(tce, request).status == 1
    again = ("--instances", finding, "--out", tmp_path / "out2")
    assert "the request is used, not approved" in reveal(tce, request, *again).err
    assert "no request of that id" in reveal(tce, "0" * 16, *again).err
    mine = granted([hospital_sr.patients["CT"]])
    assert "only the requester" in tce("--as", "lee", "reidentify", "reveal", mine, *again).err
    assert not (tmp_path / "out2").exists()


def test_a_disk_that_fails_late_leaves_the_table(
    hospital_sr: Hospital,
    granted: Callable[..., str],
    tmp_path: Path,
    tce: Tce,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When writing fails after the grant was used, what was revealed is shown, and no file is left."""
    finding = a_finding(hospital_sr, tmp_path / "in")
    request = granted([hospital_sr.patients["CT"]])
    write, calls = reidentifying._write, []

    def full(path: Path, content: bytes) -> None:
        calls.append(path)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "full")
        write(path, content)

    monkeypatch.setattr(reidentifying, "_write", full)
    said = reveal(tce, request, "--instances", finding, "--out", tmp_path / "out")
    assert said.status == 1 and state(tce, request) == "used"
    assert hospital_sr.original("SR").PatientID in said.out
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_table_in_a_file_is_for_one_certificate(
    hospital: Hospital, granted: Callable[..., str], tmp_path: Path, tce: Tce
) -> None:
    """The file is of its owner alone and unreadable; with the key it is the CSV that the terminal would have shown."""
    certificate, key = a_holder("first").save(tmp_path)
    request = granted([hospital.patients["CT"]], ["patient", "PatientName"])
    out = tmp_path / "table.pem"
    said = reveal(tce, request, "--out", out, "--certificate", certificate)
    assert said.status == 0, said.err
    assert out.stat().st_mode & 0o077 == 0
    original = hospital.original("CT")
    for text in (out.read_text(), said.out, said.err):
        assert original.PatientID not in text and "Lindqvist" not in text
    opened = tce("reidentify", "open", out, "--certificate", certificate, "--key", key)
    rows = list(csv.DictReader(io.StringIO(opened.out)))
    assert {(row["field"], row["original"]) for row in rows} == {
        ("patient", original.PatientID),
        ("PatientName", str(original.PatientName)),
    }
    assert state(tce, request) == "used" and reveal(tce, request).status == 1
    other, other_key = a_holder("second").save(tmp_path, "other")
    assert tce("reidentify", "open", out, "--certificate", other, "--key", other_key).status == 1
    assert "encrypted.opened" in Site(hospital.home).audit_trail.read_text()
    if shutil.which("openssl"):
        theirs = subprocess.run(
            [
                "openssl",
                "cms",
                "-decrypt",
                "-inform",
                "PEM",
                "-in",
                out,
                "-recip",
                certificate,
                "-inkey",
                key,
            ],
            capture_output=True,
            check=True,
        )
        assert theirs.stdout.decode().replace("\r\n", "\n") == opened.out.replace("\r\n", "\n")


def test_a_file_that_cannot_be_made_uses_nothing(
    hospital: Hospital, granted: Callable[..., str], tmp_path: Path, tce: Tce
) -> None:
    """An expired or weak certificate, a file that is there, a folder that is not: the grant is not used."""
    request = granted([hospital.patients["CT"]])
    good, _ = a_holder("first").save(tmp_path)
    expired, _ = a_holder("expired", begins=-9, ends=-1).save(tmp_path, "expired")
    weak, _ = a_holder("weak", bits=1024).save(tmp_path, "weak")
    for options in (
        ("--out", tmp_path / "t.pem", "--certificate", expired),
        ("--out", tmp_path / "t.pem", "--certificate", weak),
        ("--out", good, "--certificate", good),
        ("--out", tmp_path / "none" / "t.pem", "--certificate", good),
    ):
        assert reveal(tce, request, *options).status == 1
    missing = tmp_path / "missing.pem"
    said = reveal(tce, request, "--out", tmp_path / "t.pem", "--certificate", missing)
    assert said.status == 1 and str(missing) in said.err
    for options in (("--out", tmp_path / "t.pem"), ("--certificate", good)):
        assert reveal(tce, request, *options).status == 2
    assert state(tce, request) == "approved"
    assert not [path for path in tmp_path.iterdir() if "t.pem" in path.name]


def test_a_table_that_cannot_be_finished_is_not_lost(
    hospital: Hospital,
    granted: Callable[..., str],
    tmp_path: Path,
    tce: Tce,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When the disk fails after the grant was used, the encrypted text stands on the terminal and opens."""
    certificate, key = a_holder("first").save(tmp_path)
    request = granted([hospital.patients["CT"]], ["patient"])

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(revealing, "_finish", full)
    said = reveal(tce, request, "--out", tmp_path / "t.pem", "--certificate", certificate)
    assert said.status == 1 and "BEGIN CMS" in said.out and not (tmp_path / "t.pem").exists()
    (tmp_path / "saved.pem").write_text(said.out)
    opened = tce("reidentify", "open", tmp_path / "saved.pem", "--certificate", certificate, "--key", key)
    assert hospital.original("CT").PatientID in opened.out


def test_encrypted_attributes_open_without_the_vault(hospital: Hospital, tmp_path: Path, tce: Tce) -> None:
    """Each recipient of the case opens the instances with the own key alone, all or none; others are refused."""
    source = hospital.pseudonymized / hospital.patients["CT"]
    for name in ("first", "second"):
        certificate, key = a_holder(name).save(tmp_path)
        said = tce(
            "reidentify", "open", source, "--certificate", certificate, "--key", key, "--out", tmp_path / name
        )
        assert said.status == 0, said.err
        back = [pydicom.dcmread(path) for path in (tmp_path / name).rglob("*.dcm")]
        originals = {ds.SOPInstanceUID: ds for ds in map(pydicom.dcmread, hospital.originals)}
        assert back and all(originals[ds.SOPInstanceUID].PatientName == ds.PatientName for ds in back)
    certificate, key = a_holder("third").save(tmp_path)
    said = tce(
        "reidentify", "open", source, "--certificate", certificate, "--key", key, "--out", tmp_path / "x"
    )
    assert said.status == 1 and "not-opened" in said.err and not (tmp_path / "x").exists()


def test_the_certificates_of_a_case_are_part_of_what_is_approved(
    hospital: Hospital, tmp_path: Path, tce: Tce
) -> None:
    """A certificate that is exchanged, expired or gone, or whose case nobody approved: stage 1 does not begin."""
    folder = hospital.home / "cases" / "lung-1"
    case, certificate = (folder / "case.yaml").read_text(), (folder / "recipient-1.pem").read_bytes()

    def refused(why: str) -> None:
        said = tce("pseudonymize", hospital.originals[0], "--case", "lung-1", "--out", tmp_path / "out")
        assert said.status == 1 and why in said.err, said.err

    try:
        (folder / "recipient-1.pem").write_bytes(a_holder("third").certificate)
        refused("another certificate")
        (folder / "recipient-1.pem").write_bytes(a_holder("expired", begins=-9, ends=-1).certificate)
        refused("expired")
        (folder / "recipient-1.pem").unlink()
        refused("cannot be read")
        (folder / "recipient-1.pem").write_bytes(a_holder("third").certificate)
        digest = re.findall(r"digest: (sha256:[0-9a-f]{64})", case[case.index("encrypt_for") :])[0]
        third = Recipient.read(a_holder("third").certificate).digest
        (folder / "case.yaml").write_text(case.replace(digest, third))
        refused("not the text that was approved")
    finally:
        (folder / "case.yaml").write_text(case)
        (folder / "recipient-1.pem").write_bytes(certificate)


def test_stage_1_twice_writes_the_same(hospital: Hospital, tmp_path: Path, tce: Tce) -> None:
    """Pseudonymizing the same files again finds every one already there: encrypted bytes repeat as well."""
    said = tce(
        "pseudonymize", hospital.originals[0].parent, "--case", "lung-1", "--out", hospital.pseudonymized
    )
    assert "0 instances pseudonymized" in said.out and "there already" in said.out
    assert said.status == 0


def test_a_weak_certificate_makes_no_case(hospital: Hospital, tmp_path: Path, tce: Tce) -> None:
    """`tce case new` refuses a certificate for which nothing may be encrypted, and leaves no case."""
    weak, _ = a_holder("weak", bits=1024).save(tmp_path)
    said = tce(
        *("case", "new", "lung-9", "--title", "T", "--purpose", "P", "--stage2", "bands"),
        *("--receiver", "R@127.0.0.1:104", "--encrypt-for", weak),
    )
    assert said.status == 1 and "too weak" in said.err
    assert not (hospital.home / "cases" / "lung-9").exists()
