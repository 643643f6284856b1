"""Whole studies, and where a modality's export would have put their files.

Directory and file names carry the patient's name and birth date, as exports do: whoever copies source names
to an output shows it at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset

from tce.samples.images import ct_series, mr_series
from tce.samples.people import HEAD_MR, THORAX_CT, Encounter
from tce.samples.presentation import presentation_state
from tce.samples.report import report


@dataclass(frozen=True, slots=True)
class Sample:
    """One instance and the path, relative to the export's root, that names its patient."""

    path: Path
    instance: Dataset


def ct_study(encounter: Encounter = THORAX_CT, *, slices: int = 12) -> list[Sample]:
    """A CT series of ``slices`` images, a report on them and a presentation state."""
    images = ct_series(encounter, slices)
    patient, visit = encounter.patient, encounter.visit
    impression = (
        f"Growing nodule in {patient.spoken_name} ({patient.patient_id}), tissue sampling advised. "
        f"Discussed with {visit.referring.split('^')[0]} by phone {visit.referring_phone}."
    )
    documents = [
        report(encounter, images, impression=impression),
        presentation_state(encounter, images, number=901),
    ]
    return _laid_out(encounter, {"CT_Thorax": images, "Befund": documents})


def mr_study(encounter: Encounter = HEAD_MR, *, slices: int = 10) -> list[Sample]:
    """An MR series of ``slices`` images and a presentation state."""
    images = mr_series(encounter, slices)
    return _laid_out(
        encounter, {"MR_Head": images, "Praesentation": [presentation_state(encounter, images, number=901)]}
    )


def write_samples(samples: Iterable[Sample], out: Path) -> list[Path]:
    """Write ``samples`` below ``out``, replacing what stands there under the same names; return the files."""
    written = []
    for sample in samples:
        path = out / sample.path
        path.parent.mkdir(parents=True, exist_ok=True)
        sample.instance.save_as(path, enforce_file_format=True)
        written.append(path)
    return written


def write_two_studies(out: Path) -> list[Path]:
    """Write both studies below ``out`` and return their files, the CT study first.

    The bytes are the same at every call. Raises OSError where ``out`` cannot be written, FileNotFoundError if
    pydicom's wheel lost the two files that the series are made from.
    """
    return write_samples([*ct_study(), *mr_study()], out)


def _laid_out(encounter: Encounter, folders: dict[str, list[Dataset]]) -> list[Sample]:
    family, given = encounter.patient.name.split("=")[0].split("^")[:2]
    person = f"{family}_{given}_{encounter.patient.birth_date}"
    return [
        Sample(Path(person, f"{encounter.visit.date}_{folder}", f"{family}_{index:04d}.dcm"), instance)
        for folder, instances in folders.items()
        for index, instance in enumerate(instances, start=1)
    ]
