"""The index of arrivals and exports: tce.exports, tce.collecting, tce.ledger, tce.tables."""

from __future__ import annotations

import itertools
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from tce import tables
from tce.collecting import Entry, Intake
from tce.documents.codes import DelayReason, ExportTitle
from tce.documents.content import Reference
from tce.documents.manifest import DocumentKind, Manifest, ParsedManifest
from tce.errors import ExportError
from tce.exports import Exports
from tce.ledger import Export, Notice
from tce.road import Delivered, Hold, Reason, Sealed
from tce.spool import Header, Spooled
from tce.states import State

CT = "1.2.840.10008.5.1.4.1.1.2"
SR = "1.2.840.10008.5.1.4.1.1.88.11"
KOS = "1.2.840.10008.5.1.4.1.1.88.59"
INSTANCES = ("1.1", "1.2", "1.3")


class Clock:
    """A clock that stands still until it is moved."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def changes() -> list[Notice]:
    return []


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'exports.db'}"


@pytest.fixture
def index(url: str, clock: Clock, changes: list[Notice]) -> Iterator[Exports]:
    exports = Exports(url, settle_seconds=2.0, clock=clock, observer=changes.append)
    yield exports
    exports.close()


def entry(
    uid: str,
    sop_class: str = CT,
    kind: DocumentKind = DocumentKind.INSTANCE,
    *,
    content: str = "",
    manifest: ParsedManifest | None = None,
    faults: tuple[Reason, ...] = (),
) -> Entry:
    content = content or uid
    header = Header(sop_class, uid, "1.2.840.10008.1.2.1", "SELECTOR")
    return Entry(Spooled(f"SELECTOR/{content}", header, 10), f"sha256:{content}", kind, manifest, faults)


def an_instance(index: Exports, uid: str, *, content: str = "", sop_class: str = CT) -> Intake:
    return index.arrive([entry(uid, sop_class, content=content)])[0]


def an_information(index: Exports, uid: str) -> Intake:
    return index.arrive([entry(uid, SR, DocumentKind.INFORMATION)])[0]


def a_manifest(
    index: Exports,
    uid: str = "9.1",
    *,
    of: tuple[str, ...] = INSTANCES,
    siblings: tuple[str, ...] = (),
    delay: tuple[DelayReason, ...] = (),
    title: ExportTitle = ExportTitle.TRIAL,
    faults: tuple[Reason, ...] = (),
    case: str = "",
    content: str = "",
) -> Intake:
    said = Manifest(title, tuple(Reference("1", "1", CT, one) for one in of), delay, case)
    parsed = ParsedManifest(said, uid, frozenset(siblings), faults)
    return index.arrive([entry(uid, KOS, DocumentKind.MANIFEST, manifest=parsed, content=content)])[0]


def complete(index: Exports, clock: Clock) -> Export:
    """An export, leased."""
    for uid in INSTANCES:
        an_instance(index, uid)
    a_manifest(index)
    clock.now += 10
    export = index.lease()
    assert export is not None
    return export


def sealed(*uids: str) -> list[Sealed]:
    return [Sealed(Path("x"), CT, uid, "1.2.840.10008.1.2.1", f"sha256:{uid}", False) for uid in uids]


def bring_to(index: Exports, clock: Clock, state: State) -> Export:
    """An export of three instances in a state."""
    if state is State.DELAYED:
        a_manifest(index, delay=(DelayReason.DISCHARGE,))
        return index.listing()[0]
    if state is State.COLLECTING:
        a_manifest(index)
        return index.listing()[0]
    export = complete(index, clock)
    if state in (State.DELIVERING, State.DELIVERED):
        export = index.seal(export, sealed("1.1"), case_id="c", policy_digest="d", tally={})
    if state is State.DELIVERED:
        index.close_export(export)
    elif state is State.HELD:
        index.hold(export.id, [Reason("person", "look")])
    elif state is State.FAILED:
        index.fail(export, [Reason("failed", "away")])
    elif state is State.READY:
        index.give_back(export, [], wait=0.0)
    elif state is State.CANCELLED:
        index.give_back(export, [], wait=0.0)
        index.cancel(export.id)
    return index.get(export.id)


_OVER = [State.DELAYED, State.DELIVERED, State.HELD, State.FAILED, State.CANCELLED]
_ON_ITS_WAY = [State.COLLECTING, State.READY, State.WORKING, State.DELIVERING]


@pytest.mark.parametrize("state", [*_OVER, *_ON_ITS_WAY])
@pytest.mark.parametrize("what", ["manifest", "another manifest", "instance"])
def test_nothing_that_contradicts_is_passed_over(
    index: Exports, clock: Clock, changes: list[Notice], state: State, what: str
) -> None:
    """A manifest or an instance that comes again with other content: the export is held where it is on its way;
    where it is over it stays as it is and has a reason. The trail names it in any case."""
    before = bring_to(index, clock, state)
    told = len(changes)
    if what == "instance":
        an_instance(index, "1.1")  # one that collects or is delayed has nothing yet
        an_instance(index, "1.1", content="other")
    else:
        of = INSTANCES if what == "manifest" else INSTANCES[:2]
        a_manifest(index, of=of, content="other")
    export = index.get(before.id)
    if state in _OVER:
        assert export.state is state
        assert set(before.reasons) < set(export.reasons)
        assert "came-differently" in {reason.code for reason in export.reasons}
    if state in _ON_ITS_WAY:
        assert export.state is State.HELD
        assert {reason.code for reason in export.reasons} <= {"conflict", "siblings-differ"}
    first, *_ = [one for one in changes[told:] if one.event == "export.contradicted"]
    assert not first.success
    assert (first.detail["export"], first.detail["state"]) == (before.id, state.value)
    assert index.listing() == [export]


def test_the_same_manifest_again_is_no_contradiction(
    index: Exports, clock: Clock, changes: list[Notice]
) -> None:
    """The same bytes, whenever they come, change and tell nothing."""
    export = bring_to(index, clock, State.DELIVERED)
    told = len(changes)
    assert a_manifest(index) is Intake.DUPLICATE
    assert an_instance(index, "1.1") is Intake.DUPLICATE
    assert (index.get(export.id), changes[told:]) == (export, [])


@pytest.mark.parametrize(
    "order", list(itertools.permutations(("1.1", "1.2", "9.1", "9.2"))), ids=lambda order: ",".join(order)
)
def test_the_order_of_arrival_makes_no_difference(index: Exports, order: tuple[str, ...]) -> None:
    """Whatever comes last completes the export, and nothing before it does."""
    for uid in order:
        assert [one.state for one in index.listing() if one.state is State.READY] == []
        if uid == "9.1":
            a_manifest(index, uid, of=("1.1", "1.2"), siblings=("9.2",))
        elif uid == "9.2":
            a_manifest(index, uid, of=("1.1", "1.2"), siblings=("9.1",))
        else:
            an_instance(index, uid)
    assert [(one.state, one.missing) for one in index.listing()] == [(State.READY, 0)]


def test_the_same_bytes_twice_are_one_instance(index: Exports) -> None:
    """A repeated C-STORE changes nothing."""
    assert an_instance(index, "1.1") is Intake.NEW
    assert an_instance(index, "1.1") is Intake.DUPLICATE
    a_manifest(index)
    assert index.listing()[0].missing == 2
    assert a_manifest(index) is Intake.DUPLICATE
    assert len(index.listing()) == 1


def test_one_uid_with_two_contents_is_held(index: Exports, clock: Clock) -> None:
    """Which of two contents was meant cannot be decided, so none goes on."""
    an_instance(index, "1.1", content="another")
    export = complete(index, clock)
    with pytest.raises(Hold) as held:
        index.arrived(export, Path)
    assert [reason.code for reason in held.value.reasons] == ["conflict"]


def test_an_instance_of_another_sop_class_than_the_manifest_says_is_held(
    index: Exports, clock: Clock
) -> None:
    """A reference that names another SOP Class does not resolve."""
    an_instance(index, "1.1", sop_class="1.2.840.10008.5.1.4.1.1.4")
    an_instance(index, "1.2")
    an_instance(index, "1.3")
    a_manifest(index)
    clock.now += 10
    export = index.lease()
    assert export is not None
    with pytest.raises(Hold) as held:
        index.arrived(export, Path)
    assert [reason.code for reason in held.value.reasons] == ["sop-class"]


def test_manifests_come_last_in_what_has_arrived(index: Exports, clock: Clock) -> None:
    """The road sees instances first and manifests last, whatever came first."""
    a_manifest(index)
    for uid in INSTANCES:
        an_instance(index, uid)
    clock.now += 10
    export = index.lease()
    assert export is not None
    kinds = [member.kind for member in index.arrived(export, Path)]
    assert kinds == [DocumentKind.INSTANCE] * 3 + [DocumentKind.MANIFEST]


@pytest.mark.parametrize(
    "other",
    [
        {"of": ("1.1",)},
        {"title": ExportTitle.TEACHING},
        {"case": "other-trial"},
        {"siblings": ("9.1", "9.3")},
    ],
    ids=["references", "title", "description", "siblings"],
)
def test_siblings_that_disagree_are_held(index: Exports, other: dict[str, Any]) -> None:
    """Two manifests of one selection must say the same: references, title, description, and who belongs to it."""
    a_manifest(index, "9.1", siblings=("9.2",), case="lung-trial")
    a_manifest(index, "9.2", **{"siblings": ("9.1",), "case": "lung-trial", **other})
    (export,) = index.listing()
    assert (export.state, export.reasons[0].code) == (State.HELD, "siblings-differ")


def test_the_index_holds_no_free_text(index: Exports, url: str) -> None:
    """A Key Object Description may name anybody; the index only tells one from another."""
    a_manifest(index, case="Mrs. Somebody's nodule")
    index.close()
    assert b"Somebody" not in Path(url.removeprefix("sqlite:///")).read_bytes()


def test_a_manifest_with_faults_is_held_for_good(index: Exports) -> None:
    """A faulty manifest is kept, named, and no retry lets it pass."""
    a_manifest(index, faults=(Reason("evidence-differs", "it contradicts itself"),))
    (export,) = index.listing()
    assert (export.state, export.reasons[0].code) == (State.HELD, "evidence-differs")
    with pytest.raises(ExportError, match="never"):
        index.retry(export.id)


def test_a_manifest_that_cannot_be_read_is_held(index: Exports) -> None:
    """It is listed with the reason instead of being lost."""
    reason = Reason("malformed-manifest", "it cannot be read")
    index.arrive([entry("9.9", KOS, DocumentKind.MANIFEST, faults=(reason,))])
    assert [(one.state, one.reasons) for one in index.listing()] == [(State.HELD, (reason,))]


def test_a_delayed_manifest_is_never_ready(index: Exports, clock: Clock) -> None:
    """Neither its instances nor time release it."""
    a_manifest(index, delay=(DelayReason.DISCHARGE,))
    for uid in INSTANCES:
        an_instance(index, uid)
    clock.now += 1e6
    assert index.lease() is None
    assert index.give_up(60) == 0
    assert [one.state for one in index.listing()] == [State.DELAYED]


@pytest.mark.parametrize(
    ("title", "of", "expected"),
    [
        (ExportTitle.TRIAL, (*INSTANCES, "1.4"), State.CANCELLED),
        (ExportTitle.TRIAL, INSTANCES[:2], State.DELAYED),
        (ExportTitle.TEACHING, INSTANCES, State.DELAYED),
    ],
    ids=["covers-it", "covers-a-part", "another-title"],
)
def test_a_new_manifest_supersedes_the_delayed_one_that_it_covers(
    index: Exports, title: ExportTitle, of: tuple[str, ...], expected: State
) -> None:
    """Only an undelayed manifest of the same title with all of its content takes its place."""
    a_manifest(index, "9.1", delay=(DelayReason.DISCHARGE,))
    a_manifest(index, "9.2", of=of, title=title)
    assert index.listing()[0].state is expected


@pytest.mark.parametrize(
    "order",
    [
        order
        for order in itertools.permutations(("8.1", "9.1", "8.2", "9.2"))
        if order.index("9.1") < order.index("9.2")
    ],
    ids=",".join,
)
def test_each_selection_has_information_of_its_own(index: Exports, order: tuple[str, ...]) -> None:
    """The documents that only describe a selection do not count when a later one takes its place."""
    for uid in order:
        if uid.startswith("8"):
            an_information(index, uid)
        else:
            delay = (DelayReason.FINAL_REPORT,) if uid == "9.1" else ()
            a_manifest(index, uid, of=(*INSTANCES, uid.replace("9", "8")), delay=delay)
    assert [one.state for one in index.listing()] == [State.CANCELLED, State.COLLECTING]


def test_a_selection_for_another_case_leaves_the_delayed_one(index: Exports) -> None:
    """The same instances may be wanted by two cases; the manifests' descriptions tell them apart."""
    a_manifest(index, "9.1", delay=(DelayReason.FINAL_REPORT,), case="lung-1")
    a_manifest(index, "9.2", case="lung-2")
    assert index.listing()[0].state is State.DELAYED


