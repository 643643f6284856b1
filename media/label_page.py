"""The label of a medium as a page to print: what a person reads on a disc without putting it into a computer.

IHE PDI asks for patient, creation date, institution, and whether there are pages beside the DICOM files; pseudonyms
stand in place of the patient. What the label says is read from the medium itself. The page is written beside media,
never onto one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from media.errors import OutputRefused, UnreadableMedium
from media.files import MediumFiles, walk_medium
from media.pages import INDEX, README, environment
from media.reader import read_medium
from media.secure_files import is_closed

_INSTITUTION = re.compile(r"^1\. Who made this medium\r?\n +(.+?)\r?$", re.MULTILINE)
_FILESET_ID = re.compile(r"([A-Z0-9_]{1,16})\r?\n=")
_PROFILE = re.compile(r"STD-GEN(-[A-Z0-9]+)+")
_LARGEST_README = 1 << 16
_MOST_PATIENTS = 6


@dataclass(frozen=True, slots=True, repr=False)
class Label:
    """What stands on one medium. ``patients`` are pseudonyms; an encrypted medium shows none."""

    fileset_id: str
    institution: str
    profile: str
    has_pages: bool
    encrypted: bool
    patients: tuple[str, ...]

    @property
    def content(self) -> str:
        """What is on the medium, in the words of IHE PDI."""
        return "DICOM PLUS WEB" if self.has_pages else "DICOM ONLY"

    @property
    def patients_shown(self) -> str:
        """The pseudonyms, as many as there is room for."""
        shown, more = self.patients[:_MOST_PATIENTS], len(self.patients) - _MOST_PATIENTS
        return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def label_of(medium: Path) -> Label:
    """Return the label of the medium in a folder that this program wrote.

    Raises :class:`UnreadableMedium` when README.TXT is not one of ours, when there is no instance, or when an instance
    does not say that its patient's identity was removed.
    """
    files = walk_medium(medium)
    text = _readme(files)
    fileset_id, institution, profile = (
        _FILESET_ID.match(text),
        _INSTITUTION.search(text),
        _PROFILE.search(text),
    )
    if fileset_id is None or institution is None or profile is None:
        raise UnreadableMedium(
            f"{README} of this medium is not as this program writes it",
            next_step="let who wrote the medium print its label, or write it by hand",
        )
    directory = files.find(("DICOMDIR",))
    encrypted = directory is not None and is_closed(directory)
    return Label(
        fileset_id=fileset_id[1],
        institution=institution[1],
        profile=profile[0],
        has_pages=files.find((INDEX,)) is not None,
        encrypted=encrypted,
        patients=() if encrypted else _patients(medium),
    )


def write_label_page(
    out: Path, labels: Sequence[Label], *, created: str, case: str = "", institution: str = ""
) -> None:
    """Write the labels of media that belong together to a new file, as XHTML; they are numbered in their order.

    ``created`` is the date of creation. ``institution`` takes the place of what README.TXT could say in ASCII only.
    Raises :class:`OutputRefused` when the file cannot be made.
    """
    page = environment(labels=labels, created=created, case=case, institution=institution)
    try:
        with out.open("x", encoding="utf-8", newline="\r\n") as file:
            file.write(page.get_template("label.htm").render())
    except FileExistsError:
        raise OutputRefused(
            "the file for the label is there already", next_step="name a file that does not exist"
        ) from None
    except OSError as fault:
        raise OutputRefused(
            f"the label cannot be written: {fault.strerror}",
            next_step="see to the folder and the rights there, or name another file",
        ) from None


def _readme(files: MediumFiles) -> str:
    path = files.find((README,))
    try:
        data = b"" if path is None else path.read_bytes()[:_LARGEST_README]
    except OSError:
        data = b""
    return data.decode("ascii", "replace")


def _patients(medium: Path) -> tuple[str, ...]:
    contents = read_medium(medium)
    if not all(instance.identity_removed for instance in contents.instances):
        raise UnreadableMedium(
            "instances of this medium do not say that the patient's identity was removed",
            next_step="this is identified material, for which no label is printed here",
        )
    return tuple(sorted({instance.patient_id for instance in contents.instances if instance.patient_id}))
