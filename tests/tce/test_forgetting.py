"""Tests of ``tce case forget``: two people, nothing left, a signed record, and a killed run that is finished."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from policies import loader
from tce import cases, forgetting, forgotten, release, wiring
from tce.approvals_desk import Desk
from tce.audit.trail import Head, Trail
from tce.cases import Case, CaseReceiver
from tce.cli import main
from tce.config import Site
from tce.errors import CaseError, NotApproved, ReleaseError
from tce.forgetting import Forgetting
from tce.proof import prove, prove_forgotten
from tce.release import ReleasedInstance, ReleaseRecord
from tce.road import Hold
from tce.shelf import Shelf, Shelved
from tce.site import export_trust
from tests.conftest import SiteVault
from tests.tce.parts import a_site_of
from tests.vault.subjects import a_subject, patient_id
from vault.approvals import sign_release
from vault.errors import BadSignature, Forbidden, Untrusted, VaultRoomError
from vault.forgetting import ForgetReason
from vault.keys import CASE_MOUNTS, Mount, create_way_back, has_case_key
from vault.mapping import MappingStore
from vault.pseudonyms import IdentityPseudonyms
from vault.roles import Service
from vault.trust import Trust

pytestmark = pytest.mark.vault

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Place:
    """A site with one case: approved, used by stage 1, released once, and closed."""

    vault: SiteVault
    site: Site
    policy: Shelved
    case: Case
    pseudonym: str

    @property
    def release(self) -> Path:
        return self.site.releases_dir / "3f9a0c11d2e4"

    @property
    def record(self) -> Path:
        return cases.case_dir(self.site.cases_dir, self.case.id) / forgotten.FORGOTTEN_FILE

    @property
    def trust(self) -> Trust:
        return Trust.load(self.site.trust_path)

    def work(self) -> Forgetting:
        return Forgetting(self.site, self.case)

    def ordered(self) -> Forgetting:
        self.work().agree("bob", ForgetReason.TRIAL_ENDED, "ETH-2031-40")
        return self.work()

    def events(self) -> list[str]:
        told: list[str] = []
        Trail(self.site.audit_trail).walk(Head(), lambda record: told.append(record.event))
        return [event for event in told if event.startswith("case.")]

    def has_key(self, mount: Mount) -> bool:
        service = Service.MANAGER if mount is Mount.CASES else Service.PSEUDONYMIZER
        return has_case_key(self.vault.service(service), mount, self.case.id)


def a_case(site: Site, policy: Shelved) -> Case:
    case = Case(
        id=f"forget-{next(_numbers)}",
        title="T",
        purpose="P",
        stage1=policy.ref,
        stage2=policy.ref,
        selectors=("S",),
        receivers=(CaseReceiver(ae_title="R", host="localhost", port=104),),
    )
    cases.save(site.cases_dir, case)
    Desk(site).submit_case(case, "alice")
    Desk(site).approve_case(case, "bob", days=1)
    return case


def a_release(vault: SiteVault, site: Site, case: Case, policy: Shelved) -> None:
    """A signed release of the case; of what instances makes no difference here."""
    desk = Desk(site)
    record = ReleaseRecord(
        release="3f9a0c11d2e4",
        case=case.id,
        case_digest=case.digest,
        policy=case.stage2.model_dump(mode="json"),
        approvals={"case": desk.case_approval(case), "policy": desk.policy_approval(policy)},
        receivers=(),
        instances=(ReleasedInstance("1.2", "2.25.1", "1.2.840.10008.1.2.1", "", "", "", False),),
        tally={},
        audit_head={},
        made=desk.case_approval(case)["approved"].replace("Z", "+00:00"),
        software="tce",
    )
    manager = vault.service("manager")
    release.write(record, lambda payload: sign_release(manager, payload), site.releases_dir / "3f9a0c11d2e4")


@pytest.fixture
def open_place(embedded_site_vault: SiteVault, tmp_path: Path) -> Place:
    """The case while it is open."""
    site = a_site_of(embedded_site_vault, tmp_path)
    export_trust(site, embedded_site_vault.service("operator"))
    policy = Shelf(site.policies_dir).put(loader.library_text("basic"))
    Desk(site).submit_policy(policy, "alice")
    Desk(site).approve_policy(policy, "bob", days=1)
    case = a_case(site, policy)
    a_release(embedded_site_vault, site, case, policy)
    service = embedded_site_vault.service("pseudonymizer")
    create_way_back(service, case.id)
    store = MappingStore(site.mapping_url)
    one = IdentityPseudonyms(service, store, case=case.id, custodians=embedded_site_vault.custodians)
    answer = one.resolve([a_subject(1)])
    store.close()
    return Place(embedded_site_vault, site, policy, case, answer[patient_id(1)])


@pytest.fixture
def place(open_place: Place) -> Place:
    """The case after it was closed."""
    Desk(open_place.site).close_case(open_place.case, "bob", reason="ended")
    return open_place


Tce = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tce(place: Place, capsys: pytest.CaptureFixture[str]) -> Tce:
    """Runs a command line of the site, as a person."""

    def run(line: str, person: str = "") -> tuple[int, str, str]:
        acting = ["--as", person] if person else []
        with pytest.raises(SystemExit) as ended:
            main(["--home", str(place.site.home), *acting, *line.split()])
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


def test_two_people_forget_a_case(place: Place, tce: Tce) -> None:
    """An approver orders, a custodian confirms; each alone is refused, and every listing says where it stands."""
    case, forget = place.case.id, f"case forget {place.case.id}"
    order = f"{forget} --reason trial-ended --ticket ETH-2031-40"
    # 1. Nobody can begin with the end, nor take another's part, nor say nothing.
    assert "nobody has ordered" in tce(f"{forget} --confirm {case}", "carol")[2]
    for person in ("alice", "carol", "grace"):
        status, _, err = tce(order, person)
        assert status == 1 and "needs an approver" in err
    assert tce(forget, "bob")[0] == 1
    assert tce(f"{forget} --reason because --ticket T", "bob")[0] == 2
    assert tce(f"{forget} --reason trial-ended", "bob")[0] == 1
    # 2. The order.
    status, out, err = tce(order, "bob")
    assert status == 0, err
    assert "by a custodian, not to be undone" in out
    assert "waits for a custodian" in tce("case list")[1]
    assert "ordered: by bob" in tce(f"{forget} --status")[1]
    # 3. Carried out.
    assert "another one" in tce(f"{forget} --confirm lung-1", "carol")[2]
    assert "needs a custodian" in tce(f"{forget} --confirm {case}", "bob")[2]
    status, out, err = tce(f"{forget} --confirm {case}", "carol")
    assert status == 0, err
    assert "FAIL" not in out and out.count("ok  ") == 6
    assert "1 release" in out
    # 4. Told.
    assert "state:  forgotten" in tce(f"case show {case}")[1]
    facts = json.loads(tce(f"{forget} --status --json")[1])
    assert (facts["key ways-back"], facts["key cases"], facts["rows in the mapping"]) == ("none",) * 3
    assert place.events()[-6:] == [
        "case.forget-ordered",
        "case.forget-begun",
        "case.key-destroyed",
        "case.key-destroyed",
        "case.mapping-removed",
        "case.forgotten",
    ]
    # 5. Once more says the same and does nothing.
    assert tce(f"{forget} --confirm {case}", "dave")[0] == 0
    assert place.events()[-1] == "case.forgotten"


def test_an_open_case_is_not_forgotten(open_place: Place) -> None:
    """A case that is in use is closed first, by an act of its own."""
    with pytest.raises(CaseError, match="is open"):
        open_place.work().agree("bob", ForgetReason.TRIAL_ENDED, "T")
    assert all(open_place.has_key(mount) for mount in CASE_MOUNTS)


def test_nothing_is_done_for_it_any_more(place: Place) -> None:
    """Both stages, exports and new approvals of a forgotten case are refused with the reason."""
    place.ordered().carry_out("carol")
    desk = Desk(place.site)
    attempts: tuple[Callable[[], object], ...] = (
        lambda: wiring.stage_one(place.site, place.case.id),
        lambda: wiring.stage_two(place.site, place.case.id),
        lambda: desk.submit_case(place.case, "alice"),
        lambda: desk.approve_case(place.case, "bob", days=1),
        lambda: place.work().agree("bob", ForgetReason.TRIAL_ENDED, "T"),
        lambda: place.work().take_back("bob"),
    )
    for attempt in attempts:
        with pytest.raises(NotApproved, match="is forgotten"):
            attempt()
    with pytest.raises(Hold) as held:
        wiring.ApprovedCases(place.site).terms(place.case.id)
    assert [reason.code for reason in held.value.reasons] == ["not-approved"]
    assert "is forgotten" in held.value.reasons[0].what
    assert not any(place.has_key(mount) for mount in CASE_MOUNTS)


def test_deleting_the_record_does_not_undo_it(place: Place) -> None:
    """The trail tells that the keys were destroyed, so that the case stays forgotten without its files."""
    work = place.ordered()
    work.carry_out("carol")
    work.record_path.unlink()
    work.order_path.unlink()
    for attempt in (Desk(place.site).require_open, Desk(place.site).require_case):
        with pytest.raises(NotApproved, match="is forgotten"):
            attempt(place.case)
    with pytest.raises(NotApproved, match="is forgotten"):
        Desk(place.site).approve_case(place.case, "bob", days=1)


def test_an_order_stops_a_new_approval(place: Place) -> None:
    """While an order stands the case cannot be opened again; taken back it can, and its keys are safe."""
    work = place.ordered()
    with pytest.raises(NotApproved, match="ordered that the case"):
        Desk(place.site).approve_case(place.case, "bob", days=1)
    work.take_back("bob")
    with pytest.raises(CaseError, match="nobody has ordered"):
        work.carry_out("carol")
    Desk(place.site).approve_case(place.case, "bob", days=1)
    Desk(place.site).require_case(place.case)
    assert place.events()[-2:] == ["case.forget-taken-back", "case.approved"]


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"approver": "carol"}, Untrusted),
        ({"reason": "legal-duty"}, BadSignature),
        ({"signature": "vault:v1:AAAA"}, BadSignature),
        ({"case": "another"}, VaultRoomError),
    ],
)
def test_an_order_by_hand_is_none(place: Place, change: dict[str, str], refusal: type[Exception]) -> None:
    """A custodian who writes or alters an order destroys nothing."""
    work = place.ordered()
    work.order_path.write_text(json.dumps(json.loads(work.order_path.read_text()) | change))
    with pytest.raises(refusal):
        work.carry_out("carol")
    assert all(place.has_key(mount) for mount in CASE_MOUNTS)


def test_an_order_without_the_server_s_word_is_not_enough(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the signature and the server's permission, the order destroys nothing; ordered again, it does."""

    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(forgetting.forgetting, "allow", dies)
    with pytest.raises(KeyboardInterrupt):
        place.work().agree("bob", ForgetReason.TRIAL_ENDED, "T")
    monkeypatch.undo()
    with pytest.raises(Forbidden):
        place.work().carry_out("carol")
    assert all(place.has_key(mount) for mount in CASE_MOUNTS)
    assert place.ordered().carry_out("carol").irreversible