def test_a_delayed_selection_of_documents_only_is_left(index: Exports) -> None:
    """What is not known to hold any instance is not covered by everything."""
    an_information(index, "8.1")
    a_manifest(index, "9.1", of=("8.1",), delay=(DelayReason.FINAL_REPORT,))
    a_manifest(index, "9.2")
    assert index.listing()[0].state is State.DELAYED


def test_a_complete_export_settles_before_it_is_taken(index: Exports, clock: Clock) -> None:
    """It waits for the settle time and is then taken once."""
    a_manifest(index)
    for uid in INSTANCES:
        an_instance(index, uid)
    clock.now += 1.9
    assert index.lease() is None
    clock.now += 0.2
    export = index.lease()
    assert export is not None
    assert export.state is State.WORKING
    assert index.lease() is None


def test_a_lease_of_a_dead_process_is_given_back(index: Exports, url: str, clock: Clock) -> None:
    """After a restart the export is taken again."""
    export = complete(index, clock)
    restarted = Exports(url, clock=clock)
    assert restarted.lease() is None
    assert restarted.recover() == 1
    again = restarted.lease()
    assert again is not None
    assert again.id == export.id


def test_a_dead_delivery_goes_on_where_it_was(index: Exports, url: str, clock: Clock) -> None:
    """What a receiver has, and what was sealed, is still known after a restart."""
    one, two = sealed("2.1", "2.2")
    export = index.seal(
        complete(index, clock), [one, two], case_id="c", policy_digest="d", tally={"instances": 2}
    )
    index.delivered(export, [Delivered(one, "RECEIVER")])
    restarted = Exports(url, clock=clock)
    restarted.recover()
    again = restarted.lease()
    assert again is not None
    assert (again.state, again.case_id, again.tally) == (State.DELIVERING, "c", {"instances": 2})
    assert restarted.sealed(again) == [one, two]
    assert restarted.has(again, "RECEIVER") == {("2.1", "sha256:2.1")}
    assert restarted.has(again, "OTHER") == set()


