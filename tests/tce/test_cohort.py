"""Who may go of a cohort, and the journeys of exports that wait for company: tce.cohort, tce.exports_cohort."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from policies.disclosure.cohort import Limits
from policies.model import Policy
from tce.arrivals import ArrivalDesk
from tce.cohort import CohortRule, Share, rule_of, settle, shortfall
from tce.errors import Held
from tce.exports import Exports
from tce.exports_cohort import waits
from tce.ledger import Export
from tce.road import Delivered
from tce.spool import Spool
from tce.states import State
from tce.tables import cohort
from tce.worker import Worker
from tests import postgres
from tests.builders import a_ct_study
from tests.tce.parts import (
    CASE,
    MANAGER,
    STAGE_2,
    CaseShelf,
    Log,
    ReleaseShelf,
    documents,
    pseudonymized,
    rooms,
    terms,
)
from tests.tce.workbench import NOWHERE, Bench, Clock

RULE = CohortRule(("PatientSex",), None, Limits(2))


def a_share(export: int, sex: str, *, patient: str = "", out: bool = False) -> Share:
    return Share(export, patient or f"P{export}", {"PatientSex": (sex,) if sex else ()}, out)


def test_those_who_are_enough_together_go_together() -> None:
    """Two who wait and look alike go with each other; one who looks like nobody stays, and it is said how far off."""
    found = settle([a_share(1, "F"), a_share(2, "F"), a_share(3, "M")], RULE)
    assert found.going == {1, 2}
    assert (found.lonely[3].alike, found.lonely[3].diversity) == (1, None)
    assert found.report.k == 2


def test_a_patient_counts_once_however_often_exported() -> None:
    """Three exports of one person are one patient, and not company for each other."""
    shares = [a_share(number, "F", patient="P") for number in (1, 2, 3)]
    assert settle(shares, RULE).going == frozenset()


def test_nobody_is_left_behind_with_too_few() -> None:
    """A patient of two who look alike may not be told more of, if that leaves the other one alone."""
    out = [
        a_share(1, "F", out=True),
        a_share(2, "F", out=True),
        a_share(3, "M", out=True),
        a_share(4, "M", out=True),
    ]
    both = settle([*out, a_share(5, "M", patient="P1")], RULE)
    assert both.going == frozenset()
    assert both.lonely[5].leaves_others_short


def test_what_was_never_kept_is_like_nothing() -> None:
    """A patient released before an attribute was compared is nobody's company."""
    known = Share(1, "P1", {}, True)
    assert settle([known, a_share(2, "")], RULE).going == frozenset()


def test_a_folder_counts_with_what_the_case_released() -> None:
    """A patient of a folder has company in those who are out; one without falls short."""
    coming = {"A": {"PatientSex": ("F",)}, "B": {"PatientSex": ("M",)}}
    _, short = shortfall(coming, [a_share(1, "F", out=True)], RULE)
    assert short == {"B"}


def brute(shares: list[Share], k: int) -> frozenset[int]:
    """The largest set of waiting exports that leaves nobody whom it touches below k, by trying every set."""
    out, asking = [one for one in shares if one.out], [one for one in shares if not one.out]

    def people(some: list[Share]) -> dict[str, tuple[str, ...]]:
        told: dict[str, set[str]] = {}
        for one in some:
            told.setdefault(one.patient, set()).update(one.traits["PatientSex"])
        return {patient: tuple(sorted(values)) for patient, values in told.items()}

    before = people(out)
    for size in range(len(asking), -1, -1):
        for some in combinations(asking, size):
            after = people([*out, *some])
            sizes = Counter(after.values())
            touched = {after[one.patient] for one in some}
            touched |= {before[one.patient] for one in some if one.patient in before}
            if all(sizes[values] == 0 or sizes[values] >= k for values in touched):
                return frozenset(one.export for one in some)
    return frozenset()


@given(
    rows=st.lists(st.tuples(st.sampled_from("FMO"), st.integers(1, 8), st.booleans()), max_size=9),
    k=st.integers(1, 4),
)
def test_no_export_goes_that_leaves_anybody_short(rows: list[tuple[str, int, bool]], k: int) -> None:
    """Whatever is out and waits: those who go leave nobody whom they touch below k; where each patient is in one export
    they are the most that can go."""
    shares = [
        a_share(number, sex, patient=f"P{patient}", out=out)
        for number, (sex, patient, out) in enumerate(rows)
    ]
    rule = CohortRule(("PatientSex",), None, Limits(k))
    going = settle(shares, rule).going
    left = [one for one in shares if one.out or one.export in going]
    assert brute(left, k) == going
    if len({one.patient for one in shares}) == len(shares):
        assert going == brute(shares, k)


