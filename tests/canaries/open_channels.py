"""Channels in which something is known to survive, each with what it is. ``make canaries`` fails as long as it
does.

The bounded run of ``make test`` tolerates these and nothing else, so that nothing new is added to them unseen.
What stays here for a release stands in docs/limits.md as well.
"""

from __future__ import annotations

from typing import Final

OPEN: Final = {
    "JPEG 2000 segments": "comments of compressed frames",
    "JPEG segments": "comments and application segments of compressed frames",
    "JPEG-LS segments": "comments and application segments of compressed frames",
    "RLE frames": "bytes behind the last segment",
    "UIDs as text": "an instance's own UIDs, written into texts that stay",
    "another VR than the dictionary's": "a word in Image Type",
    "bytes behind the last cell": "Pixel Data that is longer than its image",
    "code meaning of local codes": "names in the meaning of codes that a site made itself",
    "content of reports, local codes": "the same in reports",
    "embedded overlays": "bits above the stored ones",
    "known name in kept bytes, UTF-16": "names in UTF-16 within binary values",
    "known: birth date": "a date of birth in texts that stay",
    "names in ISO 2022 IR 58": "names in GB 2312 behind an escape sequence that stands apart",
    "original, modified, encrypted, signed": "MAC Parameters Sequence",
    "other repeating groups": "Variable Pixel Data, Source Image IDs",
    "wrong kind of value for the VR": "words in DS, IS, CS and TM",
}
