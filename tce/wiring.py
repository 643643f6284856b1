"""The one module that chooses the real adapters: which keys, which stores, which rooms serve a site.

Everything else takes what it needs as a protocol or a value. ``tce`` is the only package that knows the three
others, and this is where they meet; :mod:`vault` and :mod:`policies` have types of equal shape, so identifiers
travel between them as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from policies.engine import Engine
from policies.forms import Forms
from policies.model import Dates, Policy, PseudonymSource, Stage
from policies.movement import Events
from policies.pseudonyms import Pseudonyms
from tce import cases, events, folder, portable, pseudonym_stores, recipients
from tce.actors.export_manager import ManagerSettings
from tce.actors.receiver import ReceiverSettings
from tce.approvals_desk import Desk
from tce.audit.journal import Journal
from tce.cases import Case, PolicyRef
from tce.cohort import CohortRule, rule_of
from tce.config import ActorSettings, Site, is_here
from tce.errors import CaseError, NotApproved, Refused, TceError
from tce.fetching import Archive
from tce.logins import Logins, ServiceSession
from tce.network.query_retrieve import Method
from tce.network.store_reader import Limits
from tce.network.tls import Certificates
from tce.permission import Permission, require_stage
from tce.proving import Provers
from tce.releasing import SignedReleases
from tce.retention import Rules, receiver_rules, rules
from tce.road import CaseTerms, Hold, Peer, PolicyTerms, Reason, Rooms, Workshop
from tce.road_auditor import RoadAuditor
from tce.shelf import Shelf
from tce.spool import Durability
from tce.workshop import OpenDraft, workshop
from vault.attestations import sign_statement
from vault.client import Client
from vault.coverage import Coverage, coverage
from vault.custody import Custody
from vault.envelopes import Envelope, envelope_of_case
from vault.importing import Intake
from vault.keys import create_way_back
from vault.mapping import MappingStore
from vault.naming import Naming
from vault.pseudonyms import CasePseudonyms, IdentityPseudonyms
from vault.roles import Service
from vault.tables import Database

MANAGER = "export-manager"
RECEIVER = "receiver"


@dataclass(frozen=True, slots=True)
class StageOne:
    """The bench of stage 1: the site's policy, the site's keys, the sealed mapping."""

    home: Path
    case: Case
    events: Events = field(default_factory=dict, repr=False)

    def __call__(self) -> tuple[Engine, Callable[[], Pseudonyms]]:
        """Return the engine, and what each worker calls for pseudonyms of its own."""
        policy = Shelf(Site(self.home).policies_dir).exactly(self.case.stage1).policy
        return Engine(policy, events=self.events, envelope=self._envelope()), self._pseudonyms

    def _envelope(self) -> Envelope | None:
        site = Site(self.home)
        found = recipients.of_case(site.cases_dir, self.case)
        if not found:
            return None
        client = Logins(site).service(Service.PSEUDONYMIZER)
        return envelope_of_case(client, self.case.id, found, key_version=self.case.key_version)

    def _pseudonyms(self) -> Pseudonyms:
        site = Site(self.home)
        policy = Shelf(site.policies_dir).exactly(self.case.stage1).policy
        store = MappingStore(site.mapping_url)
        return IdentityPseudonyms(
            Logins(site).service(Service.PSEUDONYMIZER),
            store,
            case=self.case.id,
            custodians=site.settings.people.custodians,
            naming=pseudonym_stores.naming(site, self.case, policy, store.database),
            key_version=self.case.key_version,
        )


@dataclass(frozen=True, slots=True)
class StageTwo:
    """The bench of stage 2: the case's policy and the case's own key."""

    home: Path
    case: Case
    events: Events = field(default_factory=dict, repr=False)

    def __call__(self) -> tuple[Engine, Callable[[], Pseudonyms]]:
        """Return the engine, and what each worker calls for pseudonyms of its own."""
        policy = Shelf(Site(self.home).policies_dir).exactly(self.case.stage2).policy
        return Engine(policy, trial=self.case.trial_attributes(), events=self.events), self._pseudonyms

    def _pseudonyms(self) -> Pseudonyms:
        site = Site(self.home)
        policy = Shelf(site.policies_dir).exactly(self.case.stage2).policy
        return _case_pseudonyms(site, self.case, policy, Logins(site).service(Service.MANAGER))


def stage_one(site: Site, case_id: str, given: Path | None = None) -> folder.Bench:
    """Return the bench of stage 1 for a case; ``given`` is a list of events, by original Patient IDs.

    Raises NotApproved unless the site's policy is approved, and the case as well where it has originals encrypted;
    CaseFault for certificates that nothing may be encrypted for; and EventsFault.
    """
    case = cases.load(site.cases_dir, case_id)
    shelved = Shelf(site.policies_dir).exactly(case.stage1)
    require_stage(site, case, Stage.PSEUDONYMIZE)
    _require_its_key_version(site, case)
    pseudonym_stores.prepare(site, case, shelved.policy)
    # An embedded server is started once here, rather than by every worker.
    create_way_back(Logins(site).service(Service.PSEUDONYMIZER), case.id)
    return StageOne(site.home, case, events.read(given).dates if given else {})


def intake(site: Site, case_id: str, stage: Stage, actor: str) -> Intake:
    """Return the way in for a list of pseudonyms; the case's store for it is made where there was none.

    It acts as the service of the stage, which seals and opens nothing. Raises NotApproved as the stage itself does.
    """
    case = cases.load(site.cases_dir, case_id)
    logins, shelf = Logins(site), Shelf(site.policies_dir)
    require_stage(site, case, stage)
    shelved = shelf.exactly(case.stage1 if stage is Stage.PSEUDONYMIZE else case.stage2)
    naming = Naming(case.form, legacy=pseudonym_stores.legacy_uids(shelved.policy))
    if stage is Stage.PSEUDONYMIZE:
        _require_its_key_version(site, case)
        mapping, client = MappingStore(site.mapping_url), logins.service(Service.PSEUDONYMIZER)
        create_way_back(client, case.id)
        return IdentityPseudonyms(
            client,
            mapping,
            case=case.id,
            custodians=site.settings.people.custodians,
            naming=naming,
            key_version=case.key_version,
        ).intake(*pseudonym_stores.to_fill(site, case.id, stage, mapping.database, actor))
    pseudonyms = CasePseudonyms(logins.service(Service.MANAGER), case=case.id, naming=naming)
    return pseudonyms.intake(
        *pseudonym_stores.to_fill(site, case.id, stage, Database(site.mapping_url), actor)
    )


def _require_its_key_version(site: Site, case: Case) -> None:
    """Return if a case goes on under the keys that it began with; else its pseudonyms would change (CaseError)."""
    store = MappingStore(site.mapping_url)
    try:
        used = store.key_versions(case.id) - {case.key_version}
    finally:
        store.close()
    if used:
        raise CaseError(
            f"the case {case.id} began under version {min(used)} of the keys, and now asks for {case.key_version}",
            next_step=f"write key_version: {min(used)} in the case, or begin a new case",
        )


def stage_two(site: Site, case_id: str, given: Path | None = None) -> folder.Bench:
    """Return the bench of stage 2 for a case; ``given`` is a list of events in place of the case's own.

    Raises NotApproved unless case and policy are approved, and EventsFault.
    """
    case = cases.load(site.cases_dir, case_id)
    shelved = Shelf(site.policies_dir).exactly(case.stage2)
    require_stage(site, case, Stage.ANONYMIZE)
    pseudonym_stores.prepare(site, case, shelved.policy)
    Logins(site).url()
    dates = events.read(given).dates if given else events.of_case(site.cases_dir, case_id)
    return StageTwo(site.home, case, dates)


def forms(site: Site, case_id: str, stage: Stage) -> Forms:
    """Return what the pseudonyms that a stage makes for a case look like. Raises UnknownCase or CaseFault."""
    case = cases.load(site.cases_dir, case_id)
    ref = case.stage1 if stage is Stage.PSEUDONYMIZE else case.stage2
    return _forms(site, case, Shelf(site.policies_dir).exactly(ref).policy)


def _forms(site: Site, case: Case, policy: Policy) -> Forms:
    database = Database(site.mapping_url)
    try:
        store = pseudonym_stores.of_case(site, case.id, policy.stage, database)
        imported = store.imported() if store is not None else frozenset()
    finally:
        database.close()
    drawn = policy.pseudonyms is PseudonymSource.RANDOM
    return Forms(case.prefix, case.alphabet, case.length, drawn=drawn, imported=imported)


def _case_pseudonyms(site: Site, case: Case, policy: Policy, client: Client) -> CasePseudonyms:
    database = Database(site.mapping_url)
    naming = pseudonym_stores.naming(site, case, policy, database)
    if naming.assignments is None:
        database.close()
    return CasePseudonyms(client, case=case.id, naming=naming)


class ApprovedCases:
    """The cases of a site as the Export Manager asks for them (:class:`tce.road.CaseBook`)."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def terms(self, case_id: str) -> CaseTerms:
        """Return the terms of a case. Raises Hold unless case and policy are approved now."""
        return self._asked(case_id)[0]

    def permission(self, terms: CaseTerms) -> Permission:
        """Return what raises Hold as soon as a case has not these terms any more."""

        def ask() -> datetime:
            found, until = self._asked(terms.id)
            if found.policy != terms.policy:
                raise Hold(
                    [Reason("policy-changed", "the case has another policy since this was anonymized")]
                )
            if found != terms:
                raise Hold([Reason("case", f"the case {terms.id} was changed while this was delivered")])
            return until

        return Permission(Desk(self._site).rests_on(terms.id), ask)

    def _asked(self, case_id: str) -> tuple[CaseTerms, datetime]:
        """Return the terms of a case, and until when they are approved."""
        try:
            case = cases.load(self._site.cases_dir, case_id)
            until = require_stage(self._site, case, Stage.ANONYMIZE)
            to = case.receivers
            called = tuple(peer(self._site, one.ae_title, one.host, one.port, tls=one.tls) for one in to)
        except NotApproved as exc:
            raise Hold([Reason("not-approved", exc.what)]) from None
        except TceError as exc:
            raise Hold([Reason("case", exc.what)]) from None
        terms = CaseTerms(
            id=case.id,
            policy=PolicyTerms(case.stage2.name, case.stage2.version, case.stage2.digest),
            selectors=frozenset(case.selectors),
            receivers=called,
            minimum_cohort=case.minimum_cohort,
        )
        return terms, until