def test_what_failed_for_now_is_tried_after_a_pause(index: Exports, clock: Clock) -> None:
    """A lease given back is taken again later, with its attempts counted and the reason kept."""
    export = complete(index, clock)
    index.give_back(export, [Reason("failed", "a service was away")], wait=5)
    assert index.lease() is None
    clock.now += 6
    again = index.lease()
    assert again is not None
    assert (again.attempts, again.reasons[0].what) == (1, "a service was away")


def test_an_export_that_stays_incomplete_fails_with_what_is_missing(index: Exports, clock: Clock) -> None:
    """It is reported, and can be completed after a person asked for another try."""
    a_manifest(index)
    an_instance(index, "1.1")
    clock.now += 61
    assert index.give_up(60) == 1
    (export,) = index.listing()
    assert export.state is State.FAILED
    assert [(one.sop_instance_uid, one.is_manifest) for one in index.missing(export.id)] == [
        ("1.2", False),
        ("1.3", False),
    ]
    index.retry(export.id)
    an_instance(index, "1.2")
    an_instance(index, "1.3")
    assert index.get(export.id).state is State.READY


def test_a_person_can_hold_retry_and_cancel(index: Exports, clock: Clock) -> None:
    """A held export is not taken; a retried one is; a cancelled one never again."""
    a_manifest(index)
    for uid in INSTANCES:
        an_instance(index, uid)
    clock.now += 10
    (export,) = index.listing()
    index.hold(export.id, [Reason("person", "wait for consent")])
    assert index.lease() is None
    assert index.retry(export.id).state is State.READY
    clock.now += 10
    assert index.cancel(export.id).state is State.CANCELLED
    assert index.lease() is None
    with pytest.raises(ExportError, match="not possible"):
        index.retry(export.id)


