"""Names in every character set, declared and mis-declared, in the header and elsewhere; and other spellings of
what is known.

The patient's name stands in the header under a declared character set. In attributes that stage 1 lets stay it
stands again: in the same encoding, in UTF-8, in UTF-16 within bytes, and where another set is declared than the
one in use.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from policies.selftest.canary import Canary, Kind, Mint, Until
from tests.canaries.streams import Stream, element, inserted

_PATIENT_NAME, _INSTITUTION, _STATION, _DEPARTMENT, _STUDY = (
    0x00100010,
    0x00080080,
    0x00081010,
    0x00081040,
    0x00081030,
)
_ICC = 0x00282000
_CYRILLIC = "бвгджзклмнпрстфхцчш"
_GREEK = "βγδζθκλμνξπρστφχψ"
_HEBREW = "אבגדהזחטיכלמנ"
_THAI = "กขคงจชซญดตถทธนบ"
_HAN = "吴赵钱孙李周郑王冯陈褚卫蒋沈韩杨"
_KANJI = "山田太郎佐藤鈴木高橋渡辺伊東"
_HANGUL = "김이박최정강조윤장임한오서신"


@dataclass(frozen=True, slots=True)
class Script:
    """A declared character set, the encoding it means, and letters of it."""

    declared: str
    encoding: str
    letters: str
    count: int = 8


SCRIPTS = (
    Script("ISO_IR 100", "latin-1", "äöüßéèñøåçê"),
    Script("ISO_IR 101", "iso8859-2", "łśźżčřšěůő"),
    Script("ISO_IR 144", "iso8859-5", _CYRILLIC),
    Script("ISO_IR 126", "iso8859-7", _GREEK),
    Script("ISO_IR 138", "iso8859-8", _HEBREW),
    Script("ISO_IR 166", "tis-620", _THAI),
    Script("ISO_IR 13", "shift_jis", "ﾔﾏﾀﾞﾀﾛｳｻﾄ"),
    Script("ISO_IR 192", "utf-8", _CYRILLIC + _HAN),
    Script("GB18030", "gb18030", _HAN, 4),
    Script("GBK", "gbk", _HAN, 4),
    Script("\\ISO 2022 IR 87", "iso2022_jp", _KANJI, 4),
    Script("\\ISO 2022 IR 149", "euc_kr", _HANGUL, 4),
    Script("\\ISO 2022 IR 58", "gb2312", _HAN, 4),
)


def _names_in(script: Script) -> Stream:
    """The name in its own encoding in the header and in an attribute that stays."""

    def plant(ds: Dataset, mint: Mint) -> tuple[bytes, list[Canary]]:
        family, given = mint.letters(script.letters, script.count), mint.letters(script.letters, script.count)
        parts = _declared(script.declared)
        parts.append((_PATIENT_NAME, element(_PATIENT_NAME, "PN", _written(script, f"{family}^{given}"))))
        for tag, text in (
            (_INSTITUTION, f"Clinic of {family}"),
            (_STATION, family),
            (_STUDY, f"{given} {family}"),
        ):
            vr = "SH" if tag == _STATION else "LO"
            parts.append((tag, element(tag, vr, _written(script, text))))
        channel = f"names in {script.declared.strip(chr(92))}"
        return inserted(ds, parts), list(_sought(channel, script, family, given))

    return plant


def _mis_declared(script: Script) -> Stream:
    """The header declares another character set than the one in use, and kept text uses a third."""

    def plant(ds: Dataset, mint: Mint) -> tuple[bytes, list[Canary]]:
        family, given = mint.letters(script.letters, script.count), mint.letters(script.letters, script.count)
        parts = _declared(script.declared)
        parts.append((_PATIENT_NAME, element(_PATIENT_NAME, "PN", _written(script, f"{family}^{given}"))))
        parts.append((_INSTITUTION, element(_INSTITUTION, "LO", _even(f"Clinic {family}".encode()))))
        other = f"{given}".encode("gb18030", "ignore")
        parts.append((_DEPARTMENT, element(_DEPARTMENT, "LO", _even(other))))
        return inserted(ds, parts), list(_sought("names mis-declared", script, family, given))

    return plant


def _declared(terms: str) -> list[tuple[int, bytes]]:
    return [(0x00080005, element(0x00080005, "CS", _even(terms.encode())))]


def _written(script: Script, text: str) -> bytes:
    octets = text.encode(script.encoding)
    if script.encoding in ("euc_kr", "gb2312"):
        escape = {"euc_kr": b"\x1b$)C", "gb2312": b"\x1b$)A"}[script.encoding]
        octets = escape + octets
    return _even(octets)


def _even(octets: bytes) -> bytes:
    return octets + b" " * (len(octets) % 2)


def _sought(channel: str, script: Script, family: str, given: str) -> Iterator[Canary]:
    """The name as bytes in every encoding that could hold it."""
    seen: set[bytes] = set()
    for name in (family, given):
        for encoding in dict.fromkeys((script.encoding, "utf-8", "utf-16-le", "utf-16-be", "gb18030")):
            with contextlib.suppress(UnicodeEncodeError):
                octets = name.encode(encoding).removesuffix(b"\x1b(B").removeprefix(b"\x1b$B")
                if len(octets) >= 6 and octets not in seen:
                    seen.add(octets)
                    yield Canary(channel, octets, Kind.BYTES, Until.STAGE_1, f"as {encoding}")


def unknown_in_text(ds: Dataset, mint: Mint) -> tuple[bytes, list[Canary]]:
    """Names that no header knows, in free text, beside letters of many scripts."""
    planted, parts = [], _declared("ISO_IR 192")
    for tag, vr, script in (
        *((0x00081030, "LO", _CYRILLIC), (0x0008103E, "LO", _GREEK), (0x00324000, "LT", _HAN)),
        *((0x00104000, "LT", _HANGUL), (0x00181030, "LO", "äöüßé"), (0x00321060, "LO", _THAI)),
    ):
        word = Canary("free text beside other scripts", mint.word(), Kind.WORD, Until.STAGE_1, f"{tag:08X}")
        foreign = mint.letters(script, 6)
        name = Canary("free text in other scripts", foreign.encode(), Kind.BYTES, Until.STAGE_1, f"{tag:08X}")
        parts.append(
            (tag, element(tag, vr, _even(f"CHEST {word.value}{foreign} {foreign} of {word.value}".encode())))
        )
        planted += [word, name]
    return inserted(ds, parts), planted


def _of_known(channel: str, place: Callable[[Dataset, str], None], form: Callable[[str], str]) -> Stream:
    """The patient's name, once in the header and once where ``place`` puts it."""

    def plant(ds: Dataset, mint: Mint) -> tuple[bytes, list[Canary]]:
        word = mint.word()
        ds.PatientName = f"{word}^Ann"
        place(ds, form(word))
        return inserted(ds, []), [Canary(channel, word, Kind.WORD, Until.STAGE_1, place.__name__)]

    return plant


