"""The Export Selector: sends instances, and says with a manifest and additional information what is to be made
of them (RAD-50, RAD-51, RAD-52).

It changes nothing in an instance. What it cannot send is set aside with the reason, and never referenced: the
manifest is built from what the Export Manager has accepted. Files of several patients become one selection
for each patient, since a manifest is of one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydicom.dataset import Dataset

from tce import counts
from tce.candidates import Candidate, NotSelected, by_patient, examine
from tce.counts import counted
from tce.documents import manifest as manifests
from tce.documents import teaching_file_info
from tce.documents.codes import DelayReason, ExportTitle, Scheme
from tce.documents.content import Reference
from tce.documents.manifest import Manifest
from tce.documents.teaching_file_info import PolicyRequest, TeachingFileInfo
from tce.errors import Refused
from tce.network.calling import PeerUnavailable
from tce.network.storage_scu import send
from tce.road import Peer, manifest_mark


@dataclass(frozen=True, slots=True)
class SelectAccount:
    """What one selection sent. ``marks`` are those of its exports, one a patient, by which the manager finds them."""

    patients: int
    studies: int
    instances: int
    manifests: int
    marks: tuple[str, ...]
    set_aside: tuple[NotSelected, ...]


def select(
    sources: Iterable[Path],
    request: PolicyRequest,
    to: Peer,
    calling: str,
    *,
    title: ExportTitle = ExportTitle.TRIAL,
    delay: Sequence[DelayReason] = (),
    info: TeachingFileInfo | None = None,
    scheme: Scheme = Scheme.IHERADTF,
    chosen: Callable[[Candidate], bool] = lambda candidate: True,
    agree: Callable[[Sequence[Candidate]], None] = lambda candidates: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> SelectAccount:
    """Send every instance found in files, folders and media, then manifest and additional information.

    ``request`` names the case, and optionally its policy by name, version and digest. What was not ``chosen``
    is set aside. ``agree`` is shown what would go before anything does, and raises to
    stop it. ``progress`` is told how many of how many instances have been sent. Raises Refused when nothing can be
    selected, PeerUnavailable when the Export Manager does not answer or goes away: then no manifest was sent, and
    nothing will be exported.
    """
    if not request.case:
        raise Refused("the selection names no case", next_step="name one: --case")
    # 1. Look at every file; what is no instance of a Storage SOP Class of the standard is set aside.
    candidates, set_aside = _only(chosen, *examine(sources))
    if not candidates:
        raise Refused(
            f"nothing to select: {counted(len(set_aside), 'file was', 'files were')} set aside",
            next_step="name files or folders that hold DICOM instances",
        )
    # 2. Ask whether this is what was meant.
    agree(candidates)
    # 3. Send the instances (RAD-50); what the Export Manager does not take is not referenced.
    accepted, refused = _send_instances(candidates, to, calling, progress)
    # 4. Send additional information and manifests, for each patient on their own (RAD-52, RAD-51).
    selections = [
        _documents(selection, request, title, delay, info, scheme) for selection in by_patient(accepted)
    ]
    _send_documents([ds for documents in selections for ds in documents], to, calling)
    return SelectAccount(
        patients=len({one.patient for one in accepted}),
        studies=len({one.reference.study_uid for one in accepted}),
        instances=len(accepted),
        manifests=sum(len(_manifests(documents)) for documents in selections),
        marks=tuple(manifest_mark(_manifests(documents)) for documents in selections),
        set_aside=(*set_aside, *refused),
    )


def _only(
    chosen: Callable[[Candidate], bool], candidates: list[Candidate], set_aside: list[NotSelected]
) -> tuple[list[Candidate], list[NotSelected]]:
    """Set aside what was not chosen."""
    kept = [one for one in candidates if chosen(one)]
    others = (one.path for one in candidates if not chosen(one))
    what = "it is of another study or patient than those that were chosen"
    return kept, [*set_aside, *(NotSelected(path, "not-chosen", what) for path in others)]


def _manifests(documents: Iterable[Dataset]) -> list[str]:
    """Return the SOP Instance UIDs of the manifests among documents."""
    return [str(ds.SOPInstanceUID) for ds in documents if ds.Modality == "KO"]


def _send_instances(
    candidates: Sequence[Candidate], to: Peer, calling: str, progress: Callable[[int, int], None]
) -> tuple[list[Candidate], list[NotSelected]]:
    """Send instances; return those that were accepted and those that were not."""
    done = 0

    def count(place: int) -> None:
        nonlocal done
        done += 1
        progress(done, len(candidates))

    account = send([one.path for one in candidates], to, calling, progress=count)
    if account.lost:
        raise PeerUnavailable(
            f"{to.ae_title} went away after {len(account.sent)} of {counts.instances(len(candidates))}",
            next_step="select again: what it has already is recognised",
        )
    if not account.sent:
        raise Refused(
            f"{to.ae_title} took none of {counts.instances(len(candidates))}",
            next_step=f"the first reason: {account.failed[0].why}",
        )
    refused = [NotSelected(candidates[one.place].path, "not-accepted", one.why) for one in account.failed]
    return [candidates[place] for place in account.sent], refused


def _documents(
    selection: Sequence[Candidate],
    request: PolicyRequest,
    title: ExportTitle,
    delay: Sequence[DelayReason],
    info: TeachingFileInfo | None,
    scheme: Scheme,
) -> list[Dataset]:
    """Return additional information and manifests of one patient; the information is referenced, too."""
    now = datetime.now(UTC)
    headers: dict[str, Dataset] = {}
    for one in selection:
        if one.reference.study_uid not in headers:
            headers[one.reference.study_uid] = one.header()
    information = teaching_file_info.build(
        info or _minimal_info(title), request, next(iter(headers.values())), scheme=scheme, now=now
    )
    references = [one.reference for one in selection]
    references.append(
        Reference(
            str(information.StudyInstanceUID),
            str(information.SeriesInstanceUID),
            str(information.SOPClassUID),
            str(information.SOPInstanceUID),
        )
    )
    selected = Manifest(
        title=title, references=tuple(references), delay_reasons=tuple(delay), description=request.case
    )
    return [information, *manifests.build(selected, headers, scheme=scheme, now=now)]


def _minimal_info(title: ExportTitle) -> TeachingFileInfo:
    """Return what table H-1 makes mandatory, for a selection that only asks for a policy."""
    return TeachingFileInfo(author="Export Selector", abstract=title.meaning, keywords=("export",))


def _send_documents(documents: Sequence[Dataset], to: Peer, calling: str) -> None:
    with tempfile.TemporaryDirectory(prefix="tce-") as folder:
        paths = []
        for place, ds in enumerate(documents):
            path = Path(folder, f"{place:04d}")
            ds.save_as(path, enforce_file_format=True)
            paths.append(path)
        account = send(paths, to, calling, stop_at_failure=True)
    if account.failed:
        raise PeerUnavailable(
            f"{to.ae_title} did not take the manifest: {account.failed[0].why}",
            next_step="select again: what it has already is recognised",
        )
