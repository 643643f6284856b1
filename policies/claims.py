"""Does an instance claim what is true of it, and nothing more (PS3.15 E.1.1, CID 7050, RAD-53)?

    policy ──▶ what may be claimed ─┐
    source ──▶ what was so before ──┴─▶ marks of the result ──▶ complaints

What may be claimed is worked out here from options and overrides, without asking the policy's own account of it. After
the second stage nothing that only the first one did may still be claimed.
"""

from __future__ import annotations

import re
import struct
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

from pydicom.datadict import tag_for_keyword

from policies.coarseness import telling_beside
from policies.enciphered import ENCRYPTED_ATTRIBUTES
from policies.enciphered import complaint as enciphered
from policies.layout import Element, Instance
from policies.silence import is_silent
from policies.standard.beyond import beyond
from policies.standard.rows import printed
from policies.standard.tables import BASIC_CODE, Option, row_of

if TYPE_CHECKING:
    from policies.model import Policy

REMOVED_MARK, METHOD, CODES, TEMPORAL = 0x00120062, 0x00120063, 0x00120064, 0x00280303
EQUIPMENT, BURNED_IN, FEATURES, SUBJECT = 0x0018A001, 0x00280301, 0x00280302, 0x00120040
_MARKS = frozenset({REMOVED_MARK, METHOD, CODES, TEMPORAL, EQUIPMENT})
_TRIAL = frozenset(range(0x00120010, 0x00120100)) - _MARKS
_TEMPORAL_WORDS = {"remove": "REMOVED", "keep": "UNMODIFIED"}
_METHOD_WORDS = {
    "remove": "DATES REMOVED",
    "keep": "DATES KEPT",
    "shift": "DATES SHIFTED",
    "truncate-to-month": "DATES TO MONTH",
    "truncate-to-quarter": "DATES TO QUARTER",
    "truncate-to-year": "DATES TO YEAR",
    "study-day": "STUDY DAYS FROM ",
}
_TRUNCATED = {
    "truncate-to-month": ("01",),
    "truncate-to-quarter": ("0101", "0401", "0701", "1001"),
    "truncate-to-year": ("0101",),
}
_TIME_POINT = frozenset({0x00120050, 0x00120052, 0x00120053})
_STUDY_DATE, _NO_DATE, _EPOCH = 0x00080020, "19000101", date(1960, 1, 1)
_EQUIPMENT_TEXT = re.compile(r"TCE(?:[ _][A-Za-z0-9 _.]*)?")
_EQUIPMENT_TAGS = {0x00080070, 0x00081090, 0x00181020, 0x0040A170}
_CLEAN_PIXELS, _CLEAN_FEATURES = Option.CLEAN_PIXEL_DATA, Option.CLEAN_RECOGNIZABLE_VISUAL_FEATURES
# Options whose work is done to some instances only, and claimed by those alone.
_BY_INSTANCE = {_CLEAN_PIXELS: BURNED_IN, _CLEAN_FEATURES: FEATURES}


class Claim(NamedTuple):
    """What is wrong with a mark: its place and one sentence."""

    where: str
    what: str


def written_by_the_de_identifier(policy: Policy, recipients: int = 0) -> frozenset[int]:
    """Return the top-level attributes that are judged here and nowhere else.

    ``recipients`` says for how many originals are encrypted; for none the table alone says what becomes of them.
    """
    time_point = _TIME_POINT if policy.dates == "study-day" else frozenset()
    encrypted = frozenset({ENCRYPTED_ATTRIBUTES}) if recipients else frozenset()
    return _MARKS | time_point | encrypted | (_TRIAL if policy.clinical_trial else frozenset())


