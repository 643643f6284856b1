"""What an action code means for one element of one nesting level, compiled when the element is first met.

    K keep │ X remove │ Z empty │ D replace │ C clean │ U map the UID ──Place──▶ Entry

A Place is all that may be asked: the rules, the path, the VR, how the IOD uses the attribute, and what of a coded entry
is public. Sequences are not treated here but by their items (:mod:`policies.plan`). Action codes: PS3.15 E.1-1a.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from policies.codes import (
    CODE_MEANING,
    CODE_VALUE,
    CODED,
    CODING_SCHEME,
    LOCAL,
    SCHEME_VERSION,
    Trust,
    is_known_scheme,
    is_no_scheme,
    is_version,
)
from policies.elements import TEXT_VRS
from policies.extremes import EXTREMES, KeepUnlessCleaned
from policies.legality import TIMEZONE, Check, check_of
from policies.numbers import NUMERIC_VALUE, Demanded, is_demanded, is_measured
from policies.operations import (
    Constant,
    KeepTime,
    KeepZone,
    MapIdentifier,
    MapUid,
    MoveDate,
    NoteAnatomy,
    Renumber,
    dummy,
)
from policies.pieces import CHANGE, KEEP_LONG, KEEP_SHORT, LOOK, REMOVE, Change, Entry
from policies.profile import Action, compound
from policies.pseudonyms import Kind
from policies.rules import NOT_OF_A_PATIENT, Rules
from policies.shutters import SHUTTERS
from policies.standard.beyond import directory_keys
from policies.standard.tables import AttributeUse, Option, attribute_type
from policies.structured import REFERENCE
from policies.text_operations import CleanText, DropKnown, HoldKnown, KeepLawful, MoveInText

SEARCHED_VRS = TEXT_VRS | {b"AE", b"AS", b"CS", b"DA", b"DS", b"DT", b"IS", b"PN", b"TM", b"UR"}
TEXT_VALUE = 0x0040A160

_PLACEHOLDERS = frozenset({b"LO", b"LT", b"PN", b"SH", b"ST", b"UC", b"UT"})
"""Where a word says that there is none. A number, a date or a code would be a statement."""
_PIXELS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_ANATOMIC_REGION = 0x00082218
_DEVICE_IDENTIFIERS = {0x00181000, 0x00181004, 0x00181008, 0x0018700A}


@dataclass(frozen=True)
class Place:
    """An attribute at one path of one SOP Class, with the VR by which it is treated.

    ``suspicious`` asks that every kept text is searched for the words that name the subject.
    """

    rules: Rules
    sop_class_uid: str
    path: tuple[int, ...]
    vr: bytes
    trust: Trust = Trust.NO_ENTRY
    suspicious: bool = False

    @property
    def tag(self) -> int:
        """The attribute itself."""
        return self.path[-1]

    @cached_property
    def use(self) -> AttributeUse | None:
        """How the IOD uses the attribute here."""
        return attribute_type(self.sop_class_uid, self.path)

    @property
    def is_directory_key(self) -> bool:
        """Whether a medium needs a value though the IOD does not (PS3.3 annex F)."""
        return len(self.path) == 1 and (self.sop_class_uid, self.tag) in directory_keys()

    def action(self) -> Action:
        """Return the one action that the policy's code, possibly compound, comes to here."""
        action = compound(self.rules.code(self.path, self.vr), self.use)
        return Action.D if action in (Action.X, Action.Z) and self.is_directory_key else action

    @cached_property
    def otherwise(self) -> bytes | None:
        """What stands where nothing of a value may stay: by Type a dummy, an empty value, or nothing."""
        if self.tag == TEXT_VALUE:
            return dummy(self.tag, self.vr)
        action = compound("X/Z/D", self.use)
        if action is not Action.D and self.is_directory_key:
            action = Action.D
        if action is Action.X:
            return None
        if action is Action.Z:
            return b""
        if is_measured(self.tag, self.vr):
            # Demanded only sometimes, and a made-up number is never true.
            return None
        # No UID says nothing: what is not one leaves an empty value.
        return b"" if self.vr == b"UI" else dummy(self.tag, self.vr)


def treated(action: Action, place: Place) -> Entry:
    """Return what happens to the element at this place."""
    return _ACTIONS[action](place)


def in_content_item(action: Action, place: Place) -> Entry:
    """Return what happens to the value of a content item whose concept has a row of its own (PS3.15 E.3.4)."""
    if action is Action.D and place.tag == TEXT_VALUE:
        return Entry(TEXT_VALUE, CHANGE, Constant(place.vr, dummy(TEXT_VALUE, place.vr)))
    return treated(action, place)


