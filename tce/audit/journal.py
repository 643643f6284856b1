"""Which audit message an event of the application becomes, and the one place that writes both to the trail.

The table :data:`EVENTS` is the list of everything that is audited. ``detail`` holds job ids, counts, digests,
AE titles and pseudonyms; a caller has no way to hand over an instance. PS3.15 has no event of its own for
de-identification, approval or re-identification: they are Security Alerts (A.5.3.12) of the type given here.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from tce.audit import alerts, messages
from tce.audit.messages import Code, Medium, Participant, Study
from tce.audit.trail import Entry, Record, Trail
from tce.config import Site
from tce.errors import Outcome, rule_of


class Shape(Enum):
    """Which kind of message an event becomes."""

    NONE = auto()  # a step inside this system, kept in the trail only
    ALERT = auto()
    LOGIN = auto()
    ACTIVITY = auto()
    LOG_USED = auto()
    TRANSFER = auto()


@dataclass(frozen=True, slots=True)
class EventRow:
    """One audited event: its message, the message's type, and what it means in words."""

    shape: Shape
    kind: Code
    words: str


_CONFIGURED = messages.SECURITY_CONFIGURATION
_RESTRICTED = messages.RESTRICTED_FUNCTION

EVENTS: Mapping[str, EventRow] = {
    "site.made": EventRow(Shape.ALERT, messages.SOFTWARE_CONFIGURATION, "a site was made"),
    "vault.provisioned": EventRow(Shape.ALERT, _CONFIGURED, "mounts, rights and roles of the Vault were set"),
    "mapping.backed-up": EventRow(Shape.ALERT, _CONFIGURED, "the mapping was copied into a backup"),
    "mapping.restored": EventRow(
        Shape.ALERT, _CONFIGURED, "the mapping was compared with a backup and completed"
    ),
    "mapping.checked": EventRow(
        Shape.ALERT, _CONFIGURED, "every row of the mapping was checked, without opening it"
    ),
    "mapping.imported": EventRow(
        Shape.ALERT, _CONFIGURED, "a list of subjects or pseudonyms was imported into a case"
    ),
    "vault.rotated": EventRow(Shape.ALERT, _CONFIGURED, "keys of the Vault got a new version"),
    "vault.resealed": EventRow(Shape.ALERT, _CONFIGURED, "a custodian closed the own shares under a new key"),
    "vault.enrolled": EventRow(
        Shape.ALERT, _CONFIGURED, "a service took over, or was refused, its login at the Vault"
    ),
    "vault.person-enrolled": EventRow(
        Shape.ALERT, _CONFIGURED, "a person was given, or was refused, a second factor"
    ),
    "login": EventRow(Shape.LOGIN, messages.LOGIN, "a person logged in at the Vault"),
    "actor.started": EventRow(Shape.ACTIVITY, messages.APPLICATION_START, "an actor started"),
    "actor.stopped": EventRow(Shape.ACTIVITY, messages.APPLICATION_STOP, "an actor stopped"),
    "audit.read": EventRow(Shape.LOG_USED, messages.AUDIT_LOG_USED, "the audit trail was exported"),
    "audit.repository-away": EventRow(
        Shape.ALERT, messages.REMOTE_STOPPED, "the audit repository is away for longer than it may"
    ),
    "audit.repository-back": EventRow(
        Shape.ALERT, messages.REMOTE_STARTED, "the audit repository is there again"
    ),
    "audit.too-large": EventRow(
        Shape.ALERT, messages.RECORDING_STOPPED, "a message is too large for a datagram and was not sent"
    ),
    "policy.previewed": EventRow(
        Shape.ALERT, _RESTRICTED, "a policy was tried on files; whether original values were shown or kept"
    ),
    "policy.submitted": EventRow(Shape.ALERT, _CONFIGURED, "a policy was submitted for approval"),
    "policy.approved": EventRow(Shape.ALERT, _CONFIGURED, "a policy was approved"),
    "policy.withdrawn": EventRow(Shape.ALERT, _CONFIGURED, "the approval of a policy was withdrawn"),
    "case.submitted": EventRow(Shape.ALERT, _CONFIGURED, "a case was submitted for approval"),
    "case.approved": EventRow(Shape.ALERT, _CONFIGURED, "a case was approved"),
    "case.events": EventRow(Shape.ALERT, _CONFIGURED, "a case was given the events of its patients"),
    "case.store": EventRow(
        Shape.ALERT, _CONFIGURED, "a case began a store of pseudonyms that are drawn or imported"
    ),
    "case.closed": EventRow(Shape.ALERT, _CONFIGURED, "a case was closed"),
    "case.forget-ordered": EventRow(Shape.ALERT, _CONFIGURED, "an approver ordered that a case is forgotten"),
    "case.forget-taken-back": EventRow(Shape.ALERT, _CONFIGURED, "an approver took that order back"),
    "case.forget-begun": EventRow(Shape.ALERT, _CONFIGURED, "a custodian began to forget a case"),
    "case.key-destroyed": EventRow(Shape.ALERT, _CONFIGURED, "a key of a case was destroyed"),
    "case.mapping-removed": EventRow(Shape.ALERT, _CONFIGURED, "the mapping of a case was removed"),
    "case.forgotten": EventRow(
        Shape.ALERT, _CONFIGURED, "a case was forgotten, and what must fail was tried"
    ),
    "approval.refused": EventRow(Shape.ALERT, _RESTRICTED, "something without valid approval was refused"),
    "reidentify.requested": EventRow(Shape.ALERT, _RESTRICTED, "a custodian asked for re-identification"),
    "reidentify.approved": EventRow(Shape.ALERT, _RESTRICTED, "another custodian approved it"),
    "reidentify.denied": EventRow(Shape.ALERT, _RESTRICTED, "re-identification was denied or taken back"),
    "reidentify.revealed": EventRow(Shape.ALERT, _RESTRICTED, "originals were shown to a custodian"),
    "reidentify.refused": EventRow(Shape.ALERT, _RESTRICTED, "a step of re-identification was refused"),
    "encrypted.opened": EventRow(
        Shape.ALERT, _RESTRICTED, "encrypted originals were opened with a private key"
    ),
    "folder.pseudonymized": EventRow(
        Shape.ALERT, _RESTRICTED, "files were pseudonymized under the site's keys"
    ),
    "folder.anonymized": EventRow(Shape.ALERT, _RESTRICTED, "files were anonymized under a case's key"),
    "association.accepted": EventRow(Shape.NONE, _RESTRICTED, "a peer was let in"),
    "association.ended": EventRow(
        Shape.TRANSFER,
        messages.INSTANCES_TRANSFERRED,
        "an association ended, or was aborted; a message only if it brought instances",
    ),
    "association.refused": EventRow(
        Shape.ALERT,
        messages.NODE_AUTHENTICATION,
        "a peer was turned away: AE title, certificate, or too many",
    ),
    "association.plaintext": EventRow(
        Shape.ALERT, messages.NODE_AUTHENTICATION, "a peer called without TLS where TLS is asked for"
    ),
    "export state": EventRow(Shape.NONE, _RESTRICTED, "an export changed its state"),
    "export.held": EventRow(Shape.ALERT, _RESTRICTED, "a person stopped an export"),
    "export.released": EventRow(Shape.ALERT, _RESTRICTED, "a person let a held export go on"),
    "export.retried": EventRow(Shape.ALERT, _RESTRICTED, "a person had an export tried again"),
    "export.cancelled": EventRow(Shape.ALERT, _RESTRICTED, "a person gave an export up"),
    "export.fetch-asked": EventRow(
        Shape.ALERT, _RESTRICTED, "a person had missing instances asked of the archive"
    ),
    "export.fetched": EventRow(
        Shape.ALERT, _RESTRICTED, "missing instances were asked of the archive; whether all came"
    ),
    "export.delayed": EventRow(
        Shape.ALERT, _RESTRICTED, "a Delay Reason has held an export back for too long"
    ),
    "export.contradicted": EventRow(
        Shape.ALERT, _RESTRICTED, "what came for an export does not agree with what had come for it before"
    ),
    "instances.unclaimed": EventRow(
        Shape.ALERT, _RESTRICTED, "instances came, and no manifest has named them for too long"
    ),
    "spool.purged": EventRow(
        Shape.ALERT, _RESTRICTED, "received instances were removed from the spool by a rule of the site"
    ),
    "archive.asked": EventRow(Shape.NONE, _RESTRICTED, "an archive was asked which studies it has"),
    "archive.fetched": EventRow(Shape.NONE, _RESTRICTED, "studies were fetched from an archive"),
    "begin transfer": EventRow(Shape.TRANSFER, messages.BEGIN_TRANSFERRING, "instances are being sent"),
    "export": EventRow(Shape.TRANSFER, messages.INSTANCES_TRANSFERRED, "instances were sent"),
    "import": EventRow(Shape.TRANSFER, messages.INSTANCES_TRANSFERRED, "instances were received"),
    "release.signed": EventRow(Shape.ALERT, _RESTRICTED, "a release record was signed"),
    "access.refused": EventRow(
        Shape.ALERT, messages.AUTHORIZATION_DECISION, "somebody asked for what the own role may not do"
    ),
    alerts.RULES_SET: EventRow(Shape.ALERT, _CONFIGURED, "from here on these rules for alerts are in force"),
    **{kind: EventRow(Shape.ALERT, row.type, row.words) for kind, row in alerts.KINDS.items()},
}


