"""The road's parts for tests: real engine, real verification, real associations; keys that stand in a test file.

Cases, audit trail and release book implement the road's protocols in memory or in a folder, and can be told to
misbehave. :func:`a_manager` and :func:`a_receiver` run the actors on free ports of this machine.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset

from policies.engine import Engine
from policies.loader import load_library
from policies.model import Policy
from tce.actors import export_manager, receiver
from tce.actors.export_manager import ManagerSettings
from tce.actors.receiver import MediumReport, ReceiverSettings
from tce.config import Settings, Site, save
from tce.documents import manifest as manifests
from tce.documents import teaching_file_info
from tce.documents.codes import ExportTitle, Scheme
from tce.documents.content import Reference
from tce.documents.disposition import DocumentRules
from tce.documents.manifest import Manifest
from tce.documents.teaching_file_info import PolicyRequest, TeachingFileInfo
from tce.exports import Exports
from tce.ledger import Export
from tce.network.tls import Certificates
from tce.people import PeopleSettings
from tce.road import CaseTerms, Hold, Peer, PolicyTerms, Reason, Release, Rooms
from tce.samples import Sample
from tce.workshop import workshop
from tests.builders import a_ct_study
from tests.conftest import SiteVault
from tests.derivation import LocalPseudonyms
from vault.roles import Role

CASE = "lung-trial"
SELECTOR = "SELECTOR"
MANAGER = "MANAGER"
RECEIVER = "RECEIVER"
STAGE_1 = load_library("pseudonymization")
STAGE_2 = load_library("longitudinal-trial")
POLICY = PolicyTerms(STAGE_2.name, STAGE_2.version, STAGE_2.digest)


def terms(*receivers: Peer, case_id: str = CASE, selectors: Sequence[str] = (SELECTOR,)) -> CaseTerms:
    """An approved case."""
    return CaseTerms(case_id, POLICY, frozenset(selectors), tuple(receivers))


def a_request(**changed: str) -> PolicyRequest:
    """The request for the approved policy of the case; keywords make it ask for something else."""
    request = PolicyRequest(POLICY.name, POLICY.version, POLICY.digest, CASE)
    return replace(request, **changed)


@dataclass
class CaseShelf:
    """Cases as they are approved just now; ``cases`` may be changed while the manager runs."""

    cases: dict[str, CaseTerms]

    def terms(self, case_id: str) -> CaseTerms:
        if case_id not in self.cases:
            raise Hold([Reason("unknown-case", "there is no approved case of this id")])
        return self.cases[case_id]

    def permission(self, terms: CaseTerms) -> Callable[[], None]:
        def ask() -> None:
            if self.terms(terms.id) != terms:
                raise Hold([Reason("policy-changed", "the case has another policy")])

        return ask


@dataclass
class Log:
    """An audit trail in memory."""

    events: list[tuple[str, bool, dict[str, str]]] = field(default_factory=list)

    def record(self, event: str, *, success: bool, detail: Mapping[str, str]) -> None:
        self.events.append((event, success, dict(detail)))


@dataclass
class ReleaseShelf:
    """Release records in memory, by export."""

    releases: dict[str, Release] = field(default_factory=dict)

    def close(self, release: Release) -> None:
        self.releases.setdefault(release.export_id, release)


def rooms(cases: CaseShelf, log: Log, releases: ReleaseShelf, policy: Policy = STAGE_2) -> Rooms:
    """The rooms of a manager: the real engine and verification, for trials under the library's policy for them."""
    return Rooms(
        cases=cases,
        workshop=lambda case: workshop(policy, LocalPseudonyms(b"key of " + case.id.encode()), trial={}),
        auditor=log,
        releases=releases,
    )


def pseudonymized_ct(folder: Path, *, patient: int = 1, slices: int = 3) -> list[Path]:
    """A CT study as stage 1 leaves it: images, report and presentation state."""
    return pseudonymized(folder, a_ct_study(patient=patient, slices=slices))


def pseudonymized(folder: Path, samples: Sequence[Sample]) -> list[Path]:
    """Instances as stage 1 leaves them."""
    folder.mkdir(parents=True)
    engine, pseudonyms = Engine(STAGE_1), LocalPseudonyms(b"hospital")
    paths = []
    for place, sample in enumerate(samples):
        source = folder / f"source-{place}"
        sample.instance.save_as(source, enforce_file_format=True)
        draft = engine.read(source)
        paths.append(folder / f"{place:04d}")
        engine.write(draft, pseudonyms.resolve([draft.subject]), paths[-1])
        draft.close()
        source.unlink()
    return paths


def references(paths: Sequence[Path]) -> tuple[Reference, ...]:
    """References to the instances in files."""
    found = (dcmread(path, stop_before_pixels=True) for path in paths)
    return tuple(
        Reference(
            str(ds.StudyInstanceUID), str(ds.SeriesInstanceUID), str(ds.SOPClassUID), str(ds.SOPInstanceUID)
        )
        for ds in found
    )


