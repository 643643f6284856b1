"""Every event of the application becomes the audit message that the table says, and none is lost."""

from __future__ import annotations

import ast
import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree

import tce
from media.errors import OutputRefused
from tce.audit import messages
from tce.audit.journal import EVENTS, Journal, Shape, is_told
from tce.audit.messages import Participant, Study
from tce.audit.trail import Record, Trail
from tce.config import Settings, Site, save
from tce.errors import NotApproved, Outcome
from tests.tce.test_audit_messages import SCHEMA
from vault import custody

STUDIES = {"P-1": [Study("2.25.1", {"1.2.3": 2})], "P-2": [Study("2.25.2", {"1.2.3": 5})]}

DETAIL = {
    "case": "lung-1",
    "policy": "longitudinal-trial",
    "version": "2",
    "digest": "sha256:00",
    "export": "e-1",
    "request": "r-1",
    "release": "rel-1",
    "reasons": 'a <b> & "c", Zürich 東京',
    "instances": "12",
}
_ASSOCIATION = {"address": "192.0.2.7", "calling_ae": '<&"]]>', "called_ae": "TCE", "incident": "rejected"}
ENDS = {
    **{event: _ASSOCIATION for event in EVENTS if event.startswith("association.")},
    **{event: {"receiver": "RECEIVER", "manifest": "0a1b"} for event in ("begin transfer", "export")},
    "import": {"sender": "MANAGER", "medium": "1", "manifest": "0a1b"},
    "actor.started": {"actor": "manager", "ae_title": "MANAGER"},
    "actor.stopped": {"actor": "manager", "ae_title": "MANAGER"},
    "access.refused": {"wanted": "auditor"},
    "audit.too-large": {"record": "17", "octets": "40000"},
}
"""What the program tells with an event, with what is hard for XML in it."""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    save(Settings(), tmp_path / "tce.toml")
    return Site(tmp_path)


def records(site: Site) -> list[Record]:
    Trail(site.audit_trail).verify()
    return list(Trail(site.audit_trail).records())


def _recorded_events() -> Iterator[tuple[str, str]]:
    """Yield (module, event) of every call of ``record`` or ``refused`` with the event written out."""
    root = Path(tce.__file__).parent
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
                continue
            first = node.args[0]
            if node.func.attr in ("record", "refused") and isinstance(first, ast.Constant):
                yield path.name, str(first.value)


def test_every_event_that_is_recorded_has_its_row() -> None:
    """The table is the list of what is audited: no part of the program records anything else."""
    found = set(_recorded_events())
    assert len(found) > 8
    assert sorted(event for _, event in found if event not in EVENTS) == []


def test_every_step_of_custody_has_its_row() -> None:
    """What custodians do is told by custody itself, which does not know the table."""
    calls = (node for node in ast.walk(ast.parse(Path(custody.__file__).read_text("utf-8"))))
    steps = {
        f"reidentify.{node.args[0].value}"
        for node in calls
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "_tell"
        and isinstance(node.args[0], ast.Constant)
    }
    assert steps == {event for event in EVENTS if event.startswith("reidentify.")}


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_becomes_a_valid_message_of_its_type(site: Site, event: str) -> None:
    """Each row gives a message that follows the schema and carries the row's code."""
    detail = site.settings.alerts.as_detail() if event == "alerts.set" else {**DETAIL, **ENDS.get(event, {})}
    Journal(site, "ann", ae_title="TCE").record(event, detail=detail)
    [record, *_] = [one for one in records(site) if (one.event, one.actor) == (event, "ann")]
    row = EVENTS[event]
    assert (record.event, record.actor, record.outcome) == (event, "ann", 0)
    if row.shape is Shape.NONE:
        assert record.message == ""
        return
    root = etree.fromstring(record.message.encode())
    assert SCHEMA.validate(root), SCHEMA.error_log
    codes = {one.get("csd-code") for one in root.iter("EventTypeCode", "EventID")}
    assert row.kind.value in codes


