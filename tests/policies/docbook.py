"""Tables in the mark-up of the standard's DocBook source, made here: no sentence of the standard is in them.

The marks are those that a reader stumbles over: zero-width spaces inside long words, retired rows in italics, headings
with a link in brackets, cells of several paragraphs, cells without a paragraph, empty rows, cells that span rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

PROFILE_HEADINGS = (
    "Attribute Name",
    "Tag",
    'Retd. (from <olink targetdoc="PS3.6" targetptr="PS3.6" xrefstyle="select: labelnumber"/>)',
    'In Std. Comp. IOD (from <olink targetdoc="PS3.3" targetptr="PS3.3" xrefstyle="select: labelnumber"/>)',
    "Basic Prof.",
    "Rtn. Safe Priv. Opt.",
    "Rtn. UIDs Opt.",
    "Rtn. Dev. Id. Opt.",
    "Rtn. Inst. Id. Opt.",
    "Rtn. Pat. Chars. Opt.",
    "Rtn. Long. Full Dates Opt.",
    "Rtn. Long. Modif. Dates Opt.",
    "Clean Desc. Opt.",
    "Clean Struct. Cont. Opt.",
    "Clean Graph. Opt.",
)
CONCEPT_HEADINGS = (
    "Code Meaning",
    "Code Value",
    "Coding Scheme Designator",
    "Value Type",
    'Retd. (from <olink targetdoc="PS3.16" targetptr="PS3.16" xrefstyle="select: labelnumber"/>)',
    'In Std. Tpl. (from <olink targetdoc="PS3.16" targetptr="PS3.16" xrefstyle="select: labelnumber"/>)',
    "Basic Prof.",
    *PROFILE_HEADINGS[6:13],
)
PRIVATE_HEADINGS = ("Data Element", "Private Creator", "VR", "VM", "Meaning")
CODE_HEADINGS = ("Coding Scheme Designator", "Code Value", "Code Meaning")
DICTIONARY_HEADINGS = ("Tag", "Name", "Keyword", "VR", "VM", "")


def a_part(number: int, *tables: str, edition: str = "2031a") -> str:
    """A part of the standard with these tables, the first of them deep in a list, as PS3.15 has one."""
    first, *others = tables
    return (
        '<?xml version="1.0" encoding="utf-8" standalone="no"?>\n'
        f'<book xmlns="http://docbook.org/ns/docbook" label="PS3.{number}" version="5.0" xml:id="PS3.{number}">'
        f"<title>PS3.{number}</title><subtitle>DICOM PS3.{number} {edition} - A Part</subtitle>"
        f"<chapter><note><orderedlist><listitem><para>Before.</para>{first}</listitem></orderedlist></note>"
        f"{''.join(others)}</chapter></book>"
    )


def a_table(label: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of plain rows; a row whose third cell is ``Y`` is retired and stands in italics."""
    head = "".join(
        f"<th><para><emphasis role='bold'>{heading}</emphasis></para></th>" for heading in headings
    )
    return a_raw_table(
        label,
        f"<thead><tr>{head}</tr></thead>" if headings else "",
        "".join(a_row(row, italic=len(row) > 2 and row[2] == "Y") for row in rows) + "<tr><td/><td/></tr>",
    )


def a_raw_table(label: str, head: str, body: str) -> str:
    """A table of ready mark-up."""
    return (
        f'<table frame="box" label="{label}" rules="all" xml:id="table_{label}"><caption>A table</caption>'
        f"{head}<tbody>{body}</tbody></table>"
    )


def a_row(cells: Sequence[str], *, italic: bool = False) -> str:
    """One row; what stands in brackets at the end of a cell is a paragraph of its own, as in PS3.15."""
    return f'<tr valign="top">{"".join(_cell(cell, italic) for cell in cells)}</tr>\n'


def _cell(text: str, italic: bool) -> str:
    if not text:
        return '<td align="center" colspan="1" rowspan="1"/>'
    name, bracket, note = text.partition(" (see ")
    paragraphs = (name, f"(see {note}") if bracket else (text,)
    before, after = ('<emphasis role="italic">', "</emphasis>") if italic else ("", "")
    marked = "".join(f"<para>{before}\n   {_broken(part)}{after}\n </para>" for part in paragraphs)
    return f'<td align="left" colspan="1" rowspan="1">\n{marked}\n</td>'


def _broken(text: str) -> str:
    """Break long words where a printer may, by a zero-width space."""
    return " ".join(
        escape(word[:9]) + "\u200b" + escape(word[9:]) if len(word) > 12 else escape(word)
        for word in text.split(" ")
    )


def cells(row: Mapping[str, str], columns: Sequence[str]) -> list[str]:
    """The cells of a row in the order of the printed table."""
    return [row[column] for column in columns]