def rooms(site: Site) -> Rooms:
    """Return what the Export Manager takes from the other rooms. Raises what a login at the Vault raises."""
    provers = Provers()  # first: they are forked, and nothing else may run yet
    session = ServiceSession(Logins(site), Service.MANAGER)
    shelf = Shelf(site.policies_dir)

    def for_case(terms: CaseTerms) -> Workshop[OpenDraft]:
        case = cases.load(site.cases_dir, terms.id)
        policy = shelf.exactly(case.stage2).policy
        pseudonym_stores.prepare(site, case, policy)
        return workshop(
            policy,
            _case_pseudonyms(site, case, policy, session.client()),
            trial=case.trial_attributes(),
            events=events.of_case(site.cases_dir, case.id),
            minimum_cohort=terms.minimum_cohort,
            forms=_forms(site, case, policy),
            provers=provers,
        )

    def sign(payload: bytes) -> str:
        return sign_statement(session.client(), payload)

    return Rooms(
        cases=ApprovedCases(site),
        workshop=for_case,
        auditor=RoadAuditor(site, MANAGER, site.settings.network.manager.ae_title),
        releases=SignedReleases(site, sign, MANAGER),
    )


def cohort_rule(site: Site, case_id: str) -> CohortRule:
    """Return what the cohort of an approved case has to keep. Raises Hold unless case and policy are approved now."""
    terms = ApprovedCases(site).terms(case_id)
    named = PolicyRef(name=terms.policy.name, version=terms.policy.version, digest=terms.policy.digest)
    return rule_of(Shelf(site.policies_dir).exactly(named).policy, terms.minimum_cohort)


