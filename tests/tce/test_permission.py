"""A withdrawal, a change and the end of an approval stop what is under way: deliveries, and files to files."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from policies import loader
from policies.engine import Engine
from policies.model import Stage
from policies.pseudonyms import Pseudonyms
from tce import cases, walking, wiring
from tce.approvals_desk import Desk
from tce.cases import Case
from tce.config import Site
from tce.errors import CaseError, NotApproved
from tce.folder import de_identify
from tce.permission import permission_of
from tce.road import Hold
from tce.shelf import Shelved
from tests.builders import a_ct_study
from tests.conftest import SiteVault
from tests.policies.pseudonyms_for_tests import CountedPseudonyms
from tests.tce.test_approvals_desk import an_approved_case, an_approved_policy, site
from vault import approvals
from vault.approvals import Submission

__all__ = ["site"]

Permitted = Callable[[], None]


@pytest.fixture
def policy(site: Site) -> Shelved:
    return an_approved_policy(site)


@pytest.fixture
def case(site: Site, policy: Shelved) -> Case:
    return an_approved_case(site, policy, f"permission-{time.monotonic_ns()}")


def asked_by_a_delivery(site: Site, case: Case) -> Permitted:
    book = wiring.ApprovedCases(site)
    return book.permission(book.terms(case.id))


def asked_by_a_folder(site: Site, case: Case) -> Permitted:
    return permission_of(site, case.id, Stage.ANONYMIZE)


BY = pytest.mark.parametrize("by", [asked_by_a_delivery, asked_by_a_folder])
By = Callable[[Site, Case], Permitted]


@pytest.mark.vault
@BY
def test_a_withdrawn_policy_stops_the_next_instance(site: Site, policy: Shelved, case: Case, by: By) -> None:
    """Between two instances an approver withdraws the policy: the second does not go."""
    may = by(site, case)
    may()
    Desk(site).withdraw_policy(policy, "bob", reason="bands too narrow")
    with pytest.raises((Hold, NotApproved), match="withdrawn"):
        may()


@pytest.mark.vault
@BY
def test_a_withdrawal_of_which_only_the_trail_tells_stops_it_too(
    site: Site, policy: Shelved, case: Case, by: By
) -> None:
    """Deleting the file of the withdrawal at once does not let the next instance go."""
    may = by(site, case)
    may()
    Desk(site).withdraw_policy(policy, "bob", reason="bands too narrow")
    policy.path.with_suffix(".withdrawal.json").unlink()
    with pytest.raises((Hold, NotApproved), match="withdrawn"):
        may()


@pytest.mark.vault
@BY
def test_a_closed_case_stops_the_next_instance(site: Site, policy: Shelved, case: Case, by: By) -> None:
    """Closing the case stops what is under way for it."""
    may = by(site, case)
    may()
    Desk(site).close_case(case, "bob", reason="the trial ended")
    with pytest.raises((Hold, NotApproved)):
        may()


@pytest.mark.vault
@BY
def test_a_case_that_is_approved_with_another_text_stops_it_too(
    site: Site, policy: Shelved, case: Case, by: By
) -> None:
    """What two people agreed on anew is not what this job began with, whoever the receivers are now."""
    may = by(site, case)
    may()
    [to] = case.receivers
    other = case.model_copy(update={"receivers": (to.model_copy(update={"ae_title": "ANOTHER"}),)})
    cases.case_dir(site.cases_dir, case.id).joinpath(cases.CASE_FILE).write_text(cases.dumps(other))
    Desk(site).submit_case(other, "alice")
    Desk(site).approve_case(other, "bob", days=1)
    with pytest.raises((Hold, CaseError), match="changed while"):
        may()


@pytest.mark.vault
@BY
def test_an_approval_that_ends_meanwhile_stops_it(
    embedded_site_vault: SiteVault, site: Site, policy: Shelved, case: Case, by: By
) -> None:
    """The clock alone ends an approval: nobody has to touch a file."""
    submission = Submission.from_json(policy.path.with_suffix(".submission.json").read_text())
    end = datetime.now(UTC) + timedelta(seconds=4)
    short = approvals.approve(embedded_site_vault.person("bob"), submission, end)
    policy.path.with_suffix(".approval.json").write_text(short.to_json())
    may = by(site, case)
    may()
    while datetime.now(UTC) < end:
        time.sleep(0.1)
    with pytest.raises((Hold, NotApproved), match="in force"):
        may()


@pytest.mark.vault
def test_what_left_before_a_withdrawal_is_still_accounted_for(
    site: Site, policy: Shelved, case: Case
) -> None:
    """The approval under which the last instance left goes into the record, although it was withdrawn since."""
    last = datetime.now(UTC)
    Desk(site).withdraw_policy(policy, "bob", reason="bands too narrow")
    with pytest.raises(NotApproved):
        Desk(site).policy_approval(policy)
    assert Desk(site).policy_approval(policy, at=last)["approver"] == "bob"


def unless(withdrawn: Path) -> None:
    if withdrawn.exists():
        raise NotApproved("the approval was withdrawn")


def bench() -> tuple[Engine, Callable[[], Pseudonyms]]:
    return Engine(loader.load_library("basic")), CountedPseudonyms


@pytest.mark.parametrize("workers", [1, 2])
def test_files_to_files_stops_at_the_next_batch(
    tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written once the approval is withdrawn but what was on its way; nothing is half done."""
    monkeypatch.setattr(walking, "_BATCH", 1)
    sources, out, withdrawn = tmp_path / "in", tmp_path / "out", tmp_path / "withdrawn"
    sources.mkdir()
    for place, sample in enumerate(a_ct_study(slices=24)[:24]):
        sample.instance.save_as(sources / f"{place}.dcm", enforce_file_format=True)
    with pytest.raises(NotApproved, match="withdrawn"):
        de_identify(
            [sources],
            out,
            bench,
            workers=workers,
            progress=lambda count: withdrawn.touch(),
            permission=partial(unless, withdrawn),
        )
    assert 0 < len(list(out.rglob("*.dcm"))) < 24
    assert not list(out.glob(".partial-*"))


def test_nothing_is_written_of_a_batch_that_was_read_before_the_withdrawal(tmp_path: Path) -> None:
    """What is asked before a batch is read is asked again before it is written."""
    sources, answers = tmp_path / "in", [True]
    sources.mkdir()
    a_ct_study(slices=1)[0].instance.save_as(sources / "1.dcm", enforce_file_format=True)

    def once() -> None:
        if not answers:
            raise NotApproved("the approval was withdrawn")
        answers.pop()

    with pytest.raises(NotApproved):
        de_identify([sources], tmp_path / "out", bench, workers=1, permission=once)
    assert not list((tmp_path / "out").rglob("*.dcm"))
