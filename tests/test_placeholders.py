"""What may hold an original or a secret prints as a placeholder, in every type of every room.

The rule is turned round so that nobody can forget it: text, bytes and data sets in a field that prints are refused,
unless the field's name is one of those that never hold such a thing (:data:`HARMLESS`), or the field itself is named
(:data:`BY_DESIGN`). A new field, or a new class, with any other name fails here until somebody has decided.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import typing
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import PurePath
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel

import media
import policies
import tce
import vault
from policies.known import KnownWords
from policies.pseudonyms import Identifier, Subject
from vault.secrecy import Secret

ROOMS = (media, policies, tce, vault)

# Names of fields that hold, in any class, what the program, the standard or a policy says, what people of the site are
# called, digests, and pseudonyms of released instances.
_HARMLESS = """
    ae_title allowed calling_ae host node port url
    action actor channel check code codes coding_scheme scheme constant creator edition event kind keyword meaning
    method name named next_step option options prefix reason refusal sop_class sop_class_uid status system
    transfer_syntax_uid syntax title type types vm vr what where why word words
    case case_id digest case_digest policy_digest file_digest data_set_digest explicit_digest hash id key_id version
    approval approvals approved approver approvers author authors custodian decided decided_by person receiver
    receivers requested requester selectors signature submitted withdrawn who
    changed created expires made time
    export_id release request request_id ticket purpose state tally count
