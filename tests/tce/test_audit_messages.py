"""Audit messages have the structure of PS3.15 A.5.1 and the codes of their event."""

from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree

from tce.audit import messages
from tce.audit.messages import Medium, Participant, Source, Study
from tce.errors import Outcome

SCHEMA = etree.RelaxNG(etree.parse(str(Path(__file__).parent / "assets" / "audit-message.rng")))
SITE = Source("site")
BY = Participant("tce/17", ae_title="TCE_MANAGER", node="127.0.0.1")
PEER = Participant("receiver", ae_title="TCE_RECEIVER", node="host.example")
STUDIES = [Study("2.25.1", {"1.2.840.10008.5.1.4.1.1.2": 12, "1.2.840.10008.5.1.4.1.1.88.59": 1})]
MEDIUM = Medium("file:///media/one", "TCE0001")

EVERY_MESSAGE = {
    "Export": messages.export(SITE, BY, MEDIUM, STUDIES, "P-1"),
    "Import": messages.import_(SITE, BY, MEDIUM, STUDIES, "P-1"),
    "Begin Transferring DICOM Instances": messages.begin_transferring(SITE, BY, PEER, STUDIES, "P-1"),
    "DICOM Instances Transferred": messages.instances_transferred(SITE, BY, PEER, STUDIES, "P-1"),
    "Security Alert": messages.security_alert(
        SITE, messages.RESTRICTED_FUNCTION, BY, "urn:tce:case:c", "a case was approved"
    ),
    "User Authentication": messages.user_authentication(SITE, "approver", node="fd00::17"),
    "Application Activity": messages.application_activity(SITE, BY, "me", kind=messages.APPLICATION_START),
    "Audit Log Used": messages.audit_log_used(SITE, "auditor", "file:///trail"),
}


@pytest.mark.parametrize("event", EVERY_MESSAGE)
def test_a_message_is_valid(event: str) -> None:
    """Every message follows the schema, order of elements included."""
    root = etree.fromstring(EVERY_MESSAGE[event])
    assert SCHEMA.validate(root), SCHEMA.error_log
    assert root.find("EventIdentification/EventID").get("originalText") == event


@pytest.mark.parametrize("event", EVERY_MESSAGE)
def test_at_most_one_participant_asked_for_it(event: str) -> None:
    """PS3.15 A.5.2: one requestor; exactly one for Export and Import, none for a Security Alert."""
    root = etree.fromstring(EVERY_MESSAGE[event])
    requestors = root.xpath("count(ActiveParticipant[@UserIsRequestor='true'])")
    assert requestors == (0 if event == "Security Alert" else 1)


def test_an_export_names_its_medium_once() -> None:
    """PS3.15 A.5.3.7: one Destination Media participant with its type, and where it is."""
    root = etree.fromstring(EVERY_MESSAGE["Export"])
    [medium] = root.xpath("ActiveParticipant[RoleIDCode/@csd-code='110154']")
    assert medium.get("AlternativeUserID") == "TCE0001"
    assert medium.get("NetworkAccessPointTypeCode") == "5"
    assert medium.find("MediaIdentifier/MediaType").get("csd-code") == "110037"


def test_a_study_says_that_it_was_de_identified() -> None:
    """Life cycle 7 and Anonymized true stand on the study, with counts by SOP Class."""
    root = etree.fromstring(EVERY_MESSAGE["Export"])
    [study] = root.xpath("ParticipantObjectIdentification[@ParticipantObjectTypeCode='2']")
    assert study.get("ParticipantObjectDataLifeCycle") == "7"
    assert study.findtext("ParticipantObjectDescription/Anonymized") == "true"
    assert [c.get("NumberOfInstances") for c in study.iter("SOPClass")] == ["12", "1"]


def test_an_outcome_is_carried() -> None:
    """A refusal is not written as a success."""
    root = etree.fromstring(
        messages.user_authentication(SITE, "x", node="h", outcome=Outcome.SERIOUS_FAILURE)
    )
    assert root.find("EventIdentification").get("EventOutcomeIndicator") == "8"


def test_a_time_has_a_zone() -> None:
    """PS3.15 A.5.2: EventDateTime is unambiguous."""
    for message in EVERY_MESSAGE.values():
        time = etree.fromstring(message).find("EventIdentification").get("EventDateTime")
        assert time.endswith("+00:00")


@pytest.mark.parametrize(
    ("node", "code"), [("192.0.2.7", "2"), ("fd00::17", "2"), ("tce1.example", "1"), ("12.34", "1")]
)
def test_an_address_is_told_from_a_name(node: str, code: str) -> None:
    """NetworkAccessPointTypeCode is 2 for an IP address of either version, 1 for a host's name."""
    root = etree.fromstring(messages.user_authentication(SITE, "x", node=node))
    assert root.find("ActiveParticipant").get("NetworkAccessPointID") == node
    assert root.find("ActiveParticipant").get("NetworkAccessPointTypeCode") == code


def test_an_alert_names_who_reports_and_who_acted() -> None:
    """A.5.3.12: the reporting process comes first, the performing person second, and neither is a requestor."""
    message = messages.security_alert(
        SITE, messages.RESTRICTED_FUNCTION, BY, "urn:tce:alert", "a sweep", performing=Participant("carol")
    )
    root = etree.fromstring(message)
    assert SCHEMA.validate(root), SCHEMA.error_log
    found = [(one.get("UserID"), one.get("UserIsRequestor")) for one in root.iter("ActiveParticipant")]
    assert found == [("tce/17", "false"), ("carol", "false")]
