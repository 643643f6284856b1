"""A check finds what a medium should not hold, says where and never what, and its certificate says it to anybody."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from pydicom import dcmread

from media.certificate import Certificate, as_json, as_page
from media.pdi import write_medium
from media.profiles import Profile
from policies.forms import Forms
from tce.errors import Refused
from tce.gate import Known
from tce.medium_proof import Wanted, originals_in, prove_media
from tests.media.images import an_image, poke
from tests.tce.test_gate import POLICY, pseudonymized
from tests.tce.test_incoming import LABEL, instances

KNOWN = [Known(POLICY, Forms(), 0)]
CD = Profile.STD_GEN_CD


@pytest.fixture
def medium(tmp_path: Path) -> Path:
    return write_medium(
        pseudonymized(tmp_path / "made"), tmp_path / "medium", label=LABEL, date_if_missing="20200101"
    ).path


@pytest.fixture
def originals(medium: Path, tmp_path: Path) -> list[str]:
    return originals_in(tmp_path / "made" / "in", KNOWN)


def failed(proof: Certificate) -> dict[str, str]:
    return {check.name: check.what for one in proof.media for check in one.checks if not check.passed}


def test_a_medium_of_ours_passes_everything(medium: Path, originals: list[str], tmp_path: Path) -> None:
    """Folder and image pass layout, policy and the search for every original value; both have one digest."""
    image = an_image(medium, tmp_path / "medium.iso")
    found = [prove_media([one], Wanted(CD, KNOWN, originals)) for one in (medium, image)]
    assert [failed(proof) for proof in found] == [{}, {}]
    assert all(proof.passed for proof in found) and len(originals) > 10
    assert found[0].media[0].digest == found[1].media[0].digest and found[1].media[0].image_digest
    assert {"policy", "identifiers"} < {check.name for check in found[0].media[0].checks}


@pytest.mark.parametrize("name", ["DICOM/NOTES.TXT", "DICOM/PA000001/IM000099"])
def test_a_file_of_which_no_policy_tells_anything_is_found(medium: Path, name: str) -> None:
    """What is neither an instance nor a page is not passed over: the policy does not say what it may hold."""
    (medium / name).write_bytes(b"\x08\0\x05\0CS\x0a\0ISO_IR 100 of somebody")
    assert "neither an instance nor a page" in failed(prove_media([medium], Wanted(CD, KNOWN)))["policy"]


def test_an_element_that_the_policy_takes_away_is_found(medium: Path) -> None:
    """One attribute with a value that the policy would have removed fails the check, by its tag."""
    ds = dcmread(instances(medium)[0])
    ds.PatientTelephoneNumbers = "555 0100"
    ds.save_as(instances(medium)[0])
    found = failed(prove_media([medium], Wanted(CD, KNOWN)))
    assert "(0010,2154)" in found["policy"] and "555" not in found["policy"]


def hidden_in_directory(medium: Path) -> Path:
    path = medium / "DICOMDIR"
    path.write_bytes(path.read_bytes() + b"\0\0Testov^Persona\0\0")
    return medium


def hidden_in_page(medium: Path) -> Path:
    (medium / "README.TXT").write_bytes(b"For Testov^Persona\r\n")
    return medium


def hidden_in_name(medium: Path) -> Path:
    (medium / "IHE_PDI" / "TESTOV.HTM").write_bytes(b"<html/>")
    return medium


def hidden_in_legal_name(medium: Path) -> Path:
    (medium / "DICOM" / "TESTOV").write_bytes(b"Testov^Persona")
    return medium


def hidden_in_pixels(medium: Path) -> Path:
    path = instances(medium)[0]
    data = path.read_bytes()
    path.write_bytes(data[:-40] + b" Testov^Persona ".ljust(40, b"\0"))
    return medium


def hidden_between_files(medium: Path) -> Path:
    image = an_image(medium, medium.parent / "medium.iso")
    poke(image, 1024, b" Testov^Persona ")  # the system area, which belongs to no file
    return image


def hidden_in_descriptor(medium: Path) -> Path:
    image = an_image(medium, medium.parent / "medium.iso")
    poke(image, 16 * 2048 + 318, b"TESTOV")  # the publisher of the volume
    return image


WAYS = [
    hidden_in_directory,
    hidden_in_page,
    hidden_in_name,
    hidden_in_legal_name,
    hidden_in_pixels,
    hidden_between_files,
    hidden_in_descriptor,
]


@pytest.mark.parametrize("hide", WAYS)
def test_a_name_is_found_wherever_it_stands(medium: Path, hide: object) -> None:
    """DICOMDIR, pages, names, pixels, descriptors and what lies between files: told by the place, never by the name."""
    spoiled = hide(medium)  # type: ignore[operator]
    proof = prove_media([spoiled], Wanted(CD, (), ("Testov", "Testov^Persona")))
    assert "one of them stands in" in failed(proof)["identifiers"]
    told = json.dumps([failed(proof), list(proof.not_checked)]) + repr(proof) + as_page(proof)
    assert "testov" not in told.lower() and "persona" not in told.lower()


def test_what_cannot_be_searched_for_is_not_said_to_be_absent(medium: Path) -> None:
    """Values too short to search for are counted; if there are no others, the check was not made."""
    assert (
        "1 of them are too short"
        in prove_media([medium], Wanted(CD, (), ("Testov", "a"))).media[0].checks[-1].what
    )
    assert not prove_media([medium], Wanted(CD, (), ("a",))).passed


def test_lists_of_identifiers_are_read(tmp_path: Path) -> None:
    """A text file gives its lines; one without any, or that is no text, is refused with what to do."""
    given = tmp_path / "list.txt"
    given.write_text("\ufeffTestov^Persona\n\n 4711 \n4711\n", "utf-8")
    assert originals_in(given, ()) == ["Testov^Persona", "4711"]
    given.write_text("\n\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\0")
    for path in (given, tmp_path / "binary", tmp_path / "nothing"):
        with pytest.raises(Refused) as refusal:
            originals_in(path, ())
        assert refusal.value.next_step


def test_the_certificate_says_it_to_anybody(medium: Path, originals: list[str]) -> None:
    """One well-formed page with the verdict, what was asked, the digest, and what nobody checked."""
    proof = prove_media([medium], Wanted(CD, KNOWN, originals), site="Institute of Trials")
    page = as_page(proof)
    text = " ".join("".join(ElementTree.fromstring(page).itertext()).split())
    for part in (
        "Certificate of check: passed",
        "Institute of Trials",
        "Medium CASE_7",
        "de-identified by pseudonymization 1",
        "Does every file say that the patient's identity was removed?",
        proof.media[0].digest,
        "Not checked",
        "whether a face",
    ):
        assert part in text, part
    assert "Another check" not in text and "<script" not in page and "http-equiv" in page
    (medium / "AUTORUN.INF").write_text("x")
    assert "Certificate of check: NOT PASSED" in as_page(prove_media([medium], Wanted(CD)))


def test_a_strange_file_set_id_is_not_printed(medium: Path) -> None:
    """A File-set ID that is a name is not put on the certificate."""
    path = medium / "DICOMDIR"
    path.write_bytes(path.read_bytes().replace(b"CASE_7", b"Te^Per"))
    proof = prove_media([medium], Wanted(CD))
    assert "Te^Per" not in as_page(proof) + json.dumps(as_json(proof)) + repr(proof)
    assert "without a legal name" in as_page(proof)


def test_several_media_are_proved_together(medium: Path, tmp_path: Path) -> None:
    """The same medium twice is no set; the account for programs says so beside what each gave."""
    told = as_json(prove_media([medium, medium], Wanted(CD)))
    assert told["passed"] is False
    assert [check["name"] for check in told["together"]] == ["set"]  # type: ignore[attr-defined]
    (first, _) = told["media"]  # type: ignore[misc]
    assert first["passed"] and len(first["files"]) == len([p for p in medium.rglob("*") if p.is_file()])
