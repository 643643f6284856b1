"""The steps of the demo: site, stage 1, medium, approvals, selection, delivery, custody, proofs.

Nothing here is canned: every step uses what the verbs of the command line use, the two actors are processes of
their own, and what is said to be refused was tried. A step that finds anything else than it promises raises.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info

from media.errors import InstancesUnfit
from media.profiles import Profile, handling_of
from policies import loader
from tce import cases, incoming, known_policies, portable, wiring
from tce import site as sites
from tce.actors import export_selector
from tce.approvals_desk import Desk
from tce.audit.journal import Journal
from tce.cases import Case, CaseReceiver, Trial
from tce.config import Settings
from tce.demo import proofs
from tce.demo.children import free_ports
from tce.demo.folder import DemoFolder
from tce.demo.proofs import Facts
from tce.documents.teaching_file_info import PolicyRequest
from tce.errors import Held, NotApproved, Refused
from tce.exports import Exports
from tce.folder import FolderAccount, de_identify
from tce.ledger import Export
from tce.logins import Logins, plan_of
from tce.road import Peer
from tce.samples.studies import write_two_studies
from tce.selection import tell_of_beginning
from tce.shelf import Shelf, renamed
from tce.states import State
from tce.walking import files_under
from vault.enrolment import enrol_person
from vault.roles import Service

CASE = "demo-trial"
POLICY = "five-year-bands"
COORDINATOR, APPROVER = "coordinator", "approver"
CUSTODIANS = ("custodian-a", "custodian-b")
_PATIENCE = 120.0  # seconds without any change of any export
_ENDED = (State.DELIVERED, State.HELD, State.FAILED, State.CANCELLED)


class Road:
    """One walk down the road, in one folder."""

    def __init__(self, folder: DemoFolder, own: Path | None) -> None:
        self._folder = folder
        self._own = own
        self._identified: list[Path] = []
        self._patients: list[str] = []

    @property
    def steps(self) -> Sequence[tuple[str, Callable[[], Facts]]]:
        """The road, step by step."""
        return (
            ("A site: settings, key server, keys, people", self.make_site),
            ("Identified studies, as a modality exports them", self.take_studies),
            ("Stage 1: pseudonymized, the mapping sealed for two custodians", self.pseudonymize),
            ("A portable medium with DICOMDIR", self.write_medium),
            ("Carried over: read on the research side, checked", self.carry_over),
            ("Policy and case: submitted, approved; unapproved and altered refused", self.approve),
            ("Export Manager and Receiver started; RAD-50, RAD-51, RAD-52 sent", self.select),
            ("Stage 2 and RAD-53: anonymized, sealed, verified, delivered", self.deliver),
            ("Re-identification: one custodian refused, two together succeed", self.reidentify),
            ("Release records and audit trail verified", self.verify),
            ("Original values searched in every byte of the receiver's media", self.search_residue),
        )

    def make_site(self) -> Facts:
        """Make a site with free ports, and approve its policy of stage 1."""
        manager_port, receiver_port = free_ports(2)
        wanted = Settings().model_dump()
        wanted["site"] |= {"name": "demo", "institution": "Demo Research Site", "contact": "the demo's user"}
        wanted["network"]["manager"]["port"] = manager_port
        wanted["network"]["receiver"]["port"] = receiver_port
        wanted["media"]["profile"] = _profile_for([self._own] if self._own else [])
        wanted["exports"] |= {"settle_seconds": 0.5, "poll_seconds": 0.1}
        self.site = sites.make(self._folder.site, Settings.model_validate(wanted))
        self._enrol_people()
        self._desk, self._shelf = Desk(self.site), Shelf(self.site.policies_dir)
        stage1 = self._shelf.find(sites.STAGE_ONE_POLICY)
        self._desk.submit_policy(stage1, COORDINATOR)
        self._desk.approve_policy(stage1, APPROVER, days=30)
        stage2 = self._shelf.put(renamed(loader.library_text("longitudinal-trial"), POLICY, "1"))
        network = self.site.settings.network
        self._case = Case(
            id=CASE,
            title="Demonstration trial",
            purpose="Shows the whole road",
            stage1=stage1.ref,
            stage2=stage2.ref,
            selectors=(network.selector.ae_title,),
            receivers=(
                CaseReceiver(ae_title=network.receiver.ae_title, host="127.0.0.1", port=receiver_port),
            ),
            prefix="DEMO",
            trial=Trial(
                sponsor="Demo Sponsor", protocol_id="DEMO-1", protocol_name="Demonstration", site_id="01"
            ),
        )
        cases.save(self.site.cases_dir, self._case)
        people = len(list(self.site.settings.people.everyone()))
        coded = len(plan_of(self.site).needs_code())
        return {
            "people": people,
            "with_second_factor": coded,
            "vault": "embedded OpenBao",
            "stage_1_policy": "approved",
        }

    def _enrol_people(self) -> None:
        """Give approver and custodians a second factor. Nobody of them has a phone, so the site keeps it for them."""
        logins = Logins(self.site)
        for person in plan_of(self.site).needs_code():
            secret = enrol_person(logins.service(Service.OPERATOR), person)
            logins.keep_second_factor(person, secret)

    def take_studies(self) -> Facts:
        """Build the two sample studies, or take the user's own folder as it is."""
        if self._own is not None:
            files = list(files_under([self._own]))
            return {"source": "your own files", "files": len(files)}
        files = write_two_studies(self._folder.identified)
        return {"source": "samples", "files": len(files)}

    def pseudonymize(self) -> Facts:
        """Stage 1, files to files. What is set aside does not go on."""
        source = self._own or self._folder.identified
        bench = wiring.stage_one(self.site, CASE)
        account = de_identify([source], self._folder.pseudonymized, bench)
        aside = {one.path for one in account.set_aside}
        self._identified = [path for path in files_under([source]) if path not in aside]
        self._patients = sorted(account.patients)
        Journal(self.site).record(
            "folder.pseudonymized", detail={"case": CASE, "instances": str(account.written)}
        )
        if not account.written:
            raise Refused("no file could be pseudonymized", next_step=_reasons(account))
        return {
            "patients": len(account.patients),
            "studies": len(account.studies),
            "series": len(account.series),
            "instances": account.written,
            "set_aside": len(account.set_aside),
            "set_aside_because": dict(Counter(one.reason for one in account.set_aside)),
        }

    def write_medium(self) -> Facts:
        """Write stage 1's result as a PDI medium and check it."""
        instances = [path for path in files_under([self._folder.pseudonymized]) if path.suffix == ".dcm"]
        name = portable.name_for("DEMO", [path.name for path in instances])
        unfit: set[Path] = set()
        while True:
            fit = [path for path in instances if path not in unfit]
            try:
                medium = portable.write(self.site, fit, self._folder.medium, name=name, case=CASE)
                break
            except InstancesUnfit as exc:
                # Files of a user's own may be compressed in ways that one profile does not allow together, and
                # some show only while they are rewritten that they cannot be.
                found = {fault.path for fault in exc.faults} - unfit
                if self._own is None or not found:
                    raise
                unfit |= found
        return {
            "medium": medium.fileset_id,
            "profile": str(medium.profile),
            "medium_instances": medium.instances,
            "left_off_the_medium": len(unfit),
        }

    def carry_over(self) -> Facts:
        """Check the medium as whoever receives it does, and copy its instances."""
        problems = portable.problems_of(self.site, self._folder.medium)
        if problems:
            raise Refused("the medium did not pass its check: " + "; ".join(problems))
        known = known_policies.that_let_in(self.site, CASE)
        taken = incoming.take_in(self.site, [self._folder.medium], self._folder.research, known, case=CASE)
        if taken.behind or taken.deviations:
            wrong = [f"{count} {reason}" for reason, count in taken.reasons.items()]
            raise Refused("the medium deviates: " + "; ".join((*wrong, *taken.deviations)))
        return {
            "medium_check": "passed",
            "taken_in": len(taken.instances),
            "proved_to_be_of": "; ".join(taken.policies),
        }

    def approve(self) -> Facts:
        """Try without approval, approve, and try with an altered policy."""
        shelved = self._shelf.exactly(self._case.stage2)
        unapproved = proofs.refused(
            lambda: wiring.stage_two(self.site, CASE), NotApproved, "an unapproved policy"
        )
        self._desk.submit_policy(shelved, COORDINATOR)
        self._desk.approve_policy(shelved, APPROVER, days=30)
        self._desk.submit_case(self._case, COORDINATOR)
        self._desk.approve_case(self._case, APPROVER, days=30)
        text = shelved.path.read_text("utf-8")
        shelved.path.write_text(text.replace("width: 5", "width: 1"), "utf-8")
        try:
            changed = self._shelf.find(f"{POLICY}@1")
            if changed.policy.digest == shelved.policy.digest:
                raise Refused("the policy was not altered by the alteration")
            altered = proofs.refused(
                lambda: self._desk.require_policy(changed), NotApproved, "an altered policy"
            )
        finally:
            shelved.path.write_text(text, "utf-8")
        wiring.stage_two(self.site, CASE)
        return {
            "policy": f"{POLICY} 1",
            "policy_digest": shelved.policy.digest,
            "age_bands_years": shelved.policy.ages.width if shelved.policy.ages else 0,
            "unapproved_policy": f"refused: {unapproved}",
            "altered_policy": f"refused: {altered}",
        }

    def select(self) -> Facts:
        """Start the two actors and send the selection over real associations."""
        network, home = self.site.settings.network, str(self.site.home)
        children = self._folder.children
        receiver = ["--home", home, "receiver", "run", "--out", str(self._folder.received)]
        receiver_pid = children.start("receiver", receiver, port=network.receiver.port)
        manager = ["--home", home, "manager", "run"]
        manager_pid = children.start("manager", manager, port=network.manager.port)
        ref = self._case.stage2
        to = Peer(network.manager.ae_title, "127.0.0.1", network.manager.port)
        account = export_selector.select(
            [self._folder.research],
            PolicyRequest(name=ref.name, version=ref.version, digest=ref.digest, case=CASE),
            to,
            network.selector.ae_title,
            agree=lambda going: tell_of_beginning(self.site, "", going, to),
        )
        self._selected = account.patients
        return {
            "manager_pid": manager_pid,
            "receiver_pid": receiver_pid,
            "selected_instances": account.instances,
            "manifests": account.manifests,
            "selection_set_aside": len(account.set_aside),
        }

    def deliver(self) -> Facts:
        """Wait until every export has ended and the Receiver has written its media."""
        sent = self._await(self.site.exports_url, self._selected)
        delivered = [one for one in sent if one.state is State.DELIVERED]
        self._held = len(sent) - len(delivered)
        if self._held and (self._own is None or not delivered):
            reasons = sorted({reason.what for one in sent for reason in one.reasons})
            raise Held(
                f"{len(sent) - len(delivered)} of {len(sent)} exports are held: " + "; ".join(reasons),
                next_step=f"look at them: tce --home {self.site.home} exports list",
            )
        received = self._await(self.site.receiver_url, len(delivered))
        if any(one.state is not State.DELIVERED for one in received):
            raise Refused(
                "the Receiver could not write every medium", next_step=f"see {self._folder.root}/logs"
            )
        self._folder.children.check()
        media = sorted(path for path in self._folder.received.iterdir() if (path / "DICOMDIR").is_file())
        for medium in media:
            problems = portable.problems_of(self.site, medium)
            if problems:
                raise Refused("a medium of the Receiver did not pass: " + "; ".join(problems))
        instances = sum(one.tally.get("instances", 0) for one in delivered)
        return {
            "exports_delivered": len(delivered),
            "exports_held": self._held,
            "held_because": dict(Counter(reason.code for one in sent for reason in one.reasons)),
            "exported_instances": instances,
            "receiver_media": len(media),
        }

    def reidentify(self) -> Facts:
        """One custodian alone is refused; the other approves, the first reveals one patient of stage 1."""
        return proofs.two_custodians(self.site, CASE, self._patients[0], self._identified)

    def verify(self) -> Facts:
        """Verify release records and audit trail, after the actors have ended."""
        self._folder.children.end_all()
        return proofs.records(self.site, self._folder.received)

    def search_residue(self) -> Facts:
        """Search the originals in the receiver's media. In samples, one hit breaks the promise."""
        facts = proofs.no_residue(self._identified, self._folder.received)
        if facts["hits"] and self._own is None:
            raise Refused(
                f"{facts['hits']} places of the receiver's media hold an original value",
                next_step="do not pass these media on; report this",
            )
        return facts

    def _await(self, url: str, count: int) -> list[Export]:
        """Wait until that many exports have ended. Raises Refused when nothing changes any more."""
        index = Exports(url)
        try:
            before, since = None, time.monotonic()
            while True:
                self._folder.children.check()
                found = index.listing()
                if len(found) >= count and all(one.state in _ENDED for one in found):
                    return found
                now = [(one.id, one.state, one.changed_at) for one in found]
                if now != before:
                    before, since = now, time.monotonic()
                elif time.monotonic() - since > _PATIENCE:
                    raise Refused(
                        f"{sum(one.state not in _ENDED for one in found)} exports do not go on",
                        next_step=f"see {self._folder.root}/logs",
                    )
                time.sleep(0.1)
        finally:
            index.close()


def _profile_for(sources: Sequence[Path]) -> str:
    """Return the media profile that takes the most of these files; the plainest one when all do."""
    syntaxes = Counter[str]()
    for path in files_under(sources):
        with contextlib.suppress(OSError, InvalidDicomError, AttributeError):
            syntaxes[str(read_file_meta_info(path).TransferSyntaxUID)] += 1

    def taken(profile: Profile) -> int:
        return sum(count for uid, count in syntaxes.items() if handling_of(uid, profile) is not None)

    return str(max(Profile, key=taken))


def _reasons(account: FolderAccount) -> str:
    return "; ".join(sorted({one.what for one in account.set_aside})) or "name a folder with DICOM files"