def _keep(place: Place) -> Entry:
    tag, vr, rules = place.tag, place.vr, place.rules
    if len(place.path) == 1 and tag in SHUTTERS:
        return Entry(tag, CHANGE, SHUTTERS[tag])
    if tag == REFERENCE:
        return Entry(tag, CHANGE, Renumber({}))
    if tag in EXTREMES and rules.blackens:
        return Entry(tag, CHANGE, KeepUnlessCleaned(vr))
    listed = rules.lists(place.path)
    if tag in CODED and not listed:
        coded = _coded(place)
        if tag == CODE_MEANING and _ANATOMIC_REGION in place.path and rules.notes_anatomy:
            return Entry(tag, CHANGE, NoteAnatomy(vr, coded.change))
        return coded
    check = check_of(tag, vr, listed=listed)
    if check is not None and is_measured(tag, vr) and is_demanded(place.path, place.use):
        return _demanded(place, check)
    dates: MoveInText | None = None
    if vr in TEXT_VRS and rules.holds_dates(tag):
        dates = MoveInText(vr, place.otherwise, rules.dates.moves)
    if not place.suspicious:
        if check is None and dates is None:
            return Entry(tag, KEEP_SHORT)
        return Entry(tag, LOOK, KeepLawful(vr, place.otherwise, check, dates))
    if vr in SEARCHED_VRS:
        return Entry(tag, CHANGE, DropKnown(vr, place.otherwise, dates, check))
    return Entry(tag, KEEP_LONG) if tag in _PIXELS else Entry(tag, KEEP_LONG, HoldKnown(vr))


def _demanded(place: Place, check: Check) -> Entry:
    """Return the entry for a number that stays as it is or not at all."""
    tag, vr = place.tag, place.vr
    measurement = tag == NUMERIC_VALUE and len(place.path) > 1
    change: Change
    if place.suspicious:
        change = DropKnown(vr, None, None, check)
        return Entry(tag, CHANGE, Demanded(tag, vr, change, check, measurement))
    change = KeepLawful(vr, None, check)
    return Entry(tag, LOOK, Demanded(tag, vr, change, check, measurement))


def _coded(place: Place) -> Entry:
    """Return what happens to a part of a coded entry, of which no more than ``trust`` says is public."""
    tag, vr = place.tag, place.vr
    if tag == CODING_SCHEME:
        # A value that is replaced belongs to the scheme of nobody else any more.
        check = is_no_scheme if place.trust is Trust.NOTHING else is_known_scheme
        return Entry(tag, LOOK, KeepLawful(vr, LOCAL, check))
    if place.trust is not Trust.ALL and (tag == CODE_MEANING or place.trust is not Trust.VALUE):
        if tag == CODE_VALUE and attribute_type(place.sop_class_uid, place.path[:-1]) is not None:
            return Entry(tag, CHANGE, MapIdentifier(vr, Kind.FREE))
        return Entry(tag, CHANGE, CleanText(vr, place.rules.cleaner, place.otherwise))
    version = is_version if tag == SCHEME_VERSION else None
    if place.suspicious:
        return Entry(tag, CHANGE, DropKnown(vr, place.otherwise, None, version))
    if version is not None:
        return Entry(tag, LOOK, KeepLawful(vr, place.otherwise, version))
    return Entry(tag, KEEP_SHORT)


def _remove(place: Place) -> Entry:
    return Entry(place.tag, REMOVE)


def _empty(place: Place) -> Entry:
    change = _identifier(place)
    if change is None:
        placeholder = place.rules.placeholders and place.vr in _PLACEHOLDERS
        change = Constant(place.vr, dummy(place.tag, place.vr) if placeholder else b"")
    return Entry(place.tag, CHANGE, change)


def _replace(place: Place) -> Entry:
    tag, vr = place.tag, place.vr
    if (identifier := _identifier(place)) is not None:
        return Entry(tag, CHANGE, identifier)
    if vr == b"UI":
        return Entry(tag, CHANGE, MapUid())
    if vr == b"PN":
        return Entry(tag, CHANGE, MapIdentifier(vr, Kind.PERSON))
    if tag in _DEVICE_IDENTIFIERS:
        return Entry(tag, CHANGE, MapIdentifier(vr, Kind.DEVICE))
    if tag == TEXT_VALUE and Option.CLEAN_STRUCTURED_CONTENT in place.rules.options:
        return _clean(place)
    return Entry(tag, CHANGE, Constant(vr, dummy(tag, vr)))


def _clean(place: Place) -> Entry:
    tag, vr, otherwise = place.tag, place.vr, place.otherwise
    if tag not in NOT_OF_A_PATIENT:
        if vr in (b"DA", b"DT"):
            return Entry(tag, CHANGE, MoveDate(vr, otherwise))
        if vr == b"TM":
            return Entry(tag, CHANGE, KeepTime(vr, otherwise))
    if tag == TIMEZONE:
        return Entry(tag, CHANGE, KeepZone(otherwise))
    if vr in TEXT_VRS:
        return Entry(tag, CHANGE, CleanText(vr, place.rules.cleaner, otherwise))
    # What cannot be cleaned (bitmaps, names, titles of application entities) is removed.
    return Entry(tag, REMOVE) if otherwise is None else Entry(tag, CHANGE, Constant(vr, otherwise))


def _map_uid(place: Place) -> Entry:
    return Entry(place.tag, CHANGE, MapUid()) if place.vr == b"UI" else Entry(place.tag, REMOVE)


_ACTIONS: dict[Action, Callable[[Place], Entry]] = {
    Action.K: _keep,
    Action.X: _remove,
    Action.Z: _empty,
    Action.D: _replace,
    Action.C: _clean,
    Action.U: _map_uid,
}


def _identifier(place: Place) -> Change | None:
    """Return the pseudonym for attributes that identify an entity and whose action wants a value or allows one."""
    if place.tag == 0x00100020:
        return MapIdentifier(place.vr, Kind.PATIENT_ID, issued=True)
    if place.tag == 0x00080050:
        return MapIdentifier(place.vr, Kind.ACCESSION_NUMBER)
    return None
