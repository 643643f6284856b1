"""Who calls an actor stands in the audit message itself: real associations, from the socket to the XML."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from lxml import etree

from tce.actors.export_manager import audit_contacts
from tce.audit.trail import Record, Trail
from tce.config import Settings, Site, save
from tce.network.storage_scp import StorageListener
from tce.network.storage_scu import echo, send
from tce.network.store_reader import Arrival, Status
from tce.road import Peer
from tce.road_auditor import RoadAuditor
from tests.builders import a_ct_study, written
from tests.tce.listening import Keeping, Kept
from tests.tce.test_audit_messages import SCHEMA


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "site").mkdir()
    save(Settings(), tmp_path / "site" / "tce.toml")
    return Site(tmp_path / "site")


def told(site: Site, call: Callable[[Peer], object], *, until: str) -> list[Record]:
    """Let somebody call a listener of the site; return what is on the trail once it tells ``until``."""
    kept: list[Kept] = []

    def take(arrival: Arrival) -> Keeping:
        return Keeping(arrival, kept, Status.SUCCESS)

    auditor = RoadAuditor(site, "manager", "MANAGER")
    with StorageListener(
        "MANAGER", "127.0.0.1", 0, ["SELECTOR"], take, tell=audit_contacts(auditor)
    ) as listener:
        call(Peer("MANAGER", "127.0.0.1", listener.port))
        deadline = time.monotonic() + 30
        while until not in (events := [one.event for one in Trail(site.audit_trail).records()]):
            assert time.monotonic() < deadline, events
            time.sleep(0.02)
    return list(Trail(site.audit_trail).records())


def participants(record: Record) -> list[tuple[str | None, str | None]]:
    """AE titles and addresses of the participants of a record's message, which is valid."""
    root = etree.fromstring(record.message.encode())
    assert SCHEMA.validate(root), SCHEMA.error_log
    return [
        (one.get("AlternativeUserID"), one.get("NetworkAccessPointID"))
        for one in root.iter("ActiveParticipant")
    ]


def test_what_a_peer_brought_is_a_transfer_from_its_address(site: Site, tmp_path: Path) -> None:
    """DICOM Instances Transferred names who sent, from where, and who took it; no patient."""
    files = written(a_ct_study(), tmp_path / "in")
    records = told(site, lambda to: send(files, to, "SELECTOR"), until="association.ended")
    [ended] = [one for one in records if one.event == "association.ended"]
    assert ended.detail["instances"] == str(len(files))
    sender, receiver = participants(ended)
    assert sender == ("AETITLES=SELECTOR", "127.0.0.1")
    assert receiver[0] == "AETITLES=MANAGER"
    assert "ParticipantObjectIdentification" not in ended.message


def test_a_stranger_is_an_alert_with_title_and_address(site: Site) -> None:
    """A rejected association is a Security Alert about node authentication, with the caller as a participant."""

    def call(to: Peer) -> None:
        with pytest.raises(Exception, match="MANAGER"):
            echo(to, "STR<&>ANGER")

    records = told(site, call, until="association.refused")
    [refused] = [one for one in records if one.event == "association.refused"]
    assert participants(refused)[1] == ("AETITLES=STR<&>ANGER", "127.0.0.1")
    assert "110126" in refused.message


def test_a_peer_that_only_asks_whether_somebody_is_there_is_no_transfer(site: Site) -> None:
    """C-ECHO moves no instance: it is on the trail, and no message."""
    records = told(site, lambda to: echo(to, "SELECTOR"), until="association.ended")
    assert {one.event for one in records} == {"association.accepted", "association.ended"}
    assert all(one.detail["address"] == "127.0.0.1" and not one.message for one in records)
