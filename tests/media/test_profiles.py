"""Rewriting changes the encoding of an instance and none of its values."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from media.instances import EXPLICIT_VR_LITTLE_ENDIAN
from media.pdi import Profile, write_medium
from media.profiles import Handling, handling_of, transfer_syntax_name, why_not
from tests.media.builders import LABEL


@pytest.mark.parametrize(
    "name",
    ["MR_small_implicit.dcm", "MR_small_bigendian.dcm", "MR_small_RLE.dcm", "image_dfl.dcm", "rtdose.dcm"],
)
def test_a_rewritten_instance_has_the_same_values(tmp_path: Path, name: str) -> None:
    """Every attribute and every pixel of an implicit, big endian, deflated or RLE file is the same afterwards."""
    before = dcmread(get_testdata_file(name))
    before.PatientIdentityRemoved = "YES"
    before.PatientID = before.get("PatientID") or "P1"
    before.file_meta.MediaStorageSOPInstanceUID = before.SOPInstanceUID
    pixels = before.pixel_array
    source = tmp_path / "source"
    before.save_as(source)
    date = "19000101"
    medium = write_medium([source], tmp_path / "medium", label=LABEL, date_if_missing=date)
    assert medium.rewritten == 1
    after = dcmread(next(path for path in (medium.path / "DICOM").rglob("*") if path.is_file()))
    assert after.file_meta.TransferSyntaxUID == EXPLICIT_VR_LITTLE_ENDIAN
    assert (after.pixel_array == pixels).all()
    assert values_of(after) == values_of(dcmread(source))


def values_of(ds: Dataset) -> dict[int, str]:
    """Every value but that of Pixel Data; a private one, whose VR an implicit file does not tell, by its presence."""
    return {
        int(element.tag): "private" if element.tag.is_private else str(element.value)
        for element in ds
        if element.keyword != "PixelData"
    }


@pytest.mark.parametrize("profile", Profile)
def test_every_profile_takes_what_can_be_made_plain(profile: Profile) -> None:
    """Explicit VR Little Endian is copied under every profile; Implicit, JPEG-LS and HTJ2K are rewritten."""
    assert handling_of("1.2.840.10008.1.2.1", profile) is Handling.COPY
    for syntax in ("1.2.840.10008.1.2", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.201"):
        assert handling_of(syntax, profile) is Handling.REWRITE


def test_jpeg_stays_with_jpeg_profiles_and_jpeg_2000_with_j2k() -> None:
    """Each compressed family is kept by the profiles that name it, and decompressed for the others."""
    for syntax, ending in (("1.2.840.10008.1.2.4.70", "JPEG"), ("1.2.840.10008.1.2.4.90", "J2K")):
        for profile in Profile:
            kept = profile.endswith((ending, "ZIP-MAIL"))
            assert handling_of(syntax, profile) is (Handling.COPY if kept else Handling.REWRITE)


@pytest.mark.parametrize("profile", Profile)
def test_video_goes_onto_no_medium(profile: Profile) -> None:
    """MPEG-4 is refused by its name under every profile."""
    assert handling_of("1.2.840.10008.1.2.4.102", profile) is None
    assert why_not("1.2.840.10008.1.2.4.102")[0].startswith(
        "MPEG-4 AVC/H.264 High Profile / Level 4.1 is video"
    )


def test_every_profile_says_what_medium_it_is() -> None:
    """A person reads what to hold in the hand, and how much goes onto it."""
    said = {profile.value: (profile.medium, profile.capacity) for profile in Profile}
    assert said["STD-GEN-CD"] == ("CD-R", 734_003_200)
    assert said["STD-GEN-DVD-J2K"] == ("DVD", 4_700_000_000)
    assert said["STD-GEN-USB-JPEG"] == ("USB stick", None)
    assert [profile.value for profile in Profile if not profile.is_disc and profile.capacity] == [
        "STD-GEN-MMC-JPEG",
        "STD-GEN-MMC-J2K",
        "STD-GEN-SD-JPEG",
        "STD-GEN-SD-J2K",
    ]


def test_a_private_syntax_is_not_named() -> None:
    """A UID that nobody registered is not repeated in a message."""
    assert transfer_syntax_name("1.2.3.4") == "unregistered transfer syntax"
