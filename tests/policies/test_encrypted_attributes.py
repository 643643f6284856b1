"""Encrypted Attributes: stage 1 keeps what it takes out, closed; nobody else sees it, a re-identifier gets it back."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from policies import loader, restoring
from policies.engine import Engine
from policies.errors import Refusal
from policies.model import Policy
from tce.proving import prove_set
from tests.builders import a_ct_image, a_ct_study, an_enhanced_ct, written
from tests.certificates import Holder, a_holder
from tests.policies.pseudonyms_for_tests import CountedPseudonyms
from vault.envelopes import Envelope, Opener, Recipient
from vault.errors import BadEnvelope
from vault.secrecy import Secret

STAGE_1 = loader.load_library("pseudonymization")
STAGE_2 = loader.load_library("longitudinal-trial")
ENCRYPTED = 0x04000500

needs_gdcmanon = pytest.mark.skipif(not shutil.which("gdcmanon"), reason="needs gdcmanon (libgdcm-tools)")


def an_envelope(*holders: Holder) -> Envelope:
    recipients = [Recipient.read(holder.certificate) for holder in holders or (a_holder(),)]
    return Envelope(recipients, Secret(b"\7" * 32))


def opened_by(holder: Holder) -> Callable[[bytes], bytes | None]:
    opener = Opener(holder.certificate, holder.key)

    def opened(envelope: bytes) -> bytes | None:
        try:
            return opener.open(envelope).reveal()
        except BadEnvelope:
            return None

    return opened


def pseudonymized(
    source: Path, out: Path, envelope: Envelope | None = None, policy: Policy = STAGE_1
) -> Path:
    engine = Engine(policy, envelope=envelope)
    with engine.read(source) as draft:
        engine.write(draft, CountedPseudonyms().resolve([draft.subject]), out)
    return out


def restored(path: Path, holder: Holder | None = None) -> FileDataset:
    ds = restoring.read(path)
    restoring.open_encrypted(ds, opened_by(holder or a_holder()))
    return ds


def source_of(ds: Dataset, path: Path, syntax: str = ExplicitVRLittleEndian) -> Path:
    ds.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    implicit = syntax == ImplicitVRLittleEndian
    ds.save_as(path, implicit_vr=implicit, little_endian=True, enforce_file_format=True)
    return path


def differences(back: Dataset, original: Dataset) -> set[str]:
    """Standard attributes that are not what they were."""
    return {
        element.keyword
        for element in original
        if element.tag.group < 0x7FE0 and not element.tag.is_private and back.get(element.tag) != element
    }


def findings(result: Path, source: Path, recipients: int = 1) -> set[tuple[str, str]]:
    return {(one.code, one.where) for one in prove_set([(result, source)], STAGE_1, recipients=recipients)}


@pytest.mark.parametrize(
    "syntax",
    [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        DeflatedExplicitVRLittleEndian,
    ],
)
def test_the_originals_come_back(syntax: str, tmp_path: Path) -> None:
    """In every encoding each standard attribute that stage 1 replaced or removed is what it was, UIDs included."""
    ds = a_ct_image()
    ds.OtherPatientIDsSequence = [Dataset()]
    ds.OtherPatientIDsSequence[0].PatientID = "OTHER-1"
    ds.ReferencedImageSequence = [Dataset()]
    ds.ReferencedImageSequence[0].ReferencedSOPClassUID = ds.SOPClassUID
    ds.ReferencedImageSequence[0].ReferencedSOPInstanceUID = "1.2.3.4.5"
    source = source_of(ds, tmp_path / "source.dcm", syntax)
    result = pseudonymized(source, tmp_path / "result.dcm", an_envelope())
    back, original = restored(result), pydicom.dcmread(source)
    assert not differences(back, original)
    assert back.PatientIdentityRemoved == "NO"
    assert "DeidentificationMethod" not in back and "DeidentificationMethodCodeSequence" not in back
    assert "EncryptedAttributesSequence" not in back
    (tmp_path / "back.dcm").write_bytes(restoring.encoded(back).file)
    assert (
        pydicom.dcmread(tmp_path / "back.dcm").file_meta.MediaStorageSOPInstanceUID == original.SOPInstanceUID
    )


@pytest.mark.parametrize("name", ["MR_small_bigendian.dcm", "CT_small.dcm", "rtplan.dcm", "test-SR.dcm"])
def test_real_instances_come_back(name: str, tmp_path: Path) -> None:
    """So do those of instances that others wrote, be they big endian or of another kind; and proof finds nothing."""
    source = Path(get_testdata_file(name, read=False))
    result = pseudonymized(source, tmp_path / "result.dcm", an_envelope())
    assert not differences(restored(result), pydicom.dcmread(source))
    assert findings(result, source) == findings(
        pseudonymized(source, tmp_path / "p.dcm"), source, recipients=0
    )


def test_frames_and_names_in_other_alphabets_come_back(tmp_path: Path) -> None:
    """A multi-frame instance and a name in Japanese come back as they were."""
    ds = an_enhanced_ct(frames=3)
    ds.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    ds.PatientName = "Yamada^Tarou=山田^太郎"
    source = source_of(ds, tmp_path / "source.dcm")
    back = restored(pseudonymized(source, tmp_path / "result.dcm", an_envelope()))
    original = pydicom.dcmread(source)
    assert back.PatientName == original.PatientName
    assert back.PerFrameFunctionalGroupsSequence == original.PerFrameFunctionalGroupsSequence


def test_each_recipient_opens_it_and_nobody_else(tmp_path: Path) -> None:
    """Either of two recipients gets the originals; a third one is refused, and so is an instance without them."""
    source = source_of(a_ct_image(), tmp_path / "source.dcm")
    result = pseudonymized(source, tmp_path / "r.dcm", an_envelope(a_holder("first"), a_holder("second")))
    for name in ("first", "second"):
        assert restored(result, a_holder(name)).PatientName == pydicom.dcmread(source).PatientName
    with pytest.raises(Refusal, match="others") as refused:
        restored(result, a_holder("third"))
    assert refused.value.reason == "not-opened"
    with pytest.raises(Refusal) as refused:
        restored(pseudonymized(source, tmp_path / "plain.dcm"))
    assert refused.value.reason == "not-encrypted"
    assert findings(result, source, recipients=2) == set()


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    """Encrypted or not, a stage that runs twice writes the same bytes, also from an engine that saw other instances."""
    paths = written(a_ct_study(), tmp_path / "in")
    engine = Engine(STAGE_1, envelope=an_envelope())
    for number, path in enumerate(paths):
        with engine.read(path) as draft:
            engine.write(draft, CountedPseudonyms().resolve([draft.subject]), tmp_path / f"a{number}.dcm")
        alone = pseudonymized(path, tmp_path / f"b{number}.dcm", an_envelope())
        assert alone.read_bytes() == (tmp_path / f"a{number}.dcm").read_bytes()


def test_beside_the_envelope_nothing_is_otherwise(tmp_path: Path) -> None:
    """The rest of an instance is the same, byte for byte, as without Encrypted Attributes."""
    source = source_of(a_ct_image(), tmp_path / "source.dcm")
    with_it = pydicom.dcmread(pseudonymized(source, tmp_path / "with.dcm", an_envelope()))
    plain = pseudonymized(source, tmp_path / "plain.dcm").read_bytes()
    [item] = with_it.EncryptedAttributesSequence
    assert set(item.keys()) == {0x04000510, 0x04000520} and len(item.EncryptedContent) % 2 == 0
    whole = (tmp_path / "with.dcm").read_bytes()
    start = whole.index(b"\x00\x04\x00\x05SQ")
    length = 12 + int.from_bytes(whole[start + 8 : start + 12], "little")
    assert whole[:start] + whole[start + length :] == plain


def test_verification_passes_a_right_one(tmp_path: Path) -> None:
    """What the engine encrypted has no finding, and still none of the originals in any byte."""
    source = source_of(a_ct_image(), tmp_path / "source.dcm")
    result = pseudonymized(source, tmp_path / "result.dcm", an_envelope())
    assert findings(result, source) == set()
    assert b"Testov" not in result.read_bytes()


def _not_encrypted(ds: Dataset, envelope: bytes) -> bytes:
    return b"\x30\x82" + b"PatientName=Testov^Test" * 20


def _known_cipher(ds: Dataset, envelope: bytes) -> bytes:
    """An envelope in form, with readable octets where the encrypted ones stand."""
    size = len(envelope) // 3 & ~15
    readable = (b"Doe^Jane " * size)[:size]
    return envelope[:-size] + readable


@pytest.mark.parametrize("content", [_not_encrypted, _known_cipher])
def test_verification_finds_one_in_the_clear(
    content: Callable[[Dataset, bytes], bytes], tmp_path: Path
) -> None:
    """Readable octets in Encrypted Content are found, also inside the form of an envelope."""
    source = source_of(a_ct_image(), tmp_path / "source.dcm")
    ds = pydicom.dcmread(pseudonymized(source, tmp_path / "result.dcm", an_envelope()))
    [item] = ds.EncryptedAttributesSequence
    item.EncryptedContent = content(ds, bytes(item.EncryptedContent).rstrip(b"\0"))
    ds.save_as(tmp_path / "clear.dcm")
    assert ("mark", "(0400,0500)") in findings(tmp_path / "clear.dcm", source)


def test_an_original_in_the_envelope_is_residue(tmp_path: Path) -> None:
    """A value of the source in the encrypted octets is found like anywhere else."""
    ds = a_ct_image()
    source = source_of(ds, tmp_path / "source.dcm")
    result = pydicom.dcmread(pseudonymized(source, tmp_path / "result.dcm", an_envelope()))
    [item] = result.EncryptedAttributesSequence
    family = str(ds.PatientName.family_name).encode()
    octets = bytes(item.EncryptedContent)
    item.EncryptedContent = octets[:-40] + b" " + family + b" " + octets[-38 + len(family) :]
    result.save_as(tmp_path / "leak.dcm")
    assert "residue" in {code for code, _ in findings(tmp_path / "leak.dcm", source)}


def test_recipients_are_counted(tmp_path: Path) -> None:
    """Encrypted for more or fewer than the case names, for anybody where nobody is named, or not at all: found."""
    source = source_of(a_ct_image(), tmp_path / "source.dcm")
    result = pseudonymized(source, tmp_path / "result.dcm", an_envelope())
    plain = pseudonymized(source, tmp_path / "plain.dcm")
    assert ("mark", "(0400,0500)") in findings(result, source, recipients=2)
    assert "retained-value" in {code for code, _ in findings(result, source, recipients=0)}
    assert ("mark", "(0400,0500)") in findings(plain, source, recipients=1)
    assert findings(plain, source, recipients=0) == set()


def test_stage_2_takes_it_away(tmp_path: Path) -> None:
    """Nothing of the envelope is left after stage 2, and stage 2 can be asked for none."""
    source = source_of(a_ct_image(), tmp_path / "source.dcm")
    between = pseudonymized(source, tmp_path / "between.dcm", an_envelope())
    envelope = bytes(pydicom.dcmread(between).EncryptedAttributesSequence[0].EncryptedContent)
    result = pseudonymized(between, tmp_path / "result.dcm", policy=STAGE_2)
    assert ENCRYPTED not in pydicom.dcmread(result)
    assert envelope[:64] not in result.read_bytes()
    with pytest.raises(ValueError, match="stage 1"):
        Engine(STAGE_2, envelope=an_envelope())


def test_an_envelope_of_the_source_is_replaced(tmp_path: Path) -> None:
    """Encrypted Attributes that somebody else wrote go, and are not put into ours."""
    ds = a_ct_image()
    item = Dataset()
    item.EncryptedContentTransferSyntaxUID = ExplicitVRLittleEndian
    item.EncryptedContent = b"foreign!" * 4
    ds.EncryptedAttributesSequence = Sequence([item])
    source = source_of(ds, tmp_path / "source.dcm")
    result = pseudonymized(source, tmp_path / "result.dcm", an_envelope())
    assert b"foreign!" not in result.read_bytes()
    assert ENCRYPTED not in restored(result)


def test_what_is_in_it_must_be_modified_attributes(tmp_path: Path) -> None:
    """An envelope with anything else is refused: no file meta, no pixels, no two items."""
    source = source_of(a_ct_image(), tmp_path / "source.dcm")
    ds = pydicom.dcmread(pseudonymized(source, tmp_path / "result.dcm", an_envelope()))
    [item] = ds.EncryptedAttributesSequence
    for content in (b"", b"\0" * 40, b"\x00\x04\x50\x05SQ\0\0\0\0\0\0"):
        item.EncryptedContent = an_envelope().close(content)
        ds.save_as(tmp_path / "odd.dcm")
        with pytest.raises(Refusal) as refused:
            restored(tmp_path / "odd.dcm")
        assert refused.value.reason == "malformed"


@needs_gdcmanon
@pytest.mark.peer
@pytest.mark.parametrize("cipher", ["--aes256", "--aes192", "--aes128", "--des3"])
def test_what_gdcmanon_encrypted_is_opened(cipher: str, tmp_path: Path) -> None:
    """A re-identifier opens what another de-identifier wrote, in every cipher that the standard names."""
    source = Path(get_testdata_file("CT_small.dcm", read=False))
    certificate, _ = a_holder().save(tmp_path)
    out = tmp_path / "theirs.dcm"
    subprocess.run(
        ["gdcmanon", "-e", "-c", certificate, cipher, source, out], check=True, capture_output=True
    )
    assert pydicom.dcmread(out).PatientName != pydicom.dcmread(source).PatientName
    back, original = restored(out), pydicom.dcmread(source)
    for keyword in ("PatientName", "PatientID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        assert back[keyword] == original[keyword], keyword
    assert back.PatientIdentityRemoved == "NO"


@needs_gdcmanon
@pytest.mark.peer
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_gdcmanon_opens_ours(syntax: str, tmp_path: Path) -> None:
    """Another re-identifier gets the originals out of what stage 1 wrote, for one recipient of two."""
    source = source_of(a_ct_image(), tmp_path / "source.dcm", syntax)
    result = pseudonymized(source, tmp_path / "r.dcm", an_envelope(a_holder("first"), a_holder("second")))
    certificate, key = a_holder("second").save(tmp_path)
    back = tmp_path / "back.dcm"
    subprocess.run(
        ["gdcmanon", "-d", "-k", key, "-c", certificate, result, back], check=True, capture_output=True
    )
    original, again = pydicom.dcmread(source), pydicom.dcmread(back)
    for keyword in ("PatientName", "PatientID", "SOPInstanceUID", "StudyInstanceUID", "AccessionNumber"):
        assert again[keyword] == original[keyword], keyword


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="needs dciodvfy (dicom3tools)")
@pytest.mark.peer
def test_it_is_legal(tmp_path: Path) -> None:
    """The result, and what is opened of it, have no error of the IOD that the source did not have."""
    source = source_of(a_ct_image(), tmp_path / "source.dcm")
    result = pseudonymized(source, tmp_path / "result.dcm", an_envelope())
    (tmp_path / "back.dcm").write_bytes(restoring.encoded(restored(result)).file)
    before = iod_errors(source)
    for path in (result, tmp_path / "back.dcm"):
        assert not iod_errors(path) - before


def iod_errors(path: Path) -> Counter[str]:
    said = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
    return Counter(line for line in said.stderr.splitlines() if line.startswith("Error"))
