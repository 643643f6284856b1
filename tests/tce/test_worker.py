"""What the worker decides about an export: tce.worker, with the real engine and real files.

Nothing listens here except where delivery itself is the point; arrivals go through the desk that the listener
uses.
"""

from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, generate_uid

from tce.actors.receiver import MediumReport
from tce.arrivals import ArrivalDesk
from tce.delivering import ATTEMPTS
from tce.documents.codes import (
    KEY_OBJECT_SELECTION,
    TITLE_MODIFIER,
    DelayReason,
    ExportTitle,
    InformationTitle,
    Scheme,
)
from tce.documents.content import code, concept
from tce.documents.disposition import Disposition, DocumentRules
from tce.documents.manifest import Manifest, parse
from tce.exports import Exports
from tce.ledger import Export
from tce.network.storage_scu import send
from tce.network.store_reader import Arrival, Status
from tce.road import CaseTerms, Delivered, Hold, Reason, Workshop
from tce.states import State
from tce.worker import PATIENCE, Worker
from tests.tce.parts import (
    CASE,
    MANAGER,
    CaseShelf,
    a_receiver,
    a_request,
    documents,
    pseudonymized_ct,
    rooms,
    terms,
)
from tests.tce.workbench import Bench
from vault.errors import Sealed, Unreachable


def in_another_study(path: Path) -> Path:
    """The instance, in a study of its own."""
    ds = dcmread(path)
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = (generate_uid() for _ in range(3))
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    copy = path.with_name(f"{path.name}-other-{ds.SOPInstanceUID[-6:]}")
    ds.save_as(copy, enforce_file_format=True)
    return copy


def held(export: Export) -> list[str]:
    """The codes of the reasons for which an export is held."""
    assert export.state is State.HELD, (export.state, export.reasons)
    return [reason.code for reason in export.reasons]


def test_an_approved_request_is_sealed(bench: Bench, ct: list[Path]) -> None:
    """Case, policy and selector agree: the export is anonymized, verified and ready to be delivered."""
    bench.hand_in(*ct, *documents(ct, bench.home / "docs", request=a_request()))
    export = bench.work()
    assert (export.state, export.case_id) == (State.DELIVERING, CASE)
    sealed = bench.exports.sealed(export)
    assert [one.is_manifest for one in sealed] == [False] * 6 + [True]


def test_the_sealed_manifest_references_what_was_sealed(bench: Bench, ct: list[Path]) -> None:
    """Every reference of the manifest that goes out is an instance that goes out, and none is an original."""
    bench.hand_in(*ct, *documents(ct, bench.home / "docs", request=a_request()))
    sealed = bench.exports.sealed(bench.work())
    outgoing = parse(dcmread(sealed[-1].path))
    assert outgoing.faults == ()
    referenced = {one.sop_instance_uid for one in outgoing.manifest.references}
    assert referenced == {one.sop_instance_uid for one in sealed[:-1]}
    assert referenced.isdisjoint(str(dcmread(path).SOPInstanceUID) for path in ct)


def test_the_policy_request_does_not_leave(bench: Bench, ct: list[Path]) -> None:
    """No file that goes out holds the digest, or an item that carried the request."""
    request = a_request()
    bench.hand_in(*ct, *documents(ct, bench.home / "docs", request=request))
    for one in bench.exports.sealed(bench.work()):
        content = one.path.read_bytes()
        assert request.digest.encode() not in content
        assert b"POLICY_" not in content


@pytest.mark.parametrize(
    "changed",
    [
        {"digest": "sha256:" + 64 * "0"},
        {"version": "another"},
        {"name": "basic"},
        {"digest": ""},
    ],
    ids=["digest", "version", "name", "no-digest"],
)
def test_a_policy_that_is_not_the_approved_one_is_held(
    bench: Bench, ct: list[Path], changed: dict[str, str]
) -> None:
    """Whoever asks for another policy, or does not say exactly which, gets nothing done."""
    bench.hand_in(*ct, *documents(ct, bench.home / "docs", request=a_request(**changed)))
    assert held(bench.work()) == ["policy"]


def test_without_a_request_the_policy_of_the_case_applies(bench: Bench, ct: list[Path]) -> None:
    """The Key Object Description names the case; its approved policy is the default."""
    bench.hand_in(*ct, *documents(ct, bench.home / "docs", description=CASE))
    assert bench.work().state is State.DELIVERING