STEPS = ["destroy 1", "destroy 2", "remove_rows 1", "write 1"]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_killed_run_is_finished_by_the_next(
    place: Place, monkeypatch: pytest.MonkeyPatch, step: str, moment: str
) -> None:
    """Whichever step it dies in, the same command again, by whichever custodian, comes to the same end."""
    work = place.ordered()
    name, _, number = step.partition(" ")
    module: Any = forgotten if name == "write" else forgetting.forgetting
    real, calls = getattr(module, name), itertools.count(1)

    def dies(*arguments: Any, **more: Any) -> Any:
        fatal = next(calls) == int(number)
        if fatal and moment == "before":
            raise KeyboardInterrupt
        answer = real(*arguments, **more)
        if fatal:
            raise KeyboardInterrupt
        return answer

    monkeypatch.setattr(module, name, dies)
    with pytest.raises(KeyboardInterrupt):
        work.carry_out("carol")
    monkeypatch.undo()
    record = place.work().carry_out("dave")
    assert record.irreversible
    assert prove_forgotten(place.record, place.trust).holds
    standing = place.work().standing()
    assert (set(standing.keys.values()), standing.patients_left) == ({"none"}, False)
    assert Desk(place.site).case_standing(place.case).words == "forgotten"


@pytest.mark.parametrize("moment", ["case.forget-begun", "case.key-destroyed", "case.mapping-removed"])
def test_a_process_that_is_killed_is_finished_by_the_next(place: Place, moment: str) -> None:
    """The real command, killed as soon as the trail tells of a step, leaves what the same command finishes."""
    place.ordered()
    command = ["--home", str(place.site.home), "--as", "carol", "case", "forget", place.case.id]
    command += ["--confirm", place.case.id]
    with subprocess.Popen([sys.executable, "-m", "tce", *command], stdout=subprocess.DEVNULL) as process:
        while moment not in place.site.audit_trail.read_text() and process.poll() is None:
            time.sleep(0.001)
        process.kill()
    finished = subprocess.run(
        [sys.executable, "-m", "tce", *command], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert prove_forgotten(place.record, place.trust).holds
    assert not any(place.has_key(mount) for mount in CASE_MOUNTS)
    assert not place.work().standing().patients_left


def test_a_record_put_there_by_hand_is_none(place: Place) -> None:
    """A record that the site did not sign does not count as done, and nothing is destroyed on its word."""
    work = place.ordered()
    record = dict.fromkeys(("case", "case_digest", "carried_out_by", "made", "software"), "")
    faked = record | {"order": {}, "attempts": [], "releases": [], "audit_head": {}}
    faked["format"] = forgotten.FORMAT
    work.record_path.write_text(json.dumps({"forgotten": faked, "signature": "vault:v1:AAAA"}))
    with pytest.raises(BadSignature):
        work.carry_out("carol")
    assert all(place.has_key(mount) for mount in CASE_MOUNTS)
    assert set(work.standing().keys.values()) == {"there"}


def test_its_releases_are_irreversible(place: Place, tce: Tce) -> None:
    """A release proves offline as before; with the record it proves as well that nothing leads back."""
    before = prove(place.release, place.trust)
    assert before.holds
    assert "irreversible" not in [answer.question for answer in before.answers]
    place.ordered().carry_out("carol")
    after = prove(place.release, place.trust, forgotten_record=place.record)
    assert after.holds
    assert after.answers[-1].question == "irreversible"
    assert "ordered by bob, carried out by carol" in after.answers[-1].what
    status, out, err = tce(f"verify {place.release}")
    assert status == 0, err
    assert "ok   irreversible: 1 release; ordered by bob, carried out by carol" in out
    status, out, err = tce(f"verify {place.record}")
    assert status == 0, err
    assert f"forgotten case {place.case.id}" in out


def test_a_record_that_was_altered_proves_nothing(place: Place) -> None:
    """Every change of the record, of the order in it, or of its signature is found."""
    place.ordered().carry_out("carol")
    text = json.loads(place.record.read_text())
    for change in (
        {"carried_out_by": "dave"},
        {"releases": []},
        {"attempts": [one | {"failed": True, "answer": "never"} for one in text["forgotten"]["attempts"]]},
        {"order": text["forgotten"]["order"] | {"approver": "erin"}},
        {"case": "another"},
    ):
        place.record.write_text(json.dumps(text | {"forgotten": text["forgotten"] | change}))
        assert not prove_forgotten(place.record, place.trust).holds
        assert not prove(place.release, place.trust, forgotten_record=place.record).holds
    place.record.write_text(json.dumps({"forgotten": {}}))
    with pytest.raises(ReleaseError):
        prove_forgotten(place.record, place.trust)


def test_a_record_of_another_case_proves_nothing(place: Place) -> None:
    """A release is not irreversible because another case was forgotten, and says so."""
    other = a_case(place.site, place.policy)
    Desk(place.site).close_case(other, "bob", reason="ended")
    work = Forgetting(place.site, other)
    work.agree("bob", ForgetReason.LEGAL_DUTY, "T")
    assert work.carry_out("erin").releases == ()
    proof = prove(place.release, place.trust, forgotten_record=work.record_path)
    assert [answer.question for answer in proof.answers if not answer.holds] == ["irreversible"]
    assert place.has_key(Mount.WAYS_BACK)


def test_the_record_and_the_trail_hold_no_person(place: Place) -> None:
    """Neither a pseudonym nor an original stands in the record, the order or the trail."""
    work = place.ordered()
    work.carry_out("carol")
    texts = work.record_path.read_text() + work.order_path.read_text() + place.site.audit_trail.read_text()
    for value in (place.pseudonym, patient_id(1).value, "Canary1"):
        assert value not in texts
