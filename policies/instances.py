"""One instance as it is read: its File Meta Information, and where its data set lies.

What conforms is read where it lies. Where preamble, prefix or File Meta Information is missing or incomplete, it is
completed from the data set. What the scan turns down is mended in memory (:mod:`policies.mending`). PS3.10 section 7,
PS3.5 annex A.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import Final

from policies.elements import (
    EXPLICIT_BIG_ENDIAN,
    EXPLICIT_LITTLE_ENDIAN,
    IMPLICIT_LITTLE_ENDIAN,
    FileMeta,
    Style,
    inflate,
    read_file_meta,
    style_of,
    text_of,
)
from policies.errors import Refusal, Unconforming
from policies.heads import looks_like
from policies.mending import mend, values_from
from policies.source import MemorySource, Source

_HEAD: Final = 1 << 16
_META_LIMIT: Final = 1 << 20
_MENDED_LIMIT: Final = 1 << 28
_SOP_CLASS_UID: Final = 0x00080016
_SOP_INSTANCE_UID: Final = 0x00080018
_META: Final = (0x00020002, 0x00020003, 0x00020010)
_PREFIX: Final = b"DICM"
_CONVERT: Final = "Convert it to Explicit VR Little Endian (for example with dcmconv +te) and try again."


@dataclass(frozen=True, slots=True)
class Instance:
    """Where a data set is read from, and how it is encoded there."""

    meta: FileMeta
    data: Source
    offset: int
    style: Style
    mended: bool = False


def open_instance(source: Source) -> Instance:
    """Return an instance whose data set can be scanned; its File Meta Information is complete.

    Raises:
        Refusal: ``not-dicom``, ``truncated``, ``malformed``, ``duplicate-elements`` or
            ``unsupported-transfer-syntax``.
    """
    try:
        meta = read_file_meta(source.read(0, _HEAD))
    except Unconforming:
        meta = _find_meta(source)
    if not meta.transfer_syntax_uid:
        meta = replace(meta, transfer_syntax_uid=_guessed(source, meta.data_set_offset))
    style = style_of(meta.transfer_syntax_uid)
    data, offset = source, meta.data_set_offset
    if style.deflated:
        data, offset = MemorySource(inflate(source.read(offset, source.size))), 0
    seen = looks_like(data.read(offset, _HEAD))
    if seen is not None and (seen.explicit, seen.big_endian) != (style.explicit, style.big_endian):
        style = replace(style, explicit=seen.explicit, big_endian=seen.big_endian)
        return mended(Instance(meta, data, offset, style))
    if style.big_endian or style.words_swapped:
        return mended(Instance(meta, data, offset, style))
    if not meta.sop_class_uid:
        meta = replace(meta, sop_class_uid=_sop_class_in(data.read(offset, _META_LIMIT), style))
    return Instance(meta, data, offset, style)


def mended(instance: Instance, because: Unconforming | None = None) -> Instance:
    """Return an instance whose data set is conforming: Explicit VR Little Endian in memory.

    Raises:
        Refusal: it cannot be mended, or is larger than 256 MiB.
    """
    data, offset, meta = instance.data, instance.offset, instance.meta
    size = data.size - offset
    if size > _MENDED_LIMIT:
        raise Refusal(
            because.reason if because else "unsupported-transfer-syntax",
            because.what if because else "What is not in Little Endian is converted up to 256 MiB only.",
            next_step=_CONVERT,
        )
    content = mend(data.read(offset, size), instance.style)
    if not (instance.style.encapsulated or instance.style.deflated):
        meta = replace(meta, transfer_syntax_uid=EXPLICIT_LITTLE_ENDIAN)
    style = Style(explicit=True, encapsulated=instance.style.encapsulated, deflated=instance.style.deflated)
    if not meta.sop_class_uid:
        meta = replace(meta, sop_class_uid=_sop_class_in(content[:_META_LIMIT], style))
    return Instance(meta, MemorySource(content), 0, style, mended=True)


def _find_meta(source: Source) -> FileMeta:
    """Return what there is of File Meta Information, in any encoding, also without preamble and prefix."""
    head = source.read(0, _META_LIMIT)
    has_prefix = head[128:132] == _PREFIX
    start = 132 if has_prefix else 0
    style = looks_like(head[start : start + _HEAD])
    if style is None:
        if has_prefix:
            raise Refusal("malformed", "Behind the prefix of the file stands no element.")
        raise _not_dicom()
    found, end = {}, start
    for tag, value, stop in values_from(head, start, style, group=0x0002):
        found[tag] = text_of(value)
        end = stop
    sop_class_uid, sop_instance_uid, transfer_syntax_uid = (found.get(tag, "") for tag in _META)
    if not has_prefix and end == start and not _sop_class_in(head, style):
        raise _not_dicom()
    return FileMeta(sop_class_uid, sop_instance_uid, transfer_syntax_uid, end)


def _guessed(source: Source, offset: int) -> str:
    """Return the transfer syntax of a data set that comes without one."""
    style = looks_like(source.read(offset, _HEAD))
    if style is None:
        raise Refusal(
            "malformed", "The File Meta Information names no transfer syntax, and none can be told."
        )
    if style.big_endian:
        return EXPLICIT_BIG_ENDIAN
    return EXPLICIT_LITTLE_ENDIAN if style.explicit else IMPLICIT_LITTLE_ENDIAN


def _sop_class_in(head: bytes, style: Style) -> str:
    """Return the SOP Class UID of the data set that begins with ``head``, empty when it has none."""
    with contextlib.suppress(Refusal):
        for tag, value, _ in values_from(head, 0, style):
            if tag == _SOP_CLASS_UID:
                return text_of(value)
            if tag > _SOP_INSTANCE_UID:
                break
    return ""


def _not_dicom() -> Refusal:
    return Refusal(
        "not-dicom", "The file is not a DICOM Part 10 file.", next_step="Leave it out of the selection."
    )