@pytest.mark.parametrize(
    ("detail", "source", "destination"),
    [({"receiver": "R"}, "AETITLES=ME", "AETITLES=R"), ({"sender": "S"}, "AETITLES=S", "AETITLES=ME")],
    ids=["sent", "received"],
)
def test_a_transfer_of_which_no_studies_are_known_is_a_transfer(
    site: Site, detail: dict[str, str], source: str, destination: str
) -> None:
    """A transfer that failed, or whose files are gone, still says from where to where it went."""
    Journal(site, "me", ae_title="ME").record("export", success=False, detail=detail)
    [record] = records(site)
    root = etree.fromstring(record.message.encode())
    assert record.outcome == Outcome.SERIOUS_FAILURE
    assert [one.get("AlternativeUserID") for one in root.iter("ActiveParticipant")] == [source, destination]


def test_a_transfer_says_where_it_went(site: Site) -> None:
    """The receiver's address stands in the message beside its AE title."""
    detail = {"receiver": "R", "receiver_address": "192.0.2.9", "instances": "3"}
    Journal(site, "me", ae_title="ME").record("begin transfer", detail=detail)
    [record] = records(site)
    receiver = etree.fromstring(record.message.encode()).findall("ActiveParticipant")[1]
    assert (receiver.get("UserID"), receiver.get("NetworkAccessPointID")) == ("R", "192.0.2.9")


def test_who_was_turned_away_is_a_participant(site: Site) -> None:
    """Who, when and from where stand in the message itself: AE title and address of the peer, and who reports it."""
    for event in ("association.refused", "association.plaintext"):
        Journal(site, "manager", ae_title="TCE").record(event, success=False, detail=_ASSOCIATION)
    for record in records(site):
        root = etree.fromstring(record.message.encode())
        assert root.find("EventIdentification/EventTypeCode").get("csd-code") == "110126"
        reporter, peer = root.iter("ActiveParticipant")
        assert (reporter.get("UserID"), reporter.get("AlternativeUserID")) == ("manager", "AETITLES=TCE")
        assert peer.get("AlternativeUserID") == 'AETITLES=<&"]]>'
        assert (peer.get("NetworkAccessPointID"), peer.get("NetworkAccessPointTypeCode")) == (
            "192.0.2.7",
            "2",
        )
        assert peer.get("UserIsRequestor") == "false"


def test_a_peer_that_said_no_title_has_its_address(site: Site) -> None:
    """Who spoke without TLS never came to name itself."""
    Journal(site, "manager").record("association.plaintext", success=False, detail={"address": "fd00::7"})
    [record] = records(site)
    peer = etree.fromstring(record.message.encode()).findall("ActiveParticipant")[1]
    assert (peer.get("UserID"), peer.get("NetworkAccessPointID")) == ("fd00::7", "fd00::7")
    assert peer.get("AlternativeUserID") is None


def test_instances_that_an_association_brought_are_a_transfer(site: Site) -> None:
    """From the peer at its address to this actor; an aborted one failed, and one that brought nothing is none."""
    journal = Journal(site, "manager", ae_title="TCE")
    journal.record("association.ended", detail={**_ASSOCIATION, "instances": "12"})
    journal.record("association.ended", success=False, detail={**_ASSOCIATION, "instances": "3"})
    journal.record("association.ended", detail={**_ASSOCIATION, "instances": "0"})
    *transfers, echo = records(site)
    assert echo.message == ""
    for record, outcome in zip(transfers, ("0", "8"), strict=True):
        root = etree.fromstring(record.message.encode())
        assert root.find("EventIdentification/EventID").get("csd-code") == "110104"
        assert root.find("EventIdentification").get("EventOutcomeIndicator") == outcome
        sender, receiver = root.iter("ActiveParticipant")
        assert (sender.get("NetworkAccessPointID"), sender.find("RoleIDCode").get("csd-code")) == (
            "192.0.2.7",
            "110153",
        )
        assert (receiver.get("AlternativeUserID"), receiver.find("RoleIDCode").get("csd-code")) == (
            "AETITLES=TCE",
            "110152",
        )
        assert root.find("ParticipantObjectIdentification") is None


def test_an_alert_says_what_it_is_about(site: Site) -> None:
    """The alert's description holds the row's words and every detail; its subject is a URI."""
    Journal(site, "ann").record("case.approved", detail={"case": "lung-1", "digest": "sha256:00"})
    root = etree.fromstring(records(site)[0].message.encode())
    [detail] = root.iter("ParticipantObjectDetail")
    text = base64.b64decode(detail.get("value") or "").decode()
    assert text == "a case was approved; case: lung-1; digest: sha256:00"
    assert root.xpath("//@ParticipantObjectID") == ["urn:tce:case.approved:lung-1"]