"""
HARMLESS = frozenset(_HARMLESS.split())

# Fields of one class, looked at one by one: settings and texts of the site's own people, tables of the standard, what
# the trail holds, pseudonyms and identities of what leaves, ciphertext.
_DECIDED = """
    media.agreement.Disagreement: attribute record
    media.certificate.Certificate: not_checked policy profile software
    media.dicomdir.ReferencedFile: file_id sop_instance_uid
    media.directory.Directory: meta_version sop_instance_uid
    media.errors.Fault: attribute record
    media.links.Links: _types
    media.pages.MediumLabel: application application_contact contact fileset_id institution
    media.pdi.Medium: fileset_id
    media.reader.MediumContents: deviations
    media.reader.MediumInstance: sop_instance_uid
    media.record_types.RecordType: parent
    media.requirements.MissingKey: record
    media.volume.Volume: faults further
    policies.clauses.Conditions: image_type manufacturer modality
    policies.clauses.LegacyUids: root
    policies.clauses.Override: attribute value
    policies.clauses.PixelRule: manufacturer modality model
    policies.clauses.Rule: attribute
    policies.disclosure.advice.Advice: removed
    policies.disclosure.advice.Choice: after attribute before
    policies.disclosure.clause.Disclosure: quasi_identifiers sensitive
    policies.draft.Names: patient_id series_uid sop_instance_uid study_uid
    policies.engine.Written: path
    policies.forms.Forms: alphabet legacy_root
    policies.generalize.Words: table
    policies.inheritance.Inheritance: base keys rules
    policies.model.Policy: description vocabulary
    policies.operations.Generalize: otherwise
    policies.operations.KeepTime: otherwise
    policies.operations.KeepZone: otherwise
    policies.operations.MoveDate: otherwise
    policies.pixels.image.Image: photometric
    policies.pixels.overwritten.Blank: pattern
    policies.private.PrivateRules: policy table
    policies.quasi_identifiers.Generalization: attribute otherwise table
    policies.restoring.Identity: pseudonym
    policies.selftest.attributes.Known: vrs
    policies.selftest.canary.Canary: concept value
    policies.selftest.canary.Mint: _made
    policies.selftest.known.KnownPatient: accession born family given identifier number phone physician street
    policies.selftest.search.Found: form
    policies.standard.beyond.BeyondRow: source
    policies.standard.iods._Tables: ciods modules sop_classes text
    policies.standard.tables.ConceptRow: basic value_type
    policies.standard.tables.Row: basic
    policies.text_operations.CleanText: otherwise
    policies.text_operations.DropKnown: otherwise
    policies.text_operations.KeepLawful: otherwise
    policies.text_operations.MoveInText: otherwise
    tce.actors.export_selector.SelectAccount: marks
    tce.actors.receiver.MediumReport: manifest
    tce.archive.FoundStudy: modalities
    tce.archive.Question: modality
    tce.audit.alerts.Alert: about
    tce.audit.alerts.Examination: _due _told
    tce.audit.alerts.Finding: detail
    tce.audit.alerts._Window: seen
    tce.audit.anchors.Anchored: newest
    tce.audit.forwarding.Progress: away_since
    tce.audit.forwarding.Standing: away_since oldest
    tce.audit.messages.Code: value
    tce.audit.messages.Medium: label uri
    tce.audit.messages.Participant: user
    tce.audit.messages.Source: site
    tce.audit.messages.Study: instances uid
    tce.audit.repository.RepositorySettings: fingerprints repository
    tce.audit.rules.AlertRules: time_zone working_hours
    tce.audit.trail.Entry: detail message
    tce.audit.trail.Record: detail message prev
    tce.audit.withdrawals.Destroyed: key
    tce.audit.withdrawals.TakenBack: order
    tce.cases.EncryptFor: certificate
    tce.cases.Trial: coordinating_center protocol_id protocol_name site_id site_name sponsor
    policies.disclosure.ladders.Ladder: attribute
    tce.cohort.CohortRule: compared sensitive
    tce.commitments.Standing: refused
    tce.config.MediaSettings: known_stage_one trusted_signers
    tce.config.SiteSettings: contact institution
    tce.config.TlsSettings: ca certificate key peers
    tce.config.VaultSettings: address ca namespace
    tce.demo.Account: steps
    tce.directory_keys.EmptyKey: key record
    tce.documents.codes.Code: value
    tce.documents.disposition.Disposition: descriptions titles
    tce.documents.settings.DocumentSettings: descriptions titles
    tce.exports_cohort.Verdict: figures
    tce.folder.FolderAccount: patients series studies
    tce.forgetting.Standing: keys order record
    tce.forgotten.Attempt: answer
    tce.forgotten.ForgottenRecord: audit_head carried_out_by format order releases software
    tce.ledger.Notice: detail
    tce.network.commitment.Item: sop_instance_uid
    tce.network.doorway.Contact: address called_ae
    tce.network.storage_scu._Outgoing: sop_instance_uid
    tce.network.tls.Certificates: peers
    tce.people.LdapSettings: bind_dn ca mount user_attribute user_dn user_filter
    tce.people.OidcSettings: ca client_id discovery_url group group_claim mount scopes user_claim
    tce.people.PeopleSettings: auditors coordinators custodians login_names
    tce.gate.Verdict: policy
    tce.incoming.TakenIn: deviations policies
    tce.proof.Answer: question
    tce.proof.Proof: about
    tce.purging.Purge: export rule sender
    tce.purging.Unclaimed: sender
    tce.release.ReleaseRecord: audit_head delivered disclosure format holds policy software
    tce.release.ReleasedInstance: sop_instance_uid
    tce.released.Left: export policy told_by when
    tce.retention.Rules: delivered
    tce.road.Anonymized: patient_id series_uid sop_instance_uid study_uid
    tce.road.PastHold: by held reasons resolved
    tce.road.Release: allowed_at disclosure
    tce.road.Sealed: sop_instance_uid
    tce.road.Workshop: engine
    tce.trial_figures.Figures: findings form leaked policy references retained set_aside software
    tce.workshop.Made: patient_id series_uid sop_instance_uid study_uid
    vault.assignments.Given: pseudonym
    vault.changes.Change: difference path
    vault.client.Sealable: context
    vault.client.Sealing: ciphertext context
    vault.credentials.AppRole: role_id
    vault.custody.Line: field patient pseudonym
    vault.custody._Lock: field parts
    vault.custody_ledger.Request: fields patients
    vault.deeds.Deed: path takes
    vault.envelopes._Transport: head
    vault.forgetting.ForgetOrder: agreed
    vault.forgetting.ForgetWithdrawal: order taken_back
    vault.legacy_uids.CtpHashUid: root
    vault.mapping.FieldKey: field parts
    vault.mapping.SubjectKey: patient
    vault.mapping_check.Checked: schema
    vault.methods.Method: mount reads_with role settings
    vault.rights.Rights: may too_little too_much
    vault.roles.SitePlan: login_names people
    vault.row_tags.MappingRow: fingerprint patient pseudonym sealed tag
    vault.sealing.Original: fingerprint patient pseudonym