def _icc_profile(ds: Dataset, text: str) -> None:
    ds.add_new(_ICC, "OB", b"\0\0\2\x0cadsp" + text.encode("latin-1").ljust(200, b"\0"))


def _lut_data(ds: Dataset, text: str) -> None:
    ds.add_new(0x00281201, "OW", text.encode("latin-1").ljust(64, b"\0"))


def _numbers(ds: Dataset, text: str) -> None:
    ds.add(DataElement(0x00181151, "IS", text, already_converted=True))


def _unlimited_text(ds: Dataset, text: str) -> None:
    ds.add_new(0x00181210, "SH", "B30s")
    ds.add_new(0x00181020, "LO", ["syngo", text, "VB10"])


def uid_as_text(ds: Dataset, mint: Mint) -> tuple[bytes, list[Canary]]:
    """The instance's own UIDs, written into texts that stay."""
    for keyword in ("StudyInstanceUID", "SOPInstanceUID", "SeriesInstanceUID"):
        setattr(ds, keyword, mint.uid())
    ds.InstitutionName = f"see {ds.StudyInstanceUID}"
    ds.SoftwareVersions = str(ds.SOPInstanceUID)
    ds.StationName = str(ds.SeriesInstanceUID)[:16]
    ds.ManufacturerModelName = f"{ds.SeriesInstanceUID}.dcm"
    uids = (ds.StudyInstanceUID, ds.SOPInstanceUID, ds.SeriesInstanceUID)
    return inserted(ds, []), [Canary("UIDs as text", str(uid), Kind.UID, Until.STAGE_1, "LO") for uid in uids]


def _wide(text: str) -> str:
    return text.encode("utf-16-le").decode("latin-1")


CHARACTER_SETS: tuple[Stream, ...] = (
    *(_names_in(script) for script in SCRIPTS),
    *(_mis_declared(script) for script in SCRIPTS[2:9]),
    unknown_in_text,
    uid_as_text,
    _of_known("known name in kept bytes", _icc_profile, str),
    _of_known("known name in kept bytes", _lut_data, str),
    _of_known("known name in kept bytes, UTF-16", _icc_profile, _wide),
    _of_known("known name in kept bytes, UTF-16", _lut_data, _wide),
    _of_known("known name in a number", _numbers, str),
    _of_known("known name in one of several values", _unlimited_text, str),
    _of_known("known name in one of several values", _unlimited_text, str.upper),
)
