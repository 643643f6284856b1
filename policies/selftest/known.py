"""What the header says of one patient, in the forms in which it turns up elsewhere.

The patient's name, numbers, birth date, address and telephone stand in their attributes, as every header gives
them. Wherever else they stand, in whatever case, order, punctuation or spelling, they must be gone after stage
1.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from pydicom.dataset import Dataset

from policies.selftest.canary import Canary, Kind, Mint, Until


@dataclass(frozen=True, slots=True)
class KnownPatient:
    """A patient, a referring physician and an institution, all invented."""

    family: str
    given: str
    physician: str
    number: str
    identifier: str
    accession: str
    born: date
    phone: str
    street: str

    def describe(self, ds: Dataset) -> None:
        """Write the patient into the attributes where a header names him."""
        ds.PatientName = f"{self.family}^{self.given}"
        ds.PatientID = self.identifier
        ds.OtherPatientIDs = self.number
        ds.PatientBirthDate = f"{self.born:%Y%m%d}"
        ds.PatientTelephoneNumbers = self.phone
        ds.PatientAddress = f"{self.street} 7"
        ds.ReferringPhysicianName = f"{self.physician}^Doctor"
        ds.AccessionNumber = self.accession

    def canaries(self) -> list[Canary]:
        """What must not be found in any form: the words themselves, and the forms of numbers and dates."""
        words = (self.family, self.given, self.physician, self.street)
        found = [
            Canary("known: name", word, Kind.WORD, Until.STAGE_1, "the header and elsewhere")
            for word in words
        ]
        for channel, forms in self._texts().items():
            found += [
                Canary(channel, form, Kind.TEXT, Until.STAGE_1, "the header and elsewhere") for form in forms
            ]
        return found

    def forms(self, vr: str) -> list[tuple[str, str]]:
        """(channel, text) of everything that may stand in a value of this VR, to be planted in turn."""
        family, given = self.family, self.given
        names = [
            f"{family}^{given}",
            family.upper(),
            f"{given} {family}",
            f"{family}, {given}",
            f"{family}_{given}".lower(),
            f"{family}{given}",
            self.physician,
            self.street,
        ]
        if vr == "CS":
            return [("known: name", family.upper()), ("known: name", given.upper() + " A")]
        found = [("known: name", name) for name in names]
        found += [(channel, form) for channel, forms in self._texts().items() for form in forms]
        longest = {"SH": 16, "LO": 64, "AE": 16}.get(vr, 1000)
        return [(channel, form) for channel, form in found if len(form) <= longest]

    def _texts(self) -> dict[str, list[str]]:
        bare = "".join(letter for letter in self.identifier if letter.isalnum())
        digits = "".join(letter for letter in self.phone if letter.isdigit())
        born = self.born
        return {
            "known: identifier": [self.identifier, self.number, self.accession],
            "known: identifier without punctuation": [bare, bare.lower()],
            "known: telephone": [self.phone, digits],
            "known: birth date": [
                *(
                    f"{born:%Y%m%d}",
                    f"{born:%d.%m.%Y}",
                    f"{born:%Y-%m-%d}",
                    f"{born:%m/%d/%Y}",
                    f"{born:%d/%m/%Y}",
                ),
                *(f"{born.day} {born:%B %Y}", f"{born:%d-%b-%Y}", f"{born:%b} {born.day}, {born:%Y}"),
                *(f"{born.day}.{born.month}.{born:%Y}", f"{born:%d%m%Y}"),
            ],
        }


def a_patient(mint: Mint) -> KnownPatient:
    """Invent somebody."""
    digits = mint.number()
    return KnownPatient(
        family=mint.word(),
        given=mint.word(),
        physician=mint.word(),
        number=digits,
        identifier=f"KH-{mint.number()[4:]}/{mint.number()[5:]}",
        accession=f"AC{mint.number()}",
        born=mint.day().replace(year=1917),
        phone=f"+49 ({mint.number()[6:]}) {mint.number()[4:]}",
        street=mint.word(),
    )
