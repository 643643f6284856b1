"""DICOM audit messages as XML (PS3.15 A.5.1 structure, A.5.3 events), built with lxml.

The events and codes are rows of CID 400 to 405; a function for each event that this product has puts the
participants of its table together. Patients and studies are named as the receiving side knows them: whoever
calls hands over pseudonyms, never originals, so that no message links the two.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from lxml import etree

from tce.errors import Outcome

# Element types of lxml have no public name of their own.
Element = etree._Element


@dataclass(frozen=True, slots=True)
class Code:
    """A coded value: csd-code, codeSystemName, originalText."""

    value: str
    system: str
    meaning: str


def _dcm(value: str, meaning: str) -> Code:
    return Code(value, "DCM", meaning)


# CID 400 Audit Event ID
APPLICATION_ACTIVITY = _dcm("110100", "Application Activity")
AUDIT_LOG_USED = _dcm("110101", "Audit Log Used")
BEGIN_TRANSFERRING = _dcm("110102", "Begin Transferring DICOM Instances")
INSTANCES_TRANSFERRED = _dcm("110104", "DICOM Instances Transferred")
EXPORT = _dcm("110106", "Export")
IMPORT = _dcm("110107", "Import")
SECURITY_ALERT = _dcm("110113", "Security Alert")
USER_AUTHENTICATION = _dcm("110114", "User Authentication")

# CID 401 and 403 Audit Event Type Codes
APPLICATION_START = _dcm("110120", "Application Start")
APPLICATION_STOP = _dcm("110121", "Application Stop")
LOGIN = _dcm("110122", "Login")
LOGOUT = _dcm("110123", "Logout")
NODE_AUTHENTICATION = _dcm("110126", "Node Authentication")
SECURITY_CONFIGURATION = _dcm("110129", "Security Configuration")
SOFTWARE_CONFIGURATION = _dcm("110131", "Software Configuration")
RESTRICTED_FUNCTION = _dcm("110132", "Use of Restricted Function")
RECORDING_STOPPED = _dcm("110133", "Audit Recording Stopped")
REMOTE_STARTED = _dcm("110139", "Remote Service Operation Started")
REMOTE_STOPPED = _dcm("110140", "Remote Service Operation Stopped")
AUTHORIZATION_DECISION = _dcm("110144", "Authorization Decision")

# CID 402 Audit Active Participant Role ID Codes
APPLICATION = _dcm("110150", "Application")
LAUNCHER = _dcm("110151", "Application Launcher")
DESTINATION = _dcm("110152", "Destination Role ID")
SOURCE = _dcm("110153", "Source Role ID")
DESTINATION_MEDIA = _dcm("110154", "Destination Media")
SOURCE_MEDIA = _dcm("110155", "Source Media")

# CID 404 Audit Participant Object ID Type Codes, and two of RFC 3881
STUDY_INSTANCE_UID = _dcm("110180", "Study Instance UID")
PATIENT_NUMBER = Code("2", "RFC-3881", "Patient Number")
URI = Code("12", "RFC-3881", "URI")

# CID 405 Media Type Code. A File-set in a folder has no physical medium: it is reached by URI.
MEDIA_USB = _dcm("110030", "USB Disk Emulation")
MEDIA_EMAIL = _dcm("110031", "Email")
MEDIA_CD = _dcm("110032", "CD")
MEDIA_DVD = _dcm("110033", "DVD")
MEDIA_COMPACT_FLASH = _dcm("110034", "Compact Flash")
MEDIA_MMC = _dcm("110035", "Multi-media Card")
MEDIA_SD = _dcm("110036", "SD Card")
MEDIA_URI = _dcm("110037", "URI")
NOT_PHYSICAL = (MEDIA_EMAIL, MEDIA_URI)

_DE_IDENTIFICATION = "7"  # ParticipantObjectDataLifeCycle


@dataclass(frozen=True, slots=True)
class Participant:
    """An active participant. ``node`` is an IP address or host name where the event's table wants one."""

    user: str
    role: Code | None = None
    requestor: bool = False
    ae_title: str = ""
    node: str = ""


@dataclass(frozen=True, slots=True)
class Medium:
    """A medium as participant: its URI and volume label, both free of identifiers; and whether it is encrypted."""

    uri: str
    label: str = ""
    kind: Code = MEDIA_URI
    encrypted: bool = False


@dataclass(frozen=True, slots=True)
class Study:
    """A study by its new UID, with the number of instances of each SOP Class."""

    uid: str
    instances: Mapping[str, int]
    anonymized: bool = True


@dataclass(frozen=True, slots=True)
class Source:
    """Which system writes the message (AuditSourceIdentification)."""

    site: str
    id: str = "TCE"


