"""The pages of IHE_PDI: patients, studies and series with small pictures, key images first, and reports as text.

::

    IHE_PDI/INDEX.HTM ── ST000001.HTM ── SE000001.HTM     one page for each study and for each series
                          JP000001.JPG …                   pictures, counted through the medium
            SMALL/INDEX.HTM …                              the same pages, with links in small letters

Everything is read from the instances as they lie on the medium. How many pictures there are is bounded: evenly chosen
ones of each series, fewer of each if there are many series.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Protocol

from media.documents import Document, read_document
from media.fileset import component
from media.hierarchy import Entry, Hierarchy, Node, in_order
from media.thumbnails import LARGE, MOST_IN_SERIES, MOST_ON_MEDIUM, SMALL, chosen, thumbnail_of

INDEX, WEB_FOLDER, SMALL_LETTERS = "INDEX.HTM", "IHE_PDI", "SMALL"
_MOST_KEY_IMAGES = 200
_MOST_DOCUMENTS = 20
_WITH_PICTURE = ("IMAGE", "RT DOSE")
_WITH_TEXT = ("SR DOCUMENT", "KEY OBJECT DOC")
_KINDS = {
    "IMAGE": "image",
    "PRESENTATION": "presentation state",
    "SR DOCUMENT": "structured report",
    "KEY OBJECT DOC": "key object selection",
    "WAVEFORM": "waveform",
    "RAW DATA": "raw data object",
    "SPECTROSCOPY": "spectroscopy",
    "ENCAP DOC": "document",
    "RT DOSE": "dose",
    "RT STRUCTURE SET": "structure set",
    "RT PLAN": "plan",
    "RT TREAT RECORD": "treatment record",
}


class WritePage(Protocol):
    """Writes one page of IHE_PDI: its name, the template, and what stands in it."""

    def __call__(self, name: str, template: str, **values: object) -> None: ...


@dataclass(frozen=True, slots=True, repr=False)
class Shown:
    """A picture on a page, or the words in its place."""

    caption: str
    file: str = ""
    width: int = 0
    height: int = 0
    words: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class SeriesRow:
    """A series as its study's page lists it."""

    texts: dict[str, str]
    page: str
    content: str
    folder: str
    picture: Shown | None


@dataclass(frozen=True, slots=True, repr=False)
class StudyRow:
    """A study as the list of patients and the manifest name it."""

    patient: dict[str, str]
    texts: dict[str, str]
    page: str
    content: str
    folder: str
    series: int


@dataclass(frozen=True, slots=True, repr=False)
class _Placed:
    """An instance and its file, from the root of the medium."""

    entry: Entry
    file_id: tuple[str, ...]


@dataclass(slots=True, repr=False)
class _Pictures:
    """Draws pictures and keeps their count. Without ``wanted`` there is none."""

    folder: Path
    wanted: bool
    key_frames: dict[str, int] = field(default_factory=dict)
    drawn: int = 0

    def draw(self, placed: _Placed, *, side: int, frame: int | None = None) -> Shown:
        number = placed.entry.number_shown or placed.file_id[-1]
        found = thumbnail_of(self.folder.joinpath(*placed.file_id), side=side, frame=frame)
        if found.reason is not None:
            return Shown(number, words=found.reason.value)
        self.drawn += 1
        name = component("JP", self.drawn) + ".JPG"
        (self.folder / WEB_FOLDER / name).write_bytes(found.jpeg)
        return Shown(number, name, found.width, found.height)


def content_of(entries: list[Entry]) -> str:
    """Say what instances these are, like ``12 images, 1 presentation state``."""
    kinds = Counter(entry.record.name for entry in entries)
    return ", ".join(
        f"{count:,} {_KINDS.get(kind, kind.lower())}{'' if count == 1 else 's'}"
        for kind, count in sorted(kinds.items())
    )


