"""Reads tables out of the standard's DocBook source: a heading for each column, text for each cell.

It knows how the DICOM standard is marked up and what a cell looks like in print, not what a table means. It stops when
a table or a heading is not the one that was expected, because a column read under a wrong heading would be worse than
none. Used by :mod:`policies.standard.generate` only; nothing that de-identifies reads XML.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from lxml import etree

_DOCBOOK = "{http://docbook.org/ns/docbook}"
_ID = "{http://www.w3.org/XML/1998/namespace}id"
# Zero-width spaces and soft hyphens only tell a printer where a long word may break.
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))
_EDITION = re.compile(r"\b(20\d\d[a-z])\b")


class NotAsExpected(Exception):
    """The DocBook source is not the one that the reader was written for; the message says where."""


class Part:
    """One part of the standard (``part15.xml``)."""

    def __init__(self, path: Path) -> None:
        parser = etree.XMLParser(
            resolve_entities=False, no_network=True, huge_tree=True, remove_comments=True
        )
        try:
            self._root = etree.parse(str(path), parser).getroot()
        except (OSError, etree.XMLSyntaxError) as broken:
            raise NotAsExpected(f"{path.name} cannot be read as XML.") from broken
        self._name = path.name

    @property
    def edition(self) -> str:
        """The edition in the subtitle, such as ``2026d``; empty when it names none."""
        found = _EDITION.search(_text(self._root.find(f"{_DOCBOOK}subtitle")))
        return found.group(1) if found else ""

    def table(self, label: str, headings: Sequence[str]) -> list[list[str]]:
        """Return the rows of the table ``label``, as wide as ``headings``.

        A heading is compared without what stands in brackets. ``headings`` may be empty for a table without any; then
        its rows are as wide as they are. Rows without any text are left out.

        Raises:
            NotAsExpected: there is no such table, it has other headings, or a row is not as wide as they are.
        """
        table = self._find(f"table_{label}")
        found = [[_heading(cell) for cell in row] for row in _grid(table.find(f"{_DOCBOOK}thead"))]
        expected = [list(headings)] if headings else []
        if found != expected:
            raise NotAsExpected(f"{self._name}: Table {label} has the headings {found}, not {expected}.")
        rows = [row for row in _grid(table.find(f"{_DOCBOOK}tbody")) if any(row)]
        if not rows:
            raise NotAsExpected(f"{self._name}: Table {label} has no rows.")
        width = len(headings) or len(rows[0])
        for row in rows:
            if len(row) != width:
                raise NotAsExpected(f"{self._name}: a row of Table {label} has {len(row)} cells: {row}.")
        return rows

    def _find(self, identifier: str) -> etree._Element:
        for table in self._root.iter(f"{_DOCBOOK}table"):
            if table.get(_ID) == identifier:
                return table
        raise NotAsExpected(f"{self._name} has no {identifier}.")


def _grid(body: etree._Element | None) -> Iterator[list[str]]:
    """Yield the rows of text; a cell that spans rows or columns is repeated in each of them."""
    above: dict[int, tuple[int, str]] = {}
    for row in [] if body is None else body.findall(f"{_DOCBOOK}tr"):
        texts: list[str] = []
        cells = [cell for cell in row if cell.tag in (f"{_DOCBOOK}td", f"{_DOCBOOK}th")]
        while cells or len(texts) in above:
            if len(texts) in above:
                left, text = above.pop(len(texts))
                if left > 1:
                    above[len(texts)] = (left - 1, text)
                texts.append(text)
                continue
            cell = cells.pop(0)
            for _ in range(int(cell.get("colspan") or 1)):
                rows = int(cell.get("rowspan") or 1)
                if rows > 1:
                    above[len(texts)] = (rows - 1, _text(cell))
                texts.append(_text(cell))
        yield texts


def _text(element: etree._Element | None) -> str:
    """Return what is printed: emphasis and links without their marks, white space as single spaces."""
    if element is None:
        return ""
    return " ".join("".join(_printed(element)).translate(_INVISIBLE).split())


def _printed(element: etree._Element) -> Iterator[str]:
    # Paragraphs of a cell stand apart; emphasis and links inside one do not.
    if element.tag == f"{_DOCBOOK}para":
        yield " "
    yield element.text or ""
    for child in element:
        yield from _printed(child)
        yield child.tail or ""


def _heading(text: str) -> str:
    return re.sub(r"\s*\(.*\)$", "", text)
