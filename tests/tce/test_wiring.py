"""The real parts put together for a site: what the actors tell becomes audit messages of the right kind."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

from lxml import etree

from tce import wiring
from tce.actors import receiver
from tce.actors.receiver import MediumReport
from tce.audit.trail import Trail
from tce.config import Settings, Site, save
from tce.network.storage_scu import send
from tce.road import Peer
from tests.tce.parts import MANAGER, copy_medium, documents, pseudonymized_ct
from tests.tce.test_audit_messages import SCHEMA


def a_site(home: Path) -> Site:
    save(Settings(), home / "tce.toml")
    return Site(home)


def test_what_the_receiver_took_in_is_a_transfer_of_its_studies(tmp_path: Path) -> None:
    """The auditor of the Receiver reads who sent which studies of which patient, not that there was an alert."""
    site = a_site(tmp_path)
    instances = pseudonymized_ct(tmp_path / "in", slices=2)
    files = [*instances, *documents(instances, tmp_path / "documents")]
    settings = replace(wiring.receiver_settings(site, tmp_path / "out"), port=0, allowed=(MANAGER,))
    auditor = wiring.receiver_auditor(site)
    stop, written, listening = threading.Event(), threading.Event(), threading.Event()
    ports: list[int] = []

    def started(port: int) -> None:
        ports.append(port)
        listening.set()

    def reported(report: MediumReport) -> None:
        written.set()

    thread = threading.Thread(
        target=receiver.run, args=(settings, copy_medium, auditor, stop, started, reported)
    )
    thread.start()
    try:
        assert listening.wait(30)
        send(files, Peer(settings.ae_title, "127.0.0.1", ports[0]), MANAGER)
        assert written.wait(60)
    finally:
        stop.set()
        thread.join(30)
    [record] = [one for one in Trail(site.audit_trail).records() if one.event == "import"]
    root = etree.fromstring(record.message.encode())
    assert SCHEMA.validate(root), SCHEMA.error_log
    assert root.find("EventIdentification/EventID").get("csd-code") == "110104"
    participants = {
        one.find("RoleIDCode").get("originalText"): one.get("AlternativeUserID")
        for one in root.iter("ActiveParticipant")
    }
    assert participants == {
        "Source Role ID": f"AETITLES={MANAGER}",
        "Destination Role ID": f"AETITLES={settings.ae_title}",
    }
    assert sum(int(one.get("NumberOfInstances") or 0) for one in root.iter("SOPClass")) == len(files)
    assert record.detail["medium"] == "1"
