"""Codes of public coding schemes and what they mean, and which designators name such a scheme (PS3.16, Table 8-1).

A code whose scheme, value and meaning are public tells nothing about a person; one that a hospital made up may. The
table holds the codes that PS3.16 uses. ``python -m policies.standard.codes`` makes it from what pydicom knows.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from bisect import bisect_left
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path

from policies.standard.tables import concepts

_TABLE = "code_meanings.csv.gz"

PUBLIC_SCHEMES = re.compile(
    r"ACR|ASTM-SIGPURPOSE|BARI|BI|C4|C5|CD2|CTV3|DC|DCM|DCMUID|DICOM|DOQ|FMA|GB14143|HPC|I10|I10P|I11"
    r"|I9|I9C|IBSI|ICDO3|IHERADTF|IHEPATH|ISO3166_1|ISO639_1|ISO639_2|ISO639_3|ISO_OID|ITIS_TSN|JC8"
    r"|JJ1017|LN|MA|MAYOASRG|MDC|MDDX|MGI|MGPI|MSH|NCDR(?: \[2\.0b\])?|NCIt|NCIT|NDC|NEU|NICIP|NYUMCCG|PATHLEX"
    r"|PUBCHEM_CID|RADELEMENT|RADLEX|RFC3066|RFC5646|RO|RXNORM|SCPECG|SCT|SDM|SNM3|SNT|SRT|UBERON|UCUM"
    r"|UMLS|UNS|UNSPECIFIED|UPC|W3CDTF|X12DE"
)
"""Designators of coding schemes that somebody publishes."""

VENDOR_SCHEMES = re.compile(
    r"99(?:TCE|PMP|PHI|PHILIPS|SMS|SIEMENS|GEMS|GEIIS|HOLX|TOSHIBA|CMSC|CANON|SDM|QIICR|DCMQI|_?OFFIS|DCM2USB"
    r"|MITK|SLICER|VARIAN|VMS|ELEKTA|HITACHI|FUJI|AGFA|KODAK|CARESTREAM|SAMSUNG|SHIMADZU|NMG|IHE|HIGHDICOM|BARCO)[A-Z0-9_-]{0,11}"
    r"|PMS|GEIIS|99SYN"
)
"""Designators of schemes that makers of equipment and programs fill, and no hospital."""

_ATOM = (
    r"(?:(?:da|[YZEPTGMkhdcmunpfazy])?"
    r"(?:mol|rad|deg|min|sec|cal|bar|sr|Hz|Pa|Wb|lm|lx|Bq|Gy|Sv|eV|Ci|[gmsACFHJKLNSTVWadhlu%])|pulse)"
)
_NOTE = r"(?:\{[A-Za-z -]{0,24}\})"
_TERM = (
    rf"{_NOTE}?(?:{_NOTE}|{_ATOM}{{1,2}}|10[*^]|\d{{1,3}}|\[(?:degF|in_i|lb_av|iU|IU|pH|pp[bm]|HU)\])"
    rf"(?:[+-]?\d{{1,2}})?{_NOTE}?"
)
"""Units (UCUM sections 2.2 and 2.3): atoms with a prefix, two of them at most without a sign between them."""

FORMS = {
    "DCM": r"\d{4,6}",
    "SCT": r"\d{6,18}",
    "SRT": r"[A-Z][A-Z0-9]?-[0-9A-F]{3,6}|\d{6,18}",
    "SNM3": r"[A-Z][A-Z0-9]?-[0-9A-F]{3,6}",
    "LN": r"\d{1,6}-\d",
    "RADLEX": r"RID\d{1,6}",
    "FMA": r"\d{3,6}",
    "UMLS": r"C\d{7}",
    "NCIt": r"C\d{3,6}",
    "NCIT": r"C\d{3,6}",
    "MDC": r"(?:\d{1,5}:)?\d{1,6}",
    "IHERADTF": r"TCE\d{3}",
    "UCUM": rf"/?{_TERM}(?:[./]{_TERM}){{0,4}}",
}
"""What the values of a public scheme look like; a value of another form is none of its codes."""

ANY_FORM = r"[A-Z]{0,3}-?[0-9][0-9A-Z.-]{0,14}|[A-Za-z]{2,3}(?:-[A-Za-z]{2,4})?"
"""What the values of other public schemes look like: numbers with a few letters, countries and languages."""

_IHE = """
TCE001 For Teaching File Export|TCE002 For Clinical Trial Export|TCE006 Additional Teaching File Information
TCE007 For Research Collection Export|TCE008 For Publication Export
TCE011 Delay export until final report is available|TCE012 Delay export until clinical information is available
TCE013 Delay export until confirmation of diagnosis is available|TCE014 Delay export until histopathology is available
TCE015 Delay export until other laboratory results are available|TCE016 Delay export until patient is discharged
TCE017 Delay export until patient dies|TCE018 Delay export until expert review is available
TCE101 Author|TCE102 Affiliation|TCE103 Contact|TCE104 Abstract|TCE105 Keywords|TCE106 Discussion|TCE107 Diagnosis
TCE108 Organ system|TCE109 Category|TCE110 Level|TCE111 Diagnoses confirmed
TCE201 Primary|TCE202 Intermediate|TCE203 Advanced
TCE301 Musculoskeletal|TCE302 Pulmonary|TCE303 Cardiovascular|TCE304 Gastrointestinal|TCE305 Genitourinary
TCE306 Neuro|TCE307 Vascular and Interventional|TCE308 Nuclear|TCE309 Ultrasound|TCE310 Pediatric|TCE311 Breast
"""
"""The codes of the export profile itself (scheme IHERADTF)."""

_OWN = "POLICY_NAME Policy Name|POLICY_VERSION Policy Version|POLICY_DIGEST Policy Digest|CASE Case"
"""The codes with which a policy is asked for (scheme 99TCE)."""


@lru_cache(maxsize=4096)
def public_meaning(scheme: str, value: str) -> str | None:
    """Return the meaning of a code that PS3.16 uses, in lower case, or None where it uses none of this value.

    Some codes have been called by several names; any of their words belongs to them.
    """
    lines, meanings = _lines(), list[str]()
    at = bisect_left(lines, (scheme, value), key=_code_of)
    while at < len(lines) and _code_of(lines[at]) == (scheme, value):
        meanings += next(csv.reader([lines[at]]))[2:]
        at += 1
    meanings += _concepts().get((scheme, value), ())
    return " ".join(meanings) if meanings else None


def _code_of(line: str) -> tuple[str, str]:
    scheme, value, _ = line.split(",", 2)
    return scheme, value


@cache
def _lines() -> list[str]:
    """The table as it is written, in order: few of its codes are asked for, so the rest stays text."""
    packed = (resources.files("policies.standard") / _TABLE).read_bytes()
    return gzip.decompress(packed).decode("utf-8").rstrip("\n").split("\n")


@cache
def _concepts() -> dict[tuple[str, str], tuple[str, ...]]:
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for row in concepts().values():
        found[row.scheme, row.code] = (*found.get((row.scheme, row.code), ()), row.meaning.lower())
    return found


def _known_to_pydicom() -> Iterator[tuple[str, str, str]]:
    # Imported here: reading takes longer than all the rest of this package, and only the generator needs it.
    from pydicom.sr._concepts_dict import concepts
    from pydicom.sr._snomed_dict import mapping

    for scheme, named in concepts.items():
        for codes in named.values():
            for value, (meaning, *_) in codes.items():
                yield scheme, value, meaning.lower()
                if scheme == "SCT" and value in mapping["SCT"]:
                    yield "SRT", mapping["SCT"][value], meaning.lower()


def _of_the_profile() -> Iterator[tuple[str, str, str]]:
    for scheme, written in (("IHERADTF", _IHE), ("99TCE", _OWN)):
        for line in re.split(r"[|\n]", written.strip()):
            value, _, meaning = line.partition(" ")
            yield scheme, value, meaning.lower()


def write_table(target: Path) -> int:
    """Write the table, always the same bytes for the same codes, and return the number of its rows."""
    rows = sorted({*_known_to_pydicom(), *_of_the_profile()})
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(rows)
    target.write_bytes(gzip.compress(written.getvalue().encode("utf-8"), compresslevel=9, mtime=0))
    return len(rows)


if __name__ == "__main__":
    print(write_table(Path(__file__).with_name(_TABLE)), "codes")