# --- On the road


def a_policy(k: int = 2) -> Policy:
    fields = STAGE_2.model_dump(mode="json") | {"minimum_cohort": k}
    return Policy.model_validate(fields | {"disclosure": {"quasi_identifiers": ["PatientAge", "PatientSex"]}})


def a_patient(home: Path, number: int, **changed: Any) -> list[Path]:
    """A pseudonymized CT study of a numbered patient, all of whom are women of one age unless it is said otherwise."""
    samples = a_ct_study(patient=number, slices=1)
    for sample in samples:
        for name, value in ({"PatientSex": "F", "PatientAge": "062Y"} | changed).items():
            setattr(sample.instance, name, value)
    return pseudonymized(home / f"stage-1-{number}", samples)


@pytest.fixture
def cohort_bench(bench: Bench) -> Bench:
    bench.worker = Worker(
        bench.exports,
        bench.spool,
        rooms(bench.cases, bench.log, bench.releases, a_policy()),
        MANAGER,
    )
    return bench


def select(bench: Bench, number: int, **changed: Any) -> Export:
    """Select a patient's study for the case and let the worker do what can be done."""
    paths = a_patient(bench.home, number, **changed)
    bench.hand_in(*paths, *documents(paths, bench.home / f"docs-{number}", description=CASE))
    return bench.work()


def states(bench: Bench) -> list[State]:
    return [one.state for one in bench.exports.listing()]


def rows(bench: Bench) -> int:
    with bench.exports._transaction() as tx:
        return int(tx.db.scalar(sa.select(sa.func.count()).select_from(cohort)) or 0)


def test_a_patient_alone_waits_and_goes_with_the_next_like_her(cohort_bench: Bench) -> None:
    """The first is held with words that help, sealed as it is; the second lets both go, and nothing is made anew."""
    first = select(cohort_bench, 1)
    assert (first.state, waits(first.reasons)) == (State.HELD, True)
    assert "1 fall short" in first.reasons[0].what
    assert "062" not in first.reasons[0].what and "060" not in first.reasons[0].what
    sealed = cohort_bench.exports.sealed(first)
    second = select(cohort_bench, 2)
    assert states(cohort_bench) == [State.DELIVERING, State.DELIVERING]
    assert cohort_bench.exports.sealed(first) == sealed
    for number in (first.id, second.id):
        tally = cohort_bench.exports.get(number).tally
        assert (tally["cohort patients"], tally["cohort k"], tally["cohort k asked"]) == (2, 2, 2)


def test_one_who_is_like_nobody_waits_while_others_go(cohort_bench: Bench) -> None:
    """A man does not go with two women, and they do not wait for him."""
    for number, sex in ((1, "M"), (2, "F"), (3, "F")):
        select(cohort_bench, number, PatientSex=sex)
    assert states(cohort_bench) == [State.HELD, State.DELIVERING, State.DELIVERING]


def test_ages_count_as_they_are_released(cohort_bench: Bench) -> None:
    """Two ages of one band look alike; what is compared is what leaves, not what came."""
    select(cohort_bench, 1, PatientAge="060Y")
    select(cohort_bench, 2, PatientAge="064Y")
    assert states(cohort_bench) == [State.DELIVERING, State.DELIVERING]


def test_a_cancelled_export_is_nobodys_company(cohort_bench: Bench) -> None:
    """What was given up before anything of it left counts for nobody who comes later."""
    first = select(cohort_bench, 1)
    cohort_bench.exports.cancel(first.id)
    assert select(cohort_bench, 2).state is State.HELD


def test_a_retry_counts_nobody_twice(cohort_bench: Bench) -> None:
    """Tried again and again, an export stays one patient, with one row, and waits as before."""
    first = select(cohort_bench, 1)
    for _ in range(2):
        cohort_bench.exports.retry(first.id)
        assert cohort_bench.work().state is State.HELD
    assert rows(cohort_bench) == 1


def test_what_one_receiver_has_counts_however_it_ended(cohort_bench: Bench) -> None:
    """An export that failed after something of it was delivered is out, and company for the next."""
    first = select(cohort_bench, 1)
    sealed = cohort_bench.exports.sealed(first)
    cohort_bench.exports.delivered(first, [Delivered(sealed[0], "RECEIVER")])
    cohort_bench.exports.cancel(first.id)
    assert select(cohort_bench, 2).state is State.DELIVERING