def test_what_is_being_worked_on_cannot_be_cancelled(index: Exports, clock: Clock) -> None:
    """The table names no such transition, and the message says who must act."""
    export = complete(index, clock)
    with pytest.raises(ExportError) as refused:
        index.cancel(export.id)
    assert "nobody" in refused.value.next_step


def test_every_transition_is_told_once_and_after_the_commit(
    index: Exports, clock: Clock, changes: list[Notice]
) -> None:
    """The audit trail sees each change in order, and none that did not happen."""
    export = complete(index, clock)
    index.close_export(export)
    assert [State(change.detail["after"]) for change in changes] == [
        State.COLLECTING,
        State.READY,
        State.WORKING,
        State.DELIVERED,
    ]
    with pytest.raises(ExportError):
        index.close_export(export)
    assert len(changes) == 4


def test_an_unknown_export_is_named_as_such(index: Exports) -> None:
    """A wrong id leads to one line that says where to look."""
    with pytest.raises(ExportError) as refused:
        index.get("nope")
    assert "list" in refused.value.next_step


def test_arrivals_on_many_associations_miss_nothing(index: Exports) -> None:
    """Instances and manifests that arrive at the same instant still complete."""
    uids = tuple(f"5.{n}" for n in range(40))
    start = threading.Barrier(5)

    def some(part: int) -> None:
        start.wait()
        for uid in uids[part::4]:
            an_instance(index, uid)

    threads = [threading.Thread(target=some, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    start.wait()
    a_manifest(index, of=uids)
    for thread in threads:
        thread.join()
    assert [(one.state, one.missing) for one in index.listing()] == [(State.READY, 0)]


def test_the_migrations_make_the_tables_that_the_code_reads(url: str) -> None:
    """Tables as migrated and tables as declared do not differ, and the last revision is the one named."""
    engine = tables.open_database(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, tables.metadata) == []
    config = Config()
    config.set_main_option("script_location", str(Path(tables.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == tables.REVISION


def test_a_database_is_opened_by_several_at_once(url: str) -> None:
    """Nobody finds half-made tables."""
    failures: list[BaseException] = []

    def opening() -> None:
        try:
            Exports(url).listing()
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=opening) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_commit_survives_a_loss_of_power(url: str, tmp_path: Path) -> None:
    """SQLite flushes every commit (synchronous FULL) and keeps a write-ahead log."""
    engine = tables.open_database(url)
    with engine.connect() as connection:
        assert connection.scalar(sa.text("PRAGMA synchronous")) == 2
    assert sqlite3.connect(tmp_path / "exports.db").execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_the_index_says_nothing_of_an_export_in_its_repr(index: Exports, clock: Clock) -> None:
    """UIDs and free text do not reach a log by way of a repr."""
    export = replace(complete(index, clock), description="free text")
    assert "free text" not in repr(export)
    received = index.arrived(export, lambda name: Path("somewhere"))[0].received
    assert "sop_instance_uid" not in repr(received)


def test_an_export_that_is_described_does_not_settle(index: Exports, clock: Clock) -> None:
    """With its additional information nothing more is to come: it is taken at once."""
    an_information(index, "7.7")
    for uid in INSTANCES:
        an_instance(index, uid)
    a_manifest(index, of=(*INSTANCES, "7.7"))
    assert index.lease() is not None