def manager_settings(site: Site) -> ManagerSettings:
    """Return where the Export Manager of a site listens and keeps its work."""
    network, waits = site.settings.network.manager, site.settings.exports
    return ManagerSettings(
        ae_title=network.ae_title,
        host=network.host,
        port=network.port,
        allowed=network.allowed,
        spool=site.spool_dir,
        exports_url=site.exports_url,
        settle_seconds=waits.settle_seconds,
        poll_seconds=waits.poll_seconds,
        delivery_seconds=waits.delivery_hours * 3600,
        stale_seconds=waits.stale_hours * 3600,
        retention=lambda: retention_rules(site),
        durability=Durability(network.durability),
        limits=_limits(network),
        certificates=_certificates(site) if network.tls else None,
        documents=site.settings.documents.rules(),
        archive=archive(site),
    )


def archive(site: Site) -> Archive | None:
    """Return the archive of a site, if it has one. Raises what :func:`peer` raises."""
    pacs = site.settings.network.pacs
    if not pacs.ae_title:
        return None
    called = peer(site, pacs.ae_title, pacs.host, pacs.port, tls=pacs.tls)
    return Archive(called, Method(pacs.method), pacs.after_minutes * 60 or None)


def retention_rules(site: Site) -> Rules:
    """Return what goes from the spool of a site's Export Manager by the settings and cases as they are now."""
    return rules(site.settings.retention, cases.retention_days(site.cases_dir))