def test_what_a_receiver_has_stays_told_after_another_try(cohort_bench: Bench) -> None:
    """A try that tells something else does not unsay what a part of the earlier one has told."""
    first = select(cohort_bench, 1)
    cohort_bench.exports.delivered(first, [Delivered(cohort_bench.exports.sealed(first)[0], "RECEIVER")])
    with cohort_bench.exports._transaction() as tx:
        tx.db.execute(cohort.update().values(traits='{"PatientAge": ["030Y"], "PatientSex": ["F"]}'))
    cohort_bench.exports.retry(first.id)
    cohort_bench.work()
    (share,) = cohort_bench.exports.released(CASE)
    assert share.traits == {"PatientAge": ("030Y", "060Y"), "PatientSex": ("F",)}


def test_a_coordinator_releases_when_there_is_enough_company(cohort_bench: Bench) -> None:
    """Released too early it stays held and says why; under a smaller k that was approved it goes."""
    first = select(cohort_bench, 1)
    with pytest.raises(Held, match="2 are needed"):
        cohort_bench.exports.admit(first, rule_of(a_policy(), 1))
    assert cohort_bench.exports.get(first.id).state is State.HELD
    assert cohort_bench.exports.admit(first, rule_of(a_policy(1), 1)).state is State.DELIVERING


def test_a_changed_file_does_not_go_with_the_batch(cohort_bench: Bench) -> None:
    """What waited is proved to have its bytes before it is sent."""
    first = select(cohort_bench, 1)
    path = cohort_bench.exports.sealed(first)[0].path
    path.write_bytes(path.read_bytes() + b"\0")
    select(cohort_bench, 2)
    changed = cohort_bench.exports.get(first.id)
    assert [reason.code for reason in changed.reasons] == ["changed"]
    assert changed.state is State.HELD


def test_a_process_that_dies_in_the_decision_has_decided_nothing(
    cohort_bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row, state and those that go with it are one transaction: all of it or nothing of it."""
    first = select(cohort_bench, 1)

    def dies(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr("tce.exports_cohort._admit", dies)
    with pytest.raises(SystemExit):
        select(cohort_bench, 2)
    assert rows(cohort_bench) == 1
    assert cohort_bench.exports.get(first.id).state is State.HELD
    monkeypatch.undo()
    cohort_bench.exports.recover()
    cohort_bench.work()
    assert states(cohort_bench) == [State.DELIVERING, State.DELIVERING]


def test_a_forgotten_case_leaves_no_row(cohort_bench: Bench) -> None:
    """What is kept of the patients of a case goes with the case, and that of others stays."""
    select(cohort_bench, 1)
    assert cohort_bench.exports.forget_cohort("another") == 0
    assert cohort_bench.exports.forget_cohort(CASE) == 1
    assert rows(cohort_bench) == 0


def test_without_a_rule_nothing_is_kept(bench: Bench) -> None:
    """A case that asks nothing of its cohort has no row of its patients."""
    select(bench, 1)
    assert states(bench) == [State.DELIVERING]
    assert rows(bench) == 0


@pytest.mark.peer
@pytest.mark.skipif(bool(postgres.lacks()), reason=postgres.lacks())
def test_postgresql_decides_as_well(tmp_path: Path) -> None:
    """On the other database two who look alike wait for each other and go together, too."""
    with postgres.a_server() as url:
        clock, log, releases = Clock(), Log(), ReleaseShelf()
        cases = CaseShelf({CASE: terms(NOWHERE)})
        spool, exports = Spool(tmp_path / "spool"), Exports(url, clock=clock)
        worker = Worker(exports, spool, rooms(cases, log, releases, a_policy()), MANAGER)
        desk = ArrivalDesk(spool, exports)
        bench = Bench(tmp_path, spool, exports, desk, worker, cases, releases, log, clock)
        assert select(bench, 1).state is State.HELD
        select(bench, 2)
        assert states(bench) == [State.DELIVERING, State.DELIVERING]
        assert exports.forget_cohort(CASE) == 2
        exports.close()


def test_the_larger_of_case_and_policy_counts() -> None:
    """Neither a case nor a policy weakens what the other asks for."""
    assert rule_of(a_policy(3), 5).limits.k == 5
    assert rule_of(a_policy(5), 3).limits.k == 5
    assert replace(RULE).attributes == ("PatientSex",)
