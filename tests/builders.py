"""Studies for tests: ``a_ct_study(patient=2)`` says what is special, everything else is as in a real export.

Patients 1 and 2 are those of :mod:`tce.samples`; higher numbers are invented from the first one, and no two
share an identifier.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pydicom.dataset import Dataset

from tce.samples import Sample, ct_study, mr_study, write_samples
from tce.samples.people import HEAD_MR, THORAX_CT, Encounter


def an_encounter(base: Encounter, *, patient: int) -> Encounter:
    """``base`` as it would be for the numbered patient, no identifier shared with any other number."""
    if patient == 1:
        return replace(THORAX_CT, visit=base.visit) if base is HEAD_MR else base
    if patient == 2:
        return replace(HEAD_MR, visit=base.visit) if base is THORAX_CT else base
    letters = "".join(chr(ord("a") + int(digit)) for digit in str(patient))
    person = replace(
        base.patient,
        name=f"Testov{letters}^Persona",
        spoken_name=f"Persona Testov{letters}",
        former_name=f"Vorher{letters}^Persona",
        birth_name=f"Vorher{letters}^Persona",
        patient_id=f"TEST-{patient:06d}",
        other_id=f"OTHER-{patient:06d}",
        insurance=f"INS-{patient:06d}",
    )
    visit = replace(
        base.visit,
        accession=f"ACC-{patient:06d}",
        study_id=f"ST{patient:06d}",
        admission=f"ADM-{patient:06d}",
        reason=f"Referred for {person.spoken_name}",
        history=f"{person.spoken_name}, patient number {patient}",
    )
    return Encounter(key=f"{base.key}-{patient}", patient=person, visit=visit)


def a_ct_study(*, patient: int = 1, slices: int = 3) -> list[Sample]:
    """A CT study of the numbered patient: ``slices`` images, a report and a presentation state."""
    return ct_study(_keyed(an_encounter(THORAX_CT, patient=patient), "ct", patient), slices=slices)


def an_mr_study(*, patient: int = 2, slices: int = 3) -> list[Sample]:
    """An MR study of the numbered patient: ``slices`` images and a presentation state."""
    return mr_study(_keyed(an_encounter(HEAD_MR, patient=patient), "mr", patient), slices=slices)


def a_ct_image(*, patient: int = 1) -> Dataset:
    """One identified CT image."""
    return a_ct_study(patient=patient, slices=1)[0].instance


def written(samples: list[Sample], out: Path) -> list[Path]:
    """The files of ``samples``, written below ``out``."""
    return write_samples(samples, out)


def _keyed(encounter: Encounter, modality: str, patient: int) -> Encounter:
    return replace(encounter, key=f"{modality} of patient {patient}")