def receiver_retention_rules(site: Site) -> Rules:
    """Return what goes from the spool of a site's Receiver by the settings as they are now."""
    return receiver_rules(site.settings.retention.receiver)


def receiver_settings(site: Site, out: Path) -> ReceiverSettings:
    """Return where the Receiver of a site listens; its spool and index lie in the site, its media in ``out``."""
    network, waits = site.settings.network.receiver, site.settings.exports
    return ReceiverSettings(
        ae_title=network.ae_title,
        host=network.host,
        port=network.port,
        allowed=network.allowed,
        spool=site.receiver_spool_dir,
        exports_url=site.receiver_url,
        out=out,
        settle_seconds=0.0,
        poll_seconds=waits.poll_seconds,
        stale_seconds=waits.stale_hours * 3600,
        retention=lambda: receiver_retention_rules(site),
        durability=Durability(network.durability),
        limits=_limits(network),
        certificates=_certificates(site) if network.tls else None,
    )


def peer(site: Site, ae_title: str, host: str, port: int, *, tls: bool | None = None) -> Peer:
    """Return a peer as this site calls it: over TLS where that is asked for, or by default where it has certificates.

    Raises:
        Refused: TLS without certificates, or an association with another machine without TLS that no setting allows.
    """
    network = site.settings.network
    if tls if tls is not None else bool(network.tls.certificate):
        return Peer(ae_title, host, port, _certificates(site))
    if not (network.plaintext or is_here(host)):
        raise Refused(
            f"{ae_title} is on another machine and would be called without TLS",
            next_step="have it called over TLS, or set network.plaintext = true in tce.toml",
        )
    return Peer(ae_title, host, port)


def _certificates(site: Site) -> Certificates:
    tls = site.settings.network.tls
    if not tls.certificate:
        raise Refused("this site has no certificates for TLS", next_step="fill in network.tls in tce.toml")
    home = site.home
    return Certificates(home / tls.certificate, home / tls.key, home / tls.ca, tls.peers)


def _limits(actor: ActorSettings) -> Limits:
    return Limits(
        associations=actor.associations,
        largest_instance=actor.largest_instance_mib << 20,
        idle_seconds=actor.idle_seconds,
    )


def medium_writer(site: Site) -> Mediums:
    """Return what writes the Receiver's media."""
    return Mediums(site)


@dataclass(frozen=True, slots=True)
class Mediums:
    """Writes portable media with the site's label (:class:`tce.road.MediumWriter`)."""

    site: Site

    def __call__(self, instances: Sequence[Path], out: Path) -> None:
        """Write a complete medium into ``out``, which does not exist yet."""
        name = portable.name_for("TCE", [path.name for path in instances])
        portable.write(self.site, instances, out, name=name, actor=RECEIVER)


def receiver_auditor(site: Site) -> RoadAuditor:
    """Return what takes the Receiver's events."""
    return RoadAuditor(site, RECEIVER, site.settings.network.receiver.ae_title)


@dataclass(frozen=True, slots=True)
class Grant:
    """One request of custody on its way to be used, for its instances."""

    site: Site
    custody: Custody
    request_id: str

    def covers(self, words: Collection[str]) -> Coverage:
        """Return what the request covers of some words.

        Raises what revealing would raise, and Refused where the case's stage 1 moves dates, which nobody can move
        back.
        """
        request = self.custody.usable(self.request_id)
        case = cases.load(self.site.cases_dir, request.case_id)
        if Shelf(self.site.policies_dir).exactly(case.stage1).policy.dates is not Dates.KEEP:
            raise Refused(
                f"stage 1 of the case {case.id} changes dates, and by how much is not in the mapping",
                next_step="ask for a table instead: leave --instances out",
            )
        store = MappingStore(self.site.mapping_url)
        try:
            return coverage(store, request, words)
        finally:
            store.close()


def custody(site: Site, person: str) -> Custody:
    """Return custody as one person, logged in with the own name. Raises LoginFailed or Forbidden."""
    journal = Journal(site, person)

    def record(event: str, detail: Mapping[str, str]) -> None:
        journal.record(event, success=event != "reidentify.refused", detail=detail)

    return Custody(Logins(site).person(person), MappingStore(site.mapping_url), record)
