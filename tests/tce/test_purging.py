"""What goes from the spool, what never does, and what is told: tce.retention, tce.purging, tce.lulls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tce.collecting import Intake
from tce.documents.codes import DelayReason
from tce.errors import AuditError
from tce.exports import Exports
from tce.ledger import Export, Notice
from tce.lulls import Lull, carry_out, clear_leftovers
from tce.retention import DAY, ReceiverRetention, RetentionSettings, Rules, receiver_rules, rules
from tce.road import Hold, Reason
from tce.spool import Spool
from tce.states import State
from tests import postgres
from tests.tce.test_exports import INSTANCES, Clock, a_manifest, an_instance, sealed

CASE = "lung-1"
ALL = Rules(delivered={CASE: 10 * DAY}, cancelled=5 * DAY, failed=7 * DAY, unclaimed=3 * DAY)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def told() -> list[Notice]:
    return []


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'exports.db'}"


@pytest.fixture
def index(url: str, clock: Clock, told: list[Notice]) -> Iterator[Exports]:
    exports = Exports(url, clock=clock, observer=told.append)
    yield exports
    exports.close()


def selected(index: Exports, manifest: str, *uids: str) -> Export:
    """An export that is complete, or would be if its instances were here."""
    a_manifest(index, manifest, of=uids)
    return index.listing()[-1]


def delivered(index: Exports, manifest: str, *uids: str, case: str = CASE) -> Export:
    for uid in uids:
        an_instance(index, uid)
    selected(index, manifest, *uids)
    export = index.lease()
    assert export is not None
    export = index.seal(export, sealed(*uids), case_id=case, policy_digest="d", tally={})
    index.close_export(export)
    return index.get(export.id)


def purged(index: Exports, by: Rules = ALL) -> list[tuple[str, int]]:
    """Purge, and return rule and number of instances of what went."""
    return [(one.rule, one.instances) for page in index.purge(by) for one in page if one.instances]


def test_without_a_rule_nothing_goes(index: Exports, clock: Clock) -> None:
    """The settings as they come purge nothing, however old it is."""
    delivered(index, "9.1", "1.1")
    an_instance(index, "1.2")
    clock.now += 10_000 * DAY
    by = rules(RetentionSettings(), {CASE: 0})
    assert (index.would_purge(by), purged(index, by)) == ([], [])


def test_a_receiver_purges_by_rules_of_its_own(index: Exports, clock: Clock) -> None:
    """What a medium was made of goes after days of its own, and only where they are set; cases have no part in it."""
    delivered(index, "9.1", "1.1", case="")
    clock.now += 40 * DAY
    of_both = RetentionSettings(delivered=True, cancelled_days=1)
    for none in (rules(of_both, {CASE: 1}), receiver_rules(of_both.receiver)):
        assert purged(index, none) == []
    assert purged(index, receiver_rules(ReceiverRetention(written_days=41))) == []
    assert purged(index, receiver_rules(ReceiverRetention(written_days=30))) == [("delivered", 2)]


def test_a_delivered_export_goes_after_the_days_of_its_case(index: Exports, clock: Clock) -> None:
    """Instances and manifest stay for the time that the case says, and go after it, once."""
    delivered(index, "9.1", *INSTANCES)
    clock.now += 9.9 * DAY
    assert purged(index) == []
    clock.now += 0.2 * DAY
    assert purged(index) == [("delivered", 4)]
    assert purged(index) == []


def test_the_export_of_a_case_that_is_not_known_stays(index: Exports, clock: Clock) -> None:
    """Where nobody says how long originals are kept, they are."""
    delivered(index, "9.1", "1.1", case="gone")
    clock.now += 1000 * DAY
    assert purged(index) == []


def waiting(index: Exports) -> None:
    selected(index, "9.2", "1.1", "7.7")


def delayed(index: Exports) -> None:
    a_manifest(index, "9.2", of=("1.1",), delay=(DelayReason.DISCHARGE,))


def ready(index: Exports) -> None:
    selected(index, "9.2", "1.1")


def working(index: Exports) -> None:
    selected(index, "9.2", "1.1")
    index.lease()


def held(index: Exports) -> None:
    index.hold(selected(index, "9.2", "1.1").id, [Reason("held-by-person", "")])


def failed(index: Exports) -> None:
    selected(index, "9.2", "1.1")
    export = index.lease()
    assert export is not None
    index.fail(export, [Reason("failed", "")])


def delivering(index: Exports) -> None:
    selected(index, "9.2", "1.1")
    export = index.lease()
    assert export is not None
    index.seal(export, sealed("1.1"), case_id=CASE, policy_digest="d", tally={})


@pytest.mark.parametrize("other", [waiting, delayed, ready, working, held, failed, delivering])
def test_what_another_export_needs_stays(
    index: Exports, clock: Clock, other: Callable[[Exports], None]
) -> None:
    """An instance of a delivered export that is over stays while any other export may still need it."""
    delivered(index, "9.1", "1.1", "1.2")
    other(index)
    clock.now += 1000 * DAY
    assert purged(index) == [("delivered", 2)]
    assert purged(index) == []
    assert index.known(["SELECTOR/1.1", "SELECTOR/1.2"]) == {"SELECTOR/1.1": True, "SELECTOR/1.2": False}


def test_what_two_exports_had_goes_with_the_later_one(index: Exports, clock: Clock) -> None:
    """The longer time counts, and then nothing is left behind."""
    delivered(index, "9.1", "1.1")
    clock.now += 8 * DAY
    delivered(index, "9.2", "1.1")
    clock.now += 8 * DAY
    assert purged(index) == [("delivered", 1)]
    clock.now += 8 * DAY
    assert purged(index) == [("delivered", 2)]


def test_a_cancelled_export_goes_by_its_own_rule(index: Exports, clock: Clock) -> None:
    """A person gave it up; five days later its instances go."""
    an_instance(index, "1.1")
    index.cancel(selected(index, "9.1", "1.1", "1.2").id)
    clock.now += 4 * DAY
    assert purged(index) == []
    clock.now += 2 * DAY
    assert purged(index) == [("cancelled", 2)]


def test_a_failed_export_is_cancelled_by_rule_and_told(
    index: Exports, clock: Clock, told: list[Notice]
) -> None:
    """An export that nobody tried again ends by a transition of its own, on record, and only then goes."""
    an_instance(index, "1.1")
    selected(index, "9.1", "1.1", "1.2")
    clock.now += 1 * DAY
    index.give_up(60)
    clock.now += 6 * DAY
    assert index.expire(7 * DAY) == 0
    clock.now += 1 * DAY
    assert index.expire(7 * DAY) == 1
    assert told[-1].detail["reasons"] == "expired"
    assert index.listing()[0].state is State.CANCELLED


def test_what_no_manifest_names_is_told_once_and_goes_by_rule(
    index: Exports, clock: Clock, told: list[Notice]
) -> None:
    """After the set time the trail says how many instances of whom; they go only when the rule says so."""
    an_instance(index, "1.1")
    an_instance(index, "1.2")
    an_instance(index, "1.3")
    selected(index, "9.1", "1.3")
    assert index.report_unclaimed(ALL) == 0
    clock.now += 1.1 * DAY
    assert [index.report_unclaimed(ALL) for _ in range(2)] == [2, 0]
    events = [one for one in told if one.event == "instances.unclaimed"]
    assert [one.detail for one in events] == [{"sender": "SELECTOR", "instances": "2", "bytes": "20"}]
    assert [(one.sender, one.instances) for one in index.unclaimed(DAY)] == [("SELECTOR", 2)]
    assert purged(index) == []
    clock.now += 2 * DAY
    assert purged(index) == [("unclaimed", 2)]
    assert index.unclaimed() == []


def test_an_export_that_is_delayed_for_long_is_told_once(
    index: Exports, clock: Clock, told: list[Notice]
) -> None:
    """The trail names the export and who sent it; it goes on waiting, and what has just been delayed is not told."""
    a_manifest(index, "9.1", of=("1.1",), delay=(DelayReason.DISCHARGE,))
    clock.now += 6 * DAY
    assert index.report_delayed(7 * DAY) == 0
    a_manifest(index, "9.2", of=("1.2",), delay=(DelayReason.DISCHARGE,))
    selected(index, "9.3", "1.3")
    clock.now += 1 * DAY
    assert [index.report_delayed(7 * DAY) for _ in range(2)] == [1, 0]
    [first, second, _] = index.listing()
    events = [one.detail for one in told if one.event == "export.delayed"]
    assert events == [{"export": first.id, "sender": "SELECTOR"}]
    clock.now += 6 * DAY
    assert index.report_delayed(7 * DAY) == 1
    assert [index.get(one.id).state for one in (first, second)] == [State.DELAYED] * 2


def test_what_was_told_is_not_told_again_after_a_restart(index: Exports, url: str, clock: Clock) -> None:
    """Once means once, whatever process it was."""
    an_instance(index, "1.1")
    clock.now += 2 * DAY
    assert index.report_unclaimed(ALL) == 1
    assert Exports(url, clock=clock).report_unclaimed(ALL) == 0


def test_every_purge_is_told_with_counts(index: Exports, clock: Clock, told: list[Notice]) -> None:
    """The trail says which rule took how many instances of which export; looking at it tells nothing."""
    export = delivered(index, "9.1", "1.1", "1.2")
    clock.now += 11 * DAY
    before = len(told)
    would = index.would_purge(ALL)
    assert len(told) == before
    assert [(one.export, one.instances) for one in would] == [(export.id, 3)]
    assert purged(index) == [("delivered", 3)]
    assert [(one.event, one.detail) for one in told[before:]] == [("spool.purged", would[0].detail())]
    assert would[0].detail() == {
        "rule": "delivered",
        "export": export.id,
        "case": CASE,
        "sender": "SELECTOR",
        "instances": "3",
        "bytes": "30",
    }


def test_what_comes_again_after_a_purge_makes_no_second_export(index: Exports, clock: Clock) -> None:
    """The index keeps the row: the same selection sent twice is one export, and its files go again."""
    delivered(index, "9.1", "1.1")
    clock.now += 11 * DAY
    purged(index)
    assert an_instance(index, "1.1") is Intake.AGAIN
    assert an_instance(index, "1.1") is Intake.DUPLICATE
    assert a_manifest(index, "9.1", of=("1.1",)) is Intake.AGAIN
    assert len(index.listing()) == 1
    assert purged(index) == []
    clock.now += 2 * DAY
    assert purged(index) == [("delivered", 2)]


@pytest.mark.parametrize("instances_first", [True, False])
def test_a_new_selection_of_what_was_purged_waits_for_it(
    index: Exports, clock: Clock, instances_first: bool
) -> None:
    """What is purged is not here: a new manifest waits for it, and is complete when it has come again."""
    delivered(index, "9.1", "1.1")
    clock.now += 11 * DAY
    purged(index)
    if instances_first:
        an_instance(index, "1.1")
        purged(index)
    export = selected(index, "9.2", "1.1")
    assert export.missing == (0 if instances_first else 1)
    if not instances_first:
        an_instance(index, "1.1")
    assert index.get(export.id).state is State.READY


def test_other_content_of_a_purged_instance_is_a_conflict(index: Exports, clock: Clock) -> None:
    """That the first one is gone does not make the second one the one that was meant."""
    delivered(index, "9.1", "1.1")
    clock.now += 11 * DAY
    purged(index)
    an_instance(index, "1.1", content="other")
    selected(index, "9.2", "1.1")
    export = index.lease()
    assert export is not None
    with pytest.raises(Hold) as stopped:
        index.arrived(export, Path)
    assert [reason.code for reason in stopped.value.reasons] == ["conflict"]


def test_what_the_trail_could_not_take_is_told_later(url: str, clock: Clock) -> None:
    """A process that died, or a trail that was away, after the commit: the next start tells it, marked as late."""
    heard: list[Notice] = []

    def away(notice: Notice) -> None:
        raise AuditError("the trail cannot be written", next_step="make room")

    first = Exports(url, clock=clock, observer=away)
    selected(first, "9.1", "1.1")
    first.close()
    second = Exports(url, clock=clock, observer=heard.append)
    assert [second.tell_late(0), second.tell_late(0)] == [1, 0]
    assert [(one.detail["after"], one.detail["told"]) for one in heard] == [("collecting", "late")]


def test_what_is_told_is_not_told_twice(index: Exports, told: list[Notice], clock: Clock) -> None:
    """Whoever tells strikes out."""
    delivered(index, "9.1", "1.1")
    before = len(told)
    assert (index.tell_late(0), len(told)) == (0, before)


def test_files_and_workplaces_go_with_the_rows(index: Exports, clock: Clock, tmp_path: Path) -> None:
    """What is marked is gone from the disk, and what a process that died left there goes at the next start."""
    spool = Spool(tmp_path / "spool")
    export = delivered(index, "9.1", "1.1")
    kept = selected(index, "9.2", "1.2")
    lying = [spool.path(f"SELECTOR/{name}") for name in ("1.1", "9.1", "9.2")]
    lying[0].parent.mkdir()
    for path in lying:
        path.touch()
    for one in (export, kept):
        spool.workplace(one.id)
    clear_leftovers(index, spool)
    assert spool.workplaces() == [kept.id]
    clock.now += 11 * DAY
    assert [one.instances for page in carry_out(index, spool, ALL) for one in page] == [2]
    assert [path.exists() for path in lying] == [False, False, True]


def test_a_lull_looks_after_everything(
    index: Exports, clock: Clock, told: list[Notice], tmp_path: Path
) -> None:
    """One lull reports, gives up and purges by the rules as they are then."""
    delivered(index, "9.1", "1.1")
    a_manifest(index, "9.4", of=("1.4",), delay=(DelayReason.DISCHARGE,))
    selected(index, "9.2", "1.2")
    an_instance(index, "1.3")
    clock.now += 11 * DAY
    Lull(index, Spool(tmp_path / "spool"), 60, lambda: ALL)()
    assert [one.state for one in index.listing()] == [State.DELIVERED, State.DELAYED, State.FAILED]
    assert {"instances.unclaimed", "export.delayed", "spool.purged"} <= {one.event for one in told}
    assert index.known(["SELECTOR/1.1", "SELECTOR/1.3", "SELECTOR/9.2"]) == {
        "SELECTOR/1.1": False,
        "SELECTOR/1.3": False,
        "SELECTOR/9.2": True,
    }


@pytest.mark.skipif(bool(postgres.lacks()), reason=postgres.lacks())
def test_postgresql_purges_as_well(clock: Clock) -> None:
    """The same rules, statements and locks on the other database."""
    with postgres.a_server() as url:
        index = Exports(url, clock=clock)
        delivered(index, "9.1", "1.1")
        an_instance(index, "1.3")
        clock.now += 11 * DAY
        assert index.report_unclaimed(ALL) == 1
        assert purged(index) == [("delivered", 2), ("unclaimed", 1)]
        assert an_instance(index, "1.1") is Intake.AGAIN
        index.close()
