"""An archive (PACS) as the source of a selection: which studies it has of what was asked, and fetching those chosen.

    question ──C-FIND──▶ studies ──a person chooses──▶ C-GET or C-MOVE ──▶ files in a folder of ours

What an archive answers is checked before it is used: a study that contradicts the question is left out and counted,
because an archive may ignore keys that it does not support (PS3.4 C.2.2.1.3). Studies come whole, or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tce.counts import counted
from tce.errors import Refused
from tce.network.query_retrieve import Level, Retrieved, Wanted, find, get, move
from tce.network.storage_scp import StorageListener
from tce.network.store_reader import Arrival, Status
from tce.road import Peer
from tce.spool import Durability, Header, Incoming, Spool

_DAY: Final = r"\d{8}"
_DATES: Final = re.compile(f"(?P<first>{_DAY})?(?P<range>-)?(?P<last>{_DAY})?")
_MATCHES_MORE: Final = re.compile(r"[*?\\]")
_RETURNED: Final = (
    "StudyInstanceUID",
    "PatientID",
    "AccessionNumber",
    "StudyDate",
    "ModalitiesInStudy",
    "NumberOfStudyRelatedSeries",
    "NumberOfStudyRelatedInstances",
)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked for; at least one of them. ``date`` is a day or a range as DICOM writes them (PS3.4 C.2.2.2.5)."""

    patient: str = field(default="", repr=False)
    accession: str = field(default="", repr=False)
    date: str = field(default="", repr=False)
    modality: str = ""

    def checked(self) -> Question:
        """Return itself. Raises Refused where it would ask for everything, or for what cannot be checked."""
        if not (self.patient or self.accession or self.date or self.modality):
            raise Refused(
                "an archive is not asked for everything",
                next_step="say what: --patient, --accession, --date, --modality",
            )
        if any(_MATCHES_MORE.search(text) for text in (self.patient, self.accession, self.modality)):
            raise Refused(
                "patient, accession number and modality are asked for exactly",
                next_step="write no *, ? or \\",
            )
        found = _DATES.fullmatch(self.date)
        if self.date and (not found or not (found["first"] or found["last"]) or _two_days(found)):
            raise Refused(
                "this is no date to ask for",
                next_step="write 20310517, 20310501-20310531, 20310501- or -20310531",
            )
        return self

    def keys(self) -> dict[str, str]:
        """Return the keys of a C-FIND at STUDY level."""
        asked = {
            "PatientID": self.patient,
            "AccessionNumber": self.accession,
            "StudyDate": self.date,
            "ModalitiesInStudy": self.modality,
        }
        return dict.fromkeys(_RETURNED, "") | asked

    def is_met(self, match: Mapping[str, str]) -> bool:
        """Say whether what an archive says of a study does not contradict the question; modalities aside."""
        first, last = self._days()
        day = match["StudyDate"]
        return (
            self.patient in ("", match["PatientID"])
            and self.accession in ("", match["AccessionNumber"])
            and (not self.date or (re.fullmatch(_DAY, day) is not None and first <= day <= last))
        )

    def _days(self) -> tuple[str, str]:
        first, between, last = self.date.partition("-")
        return first or "0", (last or "99999999") if between else first


def _two_days(found: re.Match[str]) -> bool:
    return bool(found["first"] and found["last"] and not found["range"])


@dataclass(frozen=True, slots=True)
class FoundStudy:
    """One study as an archive describes it. Counts are None where it does not tell."""

    study_uid: str = field(repr=False)
    patient: str = field(repr=False)
    date: str = field(repr=False)
    modalities: tuple[str, ...]
    series: int | None
    instances: int | None


@dataclass(frozen=True, slots=True)
class Answer:
    """The studies that match, and how many the archive named that do not."""

    studies: tuple[FoundStudy, ...]
    beside: int


