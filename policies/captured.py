"""What the engine sees of an instance whatever becomes of it: whom it is about, and who else is named in it.

The tags of a plan's exceptions, as data; what is done with the values is :mod:`policies.subject`.
"""

from __future__ import annotations

CAPTURED = frozenset(
    {
        0x00080005,  # Specific Character Set
        0x00080016,  # SOP Class UID
        0x00080018,  # SOP Instance UID
        0x00080020,  # Study Date
        0x00080030,  # Study Time
        0x00080070,  # Manufacturer
        0x00080080,  # Institution Name
        0x00080081,  # Institution Address
        0x00081090,  # Manufacturer's Model Name
        0x00100010,  # Patient's Name
        0x00100020,  # Patient ID
        0x00100021,  # Issuer of Patient ID
        0x00100030,  # Patient's Birth Date
        0x00100040,  # Patient's Sex
        0x00101000,  # Other Patient IDs
        0x00101001,  # Other Patient Names
        0x00101005,  # Patient's Birth Name
        0x00101010,  # Patient's Age
        0x00101040,  # Patient's Address
        0x00101060,  # Patient's Mother's Birth Name
        0x00102154,  # Patient's Telephone Numbers
        0x0020000D,  # Study Instance UID
        0x0020000E,  # Series Instance UID
        0x00200010,  # Study ID
    }
)
"""Top-level attributes whose original value the engine needs, whatever becomes of them."""
