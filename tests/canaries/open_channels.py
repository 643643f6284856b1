"""Channels in which something is known to survive, each with what it is. ``make canaries`` fails as long as it
does.

The bounded run of ``make test`` tolerates these and nothing else, so that nothing new is added to them unseen.
What stays here for a release stands in docs/limits.md as well.
"""

from __future__ import annotations

from typing import Final

OPEN: Final = {
    "UIDs as text": "an instance's own UIDs, written into texts that stay",
    "code meaning of local codes": "names in the meaning of codes that a site made itself",
    "content of reports, local codes": "the same in reports",
    "malformed files": "words in code strings that say how an instance is to be read",
    "warnings and logs": "the same, told by pydicom when it meets an unknown character set",
    "known name in kept bytes, UTF-16": "names in UTF-16 within binary values",
    "known: birth date": "a date of birth in texts that stay",
    "names that people give to things": "beams, blocks, protocols and itineraries that no table names",
    "names in ISO 2022 IR 58": "names in GB 2312 behind an escape sequence that stands apart",
    "original, modified, encrypted, signed": "MAC Parameters Sequence",
    "other repeating groups": "Variable Pixel Data, Source Image IDs",
    "wrong kind of value for the VR": "words in DS, IS, CS and TM",
}
