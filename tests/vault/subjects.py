"""Subjects for tests: ``a_subject(2, images=3)`` is the second patient with three images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class Identifier(NamedTuple):
    """An identifier as the policy room hands it over: kind, issuer, value."""

    kind: str
    issuer: str
    value: str


@dataclass(frozen=True, slots=True)
class Subject:
    """A patient as the policy room hands him over."""

    patient: Identifier
    identifiers: frozenset[Identifier]
    attributes: tuple[tuple[str, str], ...] = field(default=())


DEVICE = Identifier("device", "", "SN-0815")


def patient_id(number: int) -> Identifier:
    return Identifier("patient", "HOSPITAL", f"MRN-{number:06d}")


def image(number: int, at: int) -> Identifier:
    return Identifier("uid", "", f"1.2.840.99999.{number}.{at}")


def offset(number: int) -> Identifier:
    return patient_id(number)._replace(kind="days")


def a_subject(number: int, *, images: int = 2, name: str = "") -> Subject:
    """One patient, his images, his accession number, his date offset and the scanner that all patients share."""
    return Subject(
        patient_id(number),
        frozenset(
            {
                *(image(number, at) for at in range(images)),
                Identifier("accession", "RIS", f"ACC-{number}"),
                offset(number),
                DEVICE,
            }
        ),
        (
            ("PatientName", name or f"Canary{number}^Person"),
            ("PatientBirthDate", "19700101"),
            ("PatientSex", ""),
        ),
    )
