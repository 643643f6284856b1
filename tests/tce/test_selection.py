"""What the Export Selector puts on the trail: a message a patient, and nobody who was not de-identified."""

from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree
from pydicom import dcmread

from tce.audit.trail import Record, Trail
from tce.candidates import examine
from tce.config import Settings, Site, save
from tce.road import Peer
from tce.selection import tell_of_beginning
from tests.builders import a_ct_study, an_mr_study, written
from tests.tce.parts import pseudonymized
from tests.tce.test_audit_messages import SCHEMA

MANAGER = Peer("TCE_MANAGER", "192.0.2.7", 104)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "site").mkdir()
    save(Settings(), tmp_path / "site" / "tce.toml")
    return Site(tmp_path / "site")


def told(site: Site, *sources: Path) -> list[Record]:
    going, set_aside = examine(sources)
    assert going and not set_aside
    tell_of_beginning(site, "carol", going, MANAGER)
    Trail(site.audit_trail).verify()
    return list(Trail(site.audit_trail).records())


def de_identified(folder: Path) -> list[Path]:
    """Two patients as stage 1 leaves them, one with CT and one with MR."""
    ct, mr = a_ct_study(patient=1, slices=3), an_mr_study(patient=2)
    return [*pseudonymized(folder / "ct", ct), *pseudonymized(folder / "mr", mr)]


def test_each_patient_has_a_message(site: Site, tmp_path: Path) -> None:
    """Begin Transferring, with the patient, the studies by SOP Class, who sends, and where to."""
    sent = de_identified(tmp_path)
    records = told(site, *sent)
    patients, instances = set(), 0
    for record in records:
        root = etree.fromstring(record.message.encode())
        assert SCHEMA.validate(root), SCHEMA.error_log
        assert root.find("EventIdentification/EventID").get("csd-code") == "110102"
        sender, receiver = root.iter("ActiveParticipant")
        assert (sender.get("UserID"), sender.get("AlternativeUserID")) == ("carol", "AETITLES=TCE_SELECTOR")
        assert receiver.get("AlternativeUserID") == "AETITLES=TCE_MANAGER"
        assert receiver.get("NetworkAccessPointID") == "192.0.2.7"
        [patient] = root.xpath("ParticipantObjectIdentification[@ParticipantObjectTypeCode='1']")
        patients.add(patient.get("ParticipantObjectID"))
        instances += sum(int(one.get("NumberOfInstances")) for one in root.iter("SOPClass"))
    assert patients == {dcmread(path).PatientID for path in sent}
    assert (len(records), len(patients), instances) == (2, 2, len(sent))


def test_who_was_not_de_identified_is_not_named(site: Site, tmp_path: Path) -> None:
    """A selection of originals is told by its number and its ends; nothing of an instance stands on the trail."""
    originals = [*a_ct_study(patient=1), *an_mr_study(patient=2)]
    [record] = told(site, *written(originals, tmp_path / "in"))
    assert (record.detail["identity_removed"], record.detail["instances"]) == ("no", str(len(originals)))
    root = etree.fromstring(record.message.encode())
    assert SCHEMA.validate(root), SCHEMA.error_log
    assert root.find("ParticipantObjectIdentification") is None
    trail = site.audit_trail.read_text()
    for sample in originals:
        ds = sample.instance
        for value in (ds.PatientID, ds.StudyInstanceUID, str(ds.PatientName).split("^")[0]):
            assert value not in trail


def test_of_a_mixture_only_the_de_identified_are_named(site: Site, tmp_path: Path) -> None:
    """One original among many does not hide behind them."""
    original = a_ct_study(patient=9, slices=2)
    records = told(site, *de_identified(tmp_path), *written(original, tmp_path / "original"))
    assert [record.detail.get("identity_removed", "") for record in records] == ["", "", "no"]
    assert records[-1].detail["instances"] == str(len(original))
    assert original[0].instance.PatientID not in site.audit_trail.read_text()
