"""Reads scripts of CTP's DicomPixelAnonymizer: ``{ signature }`` and the ``(x, y, width, height)`` behind it.

A signature is a boolean expression over elements. It becomes a pixel rule for each of its alternatives; one with a
negation becomes none. CTP blacks out one row and one column more than it says, so a pixel is added.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from policies.errors import Fault
from policies.importing.masks import Criterion, mask_of
from policies.importing.naming import keyword_of, number
from policies.importing.original import Dialect, Lost, Mask, Original

_MOST_ALTERNATIVES = 32
_DEEPEST = 50
_REGION = re.compile(r"\(\s*(-?\d{1,6})\s*,\s*(-?\d{1,6})\s*,\s*(\d{1,6})\s*,\s*(\d{1,6})\s*\)")
_TOKEN = re.compile(
    r"\s*(?://[^\n]*|(?P<sign>[!*+()])|(?P<element>[A-Za-z]\w*|\[[0-9A-Fa-f,]+\])\s*\.\s*(?P<method>\w+)"
    r'\s*\(\s*"(?P<value>[^"]*)"\s*\)|(?P<word>\w+)|(?P<other>\S))'
)
_METHODS = {
    "equals": "equals",
    "equalsIgnoreCase": "equals",
    "contains": "contains",
    "containsIgnoreCase": "contains",
    "startsWith": "contains",
    "startsWithIgnoreCase": "contains",
    "endsWith": "contains",
    "endsWithIgnoreCase": "contains",
}

Alternatives = list[list[Criterion]]


class _Inexpressible(Exception):
    """A signature that no pixel rule can say."""


def read(text: str) -> tuple[Original, list[Fault]]:
    """Return the masks of a script."""
    masks: list[Mask] = []
    lost: list[Lost] = []
    for line, signature, behind in _signatures(text):
        regions = [(int(x), int(y), int(w), int(h)) for x, y, w, h in _REGION.findall(behind)]
        try:
            alternatives = _Signature(signature).alternatives()
        except _Inexpressible:
            why = "it is no choice among texts and sizes to be met; such images are held if they are at risk"
            lost.append(Lost(line, "a signature", why))
            continue
        for criteria in alternatives:
            found = mask_of(line, criteria, regions, wider=1)
            lost.append(found) if isinstance(found, Lost) else masks.append(found)
    return Original(Dialect.CTP_PIXELS, masks=tuple(masks), lost=tuple(lost)), []


def _signatures(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield line, expression and what stands behind it, for each pair of braces."""
    at, line = 0, 1
    while (start := text.find("{", at)) >= 0:
        line += text.count("\n", at, start)
        end = text.find("}", start)
        if end < 0:
            return
        following = text.find("{", end)
        at = following if following >= 0 else len(text)
        yield line, text[start + 1 : end], text[end + 1 : at]
        line += text.count("\n", start, at)


@dataclass(repr=False)
class _Signature:
    """An expression: ``!`` binds closest, then ``*`` (and), then ``+`` (or)."""

    text: str = field(repr=False)
    at: int = 0
    depth: int = 0

    def alternatives(self) -> Alternatives:
        """Return lists of criteria of which one has to be met whole. Raises _Inexpressible."""
        found = self._or()
        if self._peek() is not None:
            raise _Inexpressible
        return found

    def _or(self) -> Alternatives:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise _Inexpressible
        found = self._and()
        while self._takes("+"):
            found += self._and()
        self.depth -= 1
        return _few(found)

    def _and(self) -> Alternatives:
        found = self._term()
        while self._takes("*"):
            right = self._term()
            found = _few([[*one, *other] for one in found for other in right])
        return found

    def _term(self) -> Alternatives:
        if self._takes("("):
            found = self._or()
            if not self._takes(")"):
                raise _Inexpressible
            return found
        token = self._peek()
        if token is None or token["element"] is None or token["method"] not in _METHODS:
            raise _Inexpressible
        self.at = token.end()
        element = token["element"]
        tag = number(element)
        return [[Criterion(keyword_of(tag) if tag else element, _METHODS[token["method"]], token["value"])]]

    def _takes(self, sign: str) -> bool:
        token = self._peek()
        if token is None or token["sign"] != sign:
            return False
        self.at = token.end()
        return True

    def _peek(self) -> re.Match[str] | None:
        while token := _TOKEN.match(self.text, self.at):
            if token.lastgroup is not None:
                return token
            self.at = token.end()
        return None


def _few(alternatives: Alternatives) -> Alternatives:
    if len(alternatives) > _MOST_ALTERNATIVES or any(len(one) > _MOST_ALTERNATIVES for one in alternatives):
        raise _Inexpressible
    return alternatives