@pytest.mark.parametrize("description", ["", "Dr. Somebody's interesting case"], ids=["nothing", "free-text"])
def test_a_selection_that_names_no_case_is_held(bench: Bench, ct: list[Path], description: str) -> None:
    """No case is guessed from anything else, and the text does not reach the reason."""
    bench.hand_in(*ct, *documents(ct, bench.home / "docs", description=description))
    export = bench.work()
    assert held(export) == ["no-case"]
    assert "Somebody" not in str(export.reasons)


def test_a_title_leads_to_the_case_that_the_settings_name(bench: Bench, ct: list[Path]) -> None:
    """A workstation that only knows the profile's titles can select, if its site says which case is meant."""
    rules = DocumentRules(Disposition(titles={ExportTitle.TRIAL: CASE}))
    bench.hand_in(*ct, *documents(ct, bench.home / "docs", description="Dr. Somebody's interesting case"))
    bench.worker = Worker(
        bench.exports, bench.spool, rooms(bench.cases, bench.log, bench.releases), MANAGER, rules
    )
    export = bench.work()
    assert (export.state, export.case_id) == (State.DELIVERING, CASE)
    assert all(b"Somebody" not in one.path.read_bytes() for one in bench.exports.sealed(export))


@pytest.mark.parametrize("scheme", Scheme, ids=str)
@pytest.mark.parametrize("title", ExportTitle, ids=lambda title: title.name)
def test_documents_leave_in_the_codes_that_are_set(
    bench: Bench, ct: list[Path], scheme: Scheme, title: ExportTitle
) -> None:
    """Whatever scheme the selector writes, the receiver gets the one of the settings, and verification agrees."""
    docs = documents(ct[:1], bench.home / "docs", request=a_request(), manifest=Manifest(title, ()))
    bench.hand_in(ct[0], *docs)
    bench.worker = Worker(
        bench.exports,
        bench.spool,
        rooms(bench.cases, bench.log, bench.releases),
        MANAGER,
        DocumentRules(scheme=scheme),
    )
    _, information, manifest = (dcmread(one.path) for one in bench.exports.sealed(bench.work()))
    assert concept(manifest) == title.code(scheme)
    assert concept(information) == InformationTitle.ADDITIONAL_INFORMATION.code(scheme)


def test_a_delay_that_comes_while_an_export_is_held_is_not_forgotten(bench: Bench, ct: list[Path]) -> None:
    """A person's retry lets nothing go whose manifest carries a Delay Reason."""
    two = [*ct[:2], in_another_study(ct[2])]
    *others, late = documents(two, bench.home / "docs", request=a_request())
    bench.hand_in(*two, *others)
    (export,) = bench.exports.listing()
    bench.exports.hold(export.id, [Reason("person", "somebody wants to look at it")])
    ds = dcmread(late)
    ds.ContentSequence.insert(
        0, code("HAS CONCEPT MOD", TITLE_MODIFIER, DelayReason.DEATH.code(Scheme.IHERADTF))
    )
    ds.save_as(late, enforce_file_format=True)
    bench.hand_in(late)
    bench.exports.retry(export.id)
    assert held(bench.work()) == ["delay"]


def test_a_broken_manifest_stops_nobody_else(bench: Bench, ct: list[Path], tmp_path: Path) -> None:
    """One altered byte, a Value Representation that does not exist: held by itself, and the next selection goes on."""
    (broken,) = documents(ct, tmp_path / "broken", description=CASE)
    data = broken.read_bytes()
    at = data.rindex(b"\x08\x00\x55\x11UI")  # Referenced SOP Instance UID of the last content item
    broken.write_bytes(data[: at + 4] + b"UQ" + data[at + 6 :])
    bench.hand_in(*ct, broken, *documents(ct, bench.home / "docs", request=a_request()))
    bench.work()
    first, second = bench.exports.listing()
    assert held(first) == ["malformed-manifest"]
    assert second.state is State.DELIVERING


def test_several_studies_in_one_manifest_are_exported_as_they_came(bench: Bench, ct: list[Path]) -> None:
    """A selector that writes one manifest for two studies, and names no sibling, waits for none."""
    two = [*ct[:2], in_another_study(ct[2])]
    *others, last = documents(two, bench.home / "docs", request=a_request())
    ds = dcmread(last)
    del ds.IdenticalDocumentsSequence
    ds.save_as(last, enforce_file_format=True)
    bench.hand_in(*two, others[0], last)
    sealed = bench.exports.sealed(bench.work())
    assert len(sealed) == len(two) + 2
    assert parse(dcmread(sealed[-1].path)).faults == ()