def check_claims(
    instance: Instance,
    policy: Policy,
    source: Instance | None,
    trial: Mapping[str, str] | None,
    *,
    cleaned: bool,
    recipients: int = 0,
) -> Iterator[Claim]:
    """Yield what is wrong with the marks.

    ``trial`` are the case's values, by keyword, where they are known; ``cleaned`` says that a pixel rule of the policy
    is for this instance; ``recipients`` for how many originals are encrypted in it.
    """
    top = instance.top
    if recipients and (wrong := enciphered(top.get(ENCRYPTED_ATTRIBUTES), recipients)):
        yield Claim("(0400,0500)", wrong)
    if instance.text(REMOVED_MARK) != "YES":
        yield Claim("(0012,0062)", "it does not say YES")
    temporal = _TEMPORAL_WORDS.get(policy.dates, "MODIFIED")
    if instance.text(TEMPORAL) != temporal:
        yield Claim("(0028,0303)", f"it does not say {temporal}")
    yield from _method(top.get(METHOD), policy)
    claimed = _codes(top.get(CODES))
    done = {_CLEAN_PIXELS} if cleaned and _CLEAN_PIXELS in policy.options else set()
    yield from _methods_claimed(claimed, true_methods(policy) | {(one.code, one.meaning) for one in done})
    for option, tag in _BY_INSTANCE.items():
        yield from _by_instance(instance, source, tag, (option.code, "DCM", option.meaning) in claimed)
    yield from _equipment(top.get(EQUIPMENT))
    yield from _dates(instance, policy)
    if policy.clinical_trial:
        yield from _clinical_trial(
            instance, trial, _TIME_POINT if policy.dates == "study-day" else frozenset()
        )


def _method(element: Element | None, policy: Policy) -> Iterator[Claim]:
    texts = element.texts() if element is not None else []
    words = _METHOD_WORDS[policy.dates] + (str(policy.event) if policy.event else "")
    bands = policy.ages
    wanted = {f"{policy.name} {policy.version}", words, *_coarser(policy)}
    if policy.legacy_uids is not None:
        wanted.add("UIDS HASHED WITHOUT A KEY (CTP HASHUID)")
    if bands is not None and bands.bounds:
        wanted.add("AGE BANDS FROM 0 " + " ".join(str(bound) for bound in bands.bounds) + "+")
    elif bands is not None:
        start = f" FROM {bands.start}" if bands.start else ""
        wide = f"AGE BANDS OF {bands.width} YEARS" if bands.width != 1 else "AGES IN YEARS"
        wanted.add(f"{wide}{start}, {bands.top}+")
    if wanted - set(texts):
        yield Claim("(0012,0063)", "it does not name the policy and what it does to dates and ages")
    if set(texts) - wanted or len(texts) > len(wanted):
        yield Claim("(0012,0063)", "it says something else than the policy does")


def _coarser(policy: Policy) -> Iterator[str]:
    for rule in policy.generalize:
        if rule.digits is not None:
            what = f" TO {rule.digits} DIGITS"
        elif rule.round is not None or rule.width is not None:
            what = f" BANDS OF {rule.width}" if rule.round is None else f" ROUNDED TO {rule.round}"
        else:
            what = " BY TABLE"
        if rule.when is not None:
            what += " IN PART"
        named = rule.attribute.rpartition(".")[2]
        yield f"{named if len(named + what) <= 64 else printed(rule.tag)}{what}"


def _codes(element: Element | None) -> list[tuple[str, str, str]]:
    items = element.items or [] if element is not None else []
    return [tuple(item[tag].text() if tag in item else "" for tag in _CODE) for item in items]  # type: ignore[misc]


_CODE = (0x00080100, 0x00080102, 0x00080104)


def _methods_claimed(claimed: list[tuple[str, str, str]], true: set[tuple[str, str]]) -> Iterator[Claim]:
    wanted = {(value, "DCM", meaning) for value, meaning in true}
    found = set(claimed)
    if len(found) != len(claimed):
        yield Claim("(0012,0064)", "it claims a method twice")
    if found - wanted:
        yield Claim("(0012,0064)", "it claims a method that is not true of this policy")
    if wanted - found:
        yield Claim("(0012,0064)", "it does not claim what was done")


def true_methods(policy: Policy) -> set[tuple[str, str]]:
    """Return the codes of CID 7050 that are true of every instance that this policy treats.

    The profile is true where no override leaves more of an attribute than profile and options would; an option is
    true where no override takes away what it retains, or keeps as it is what it cleans.
    """
    true: set[Option] = set(policy.options) - _BY_INSTANCE.keys()
    basic = True
    for override in (*policy.overrides, *policy.generalize):
        given = _given_by_options(override.tag, policy)
        action = str(getattr(override, "action", "C"))
        said = row_of(override.tag) is not None or override.tag in beyond()
        leaves_more = said and (
            (action == "K" and given != "K") or (action == "C" and given not in ("K", "C"))
        )
        basic = basic and not leaves_more
        row = row_of(override.tag)
        for option, cell in row.options.items() if row is not None else ():
            if (cell == "K" and action not in ("K", "C")) or (cell == "C" and action == "K" and leaves_more):
                true.discard(option)
    for tag in telling_beside(policy):
        row = row_of(tag)
        true -= {option for option, cell in row.options.items() if cell == "K"} if row is not None else set()
    return ({BASIC_CODE} if basic else set()) | {(option.code, option.meaning) for option in true}