class Journal:
    """Writes events to the trail in the name of one person or process, ``participant`` of its messages.

    What people do at logins and in custody may complete an alert (:mod:`tce.audit.alerts`): it is written at once.
    """

    def __init__(self, site: Site, actor: str = "", *, ae_title: str = "") -> None:
        self._trail = Trail(site.audit_trail)
        self._rules = site.settings.alerts
        self._node = site.settings.site.node or socket.gethostname()
        self._source = messages.Source(site.settings.site.name)
        self.actor = actor or _process()
        self.participant = Participant(self.actor, ae_title=ae_title, node=self._node)

    def record(self, event: str, *, success: bool = True, detail: Mapping[str, str] | None = None) -> None:
        """Write one event; when this returns it is on the disk.

        An event that the table does not know is written too, as use of a restricted function: losing it would
        be worse than naming it poorly.
        """
        self._write(event, Outcome.SUCCESS if success else Outcome.SERIOUS_FAILURE, detail or {})

    def refused(self, event: str, exc: BaseException, detail: Mapping[str, str] | None = None) -> None:
        """Write an event that ended with an exception; :data:`tce.errors.RULES` says how grave that is."""
        self._write(event, rule_of(exc).outcome, {**(detail or {}), "refusal": type(exc).__name__})
        exc.add_note(_TOLD)

    def _write(self, event: str, outcome: Outcome, detail: Mapping[str, str]) -> None:
        row = EVENTS.get(event, EventRow(Shape.ALERT, _RESTRICTED, event))
        self._append(event, outcome, detail, self._message(row, event, outcome, detail))

    def transferred(
        self,
        event: str,
        sender: Participant,
        receiver: Participant,
        studies: Mapping[str, Sequence[Study]],
        detail: Mapping[str, str],
    ) -> None:
        """Write a transfer of instances between two application entities, one message a patient."""
        build = _transfer(EVENTS[event])
        for patient, of_patient in studies.items():
            message = build(self._source, sender, receiver, of_patient, patient)
            self._append(event, Outcome.SUCCESS, detail, message)

    def exported(
        self,
        case: str,
        medium: Medium,
        studies: Mapping[str, Sequence[Study]],
        *,
        failure: BaseException | None = None,
    ) -> None:
        """Write an Export to a medium (RAD-47), one message a patient; with ``failure``, an attempt that failed."""
        self._by_medium("medium.written", messages.export, case, medium, studies, failure)

    def imported(
        self,
        case: str,
        medium: Medium,
        studies: Mapping[str, Sequence[Study]],
        *,
        failure: BaseException | None = None,
    ) -> None:
        """Write an Import from a medium, one message a patient; with ``failure``, an attempt that failed."""
        self._by_medium("medium.read", messages.import_, case, medium, studies, failure)

    def _by_medium(
        self,
        event: str,
        build: Callable[..., bytes],
        case: str,
        medium: Medium,
        studies: Mapping[str, Sequence[Study]],
        failure: BaseException | None,
    ) -> None:
        outcome = rule_of(failure).outcome if failure is not None else Outcome.SUCCESS
        process = Participant(_process(), node=self._node) if self.actor != _process() else None
        for patient, of_patient in (studies or {"": ()}).items():
            message = build(
                self._source, self.participant, medium, of_patient, patient, process=process, outcome=outcome
            )
            detail = self._counts(case, of_patient)
            detail |= {"medium": medium.label or medium.uri, "kind": medium.kind.meaning}
            detail |= {"encrypted": "yes"} if medium.encrypted else {}
            detail |= {"refusal": type(failure).__name__} if failure is not None else {}
            self._append(event, outcome, detail, message)
        if failure is not None:
            failure.add_note(_TOLD)

    def _counts(self, case: str, studies: Sequence[Study]) -> dict[str, str]:
        instances = sum(sum(study.instances.values()) for study in studies)
        return {"case": case, "studies": str(len(studies)), "instances": str(instances)}

    def _message(self, row: EventRow, event: str, outcome: Outcome, detail: Mapping[str, str]) -> bytes:
        if row.shape is Shape.NONE:
            return b""
        if row.shape is Shape.LOGIN:
            return messages.user_authentication(self._source, self.actor, node=self._node, outcome=outcome)
        if row.shape is Shape.ACTIVITY:
            application = Participant(detail.get("actor", self.actor), ae_title=detail.get("ae_title", ""))
            return messages.application_activity(self._source, application, self.actor, kind=row.kind)
        if row.shape is Shape.LOG_USED:
            return messages.audit_log_used(self._source, self.actor, self._trail.path.absolute().as_uri())
        caller = _caller(detail)
        if row.shape is Shape.TRANSFER:
            if detail.get("instances") == "0":
                return b""
            sender = receiver = self.participant
            if caller or "sender" in detail:
                sender = caller or peer_of(detail["sender"])
            if "receiver" in detail:
                receiver = peer_of(detail["receiver"], detail.get("receiver_address", ""))
            return _transfer(row)(self._source, sender, receiver, (), "", outcome=outcome)
        return self._alert(row, event, outcome, detail, self.participant, caller)

    def _alert(
        self,
        row: EventRow,
        event: str,
        outcome: Outcome,
        detail: Mapping[str, str],
        by: Participant,
        performing: Participant | None = None,
    ) -> bytes:
        about = "urn:tce:" + ":".join([event, *(v for k, v in sorted(detail.items()) if k in _NAMING)])
        words = "; ".join([row.words, *(f"{key}: {value}" for key, value in sorted(detail.items()))])
        return messages.security_alert(
            self._source, row.kind, by, about, words, performing=performing, outcome=outcome
        )

    def _append(self, event: str, outcome: Outcome, detail: Mapping[str, str], message: bytes) -> None:
        watched = event.startswith(alerts.WATCHED)
        if watched:
            self._trail.react(self._set_rules, to=(alerts.RULES_SET,))
        self._trail.append(
            event, actor=self.actor, outcome=outcome, detail=detail, message=message.decode("utf-8")
        )
        if watched:
            self._trail.react(self._raise_alerts, to=alerts.WATCHED)

    def _set_rules(self, records: Iterator[Record]) -> list[Entry]:
        """Return the entry that puts the settings' rules for alerts into force, none where they are."""
        if not alerts.rules_to_set(self._rules, records):
            return []
        return [self._entry(alerts.RULES_SET, Outcome.SUCCESS, self._rules.as_detail())]

    def _raise_alerts(self, records: Iterator[Record]) -> list[Entry]:
        """Return an entry for each alert that is due and not on the trail, also for one of a process that died."""
        return [
            self._entry(alert.kind, alerts.KINDS[alert.kind].outcome, alert.detail, alert.person)
            for alert in alerts.still_to_tell(records)
        ]

    def _entry(self, event: str, outcome: Outcome, detail: Mapping[str, str], performing: str = "") -> Entry:
        """Return an entry that this process makes by itself, about what somebody else may have done."""
        by = Participant(_process(), node=self._node)
        person = Participant(performing) if performing else None
        message = self._alert(EVENTS[event], event, outcome, detail, by, person)
        return Entry(event, by.user, int(outcome), detail, message.decode("utf-8"))


_TOLD = "on the audit trail"


def is_told(exc: BaseException) -> bool:
    """Whether an exception was written onto the trail as a refusal."""
    return _TOLD in getattr(exc, "__notes__", ())


def _process() -> str:
    return f"tce/{os.getpid()}"


def _transfer(row: EventRow) -> Callable[..., bytes]:
    begins = row.kind is messages.BEGIN_TRANSFERRING
    return messages.begin_transferring if begins else messages.instances_transferred


def peer_of(ae_title: str, address: str = "") -> Participant:
    """Return another application entity as a participant: by its AE title, and by its address without one."""
    return Participant(ae_title or address, ae_title=ae_title, node=address)


def _caller(detail: Mapping[str, str]) -> Participant | None:
    """Return who called, where an event tells of an association."""
    return peer_of(detail.get("calling_ae", ""), detail["address"]) if "address" in detail else None


# Details that say which thing an alert is about.
_NAMING = frozenset({"case", "policy", "export", "request", "release"})