def export(
    source: Source,
    by: Participant,
    medium: Medium,
    studies: Sequence[Study],
    patient: str,
    *,
    process: Participant | None = None,
    outcome: Outcome = Outcome.SUCCESS,
) -> bytes:
    """Export of one patient's studies to a medium (A.5.3.4; one patient a message: ITI-20).

    ``by`` is who asked for it, ``process`` what did it where that is another. Nothing is said of patients where none
    is known, as of an attempt that failed at once.
    """
    root = _root(EXPORT, "R", outcome)
    _participant(root, Participant(by.user, SOURCE, True, by.ae_title, by.node))
    if process is not None:
        _participant(root, Participant(process.user, SOURCE, False, process.ae_title, process.node))
    _medium(root, medium, DESTINATION_MEDIA)
    _source(root, source)
    _patient_and_studies(root, studies, patient, encrypted=medium.encrypted)
    return _bytes(root)


def import_(
    source: Source,
    by: Participant,
    medium: Medium,
    studies: Sequence[Study],
    patient: str,
    *,
    process: Participant | None = None,
    outcome: Outcome = Outcome.SUCCESS,
) -> bytes:
    """Import of one patient's studies from a medium (A.5.3.5)."""
    root = _root(IMPORT, "C", outcome)
    _participant(root, Participant(by.user, DESTINATION, True, by.ae_title, by.node))
    if process is not None:
        _participant(root, Participant(process.user, DESTINATION, False, process.ae_title, process.node))
    _medium(root, medium, SOURCE_MEDIA)
    _source(root, source)
    _patient_and_studies(root, studies, patient, encrypted=medium.encrypted)
    return _bytes(root)


def begin_transferring(
    source: Source,
    sender: Participant,
    receiver: Participant,
    studies: Sequence[Study],
    patient: str,
    *,
    outcome: Outcome = Outcome.SUCCESS,
) -> bytes:
    """Begin Transferring DICOM Instances (A.5.3.3), written by the sender before the first C-STORE."""
    return _transfer(BEGIN_TRANSFERRING, "E", source, sender, receiver, studies, patient, outcome)


def instances_transferred(
    source: Source,
    sender: Participant,
    receiver: Participant,
    studies: Sequence[Study],
    patient: str,
    *,
    outcome: Outcome = Outcome.SUCCESS,
) -> bytes:
    """DICOM Instances Transferred (A.5.3.5), written when a transfer has ended, well or not.

    Without a patient, where nothing is known of what was to be transferred, it names the two ends only.
    """
    return _transfer(INSTANCES_TRANSFERRED, "C", source, sender, receiver, studies, patient, outcome)


def security_alert(
    source: Source,
    kind: Code,
    by: Participant,
    about: str,
    description: str,
    *,
    performing: Participant | None = None,
    outcome: Outcome = Outcome.SUCCESS,
) -> bytes:
    """Security Alert (A.5.3.12): use of keys, approvals, re-identification, changes of configuration.

    ``about`` is a URI that names the thing (``urn:tce:case:lung-1``), ``description`` what was done to it, and
    ``performing`` the person or peer who did what ``by`` reports, where these are not the same.
    """
    root = _root(SECURITY_ALERT, "E", outcome, kind)
    _participant(root, Participant(by.user, by.role, False, by.ae_title, by.node))
    if performing:
        _participant(root, Participant(performing.user, None, False, performing.ae_title, performing.node))
    _source(root, source)
    thing = _object(root, about, "2", "13", URI, name=about)
    _detail(thing, "Alert Description", description)
    return _bytes(root)


def user_authentication(
    source: Source,
    user: str,
    *,
    node: str,
    kind: Code = LOGIN,
    outcome: Outcome = Outcome.SUCCESS,
) -> bytes:
    """User Authentication (A.5.3.13): somebody logged in at the Vault, or failed to; ``node`` is mandatory here."""
    root = _root(USER_AUTHENTICATION, "E", outcome, kind)
    _participant(root, Participant(user, None, True, node=node))
    _source(root, source)
    return _bytes(root)


def application_activity(source: Source, application: Participant, launcher: str, *, kind: Code) -> bytes:
    """Application Activity (A.5.3.1): an actor started or stopped."""
    root = _root(APPLICATION_ACTIVITY, "E", Outcome.SUCCESS, kind)
    _participant(
        root, Participant(application.user, APPLICATION, False, application.ae_title, application.node)
    )
    _participant(root, Participant(launcher, LAUNCHER, True))
    _source(root, source)
    return _bytes(root)


def audit_log_used(source: Source, reader: str, trail: str) -> bytes:
    """Audit Log Used (A.5.3.2): somebody read or exported the trail."""
    root = _root(AUDIT_LOG_USED, "R", Outcome.SUCCESS)
    _participant(root, Participant(reader, None, True))
    _source(root, source)
    _object(root, trail, "2", "13", URI, name="Security Audit Log")
    return _bytes(root)