def test_an_event_without_a_row_is_not_lost(site: Site) -> None:
    """What the table does not know is written as use of a restricted function."""
    Journal(site, "ann").record("something new")
    [record] = records(site)
    assert SCHEMA.validate(etree.fromstring(record.message.encode()))
    assert "110132" in record.message


def test_a_refusal_carries_how_grave_it_is(site: Site) -> None:
    """The outcome comes from the table of errors, and the text of the exception is left out."""
    Journal(site, "ann").refused("approval.refused", NotApproved("Miller^Anna"), {"case": "lung-1"})
    [record] = records(site)
    assert record.outcome == Outcome.SERIOUS_FAILURE
    assert record.detail == {"case": "lung-1", "refusal": "NotApproved"}
    assert "Miller" not in record.message


@pytest.mark.parametrize(("event", "code"), [("begin transfer", "110102"), ("export", "110104")])
def test_a_transfer_is_one_message_a_patient(site: Site, event: str, code: str) -> None:
    """ITI-20 wants one patient a message; studies and counts come with it."""
    sender, receiver = Participant("m", ae_title="M"), Participant("r", ae_title="R")
    Journal(site, "m").transferred(event, sender, receiver, STUDIES, {"export": "e"})
    found = [etree.fromstring(record.message.encode()) for record in records(site)]
    assert len(found) == 2
    for root in found:
        assert SCHEMA.validate(root), SCHEMA.error_log
        assert root.find("EventIdentification/EventID").get("csd-code") == code
        assert len(root.xpath("ParticipantObjectIdentification[@ParticipantObjectTypeCode='1']")) == 1


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("kind", [messages.MEDIA_CD, messages.MEDIA_EMAIL, messages.MEDIA_URI])
def test_media_are_recorded_one_message_a_patient(site: Site, kind: messages.Code, encrypted: bool) -> None:
    """Writing a medium is an Export, reading one an Import: who, which process, one medium, one patient a message."""
    medium = messages.Medium("urn:tce:medium:LUNG", "LUNG", kind, encrypted)
    journal = Journal(site, "operator")
    journal.exported("lung-1", medium, STUDIES)
    journal.imported("lung-1", medium, STUDIES)
    written, read = records(site)[: len(STUDIES)], records(site)[len(STUDIES) :]
    assert written[0].detail == {
        "case": "lung-1",
        "studies": "1",
        "instances": "2",
        "medium": "LUNG",
        "kind": kind.meaning,
        **({"encrypted": "yes"} if encrypted else {}),
    }
    for found, name, media, own in (
        (written, "Export", "110154", "110153"),
        (read, "Import", "110155", "110152"),
    ):
        assert len(found) == len(STUDIES)
        for record in found:
            root = etree.fromstring(record.message.encode())
            assert SCHEMA.validate(root), SCHEMA.error_log
            assert root.find("EventIdentification/EventID").get("originalText") == name
            [place] = root.xpath(f"ActiveParticipant[RoleIDCode/@csd-code='{media}']")
            assert place.find("MediaIdentifier/MediaType").get("csd-code") == kind.value
            assert (place.get("NetworkAccessPointID") is None) == (kind is messages.MEDIA_CD)
            who = root.xpath(f"ActiveParticipant[RoleIDCode/@csd-code='{own}']")
            assert [one.get("UserIsRequestor") for one in who] == ["true", "false"]
            assert who[0].get("UserID") == "operator"
            assert len(root.xpath("ParticipantObjectIdentification[@ParticipantObjectTypeCode='1']")) == 1
            assert ("true" in root.xpath("//Encrypted/text()")) == encrypted


def test_a_medium_that_could_not_be_written_is_recorded(site: Site) -> None:
    """An attempt that failed is an Export that failed, with its medium and without a patient where none is known."""
    journal = Journal(site, "operator")
    refusal = OutputRefused("no space")
    journal.exported(
        "lung-1", messages.Medium("urn:tce:medium:LUNG", "LUNG", messages.MEDIA_DVD), {}, failure=refusal
    )
    [record] = records(site)
    root = etree.fromstring(record.message.encode())
    assert SCHEMA.validate(root), SCHEMA.error_log
    assert root.find("EventIdentification").get("EventOutcomeIndicator") == "4"
    assert record.detail["refusal"] == "OutputRefused"
    assert root.xpath("ParticipantObjectIdentification") == []
    assert is_told(refusal)