"""
BY_DESIGN = frozenset(
    f"{place.strip()}.{name}"
    for place, names in (line.split(": ") for line in _DECIDED.strip().splitlines())
    for name in names.split()
)


def classes() -> Iterator[type]:
    """Every class with fields of the four rooms."""
    for room in ROOMS:
        for found in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
            if ".migrations." in found.name or found.name.endswith(("__main__", ".generate")):
                continue
            module = importlib.import_module(found.name)
            for one in vars(module).values():
                if inspect.isclass(one) and one.__module__ == found.name:
                    yield one


def printed(one: type) -> dict[str, Any]:
    """The fields that a class prints of itself, with their types; none of a class that says itself what it prints."""
    if dataclasses.is_dataclass(one):
        if not hasattr(one.__repr__, "__wrapped__"):  # not the one that dataclasses make
            return {}
        names = [field.name for field in dataclasses.fields(one) if field.repr]
    elif issubclass(one, tuple) and hasattr(one, "_fields"):
        names = (
            [] if "__repr__" in vars(one) and one.__repr__.__module__ == one.__module__ else list(one._fields)
        )
    elif issubclass(one, BaseModel):
        names = [name for name, field in one.model_fields.items() if field.repr]
    else:
        return {}
    try:
        hints = typing.get_type_hints(one)
    except (TypeError, NameError):
        hints = dict.fromkeys(names, Any)  # what cannot be read may be anything
    return {name: hints[name] for name in names}


def may_tell(hint: Any) -> bool:
    """Whether a value of this type can hold text, bytes or a data set that it prints."""
    arguments = [may_tell(one) for one in typing.get_args(hint) if one is not ...]
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return False
    if origin is Secret or hint is Secret:
        return False
    if origin is not None:
        if "Callable" in str(origin) or origin is type:
            return False
        return any(arguments)
    if not isinstance(hint, type):
        return hint is Any or isinstance(hint, (str, typing.TypeVar))
    if issubclass(hint, (Enum, bool, int, float, PurePath, type(None))):
        return False
    if hint.__module__.partition(".")[0] in ("vault", "tce", "policies", "media"):
        return False  # a class of ours: it is asked for itself
    return hint in (str, bytes, bytearray, memoryview, object) or hint.__module__.startswith(
        ("pydicom", "datetime")
    )


def faults() -> list[str]:
    found = []
    for one in classes():
        if one.__module__.startswith("tce.samples"):  # invented people, to be shown
            continue
        for name, hint in printed(one).items():
            full = f"{one.__module__}.{one.__qualname__}.{name}"
            if name not in HARMLESS and full not in BY_DESIGN and may_tell(hint):
                found.append(f"{full}: {hint}")
    return found


def test_what_may_tell_prints_as_a_placeholder() -> None:
    """A field that may hold an original or a secret does not print; whoever adds one decides and says so here."""
    assert faults() == []


def test_nothing_is_decided_that_is_not_there() -> None:
    """A decision goes with its field."""
    there = {f"{one.__module__}.{one.__qualname__}.{name}" for one in classes() for name in printed(one)}
    assert sorted(BY_DESIGN - there) == []


@dataclasses.dataclass
class Careless:
    """What somebody might add."""

    original: str
    secret: Secret[str]
    hidden: str = dataclasses.field(repr=False)
    name: str = ""


class CarelessTuple(NamedTuple):
    """The same as a tuple."""

    values: dict[str, list[bytes]]
    count: int


def test_a_careless_type_is_seen() -> None:
    """The rule finds text in a plain field and in a container, and leaves what does not print."""
    assert [name for name, hint in printed(Careless).items() if may_tell(hint)] == ["original", "name"]
    assert [name for name, hint in printed(CarelessTuple).items() if may_tell(hint)] == ["values"]


@pytest.mark.parametrize("words", [str, repr, "{}".format, "{!r:>40}".format, lambda one: f"{one!s}"])
def test_identifiers_and_words_of_a_patient_do_not_print(words: Callable[[object], str]) -> None:
    """However they are put into a text."""
    identifier = Identifier("patient", "Hospital", "Kanarienvogel")
    subject = Subject(identifier, frozenset({identifier}), (("PatientName", "Kanarienvogel"),))
    known = KnownWords(telling=frozenset({b"kanarienvogel"}))
    for one in (identifier, subject, known, Secret("Kanarienvogel"), [identifier], {"a": (known,)}):
        assert "anarienvogel" not in words(one)
