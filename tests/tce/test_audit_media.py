"""What is written to media and read from them is on the audit trail, patient by patient, and so is what failed."""

from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree

from media.errors import InstancesUnfit, UnreadableMedium
from media.profiles import Profile
from tce import incoming, portable
from tce.audit import media, messages
from tce.audit.trail import Record, Trail
from tce.config import Settings, Site, save
from tce.errors import Refused
from tests.media.builders import an_instance, written
from tests.tce.test_audit_messages import SCHEMA


@pytest.fixture
def site(tmp_path: Path) -> Site:
    folder = tmp_path / "site"
    folder.mkdir()
    save(Settings(), folder / "tce.toml")
    return Site(folder)


def told(site: Site) -> list[tuple[Record, etree._Element]]:
    """Every record with its message, which follows the schema."""
    found = []
    for record in Trail(site.audit_trail).records():
        root = etree.fromstring(record.message.encode())
        assert SCHEMA.validate(root), SCHEMA.error_log
        found.append((record, root))
    return found


def patients(root: etree._Element) -> list[str]:
    return [str(one) for one in root.xpath("//*[@ParticipantObjectTypeCode='1']/@ParticipantObjectID")]


def test_each_patient_of_a_medium_has_a_message(site: Site, tmp_path: Path) -> None:
    """Who wrote what onto which medium, with its type by the profile; the path is in none of it."""
    files = [written(an_instance(patient=p), tmp_path / "in") for p in (1, 2)]
    out = tmp_path / "MUSTER_ERIKA"
    portable.write(site, files, out, name="lung 1", profile=Profile.STD_GEN_USB_JPEG, case="c", actor="olga")
    records = told(site)
    assert [patients(root) for _, root in records] == [["PSN0001"], ["PSN0002"]]
    for record, root in records:
        assert record.event == "medium.written"
        [medium] = root.xpath("ActiveParticipant[MediaIdentifier]")
        assert (medium.get("UserID"), medium.get("AlternativeUserID")) == ("urn:tce:medium:LUNG_1", "LUNG_1")
        assert medium.find("MediaIdentifier/MediaType").get("csd-code") == "110030"
        assert root.xpath("string(ActiveParticipant[@UserIsRequestor='true']/@UserID)") == "olga"
        assert "MUSTER" not in record.message + str(record.detail)


def test_an_attempt_to_write_is_told_as_well(site: Site, tmp_path: Path) -> None:
    """An export that failed names its medium and the patients of de-identified instances, and nobody else."""
    good = written(an_instance(patient=1), tmp_path / "in")
    identified = written(an_instance(patient=2, PatientIdentityRemoved="NO"), tmp_path / "in")
    broken = tmp_path / "in" / "x.dcm"
    broken.write_bytes(b"Muster")
    with pytest.raises(InstancesUnfit):
        portable.write(site, [good, identified, broken], tmp_path / "out", name="lung", actor="olga")
    [(record, root)] = told(site)
    assert root.find("EventIdentification").get("EventOutcomeIndicator") == "4"
    assert record.detail["refusal"] == "InstancesUnfit"
    assert patients(root) == ["PSN0001"]
    assert "PSN0002" not in record.message


def test_an_attempt_to_read_is_told_as_well(site: Site, tmp_path: Path) -> None:
    """An import that failed is told without a path, and without a word of what could not come in."""
    place = tmp_path / "MUSTER_ERIKA"
    with pytest.raises(UnreadableMedium):
        incoming.take_in(site, [place], tmp_path / "out", [], actor="olga")
    place.mkdir()
    written(an_instance(), place)
    with pytest.raises(Refused):
        incoming.take_in(site, [place], tmp_path / "out", [], actor="olga")
    for record, root in told(site):
        assert record.event == "medium.read"
        assert root.find("EventIdentification").get("EventOutcomeIndicator") == "4"
        assert patients(root) == []
        assert "MUSTER" not in record.message + str(record.detail)
    assert len(told(site)) == 2


@pytest.mark.parametrize("profile", Profile)
def test_every_profile_has_a_media_type(profile: Profile) -> None:
    """The type is one of CID 405; a Blu-ray disc, for which there is none, is told as URI."""
    kind = media.kind_of(profile)
    assert (kind == messages.MEDIA_URI) == ("-BD" in profile.value)
    assert 110030 <= int(kind.value) <= 110037


def test_a_medium_that_was_brought_is_named_by_its_directory(tmp_path: Path) -> None:
    """The same medium has the same name wherever it was mounted."""
    names = set()
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "DICOMDIR").write_bytes(b"directory")
        names.add(media.read(tmp_path / place).uri)
    (tmp_path / "MAIL.ZIP").write_bytes(b"PK")
    assert len(names) == 1
    assert media.read(tmp_path / "MAIL.ZIP").kind == messages.MEDIA_EMAIL
    assert media.read(tmp_path / "nowhere").uri == "urn:tce:medium:without-directory"