@pytest.mark.parametrize("spoiled", [0, 1], ids=["report", "manifest"])
def test_a_document_that_cannot_be_read_holds_the_export(
    bench: Bench, ct: list[Path], tmp_path: Path, spoiled: int
) -> None:
    """A report or an older manifest that was cut off is refused, and not mended by being written anew."""
    older = documents(ct[:1], tmp_path / "older", request=a_request(), description=CASE)[spoiled]
    docs = documents([*ct, older], bench.home / "docs", description=CASE)
    older.write_bytes(older.read_bytes()[:-100])
    bench.hand_in(*ct, older, *docs)
    bench.work()
    reasons = {reason for export in bench.exports.listing() for reason in export.reasons}
    assert "truncated" in {reason.code for reason in reasons}
    assert all(not bench.exports.sealed(export) for export in bench.exports.listing())


def test_a_manifest_that_is_merely_referenced_leaves_without_its_delay(
    bench: Bench, ct: list[Path], tmp_path: Path
) -> None:
    """An older, delayed manifest may be part of a selection; no manifest that leaves carries a Delay Reason."""
    delayed = documents(
        ct, tmp_path / "delayed", manifest=Manifest(ExportTitle.TRIAL, (), tuple(DelayReason), CASE)
    )
    bench.hand_in(*ct, *delayed)
    assert bench.exports.listing()[0].state is State.DELAYED
    bench.hand_in(*documents([*ct, *delayed], bench.home / "docs", description=CASE))
    export = bench.work()
    assert [one.state for one in bench.exports.listing()] == [State.CANCELLED, State.DELIVERING]
    leaving = [parse(dcmread(one.path)) for one in bench.exports.sealed(export)[-2:]]
    assert [one.manifest.delay_reasons for one in leaving] == [(), ()]


def test_a_case_that_is_not_approved_is_held(bench: Bench, ct: list[Path]) -> None:
    """The reason that the case book gives is the reason of the hold."""
    bench.hand_in(*ct, *documents(ct, bench.home / "docs", request=a_request(case="other-trial")))
    assert held(bench.work()) == ["unknown-case"]


def test_a_sender_that_may_not_select_for_the_case_is_held(bench: Bench, ct: list[Path]) -> None:
    """Being allowed to send is not being allowed to select; the listing says for which case it was meant."""
    bench.hand_in(*ct)
    bench.hand_in(*documents(ct, bench.home / "docs", request=a_request()), calling="OTHER")
    export = bench.work()
    assert held(export) == ["selector"]
    assert export.case_id == CASE


@pytest.mark.parametrize(("code", "shown"), [("not-approved", "waiting"), ("case", "")])
def test_a_held_export_shows_the_case_that_the_site_knows(
    bench: Bench, ct: list[Path], code: str, shown: str
) -> None:
    """A case without approval is named; a word that is no case of the site may be anything, and is not."""

    class Refusing:
        def terms(self, case_id: str) -> CaseTerms:
            raise Hold([Reason(code, "no")])

    bench.worker._rooms = replace(bench.worker._rooms, cases=Refusing())
    bench.hand_in(*ct, *documents(ct, bench.home / "docs", request=a_request(case="waiting")))
    export = bench.work()
    assert held(export) == [code]
    assert export.case_id == shown


def test_instances_may_come_from_another_sender(bench: Bench, ct: list[Path]) -> None:
    """A PACS may send what a selector selects."""
    bench.hand_in(*ct, calling="OTHER")
    bench.hand_in(*documents(ct, bench.home / "docs", request=a_request()))
    assert bench.work().state is State.DELIVERING


def test_a_case_without_receiver_is_held(bench: Bench, ct: list[Path]) -> None:
    """An export that goes nowhere is not delivered."""
    bench.cases.cases[CASE] = terms()
    bench.hand_in(*ct, *documents(ct, bench.home / "docs", request=a_request()))
    assert held(bench.work()) == ["receiver"]


