"""Tests of ``tce case forget``: two people, nothing left, a signed record, and a killed run that is finished."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
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
from tce.errors import CaseError, NotApproved, Refused, ReleaseError
from tce.forgetting import Forgetting
from tce.forgotten import Attempt, ForgottenRecord
from tce.proof import prove, prove_forgotten
from tce.release import ReleasedInstance, ReleaseRecord
from tce.road import Hold
from tce.shelf import Shelf, Shelved
from tce.site import export_trust
from tests.conftest import SiteVault
from tests.tce.parts import a_site_of
from tests.vault.subjects import a_subject, patient_id
from vault.approvals import sign_forgotten
from vault.attestations import sign_statement
from vault.credentials import Credentials
from vault.errors import BadSignature, Forbidden, LoginFailed, Untrusted, VaultRoomError, Withdrawn
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
    release.write(
        record, lambda payload: sign_statement(manager, payload), site.releases_dir / "3f9a0c11d2e4"
    )


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
    Desk(place.site).approve_case(
        place.case, "bob", days=2
    )  # else the withdrawn one again, in the same second
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


def another(place: Place) -> Forgetting:
    """The forgetting of another closed case of the same site, nothing done yet."""
    case = a_case(place.site, place.policy)
    Desk(place.site).close_case(case, "bob", reason="ended")
    return Forgetting(place.site, case)


def test_a_record_of_another_case_is_not_its_own(place: Place, tce: Tce) -> None:
    """A genuine record beside another case neither counts as done nor looks so; that case waits for a person."""
    other = another(place)
    other.agree("bob", ForgetReason.LEGAL_DUTY, "T")
    other.carry_out("carol")
    work, case = place.ordered(), place.case.id
    work.record_path.write_bytes(other.record_path.read_bytes())
    status, out, err = tce(f"case forget {case} --confirm {case}", "carol")
    assert (status, "forgotten:" in out, "is of another case" in err) == (1, False, True)
    assert "set it aside" in err
    facts = json.loads(tce(f"case forget {case} --status --json")[1])
    assert facts["forgotten"].startswith("no; a file says so and does not count")
    states = {one["id"]: one["state"] for one in json.loads(tce("case list --json")[1])}
    assert states[case].startswith("stopped by a record")
    assert [state for state in states.values() if state == "forgotten"] == ["forgotten"]
    for attempt in (Desk(place.site).require_open, Desk(place.site).require_case):
        with pytest.raises(NotApproved, match="does not count"):
            attempt(place.case)
    assert all(place.has_key(mount) for mount in CASE_MOUNTS)
    work.record_path.unlink()
    assert work.carry_out("carol").case == case


@pytest.mark.parametrize("text", ["", "{}", '{"forgotten": {}}', '{"forgotten": {"format": "another"}}'])
def test_a_broken_record_does_not_look_forgotten(place: Place, text: str) -> None:
    """What is no record stops the case and is told of; it is no reason to say that the keys are gone."""
    work = place.ordered()
    work.record_path.write_text(text)
    assert "does not count" in Desk(place.site).case_standing(place.case).words
    assert isinstance(work.standing().record, str)
    with pytest.raises(ReleaseError):
        work.carry_out("carol")
    assert all(place.has_key(mount) for mount in CASE_MOUNTS)
    work.take_back("bob")  # no file keeps an approver from that
    assert not work.order_path.exists()


def test_a_record_of_another_text_of_the_case_is_not_its_own(place: Place) -> None:
    """A case that was edited after it was forgotten is not the one that the record is about."""
    place.ordered().carry_out("carol")
    edited = place.case.model_copy(update={"title": "another"})
    with pytest.raises(CaseError, match="another text"):
        forgotten.of_case(place.site, edited)
    with pytest.raises(CaseError, match="another text"):
        Forgetting(place.site, edited).carry_out("carol")


def forged(place: Place, path: Path, *, left_out: str = "") -> Path:
    """What one service can write without a key being destroyed: the order of an approver and a list of attempts."""
    order = json.loads(place.work().order_path.read_text())
    record = ForgottenRecord(
        case=place.case.id,
        case_digest=place.case.digest,
        order=order,
        carried_out_by="carol",
        attempts=tuple(
            Attempt(what, True, min(answers))
            for what, answers in forgotten.must_fail(place.case.id).items()
            if what != left_out
        ),
        releases=(
            {"release": "3f9a0c11d2e4", "digest": release.digests_of(place.release / "release.json")[0]},
        ),
        audit_head={"records": Trail(place.site.audit_trail).head().records},
        made="2030-01-01T00:00:00+00:00",
        software="tce",
    )
    manager = place.vault.service("manager")
    path.parent.mkdir(exist_ok=True)
    forgotten.write(record, lambda payload: sign_forgotten(manager, payload), path)
    return path


def test_one_service_forges_no_record_with_an_order_that_was_taken_back(
    place: Place, tce: Tce, tmp_path: Path
) -> None:
    """The withdrawal's file is enough without the trail, the trail without the file, and neither needs the other."""
    work = place.ordered()
    order, path = work.order_path.read_text(), forged(place, tmp_path / "apart" / "forged.json")
    work.take_back("bob")
    withdrawal = work.order_path.with_name(forgotten.WITHDRAWAL_FILE)
    # 1. By the trail and the site's folder, as the command asks.
    status, out, _ = tce(f"verify {path}")
    assert status == 1
    assert "FAIL the order was not taken back" in out
    status, out, _ = tce(f"verify {place.release} --forgotten {path}")
    assert (status, "FAIL irreversible: the order to forget was taken back by bob" in out) == (1, True)
    # 2. By its file alone, far from the site.
    beside = path.with_name(forgotten.WITHDRAWAL_FILE)
    beside.write_bytes(withdrawal.read_bytes())
    assert not prove_forgotten(path, place.trust).holds
    assert not prove(place.release, place.trust, forgotten_record=path).holds
    # 3. By the trail alone; and the order that is put back orders nothing.
    beside.unlink()
    withdrawal.unlink()
    wrong = [one.what for one in prove_forgotten(path, place.trust, place.site).answers if not one.holds]
    assert "the audit trail says" in wrong[0]
    work.order_path.write_text(order)
    with pytest.raises(Withdrawn):
        work.carry_out("carol")
    assert "taken back" in str(work.standing().order)
    assert "case.forget-begun" not in place.events()
    # 4. A withdrawal that somebody altered is no reason to go on.
    beside.write_text('{"form": "tce-forget-withdrawal-1"}')
    assert not prove_forgotten(path, place.trust).holds


