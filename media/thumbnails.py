"""Which images of a medium are shown on its pages, and as what.

An image is shown if nothing in it speaks against it: a page opens at a click, where an instance needs a viewer.

* Burned In Annotation YES, or Recognizable Visual Features YES: not shown.
* Kinds of image in which text or a person is usual (secondary captures, ultrasound, photographs, saved screens): shown
  only with Burned In Annotation NO.
* What cannot be drawn is a word in place of a picture, never an error.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from media.frames import middle_frame, read_frame, read_header
from media.rendering import picture, size_of

SMALL, LARGE = 128, 384
"""The longest side, in pixels, of a thumbnail and of a key image."""

MOST_IN_SERIES = 8
MOST_ON_MEDIUM = 2_000
_USUALLY_ANNOTATED = (
    "1.2.840.10008.5.1.4.1.1.7",  # secondary capture
    "1.2.840.10008.5.1.4.1.1.3.1",  # ultrasound, many frames
    "1.2.840.10008.5.1.4.1.1.6.1",  # ultrasound
    "1.2.840.10008.5.1.4.1.1.77.1",  # visible light
)


class NotShown(StrEnum):
    """Why there is a word in place of a picture."""

    ANNOTATED = "not shown: there is text in the picture"
    PERSON = "not shown: a person may be recognized"
    UNSAID = "not shown: nobody said that the picture is free of text"
    UNREADABLE = "no picture: it cannot be drawn here"


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A picture as JPEG with its size in pixels, or the reason why there is none."""

    jpeg: bytes = field(repr=False, default=b"")
    width: int = 0
    height: int = 0
    reason: NotShown | None = None


def thumbnail_of(path: Path, *, side: int = SMALL, frame: int | None = None) -> Thumbnail:
    """Return the picture of an instance on the medium: of ``frame`` (from 0), or of the one in the middle.

    Raises :class:`OSError` when the file cannot be read.
    """
    try:
        with warnings.catch_warnings():
            # pydicom's warnings quote values.
            warnings.simplefilter("ignore")
            header, place = read_header(path)
            reason = _reason_against(header)
            if reason is not None:
                return Thumbnail(reason=reason)
            number = middle_frame(header) if frame is None else frame
            jpeg = picture(read_frame(path, header, place, number, at_least=2 * side), side=side)
            width, height = size_of(jpeg)
            return Thumbnail(jpeg, width, height)
    except OSError:
        raise
    except Exception:  # what a broken image does to a parser or a decoder is not foreseeable
        return Thumbnail(reason=NotShown.UNREADABLE)


def chosen(count: int, most: int) -> list[int]:
    """Return which of ``count`` things in a row are shown if at most ``most`` may be: evenly, from the middles."""
    kept = min(count, most)
    return [(2 * index + 1) * count // (2 * kept) for index in range(kept)]


def _reason_against(header: Any) -> NotShown | None:
    if _says(header, "RecognizableVisualFeatures", "YES"):
        return NotShown.PERSON
    if _says(header, "BurnedInAnnotation", "YES"):
        return NotShown.ANNOTATED
    kind = str(header.get("SOPClassUID", ""))
    usual = any(kind == uid or kind.startswith(uid + ".") for uid in _USUALLY_ANNOTATED)
    saved_screen = any("SCREEN SAVE" in str(word).upper() for word in _words(header.get("ImageType")))
    if (usual or saved_screen) and not _says(header, "BurnedInAnnotation", "NO"):
        return NotShown.UNSAID
    return None


def _says(header: Any, keyword: str, word: str) -> bool:
    return str(header.get(keyword) or "").strip().upper() == word


def _words(value: Any) -> list[Any]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)