def test_two_patients_in_one_manifest_are_held(
    bench: Bench, ct: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A manifest whose instances are of two patients exports neither."""
    other = pseudonymized_ct(tmp_path_factory.mktemp("other") / "ct", patient=3, slices=1)
    mixed = [*ct, other[0]]
    ds = dcmread(other[0])
    ds.StudyInstanceUID = dcmread(ct[0]).StudyInstanceUID  # one study, so that one manifest references both
    ds.save_as(other[0], enforce_file_format=True)
    bench.hand_in(*mixed, *documents(mixed, bench.home / "docs", request=a_request()))
    assert "several-patients" in held(bench.work())


def test_one_refused_instance_holds_the_whole_export(bench: Bench, ct: list[Path]) -> None:
    """An instance that is not what its file meta says is refused; the others do not go without it."""
    bench.hand_in(*ct[1:], *documents(ct, bench.home / "docs", request=a_request()))
    bench.hand_in(ct[2], uid=str(dcmread(ct[0]).SOPInstanceUID))
    export = bench.work()
    assert "uid-mismatch" in held(export)
    assert bench.exports.sealed(export) == []


def test_a_broken_instance_holds_the_whole_export(bench: Bench, ct: list[Path], tmp_path: Path) -> None:
    """A truncated instance was stored as it came; it is refused when it is looked at."""
    truncated = tmp_path / "truncated"
    truncated.write_bytes(ct[0].read_bytes()[:-1000])
    bench.hand_in(truncated, *ct[1:], *documents(ct, bench.home / "docs", request=a_request()))
    assert held(bench.work())


def test_a_finding_of_the_verifier_holds_the_whole_export(bench: Bench, ct: list[Path]) -> None:
    """What verification finds is the reason, and nothing is sealed."""
    real = rooms(bench.cases, bench.log, bench.releases)

    class Strict:
        def findings(self, instances: object) -> list[Reason]:
            return [Reason("residue", "instance 1 still holds a value of its source")]

    strict = replace(real, workshop=lambda case: replace(real.workshop(case), verifier=Strict()))
    bench.worker = Worker(bench.exports, bench.spool, strict, MANAGER)
    bench.hand_in(*ct, *documents(ct, bench.home / "docs", request=a_request()))
    export = bench.work()
    assert held(export) == ["residue"]
    assert bench.exports.sealed(export) == []


def test_a_service_that_is_away_is_asked_again(bench: Bench, ct: list[Path]) -> None:
    """A failure that is nobody's decision gives the export back, and later it goes on."""
    real = rooms(bench.cases, bench.log, bench.releases)
    calls: list[str] = []

    def workshop(case: CaseTerms) -> Workshop[Any]:
        calls.append(case.id)
        if len(calls) == 1:
            raise ConnectionError("secret text of a library")
        return real.workshop(case)

    bench.worker = Worker(bench.exports, bench.spool, replace(real, workshop=workshop), MANAGER)
    bench.hand_in(*ct, *documents(ct, bench.home / "docs", request=a_request()))
    export = bench.work()
    assert (export.state, export.attempts) == (State.READY, 1)
    assert "secret" not in str(export.reasons)
    bench.clock.now += 10
    assert bench.work().state is State.DELIVERING


def test_a_key_server_that_is_away_uses_up_no_attempt(bench: Bench, ct: list[Path]) -> None:
    """However long it is away, the export waits, says so, and goes on when the key server is back."""
    real = rooms(bench.cases, bench.log, bench.releases)
    calls: list[float] = []
    away = True

    def workshop(case: CaseTerms) -> Workshop[Any]:
        calls.append(bench.clock.now)
        if away:
            raise Unreachable("Vault at https://vault.example does not answer")
        return real.workshop(case)

    bench.worker = Worker(bench.exports, bench.spool, replace(real, workshop=workshop), MANAGER)
    bench.hand_in(*ct, *documents(ct, bench.home / "docs", request=a_request()))
    for _ in range(3 * ATTEMPTS * 100):
        export = bench.work()
        bench.clock.now += 1
    assert (export.state, export.attempts) == (State.READY, 0)
    assert [reason.code for reason in export.reasons] == ["key-server-away"]
    assert "does not answer" in export.reasons[0].what
    assert ATTEMPTS < len(calls) < 100, "it is asked with pauses, and not with endless ones"
    away = False
    bench.clock.now += 60
    assert bench.work().state is State.DELIVERING


def test_a_key_server_that_is_back_is_asked_soon_the_next_time(bench: Bench, ct: list[Path]) -> None:
    """The pauses grow while it is away, and begin anew after it has served."""
    real = rooms(bench.cases, bench.log, bench.releases)
    answers = iter([Sealed("x")] * 6 + [None] + [Sealed("x")] * 2)

    def workshop(case: CaseTerms) -> Workshop[Any]:
        if (refusal := next(answers, None)) is not None:
            raise refusal
        return real.workshop(case)

    bench.worker = Worker(bench.exports, bench.spool, replace(real, workshop=workshop), MANAGER)
    bench.hand_in(*ct, *documents(ct, bench.home / "docs", request=a_request()))
    while (export := bench.work()).state is not State.DELIVERING:
        bench.clock.now += 60
    bench.exports.hold(export.id, [Reason("held-by-person", "x")])
    bench.exports.retry(export.id)
    assert bench.work().state is State.READY
    bench.clock.now += 2
    bench.work()
    assert next(answers, "none left") == "none left"


def test_a_receiver_that_never_answers_fails_the_export_in_the_end(bench: Bench, ct: list[Path]) -> None:
    """It is tried for days, then reported as failed with the reason, and can be retried."""
    bench.hand_in(*ct, *documents(ct, bench.home / "docs", request=a_request()))
    began = bench.clock.now
    while (export := bench.work()).state is State.DELIVERING:
        bench.clock.now += PATIENCE / 5
        assert bench.clock.now < began + 2 * PATIENCE
    assert export.state is State.FAILED
    assert bench.clock.now - began > PATIENCE
    assert [reason.code for reason in export.reasons] == ["receiver-away"]
    assert "does not answer" in export.reasons[0].what
    assert bench.releases.releases == {}


def test_delivery_resumes_with_what_is_missing(bench: Bench, ct: list[Path], tmp_path: Path) -> None:
    """What a receiver has answered with Success is not sent to it again."""
    media: list[MediumReport] = []
    bench.hand_in(*ct, *documents(ct, bench.home / "docs", request=a_request()))
    export = bench.work()
    sealed = bench.exports.sealed(export)
    with a_receiver(tmp_path / "receiver", media) as receiver:
        bench.cases.cases[CASE] = terms(receiver.peer)
        send([one.path for one in sealed[:4]], receiver.peer, MANAGER)
        for one in sealed[:4]:
            bench.exports.delivered(export, [Delivered(one, "RECEIVER")])
        bench.clock.now += 100
        assert bench.work().state is State.DELIVERED
        receiver.wait_for(lambda found: [one.state for one in found] == [State.DELIVERED])
    begun = [detail for event, _, detail in bench.log.events if event == "begin transfer"]
    assert begun[-1]["instances"] == "3"
    assert [report.instances for report in media] == [7]
    assert len(bench.releases.releases[export.id].instances) == 7
    [exported] = [detail for event, _, detail in bench.log.events if event == "export"]
    assert exported["manifest"] == media[0].manifest


def test_an_approval_withdrawn_before_delivery_stops_it(bench: Bench, ct: list[Path]) -> None:
    """Sealed is not sent: the case is asked again before anything leaves."""
    bench.hand_in(*ct, *documents(ct, bench.home / "docs", request=a_request()))
    assert bench.work().state is State.DELIVERING
    bench.cases.cases.clear()
    bench.clock.now += 100
    assert held(bench.work()) == ["unknown-case"]


def test_a_case_that_has_another_policy_now_stops_delivery(bench: Bench, ct: list[Path]) -> None:
    """What was anonymized under one policy does not go out under another."""
    bench.hand_in(*ct, *documents(ct, bench.home / "docs", request=a_request()))
    bench.work()
    newer = replace(bench.cases.cases[CASE].policy, digest="sha256:" + 64 * "1")
    bench.cases.cases[CASE] = replace(bench.cases.cases[CASE], policy=newer)
    bench.clock.now += 100
    assert held(bench.work()) == ["policy-changed"]


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\0\0")


@pytest.mark.parametrize("spoil", [append, Path.unlink], ids=["changed", "gone"])
def test_a_sealed_file_that_is_not_as_it_was_does_not_leave(
    bench: Bench, ct: list[Path], spoil: Callable[[Path], None]
) -> None:
    """The bytes that leave are the bytes that were verified."""
    bench.hand_in(*ct, *documents(ct, bench.home / "docs", request=a_request()))
    spoil(bench.exports.sealed(bench.work())[2].path)
    bench.clock.now += 100
    assert held(bench.work()) == ["changed"]


def test_a_retried_export_comes_out_the_same(bench: Bench, ct: list[Path]) -> None:
    """Same input, same keys, same policy: the same digests."""
    bench.hand_in(*ct, *documents(ct, bench.home / "docs", request=a_request()))
    export = bench.work()
    before = [one.digest for one in bench.exports.sealed(export)]
    bench.exports.hold(export.id, [Reason("person", "look again")])
    bench.exports.retry(export.id)
    again = bench.work()
    assert [one.digest for one in bench.exports.sealed(again)] == before


def test_the_spool_makes_the_index_again(bench: Bench, ct: list[Path]) -> None:
    """Files whose index entry was lost are entered with sender and UIDs, and the export completes."""
    bench.hand_in(*ct, *documents(ct, bench.home / "docs", request=a_request()))
    exports = Exports(f"sqlite:///{bench.home / 'new.db'}", clock=bench.clock)
    desk = ArrivalDesk(bench.spool, exports)
    assert desk.adopt() == 7
    assert desk.adopt() == 0
    worker = Worker(exports, bench.spool, rooms(bench.cases, bench.log, bench.releases), MANAGER)
    worker.step()
    assert [one.state for one in exports.listing()] == [State.DELIVERING]


def test_a_hold_needs_its_reasons_in_words() -> None:
    """Whoever reads the exception reads every reason."""
    hold = Hold([Reason("a", "first"), Reason("b", "second")])
    assert str(hold) == "first; second"


class WithdrawnAfter:
    """Cases of which the approval is withdrawn after so many questions of a delivery."""

    def __init__(self, cases: CaseShelf, questions: int) -> None:
        self.cases, self.left = cases, questions

    def terms(self, case_id: str) -> CaseTerms:
        return self.cases.terms(case_id)

    def permission(self, terms: CaseTerms) -> Callable[[], None]:
        def ask() -> None:
            if self.left == 0:
                self.cases.cases.clear()
            self.left -= 1
            self.cases.terms(terms.id)

        return ask


def test_an_approval_withdrawn_in_the_middle_of_a_delivery_stops_it_there(
    bench: Bench, ct: list[Path], tmp_path: Path
) -> None:
    """What was sent before is written down, nothing is sent after, no manifest leaves, and the export is held."""
    bench.hand_in(*ct, *documents(ct, bench.home / "docs", request=a_request()))
    export = bench.work()
    with a_receiver(tmp_path / "receiver", []) as receiver:
        bench.cases.cases[CASE] = terms(receiver.peer)
        book = WithdrawnAfter(bench.cases, 4)  # one question to begin with, then one for each instance
        bench.worker._rooms = replace(bench.worker._rooms, cases=book)
        bench.clock.now += 100
        assert held(bench.work()) == ["unknown-case"]
    index = Exports(receiver.exports_url)  # its last lull was at its end
    assert sum(one.instances for one in index.unclaimed()) == 3
    index.close()
    assert len(bench.exports.has(export, "RECEIVER")) == 3
    assert bench.releases.releases == {}


def test_a_release_tells_of_its_holds(bench: Bench, ct: list[Path], tmp_path: Path) -> None:
    """Why an export was held, and who let it go on, is known when it is released."""
    bench.hand_in(*ct, *documents(ct, bench.home / "docs", request=a_request()))
    export = bench.work()
    with a_receiver(tmp_path / "receiver", []) as receiver:
        bench.cases.cases[CASE] = terms(receiver.peer)
        bench.exports.hold(export.id, [Reason("held-by-person", "consent of Ann is checked")])
        bench.exports.retry(export.id, "carol")
        bench.clock.now += 100
        assert bench.work().state is State.DELIVERED
    [hold] = bench.releases.releases[export.id].holds
    assert (hold.reasons, hold.by) == (("held-by-person",), "carol")
    assert hold.held and hold.resolved


@pytest.mark.parametrize("syntax", [DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_no_document_fills_the_memory(bench: Bench, syntax: str) -> None:
    """A peer's document that is half a gigabyte, or inflates to it, is taken in, and not into memory."""
    arriving = bench.desk.open(Arrival("SELECTOR", str(KEY_OBJECT_SELECTION), "1.2.3", str(syntax)))
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = syntax == DeflatedExplicitVRLittleEndian
    head = b"\x08\0\x05\0UN\0\0" + (1 << 29).to_bytes(4, "little")
    for piece in (head, *[bytes(1 << 20)] * (1 << 9)):
        arriving.write(memoryview(stream.compress(piece) if deflated else piece))
    arriving.write(memoryview(stream.flush() if deflated else b""))
    tracemalloc.start()
    try:
        assert arriving.finish() is Status.SUCCESS
        assert bench.desk.index() == 1
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 200 << 20