def ask(archive: Peer, calling: str, question: Question) -> Answer:
    """Ask an archive which studies it has. Raises Refused, PeerUnavailable, QueryFailed."""
    found: dict[str, FoundStudy] = {}
    beside = 0
    for match in find(archive, calling, Level.STUDY, question.checked().keys()):
        said = {keyword: _text(match.get(keyword)) for keyword in _RETURNED}
        modalities = _texts(match.get("ModalitiesInStudy"))
        if said["StudyInstanceUID"] and question.modality and not modalities:
            # The key is optional for archives; Modality of a series is not (PS3.4 table C.6-3).
            modalities = _modalities(archive, calling, said["StudyInstanceUID"])
        wrong_kind = question.modality not in ("", *modalities)
        if not said["StudyInstanceUID"] or wrong_kind or not question.is_met(said):
            beside += 1
            continue
        found[said["StudyInstanceUID"]] = FoundStudy(
            study_uid=said["StudyInstanceUID"],
            patient=said["PatientID"],
            date=said["StudyDate"],
            modalities=modalities,
            series=_count(said["NumberOfStudyRelatedSeries"]),
            instances=_count(said["NumberOfStudyRelatedInstances"]),
        )
    ordered = sorted(found.values(), key=lambda study: (study.patient, study.date, study.study_uid))
    return Answer(tuple(ordered), beside)


def _modalities(archive: Peer, calling: str, study_uid: str) -> tuple[str, ...]:
    keys = {"StudyInstanceUID": study_uid, "SeriesInstanceUID": "", "Modality": ""}
    series = find(archive, calling, Level.SERIES, keys)
    return tuple(sorted({_text(one.get("Modality")) for one in series} - {""}))


def fetch(
    archive: Peer,
    calling: str,
    studies: Sequence[FoundStudy],
    folder: Path,
    *,
    listen: tuple[str, int] | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Path]:
    """Have an archive send whole studies into a folder of ours, and return the files.

    By C-GET, or with ``listen`` (host and port) by C-MOVE to our own AE title, which the archive must know.
    ``progress`` is told how many instances have come. Raises Refused when the archive could not send all of it, and
    PeerUnavailable, QueryFailed, PortInUse.
    """
    spool = Spool(folder, Durability.PROCESS)
    came = 0

    def count() -> None:
        nonlocal came
        came += 1
        progress(came)

    def open_sink(arrival: Arrival) -> _Fetched:
        header = Header(
            arrival.sop_class_uid, arrival.sop_instance_uid, arrival.transfer_syntax_uid, arrival.calling_ae
        )
        return _Fetched(spool.begin(header), count)

    wanted = [Wanted(study.study_uid) for study in studies]
    if listen is None:
        retrieved = get(archive, calling, wanted, (), open_sink)
    else:
        listener = StorageListener(
            calling, *listen, [archive.ae_title], open_sink, certificates=archive.certificates
        )
        with listener:
            retrieved = move(archive, calling, wanted, calling)
    files = [spool.path(name) for name in sorted(spool.names())]
    _require_all(archive, retrieved, len(files))
    return files


def _require_all(archive: Peer, retrieved: Retrieved, came: int) -> None:
    lost = retrieved.failed + max(0, retrieved.sent - came)
    if lost:
        raise Refused(
            f"{archive.ae_title} could not send {counted(lost, 'instance', 'instances')}; nothing was selected",
            next_step="try again, with or without --move, or ask its administrator",
        )
    if not came:
        raise Refused(f"{archive.ae_title} sent nothing", next_step="ask its administrator")


class _Fetched:
    """A sink that writes what an archive sends as a Part 10 file."""

    def __init__(self, file: Incoming, count: Callable[[], None]) -> None:
        self._file = file
        self._count = count

    def write(self, fragment: memoryview) -> None:
        self._file.write(fragment)

    def finish(self) -> Status:
        self._file.finish()
        self._count()
        return Status.SUCCESS

    def discard(self) -> None:
        self._file.discard()


def _text(value: Any) -> str:
    """Return a value of an answer as one text; several are none."""
    return "" if value is None or not isinstance(value, str | int) else str(value).strip()


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value.strip(),) if value.strip() else ()
    return tuple(sorted({str(one).strip() for one in value or ()} - {""}))


def _count(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\d{1,9}", text) else None