def documents(
    paths: Sequence[Path],
    folder: Path,
    *,
    request: PolicyRequest | None = None,
    description: str = "",
    manifest: Manifest | None = None,
    info: TeachingFileInfo | None = None,
    scheme: Scheme = Scheme.IHERADTF,
) -> list[Path]:
    """Additional information (when there is a request) and manifests for the instances, written to files."""
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    headers: dict[str, Dataset] = {}
    for path in paths:
        ds = dcmread(path, stop_before_pixels=True)
        headers.setdefault(str(ds.StudyInstanceUID), ds)
    made: list[Dataset] = []
    listed = references(paths)
    if request is not None:
        info = info or TeachingFileInfo(author="A selector", abstract="For a trial", keywords=("export",))
        header = next(iter(headers.values()))
        made.append(teaching_file_info.build(info, request, header, scheme=scheme, now=now))
        listed += (
            Reference(
                str(made[0].StudyInstanceUID),
                str(made[0].SeriesInstanceUID),
                str(made[0].SOPClassUID),
                str(made[0].SOPInstanceUID),
            ),
        )
    selected = manifest or Manifest(ExportTitle.TRIAL, (), description=description)
    selected = replace(selected, references=selected.references or listed)
    made += manifests.build(selected, headers, scheme=scheme, now=now)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for place, ds in enumerate(made):
        path = folder / f"document-{place}-{ds.SOPInstanceUID[-6:]}"
        ds.save_as(path, enforce_file_format=True)
        written.append(path)
    return written


@dataclass
class Running:
    """An actor that runs in this process."""

    peer: Peer
    exports_url: str
    log: Log

    def wait_for(self, found: Callable[[list[Export]], bool], *, seconds: float = 60) -> list[Export]:
        """The exports of the actor once ``found`` is true of them."""
        index = Exports(self.exports_url)
        try:
            deadline = time.monotonic() + seconds
            while not found(listing := index.listing()):
                assert time.monotonic() < deadline, [(one.state, one.reasons) for one in listing]
                time.sleep(0.05)
            return listing
        finally:
            index.close()


@contextmanager
def a_manager(
    home: Path,
    cases: CaseShelf,
    releases: ReleaseShelf | None = None,
    *,
    policy: Policy = STAGE_2,
    rules: DocumentRules = DocumentRules(),
    port: int = 0,
    allowed: Sequence[str] = (SELECTOR, "OTHER"),
) -> Iterator[Running]:
    """An Export Manager, by default on a free port, its spool and index in ``home``."""
    settings = ManagerSettings(
        ae_title=MANAGER,
        host="127.0.0.1",
        port=port,
        allowed=tuple(allowed),
        spool=home / "spool",
        exports_url=f"sqlite:///{home / 'exports.db'}",
        settle_seconds=0.0,
        poll_seconds=0.05,
        documents=rules,
    )
    home.mkdir(parents=True, exist_ok=True)
    log = Log()
    parts = rooms(cases, log, releases or ReleaseShelf(), policy)
    with _running(lambda stop, started: export_manager.run(settings, parts, stop, started)) as port:
        yield Running(Peer(MANAGER, "127.0.0.1", port), settings.exports_url, log)


@contextmanager
def a_receiver(
    home: Path,
    media: list[MediumReport],
    *,
    port: int = 0,
    allowed: Sequence[str] = (MANAGER,),
    certificates: Certificates | None = None,
) -> Iterator[Running]:
    """A Receiver on a free port whose media are plain folders."""
    settings = ReceiverSettings(
        ae_title=RECEIVER,
        host="127.0.0.1",
        port=port,
        allowed=tuple(allowed),
        spool=home / "spool",
        exports_url=f"sqlite:///{home / 'receiver.db'}",
        out=home / "out",
        poll_seconds=0.05,
        certificates=certificates,
    )
    home.mkdir(parents=True, exist_ok=True)
    log = Log()
    with _running(
        lambda stop, started: receiver.run(settings, copy_medium, log, stop, started, media.append)
    ) as found:
        yield Running(Peer(RECEIVER, "127.0.0.1", found), settings.exports_url, log)


def a_site_of(vault: SiteVault, home: Path) -> Site:
    """A site in ``home`` whose key server and people are the session's; settings, policies and trail are its own."""
    people: dict[str, tuple[str, ...]] = {f"{role}s": vault.plan.holders(role) for role in Role}
    settings = PeopleSettings.model_validate({**people, "second_factor": ()})
    save(Settings(people=settings), home / "tce.toml")
    (home / "vault").symlink_to(vault.home)
    return Site(home)


def copy_medium(instances: Sequence[Path], out: Path) -> None:
    """The simplest medium writer: a folder with the instances."""
    out.mkdir(parents=True)
    for place, path in enumerate(instances):
        shutil.copyfile(path, out / f"{place:04d}")


@contextmanager
def _running(run: Callable[[threading.Event, Callable[[int], None]], None]) -> Iterator[int]:
    stop, listening = threading.Event(), threading.Event()
    ports: list[int] = []
    failures: list[BaseException] = []

    def started(port: int) -> None:
        ports.append(port)
        listening.set()

    def body() -> None:
        try:
            run(stop, started)
        except BaseException as exc:
            failures.append(exc)
            listening.set()

    thread = threading.Thread(target=body)
    thread.start()
    try:
        assert listening.wait(30)
        if failures:
            raise failures[0]
        yield ports[0]
    finally:
        stop.set()
        thread.join(30)
    if failures:
        raise failures[0]
