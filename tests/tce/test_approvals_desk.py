"""What is refused for lack of approval is said once, with what is wrong and what to do."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from policies import loader
from tce import cases
from tce.approval_proof import prove_approval
from tce.approvals_desk import Desk
from tce.audit.trail import Trail
from tce.cases import Case, CaseReceiver
from tce.config import Site
from tce.errors import AuditError, NotApproved
from tce.shelf import Shelf, Shelved
from tce.site import export_trust
from tests.conftest import SiteVault
from tests.docs.shell import commands_of, run_script
from tests.tce.parts import a_site_of
from vault.trust import Trust

pytestmark = pytest.mark.vault


@pytest.fixture
def site(embedded_site_vault: SiteVault, tmp_path: Path) -> Site:
    """A site whose coordinator is alice and whose approver is bob."""
    site = a_site_of(embedded_site_vault, tmp_path)
    export_trust(site, embedded_site_vault.service("operator"))
    return site


def an_approved_policy(site: Site) -> Shelved:
    shelved = Shelf(site.policies_dir).put(loader.library_text("basic"))
    Desk(site).submit_policy(shelved, "alice")
    Desk(site).approve_policy(shelved, "bob", days=1)
    return shelved


def an_approved_case(site: Site, policy: Shelved, name: str) -> Case:
    """An approved case; its name is one of its own, because its key stays at the key server."""
    case = Case(
        id=name,
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


def test_the_refusal_of_an_altered_policy_names_it_once(
    embedded_site_vault: SiteVault, tmp_path: Path
) -> None:
    """Who altered an approved policy reads that it is not the approved text, and the name of it once."""
    site = a_site_of(embedded_site_vault, tmp_path)
    export_trust(site, embedded_site_vault.service("operator"))
    desk, shelf = Desk(site), Shelf(site.policies_dir)
    shelved = shelf.put(loader.library_text("basic"))
    desk.submit_policy(shelved, "alice")
    desk.approve_policy(shelved, "bob", days=1)
    desk.require_policy(shelved)
    shelved.path.write_text(shelved.path.read_text().replace("title: ", "title: Altered "))
    with pytest.raises(NotApproved) as refused:
        desk.require_policy(shelf.find("basic"))
    assert refused.value.what.count("basic") == 1
    assert "not the text that was approved" in refused.value.what


def test_a_deleted_withdrawal_does_not_undo_it(site: Site) -> None:
    """The trail tells of the withdrawal, so that deleting its file brings nothing back, and that is said."""
    shelved = an_approved_policy(site)
    desk = Desk(site)
    desk.withdraw_policy(shelved, "bob", reason="bands too narrow")
    shelved.path.with_suffix(".withdrawal.json").unlink()
    with pytest.raises(
        NotApproved, match=r"withdrawn by bob .* although the file of that withdrawal is gone"
    ):
        desk.require_policy(shelved)
    with pytest.raises(NotApproved, match="withdrawn"):
        desk.policy_approval(shelved)
    assert "is gone" in desk.standing(shelved.path, shelved.policy.digest).words


def test_older_files_put_back_do_not_undo_it(site: Site) -> None:
    """Exchanging the files for those of an earlier approval or withdrawal does not help either."""
    shelved = an_approved_policy(site)
    desk = Desk(site)
    approval = shelved.path.with_suffix(".approval.json")
    withdrawal = shelved.path.with_suffix(".withdrawal.json")
    desk.withdraw_policy(shelved, "bob", reason="one")
    older = approval.read_bytes(), withdrawal.read_bytes()
    desk.submit_policy(shelved, "alice")
    desk.approve_policy(shelved, "bob", days=2)
    desk.require_policy(shelved)
    desk.withdraw_policy(shelved, "bob", reason="two")
    newer = withdrawal.read_bytes()
    withdrawal.write_bytes(older[1])
    with pytest.raises(NotApproved, match="is that of another one"):
        desk.require_policy(shelved)
    approval.write_bytes(older[0])
    withdrawal.write_bytes(newer)
    with pytest.raises(NotApproved, match="is that of another one"):
        desk.require_policy(shelved)


def test_what_is_approved_again_is_approved(site: Site) -> None:
    """A withdrawal on the trail ends no approval that is given after it."""
    shelved = an_approved_policy(site)
    desk = Desk(site)
    desk.withdraw_policy(shelved, "bob", reason="one")
    desk.submit_policy(shelved, "alice")
    desk.approve_policy(shelved, "bob", days=2)
    desk.require_policy(shelved)
    shelved.path.with_suffix(".withdrawal.json").unlink()
    desk.require_policy(shelved)


def test_a_withdrawal_tells_the_trail_what_it_ends(site: Site) -> None:
    """Kind, name, version and digests are on the trail; the reason, which is free text, is not."""
    shelved = an_approved_policy(site)
    Desk(site).withdraw_policy(shelved, "bob", reason="Testov^Persona")
    record = list(Trail(site.audit_trail).records())[-1]
    assert record.event == "policy.withdrawn" and record.actor == "bob"
    assert set(record.detail) == {"policy", "version", "digest", "approval"}
    assert record.detail["digest"] == shelved.policy.digest
    assert "Testov" not in site.audit_trail.read_text()


def test_a_closed_case_stays_closed_without_its_file(site: Site) -> None:
    """Neither stage 1, which takes drafts, nor stage 2 works for a case that the trail tells was closed."""
    case = an_approved_case(site, an_approved_policy(site), "desk-1")
    other = an_approved_case(site, Shelf(site.policies_dir).find("basic"), "desk-2")
    desk = Desk(site)
    desk.require_open(case)
    desk.close_case(case, "bob", reason="ended")
    folder = cases.case_dir(site.cases_dir, case.id)
    (folder / "case.withdrawal.json").unlink()
    for asked in (desk.require_case, desk.require_open):
        with pytest.raises(NotApproved, match="is gone"):
            asked(case)
        asked(other)
    # Nor does an altered draft of it pass for one that was never closed.
    (folder / "case.approval.json").unlink()
    with pytest.raises(NotApproved):
        desk.require_open(case.model_copy(update={"title": "U"}))


def test_a_broken_trail_tells_nothing_so_nothing_is_approved(site: Site) -> None:
    """Editing the withdrawal's event in place of deleting its file stops everything until the auditor has looked."""
    shelved = an_approved_policy(site)
    desk = Desk(site)
    desk.withdraw_policy(shelved, "bob", reason="one")
    shelved.path.with_suffix(".withdrawal.json").unlink()
    trail = site.audit_trail.read_text()
    site.audit_trail.write_text(trail.replace("policy.withdrawn", "policy.submitted"))
    with pytest.raises(AuditError):
        Desk(site).require_policy(shelved)
    assert not desk.standing(shelved.path, shelved.policy.digest).approved
    site.audit_trail.unlink()
    with pytest.raises(AuditError):
        Desk(site).require_policy(shelved)


