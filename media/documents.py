"""What a structured report or a key object selection says, as lines of text, and the images that it points at.

For people who read a medium without a viewer: names of concepts and what stands for them, indented as they are
nested (PS3.3 C.17.3). Nothing is interpreted; what is no text is left out, and what is too long is cut and counted.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom import dcmread

_LARGEST = 1 << 24
_MOST_ITEMS = 10_000
_MOST_LINES = 200
_MOST_CHARACTERS = 20_000
_DEEPEST = 12
_TAGS = [
    "SpecificCharacterSet",
    "ConceptNameCodeSequence",
    "ContentSequence",
    "CompletionFlag",
    "VerificationFlag",
]
_PLAIN = {
    "TEXT": "TextValue",
    "DATE": "Date",
    "TIME": "Time",
    "DATETIME": "DateTime",
    "PNAME": "PersonName",
}
_REFERENCES = ("IMAGE", "WAVEFORM", "COMPOSITE")


@dataclass(frozen=True, slots=True, repr=False)
class Line:
    """One content item: how deep it stands, the name of its concept, and its text, line by line."""

    depth: int
    name: str
    text: tuple[str, ...] = ()


@dataclass(slots=True, repr=False)
class Document:
    """A report for reading. ``left_out`` counts content items past the end; ``images`` the frame of each image named.

    Frames are counted from 1, as in the standard; 0 stands for none in particular.
    """

    title: str = ""
    flags: tuple[str, ...] = ()
    lines: list[Line] = field(default_factory=list)
    left_out: int = 0
    images: dict[str, int] = field(default_factory=dict)


def read_document(path: Path) -> Document | None:
    """Read the report in a file; None when it is too large or cannot be read."""
    if path.stat().st_size > _LARGEST:
        return None
    try:
        with warnings.catch_warnings():
            # pydicom's warnings quote values.
            warnings.simplefilter("ignore")
            return _document(dcmread(path, specific_tags=_TAGS))
    except OSError:
        raise
    except Exception:  # a hostile or broken document may break a parser anywhere
        return None


def _document(dataset: Any) -> Document:
    flags = [str(dataset.get(keyword) or "") for keyword in ("CompletionFlag", "VerificationFlag")]
    document = Document(title=_name(dataset), flags=tuple(flag for flag in flags if flag))
    waiting = [(0, item) for item in reversed(dataset.get("ContentSequence") or ())]
    seen = 0
    room = _MOST_CHARACTERS
    while waiting and seen < _MOST_ITEMS:
        depth, item = waiting.pop()
        seen += 1
        line = _line(item, min(depth, _DEEPEST))
        if str(item.get("ValueType", "")) == "IMAGE":
            _note_images(item, document.images)
        room -= 0 if line is None else len(line.name) + sum(map(len, line.text))
        if line is not None and len(document.lines) < _MOST_LINES and room > 0:
            document.lines.append(line)
        elif line is not None:
            document.left_out += 1
        waiting += [(depth + 1, below) for below in reversed(item.get("ContentSequence") or ())]
    document.left_out += len(waiting)
    return document


def _line(item: Any, depth: int) -> Line | None:
    kind, name = str(item.get("ValueType", "")), _name(item)
    if kind == "CONTAINER":
        return Line(depth, name) if name else None
    if kind in _PLAIN:
        return Line(depth, name, tuple(str(item.get(_PLAIN[kind]) or "").splitlines()))
    if kind == "CODE":
        return Line(depth, name, (_meaning(item.get("ConceptCodeSequence")),))
    if kind == "NUM":
        return Line(depth, name, (_measured(item),))
    if kind in _REFERENCES:
        return Line(depth, name or "Reference", (f"refers to: {kind.lower()}",))
    return None


def _name(item: Any) -> str:
    return _meaning(item.get("ConceptNameCodeSequence"))


def _meaning(codes: Any) -> str:
    return str(codes[0].get("CodeMeaning") or codes[0].get("CodeValue") or "") if codes else ""


def _measured(item: Any) -> str:
    values = item.get("MeasuredValueSequence")
    if not values:
        return _meaning(item.get("NumericValueQualifierCodeSequence")) or "no value"
    units = values[0].get("MeasurementUnitsCodeSequence")
    unit = str(units[0].get("CodeValue") or "").strip("{}") if units else ""
    return f"{values[0].get('NumericValue', '')} {'' if unit == '1' else unit}".strip()


def _note_images(item: Any, images: dict[str, int]) -> None:
    for reference in item.get("ReferencedSOPSequence") or ():
        frames = reference.get("ReferencedFrameNumber")
        first = frames if isinstance(frames, (int, str)) else frames[0] if frames else 0
        images.setdefault(str(reference.get("ReferencedSOPInstanceUID", "")), int(first or 0))
