"""Looks for canaries in bytes, in every form in which they could have got there.

As they stand in any case, in UTF-16 and UTF-32, percent-encoded, as hexadecimal digits, in base 64, escaped
(``\\x41``, ``\\u0041``), and inside deflated streams. A remainder of a word (its mark and five letters more)
counts as well.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import urllib.parse
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pydicom

from policies.selftest.canary import MARK, NUMBER_MARK, UID_MARK, Canary, Kind

_WORD = re.compile(rb"qzx[a-z]{5,}")
_NUMBER = re.compile(rb"(?<![0-9])1973[0-9]{6}(?![0-9])")
_UID = re.compile(re.escape(UID_MARK.encode()) + rb"[0-9]{1,12}")
_TIME = re.compile(rb"(?<![0-9])(?:[0-9]{8})?[0-9]{6}\.[0-9]{6}(?![0-9])")
_DATE = re.compile(rb"(?<![0-9.])19[23][0-9]{5}(?![0-9])")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{14,}")
_HEX = re.compile(rb"(?:[0-9a-f]{2}[ :]?){9,}", re.I)
_PERCENT = re.compile(rb"(?:%[0-9A-Fa-f]{2}|[A-Za-z0-9.]){6,}")
_ESCAPED = re.compile(rb"(?:\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4})){3,}")
_MARKS = (MARK.encode(), NUMBER_MARK.encode(), UID_MARK.encode())
_LEAST_REMAINDER = 8
"""Letters of a word that are no chance, mark included, in cells of 16 bits either."""


@dataclass(frozen=True, slots=True)
class Found:
    """A canary, or what is left of one, and the form in which it was found."""

    canary: Canary
    form: str


class Search:
    """A search for a collection of canaries."""

    def __init__(self, canaries: Iterable[Canary]) -> None:
        self._words: dict[bytes, list[Canary]] = {}
        self._remainders: dict[bytes, list[Canary]] = {}
        self._literal: list[tuple[bytes, Canary]] = []
        self._bits: list[tuple[bytes, Canary]] = []
        for canary in canaries:
            self._add(canary)

    def _add(self, canary: Canary) -> None:
        if isinstance(canary.value, bytes):
            self._literal.append((canary.value, canary))
            return
        value = canary.value.lower().encode()
        if canary.kind is Kind.BITS:
            self._bits.append((value, canary))
            return
        if canary.kind is Kind.TEXT:
            self._literal.append((value, canary))
            return
        self._words.setdefault(value.split(b"+")[0], []).append(canary)
        if canary.kind is Kind.WORD:
            self._remainders.setdefault(value[:_LEAST_REMAINDER], []).append(canary)

    def everywhere(self, data: bytes, name: str = "") -> Iterator[Found]:
        """Yield what is found in ``data`` in any form, and in ``name``, the name of a file."""
        seen: set[int] = set()
        for form, content in _forms(data):
            for canary in self._plainly(content):
                if id(canary) not in seen:
                    seen.add(id(canary))
                    yield Found(canary, form)
        if self._bits and data[128:132] == b"DICM":
            spelled = _high_bits(data)
            yield from (Found(canary, "bit plane") for value, canary in self._bits if value in spelled)
        for canary in self._plainly(name.encode(errors="surrogateescape").lower()):
            yield Found(canary, "file name")

    def _plainly(self, lower: bytes) -> Iterator[Canary]:
        for pattern in (_WORD, _NUMBER, _UID, _TIME, _DATE):
            for found in pattern.findall(lower):
                yield from self._named(found)
        for value, canary in self._literal:
            if value in lower:
                yield canary

    def _named(self, found: bytes) -> list[Canary]:
        whole = self._words.get(found) or self._words.get(found[: len(MARK) + 9])
        if whole is not None or not found.startswith(MARK.encode()):
            return whole or []
        rest = self._remainders.get(found[:_LEAST_REMAINDER], [])
        return [canary for canary in rest if str(canary.value).lower().encode().startswith(found)]


def _forms(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the data as they are and as they would be decoded, in lower case."""
    lower = data.lower()
    yield "plain", lower
    yield "raw", data
    for name, gap in (("UTF-16", 1), ("UTF-32", 3)):
        zeros = b"\0" * gap
        spread = re.compile(rb"(?:[!-~]" + zeros + rb"){5,}")
        runs = [run.replace(b"\0", b"") for run in spread.findall(lower)]
        if runs:
            yield name, b"\n".join(runs)
    if b"%" in data:
        yield (
            "percent",
            b"\n".join(urllib.parse.unquote_to_bytes(run) for run in _PERCENT.findall(data)).lower(),
        )
    if b"\\" in data:
        yield "escaped", b"\n".join(_unescaped(run) for run in _ESCAPED.findall(data)).lower()
    yield "base64", b"\n".join(_from_base64(data)).lower()
    yield "hexadecimal", b"\n".join(_from_hex(data)).lower()
    inflated = _inflated(data)
    if inflated:
        yield from ((f"deflated, {form}", content) for form, content in _forms(inflated))


def _unescaped(run: bytes) -> bytes:
    return run.decode("ascii").encode().decode("unicode_escape").encode("latin-1", "replace")


def _from_base64(data: bytes) -> Iterator[bytes]:
    for run in _BASE64.findall(data):
        plain = run.translate(bytes.maketrans(b"-_", b"+/"))
        for start in range(4):
            part = plain[start:]
            part = part[: len(part) // 4 * 4]
            try:
                decoded = base64.b64decode(part)
            except binascii.Error:
                continue
            if any(mark in decoded.lower() for mark in _MARKS):
                yield decoded


def _from_hex(data: bytes) -> Iterator[bytes]:
    for run in _HEX.findall(data):
        digits = re.sub(rb"[ :]", b"", run)
        yield binascii.unhexlify(digits[: len(digits) // 2 * 2])


def _inflated(data: bytes) -> bytes:
    """The data set of a file in Deflated Explicit VR Little Endian."""
    if data[128:132] != b"DICM" or b"1.2.840.10008.1.2.1.99" not in data[:1024]:
        return b""
    start = 144 + int.from_bytes(data[140:144], "little")
    try:
        return zlib.decompress(data[start:], -zlib.MAX_WBITS)
    except zlib.error:
        return b""


def _high_bits(data: bytes) -> bytes:
    """What the bits above the stored ones spell, one plane after the other, eight pixels to a byte."""
    ds = pydicom.dcmread(io.BytesIO(data))
    cells = np.frombuffer(ds.PixelData, dtype="<u2")
    planes = (cells >> bit & 1 for bit in range(ds.BitsStored, ds.BitsAllocated))
    return b"|".join(np.packbits(plane.astype(np.uint8)).tobytes() for plane in planes).lower()