def test_one_person_changes_nothing_that_two_agreed_on(site: Site) -> None:
    """Stage 1 takes a draft; once a case was approved, an edited one is refused there as well."""
    policy = an_approved_policy(site)
    case = an_approved_case(site, policy, "desk-3")
    desk = Desk(site)
    desk.require_open(case)
    with pytest.raises(NotApproved):
        desk.require_open(case.model_copy(update={"prefix": "ZZ"}))
    draft = case.model_copy(update={"id": "desk-4"})
    cases.save(site.cases_dir, draft)
    desk.require_open(draft)


def test_an_approval_is_proved_by_its_files_alone(site: Site, tmp_path: Path) -> None:
    """Text, submission and approval, carried elsewhere with the public keys, prove themselves whichever is named."""
    shelved = an_approved_policy(site)
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(site.policies_dir, elsewhere)
    trust = Trust.load(site.trust_path)
    for suffix in (".yaml", ".submission.json", ".approval.json"):
        proof = prove_approval(elsewhere / shelved.path.with_suffix(suffix).name, trust)
        assert proof.holds, proof.answers
        assert len(proof.answers) == 3


@pytest.mark.parametrize(
    ("suffix", "before", "after", "wrong"),
    [
        (".yaml", "title: ", "title: Altered ", {"text"}),
        (".approval.json", '"approver": "bob"', '"approver": "bo"', {"approval"}),
        (
            ".submission.json",
            '"author": "alice"',
            '"author": "bob"',
            {"signature of its author", "what was approved"},
        ),
    ],
)
def test_a_changed_file_of_an_approval_is_found(
    site: Site, tmp_path: Path, suffix: str, before: str, after: str, wrong: set[str]
) -> None:
    """Whichever file is changed, the proof says what does not hold."""
    path = an_approved_policy(site).path
    victim = path.with_suffix(suffix)
    victim.write_text(victim.read_text().replace(before, after))
    answers = prove_approval(path, Trust.load(site.trust_path)).answers
    failing = {answer.question for answer in answers if not answer.holds}
    assert failing and failing <= wrong


def test_a_withdrawn_approval_does_not_prove(site: Site) -> None:
    """The withdrawal beside an approval is verified and counts."""
    shelved = an_approved_policy(site)
    Desk(site).withdraw_policy(shelved, "bob", reason="bands too narrow")
    proof = prove_approval(shelved.path, Trust.load(site.trust_path))
    assert [answer.question for answer in proof.answers if not answer.holds] == ["approval"]


def test_what_was_only_submitted_is_not_approved(site: Site) -> None:
    """A good signature of its author alone does not make a text one that may be used."""
    path = an_approved_policy(site).path
    path.with_suffix(".approval.json").unlink()
    answers = prove_approval(path, Trust.load(site.trust_path)).answers
    assert [answer.question for answer in answers if not answer.holds] == ["approval"]


@pytest.mark.peer
def test_openssl_verifies_an_approval(site: Site, tmp_path: Path) -> None:
    """The commands of the auditor's page verify a real approval: openssl, jq and the public key are enough."""
    path = an_approved_policy(site).path.with_suffix(".approval.json")
    script = commands_of("docs/auditor.md", "openssl-approval")
    place = {"APPROVAL": str(path), "TRUST": str(site.trust_path)}
    assert "Signature Verified Successfully" in run_script(script, tmp_path, **place)
    path.write_text(path.read_text().replace('"version": "', '"version": "9'))
    with pytest.raises(subprocess.CalledProcessError):
        run_script(script, tmp_path, **place)
