"""Attributes whose values name the patient, another person or a place, and are searched for in all that stays.

Tags only; who is named is worked out in :mod:`policies.subject`.
"""

from __future__ import annotations

NAMES = frozenset({0x00100010, 0x00080090, 0x00101001, 0x00101005, 0x00101060})
"""Names of persons, also where a file gives them another VR than PN."""

IDENTIFYING = frozenset(
    {
        0x00080050,  # Accession Number
        0x00080092,  # Referring Physician's Address
        0x00080094,  # Referring Physician's Telephone Numbers
        0x00100020,  # Patient ID
        0x00101000,  # Other Patient IDs
        0x00101040,  # Patient's Address
        0x00100033,  # Patient's Birth Date in Alternative Calendar
        0x00101050,  # Insurance Plan Identification
        0x00101090,  # Medical Record Locator
        0x00102154,  # Patient's Telephone Numbers
        0x00102155,  # Patient's Telecom Information
        0x00120040,  # Clinical Trial Subject ID
        0x00120042,  # Clinical Trial Subject Reading ID
        0x00200010,  # Study ID
        0x00380010,  # Admission ID
        0x00380060,  # Service Episode ID
        0x00400009,  # Scheduled Procedure Step ID
        0x00400253,  # Performed Procedure Step ID
        0x00400512,  # Container Identifier
        0x00400551,  # Specimen Identifier
        0x00401001,  # Requested Procedure ID
        0x00401006,  # Placer Order Number / Procedure
        0x00401007,  # Filler Order Number / Procedure
        0x00401102,  # Person's Address
        0x00401103,  # Person's Telephone Numbers
        0x00401104,  # Person's Telecom Information
        0x00402006,  # Placer Order Number / Imaging Service Request (retired)
        0x00402007,  # Filler Order Number / Imaging Service Request (retired)
        0x00402010,  # Order Callback Phone Number
        0x00402011,  # Order Callback Telecom Information
        0x00402016,  # Placer Order Number / Imaging Service Request
        0x00402017,  # Filler Order Number / Imaging Service Request
    }
)
"""Attributes beside names whose values are searched for in everything that stays."""

ADDRESSES = frozenset({0x00080092, 0x00101040, 0x00401102})
"""Addresses of the referring physician, the patient, another person: their towns may be the institution's too."""

STATIONS = frozenset({0x00081010, 0x00400010, 0x00400242})
"""Station Name, Scheduled Station Name, Performed Station Name: places that may be called like their equipment."""

PLACES = STATIONS | frozenset(
    {
        0x00080080,  # Institution Name
        0x00080081,  # Institution Address
        0x00081040,  # Institutional Department Name
        0x00100021,  # Issuer of Patient ID
        0x00102299,  # Responsible Organization
        0x00120031,  # Clinical Trial Site Name
        0x00321033,  # Requesting Service
        0x00380300,  # Current Patient Location
        0x00380400,  # Patient's Institution Residence
        0x00400011,  # Scheduled Procedure Step Location
        0x00400243,  # Performed Location
        0x00402009,  # Order Enterer's Location
    }
)
"""Attributes that name an institution or a place in it. What of them goes is searched for in the texts that stay; where
the policy retains them, nothing is told elsewhere that they do not tell themselves."""

INSTITUTIONS = PLACES - STATIONS
NUMBERS = IDENTIFYING - ADDRESSES

TELLING = NAMES | IDENTIFYING | PLACES
"""All of them; every Person Name (VR PN) tells as well."""