def _transfer(
    event: Code,
    action: str,
    source: Source,
    sender: Participant,
    receiver: Participant,
    studies: Sequence[Study],
    patient: str,
    outcome: Outcome,
) -> bytes:
    root = _root(event, action, outcome)
    _participant(root, Participant(sender.user, SOURCE, True, sender.ae_title, sender.node))
    _participant(root, Participant(receiver.user, DESTINATION, False, receiver.ae_title, receiver.node))
    _source(root, source)
    _patient_and_studies(root, studies, patient)
    return _bytes(root)


def _root(event: Code, action: str, outcome: Outcome, kind: Code | None = None) -> Element:
    root = etree.Element("AuditMessage")
    identification = etree.SubElement(
        root,
        "EventIdentification",
        EventActionCode=action,
        EventDateTime=datetime.now(UTC).isoformat(timespec="milliseconds"),
        EventOutcomeIndicator=str(int(outcome)),
    )
    _coded(identification, "EventID", event)
    if kind is not None:
        _coded(identification, "EventTypeCode", kind)
    return root


def _coded(parent: Element, name: str, code: Code) -> Element:
    attributes = {"csd-code": code.value, "codeSystemName": code.system, "originalText": code.meaning}
    return etree.SubElement(parent, name, attributes)


def _participant(root: Element, who: Participant) -> Element:
    attributes = {"UserID": who.user, "UserIsRequestor": str(who.requestor).lower()}
    if who.ae_title:
        attributes["AlternativeUserID"] = f"AETITLES={who.ae_title}"
    if who.node:
        attributes["NetworkAccessPointID"] = who.node
        attributes["NetworkAccessPointTypeCode"] = "2" if _is_address(who.node) else "1"
    participant = etree.SubElement(root, "ActiveParticipant", attributes)
    if who.role is not None:
        _coded(participant, "RoleIDCode", who.role)
    return participant


def _is_address(node: str) -> bool:
    try:
        ipaddress.ip_address(node)
    except ValueError:
        return False
    return True


def _medium(root: Element, medium: Medium, role: Code) -> None:
    # The schema gives MediaIdentifier no content but the type, so the identifier stands in UserID.
    attributes = {"UserID": medium.uri, "UserIsRequestor": "false"}
    if medium.label:
        attributes["AlternativeUserID"] = medium.label
    if medium.kind in NOT_PHYSICAL:  # a network point is mandatory where the medium is no physical one
        attributes |= {"NetworkAccessPointID": medium.uri, "NetworkAccessPointTypeCode": "5"}
    participant = etree.SubElement(root, "ActiveParticipant", attributes)
    _coded(participant, "RoleIDCode", role)
    _coded(etree.SubElement(participant, "MediaIdentifier"), "MediaType", medium.kind)


def _source(root: Element, source: Source) -> None:
    identification = etree.SubElement(
        root, "AuditSourceIdentification", AuditEnterpriseSiteID=source.site, AuditSourceID=source.id
    )
    etree.SubElement(identification, "AuditSourceTypeCode", {"csd-code": "4"})  # application server


def _patient_and_studies(
    root: Element, studies: Sequence[Study], patient: str, *, encrypted: bool = False
) -> None:
    for study in studies:
        thing = _object(
            root, study.uid, "2", "3", STUDY_INSTANCE_UID, name=study.uid, life_cycle=_DE_IDENTIFICATION
        )
        description = etree.SubElement(thing, "ParticipantObjectDescription")
        for sop_class, count in sorted(study.instances.items()):
            etree.SubElement(description, "SOPClass", UID=sop_class, NumberOfInstances=str(count))
        if encrypted:
            etree.SubElement(description, "Encrypted").text = "true"
        etree.SubElement(description, "Anonymized").text = str(study.anonymized).lower()
    if patient:
        _object(root, patient, "1", "1", PATIENT_NUMBER, name=patient)


def _object(
    root: Element, identifier: str, kind: str, role: str, id_type: Code, *, name: str, life_cycle: str = ""
) -> Element:
    attributes = {
        "ParticipantObjectID": identifier,
        "ParticipantObjectTypeCode": kind,
        "ParticipantObjectTypeCodeRole": role,
    }
    if life_cycle:
        attributes["ParticipantObjectDataLifeCycle"] = life_cycle
    thing = etree.SubElement(root, "ParticipantObjectIdentification", attributes)
    _coded(thing, "ParticipantObjectIDTypeCode", id_type)
    etree.SubElement(thing, "ParticipantObjectName").text = name
    return thing


def _detail(thing: Element, kind: str, text: str) -> None:
    value = base64.b64encode(text.encode()).decode("ascii")
    etree.SubElement(thing, "ParticipantObjectDetail", type=kind, value=value)


def _bytes(root: Element) -> bytes:
    return etree.tostring(root, encoding="UTF-8", xml_declaration=False)