def _given_by_options(tag: int, policy: Policy) -> str:
    """The action that profile and options give: to clean is asked for explicitly and wins over to keep."""
    rows: list[tuple[str, Mapping[Option, str]]] = []
    if (row := row_of(tag)) is not None:
        rows.append((row.basic, row.options))
    elif (further := beyond().get(tag)) is not None:
        rows.append((further.action, further.options))
    for basic, options in rows:
        chosen = {options[option] for option in policy.options if option in options}
        return next((action for action in ("U", "C", "K") if action in chosen), basic)
    return ""


def _by_instance(instance: Instance, source: Instance | None, tag: int, claimed: bool) -> Iterator[Claim]:
    """Burned In Annotation and Recognizable Visual Features: NO only by this work, or as the source said."""
    where = f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
    says_no = instance.text(tag) == "NO"
    if claimed and not says_no:
        yield Claim(where, "it does not say NO, although the cleaning is claimed")
    if says_no and not claimed and source is not None and source.text(tag) != "NO":
        yield Claim(where, "it says NO, although nothing was cleaned and the source did not say so")


def _equipment(element: Element | None) -> Iterator[Claim]:
    items = element.items or [] if element is not None else []
    if len(items) != 1:
        yield Claim("(0018,A001)", "not exactly one item, the de-identifier")
    for number, item in enumerate(items, start=1):
        where = f"(0018,A001)[{number}]"
        purposes = [code[:2] for code in _codes(item.get(0x0040A170))]
        if purposes != [("109104", "DCM")] or item.keys() - _EQUIPMENT_TAGS:
            yield Claim(where, "equipment other than the de-identifier, or more of it")
        elif not all(_EQUIPMENT_TEXT.fullmatch(item[tag].text()) for tag in item if item[tag].vr == "LO"):
            yield Claim(where, "it names something else than this program")


def _dates(instance: Instance, policy: Policy) -> Iterator[Claim]:
    """Truncated: the study begins on the first of its month or year. Study days: counted from the policy's event."""
    day = instance.text(_STUDY_DATE)
    ending = _TRUNCATED.get(policy.dates)
    if ending is not None and day and day != _NO_DATE and not day.endswith(ending):
        yield Claim("(0008,0020)", "it is not truncated")
    if policy.dates != "study-day" or not instance.text(0x0020000D):
        return
    offset = instance.top.get(0x00120052)
    told = struct.unpack("<d", offset.raw())[0] if offset is not None and offset.length == 8 else None
    dated = bool(day) and day != _NO_DATE
    # Both are Type 1C, and there together or not at all (PS3.3 C.7.2.3).
    if instance.text(0x00120053) != (str(policy.event) if dated else ""):
        yield Claim("(0012,0053)", "it does not name the policy's event, or names one without a study day")
    if told != ((_day(day) - _EPOCH).days if dated else None):
        yield Claim("(0012,0052)", "it is not the study day that the Study Date tells")


def _day(text: str) -> date:
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        return _EPOCH


def _clinical_trial(
    instance: Instance, trial: Mapping[str, str] | None, besides: frozenset[int]
) -> Iterator[Claim]:
    """The values of the case and the subject's pseudonym, and nothing of the source (PS3.3 C.7.1.3)."""
    top = instance.top
    subject = instance.text(SUBJECT)
    if subject and subject != instance.patient_id and (trial or not is_silent(subject)):
        yield Claim("(0012,0040)", "it is not the pseudonym that is the Patient ID")
    if trial is None:
        return
    values = {int(tag_for_keyword(keyword) or 0): value for keyword, value in trial.items()}
    for tag, element in top.items():
        if tag not in _TRIAL - besides or tag == SUBJECT or not element.length:
            continue
        if element.items is not None or _plain(element.text()) != _plain(values.get(tag, "")):
            where = f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
            yield Claim(where, "a value of a clinical trial that the case does not give")
    sponsored = "ClinicalTrialSponsorName" in trial and "ClinicalTrialProtocolID" in trial
    for tag in (0x00120010, 0x00120020, SUBJECT) if sponsored and instance.patient_id else ():
        if tag not in top:
            where = f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
            yield Claim(where, "missing, although the case gives it")


def _plain(text: str) -> str:
    """A text as the default repertoire can write it."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().strip()[:64]