def write_web(folder: Path, hierarchy: Hierarchy, write: WritePage, *, images: bool) -> list[StudyRow]:
    """Write the pages and pictures of IHE_PDI and return the studies, for the manifest. Raises :class:`OSError`."""
    pictures = _Pictures(folder, images)
    if images:
        pictures.key_frames = _key_frames(folder, hierarchy)
    writer = _Writer(folder, write, pictures, series_on_medium=hierarchy.count("SERIES"))
    files = (_Placed(entry, file_id) for entry, file_id in hierarchy.files())
    patients = [
        (patient.texts, [writer.study(patient, study, files) for study in in_order(patient.children)])
        for patient in hierarchy.patients()
    ]
    write(INDEX, "patients.htm", patients=patients)
    return [row for _, rows in patients for row in rows]


def _key_frames(folder: Path, hierarchy: Hierarchy) -> dict[str, int]:
    """Return the images that key object selections name, and the frame that each is chosen for (0 for any)."""
    frames: dict[str, int] = {}
    for entry, file_id in hierarchy.files():
        if entry.record.name == "KEY OBJECT DOC" and len(frames) < _MOST_KEY_IMAGES:
            document = read_document(folder.joinpath(*file_id))
            frames |= document.images if document is not None else {}
    return dict(islice(frames.items(), _MOST_KEY_IMAGES))


class _Writer:
    """Writes the pages of studies and series, numbered as they come."""

    def __init__(self, folder: Path, write: WritePage, pictures: _Pictures, *, series_on_medium: int) -> None:
        self._folder, self._write, self._pictures = folder, write, pictures
        self._studies = self._series = 0
        self._in_series = min(MOST_IN_SERIES, max(1, MOST_ON_MEDIUM // max(1, series_on_medium)))
        self._every = -(-series_on_medium // MOST_ON_MEDIUM) if series_on_medium else 1

    def study(self, patient: Node, study: Node, files: Iterator[_Placed]) -> StudyRow:
        self._studies += 1
        page = component("ST", self._studies) + ".HTM"
        rows: list[SeriesRow] = []
        keys: list[Shown] = []
        entries: list[Entry] = []
        folder: tuple[str, ...] = ()
        for series in in_order(study.children):
            placed = list(islice(files, len(series.entries)))
            folder = placed[0].file_id[:-2]
            keys += self._keys(placed)
            rows.append(self._series_page(patient, study, page, series, placed))
            entries += series.entries
        row = StudyRow(patient.texts, study.texts, page, content_of(entries), "/".join(folder), len(rows))
        self._write(page, "study.htm", study=row, series_rows=rows, key_images=keys)
        return row

    def _series_page(
        self, patient: Node, study: Node, above: str, series: Node, placed: list[_Placed]
    ) -> SeriesRow:
        self._series += 1
        page = component("SE", self._series) + ".HTM"
        images = [one for one in placed if one.entry.record.name in _WITH_PICTURE]
        shown: list[Shown] = []
        if self._pictures.wanted and self._series % self._every == 0:
            shown = [
                self._pictures.draw(images[index], side=SMALL)
                for index in chosen(len(images), self._in_series)
            ]
        row = SeriesRow(
            texts=series.texts,
            page=page,
            content=content_of(series.entries),
            folder="/".join(placed[0].file_id[:-1]),
            picture=shown[len(shown) // 2] if shown else None,
        )
        documents, unread = self._documents(placed)
        self._write(
            page,
            "series.htm",
            series=row,
            study=study.texts,
            patient=patient.texts,
            study_page=above,
            pictures=shown,
            drawable=len(images),
            documents=documents,
            unread=unread,
        )
        return row

    def _keys(self, placed: list[_Placed]) -> list[Shown]:
        frames = self._pictures.key_frames
        return [
            self._pictures.draw(one, side=LARGE, frame=frame - 1 if frame else None)
            for one in placed
            if one.entry.record.name in _WITH_PICTURE
            and (frame := frames.get(one.entry.sop_instance_uid)) is not None
        ]

    def _documents(self, placed: list[_Placed]) -> tuple[list[Document], int]:
        """Return the reports of a series, and how many are not shown."""
        reports = [one for one in placed if one.entry.record.name in _WITH_TEXT]
        read = [read_document(self._folder.joinpath(*one.file_id)) for one in reports[:_MOST_DOCUMENTS]]
        documents = [document for document in read if document is not None]
        return documents, len(reports) - len(documents)