def test_an_order_anew_counts_after_one_was_taken_back(place: Place) -> None:
    """A withdrawal ends what was ordered before it, also an order that was replaced, and nothing after it."""
    place.work().agree("bob", ForgetReason.LEGAL_DUTY, "T-1")
    replaced = place.work().order_path.read_text()
    time.sleep(1.1)  # orders are dated to the second
    place.ordered().take_back("bob")
    place.work().order_path.write_text(replaced)
    with pytest.raises(Withdrawn):
        place.work().order()
    place.work().agree("bob", ForgetReason.LEGAL_DUTY, "T-3")
    assert place.work().carry_out("carol").irreversible
    assert prove_forgotten(place.record, place.trust, place.site).holds


def test_an_order_can_be_taken_back_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after the file was written, the same command tells the trail and removes the order."""

    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    work = place.ordered()
    monkeypatch.setattr(Forgetting, "_tell", dies)
    with pytest.raises(KeyboardInterrupt):
        work.take_back("bob")
    monkeypatch.undo()
    with pytest.raises(Withdrawn):
        work.carry_out("carol")
    work.take_back("bob")
    assert place.events()[-1] == "case.forget-taken-back"
    assert not work.order_path.exists()


def test_a_record_without_destroyed_keys_on_the_trail_is_none(place: Place, tmp_path: Path, tce: Tce) -> None:
    """With an order that stands, a forged record proves nothing at its site as long as the keys are there."""
    place.ordered()
    path = forged(place, tmp_path / "apart" / "forged.json")
    status, out, _ = tce(f"verify {path}")
    assert (status, "FAIL audit trail of the site" in out) == (1, True)
    place.record.write_bytes(path.read_bytes())
    assert "does not tell that the key was destroyed" in Desk(place.site).case_standing(place.case).words
    with pytest.raises(ReleaseError, match="does not tell"):
        place.work().carry_out("carol")
    # One key is not both, and what happens later does not make it true.
    place.record.unlink()
    place.work().carry_out("carol")
    assert not prove_forgotten(path, place.trust, place.site).holds


@pytest.mark.parametrize("number", range(6))
def test_every_attempt_is_needed(place: Place, tmp_path: Path, number: int) -> None:
    """A record in which one of the attempts is missing proves nothing, wherever it is looked at."""
    what = list(forgotten.must_fail(place.case.id))[number]
    place.ordered()
    proof = prove_forgotten(forged(place, tmp_path / "forged.json", left_out=what), place.trust)
    wrong = [one for one in proof.answers if not one.holds]
    assert [one.question for one in wrong] == ["irreversible"]
    assert wrong[0].what.startswith(f"not tried: {what}")


@pytest.mark.parametrize(
    "change",
    [
        {"attempts": ()},
        {"attempts": (Attempt(forgotten.DERIVE_AS_CUSTODIAN, False, forgotten.POSSIBLE),)},
        {"attempts": (Attempt(forgotten.DERIVE_AS_CUSTODIAN, True, forgotten.POSSIBLE),)},
        {"attempts": (Attempt(forgotten.DERIVE_AS_CUSTODIAN, True, "unknown"),)},
        {"attempts": (Attempt("fly to the moon", True, forgotten.NO_KEY),)},
        {"case": "another"},
    ],
)
def test_attempts_fail_as_they_must(change: dict[str, Any]) -> None:
    """An attempt that succeeded, was answered otherwise, is there twice or is none of them: not irreversible."""
    attempts = tuple(Attempt(what, True, min(answers)) for what, answers in forgotten.must_fail("c").items())
    whole = ForgottenRecord("c", "", {}, "carol", attempts, (), {}, "", "tce")
    assert whole.irreversible
    others = tuple(one for one in attempts if one.what != forgotten.DERIVE_AS_CUSTODIAN)
    if change.get("attempts"):
        change = {"attempts": (*others, *change["attempts"])}
    assert not replace(whole, **change).irreversible
    assert not replace(whole, attempts=(*attempts, attempts[0])).irreversible


@pytest.mark.parametrize("service", [Service.PSEUDONYMIZER, Service.MANAGER])
def test_nothing_is_destroyed_where_a_service_cannot_try(
    place: Place, monkeypatch: pytest.MonkeyPatch, service: Service
) -> None:
    """Without the login of one service the command refuses while both keys are there, and tells of no beginning."""
    work, kept = place.ordered(), Credentials.approle
    monkeypatch.setattr(
        Credentials, "approle", lambda self, name: None if name == service else kept(self, name)
    )
    with pytest.raises(LoginFailed, match=f"no login of the service {service}"):
        work.carry_out("carol")
    assert work.standing().keys != {str(mount): "there" for mount in CASE_MOUNTS}  # one is not known here
    monkeypatch.undo()
    assert all(place.has_key(mount) for mount in CASE_MOUNTS)
    assert "case.forget-begun" not in place.events()
    record = work.carry_out("carol")
    assert {one.what for one in record.attempts} == set(forgotten.must_fail(place.case.id))


def test_a_record_with_a_failure_is_not_told_as_done(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where something did not fail, the same command again says so again."""
    work = place.ordered()
    monkeypatch.setattr(forgetting.forgetting, "opens_a_row", lambda *_: True)
    for _ in range(2):
        with pytest.raises(Refused, match="open a row"):
            work.carry_out("carol")
    assert not prove_forgotten(place.record, place.trust, place.site).holds


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
