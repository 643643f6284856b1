"""A policy compiled for one SOP Class: for each element of each nesting level, what happens to it.

    tag, VR, path ──override │ E.1-1 │ beyond the table │ VR rule──▶ action code ──Type in the IOD──▶ Entry

Tables are filled as elements are met and then only looked up, so a series pays for its first instance. Deny by
default: an element that neither the standard's dictionary nor the policy knows is removed (PS3.15 E.1.1). What
the codes mean is :mod:`policies.actions`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import cached_property, partial

from policies.actions import TEXT_VALUE, Place, in_content_item, treated
from policies.captured import CAPTURED
from policies.characteristics import CHARACTERISTICS, Characteristics, read_characteristics
from policies.codes import CODING_SCHEME, Trust, trust_in_item
from policies.elements import BULK_VRS, KNOWN_VRS, LONG_VRS, encode, tag_text
from policies.errors import Unconforming
from policies.generalize import way_of
from policies.memory import Memory
from policies.model import Generalization, Override
from policies.operations import (
    BandAge,
    Constant,
    Generalize,
    Keep,
    KeepOffsetTable,
    MapUid,
    Marked,
    Remove,
    Renumber,
    dummy,
)
from policies.pieces import (
    CHANGE,
    DECLARE,
    DESCEND,
    KEEP_BULK,
    KEEP_LONG,
    KEEP_PIXELS,
    KEEP_SHORT,
    LOOK,
    PRIVATE,
    REMOVE,
    REPLACE,
    Content,
    Entry,
)
from policies.pixels.image import DATA, OFFSET_LENGTHS, OFFSETS
from policies.private import PrivateElement, Said
from policies.private_entries import private_entry
from policies.profile import Action
from policies.representations import legal_vrs, treated_as
from policies.rules import STRUCTURAL_UIDS, Rules
from policies.standard.tables import attribute_type
from policies.structured import (
    CELL_VALUES,
    CONTENT_SEQUENCE,
    CONTEXTS,
    REFERENCE,
    decide,
    decide_in_context,
    read_content,
)
from policies.telling import IDENTIFYING, NAMES, PLACES

_MOST_ENTRIES = 50_000
_MOST_TABLES = 1 << 14
"""An IOD with all its functional groups needs some thousand; sequences in sequences may ask for any number."""
_tag = struct.Struct("<HH").unpack_from

_CONTENT_VALUES = frozenset({TEXT_VALUE, 0x0040A124})
"""Text Value and UID: what happens to them in a content item is said by its concept."""
_PATIENT_AGE = 0x00101010
_GRAPHIC_ANNOTATIONS = 0x00700001
PER_FRAME = 0x52009230
"""Per-Frame Functional Groups Sequence: one item for each frame (PS3.3 C.7.6.16)."""


class Plan:
    """One policy for one SOP Class, for explicit or implicit encoding.

    ``marked`` are the top-level tags that the engine writes itself. A ``suspicious`` plan searches every kept text
    for the words that name the subject; the engine asks for it only when such a word was seen.
    """

    def __init__(
        self,
        rules: Rules,
        sop_class_uid: str,
        *,
        explicit: bool,
        marked: frozenset[int],
        suspicious: bool = False,
    ) -> None:
        self.rules = rules
        self.sop_class_uid = sop_class_uid
        self.explicit = explicit
        self.marked = marked
        self.suspicious = suspicious
        self.tables = 0
        self.top = LevelTable(self, ())
        self.memory = None if rules.private.keep_any else Memory()

    @cached_property
    def twin(self) -> Plan:
        """The same plan for implicit encoding."""
        return Plan(
            self.rules, self.sop_class_uid, explicit=False, marked=self.marked, suspicious=self.suspicious
        )

    @property
    def full(self) -> bool:
        """Whether it remembers as many tables as it may. It still decides everything, and learns nothing more."""
        return self.tables + (self.twin.tables if "twin" in vars(self) else 0) >= _MOST_TABLES


class LevelTable:
    """The entries of one nesting level (:class:`policies.pieces.Table`); ``path`` leads to it, empty for the top."""

    def __init__(
        self,
        plan: Plan,
        path: tuple[int, ...],
        *,
        dummy: bool = False,
        gathering: bool = False,
        value: Action | None = None,
        trust: Trust = Trust.NO_ENTRY,
    ) -> None:
        plan.tables += 1
        self.plan = plan
        self.path = path
        self.dummy = dummy
        self.gathering = gathering
        self.entries: dict[bytes, Entry] = {}
        self.value = value
        self._by_value: dict[str, LevelTable] = {}
        self._private: dict[tuple[str, int, int, bytes, Said], Entry] = {}
        self.trust = trust
        self._by_trust: dict[Trust, LevelTable] = {trust: self}
        self._implicit: LevelTable | None = None
        self.filters_items = _holds_content(path) and not (dummy or gathering)
        self.counts_items = path == (PER_FRAME,)
        use = attribute_type(plan.sop_class_uid, path) if path else None
        self.stands_empty = use is not None and use.type in ("2", "2C")

    def content(self, buf: bytes, start: int, end: int, *, undefined: bool, explicit: bool) -> Content:
        """Return what becomes of the content tree: which items stay, and where references find them."""
        rules = self.plan.rules
        rule = decide_in_context if self.path[-1] in CONTEXTS else decide
        chosen = partial(rule, options=rules.options, untold=rules.untold)
        tree = read_content(buf, start, end, undefined=undefined, explicit=explicit, decide=chosen)
        return Content(tree.stays, {REFERENCE: Renumber(tree.places)}, tree.whole)

    def for_item(self, action: str) -> LevelTable:
        """Return the table for a content item whose value has an action of its own (PS3.15 Table E.3.4-1)."""
        if not action:
            return self
        found = self._by_value.get(action)
        if found is None:
            found = LevelTable(self.plan, self.path, value=Action(action))
            if not self.plan.full:
                self._by_value[action] = found
        return found

    def for_code(self, buf: bytes, start: int, end: int, explicit: bool) -> LevelTable:
        """Return the table for a coded entry: the more of it is public, the more may stay."""
        if self.dummy or self.gathering:
            return self
        trust = trust_in_item(buf, start, end, explicit)
        table = self._by_trust.get(trust)
        if table is None:
            table = LevelTable(self.plan, self.path, trust=trust)
            if not self.plan.full:
                self._by_trust[trust] = table
        return table

    def implicit(self) -> LevelTable:
        """Return the same rules for items in implicit encoding."""
        if self._implicit is not None:
            return self._implicit
        implicit = LevelTable(
            self.plan.twin,
            self.path,
            dummy=self.dummy,
            gathering=self.gathering,
            value=self.value,
            trust=self.trust,
        )
        if not self.plan.full:
            self._implicit = implicit
        return implicit

    def characteristics(
        self, buf: bytes, start: int, end: int, explicit: bool
    ) -> Mapping[tuple[int, str], Characteristics]:
        """Return what the instance says of its private blocks."""
        return read_characteristics(buf, start, end, explicit)

    def private(self, creator: str, group: int, element: int, vr: bytes, said: Said) -> Entry:
        """Return what happens to a private element: kept only by creator and element, and treated by its VR."""
        key = (creator, group, element, vr, said)
        entry = self._private.get(key)
        if entry is None:
            within = LevelTable(self.plan, (*self.path, group << 16 | element))
            name = PrivateElement(creator, group, element & 0xFF)
            entry = private_entry(self.plan.rules, name, element, vr, said, within)
            if len(self._private) < _MOST_ENTRIES and not self.plan.full:
                self._private[key] = entry
        return entry

    def decide(self, head: bytes) -> Entry:
        """Return the entry for the first bytes of an element (tag, and VR where it is explicit)."""
        group, element = _tag(head)
        tag = group << 16 | element
        vr = head[4:]
        if self.plan.explicit and vr not in KNOWN_VRS:
            raise Unconforming("malformed", f"The element {tag_text(tag)} has no legal Value Representation.")
        if group == 0xFFFE:
            raise Unconforming("malformed", "An item stands where an element should be.")
        entry = self._entry(tag, vr)
        if entry.kind in (KEEP_SHORT, KEEP_LONG):
            # How to step over a kept element depends on the file's VR, whatever the dictionary says.
            bulk = (vr or (*legal_vrs(tag), b"")[0]) in BULK_VRS
            if entry.change is not None:
                entry = Entry(tag, KEEP_BULK if bulk else LOOK, entry.change)
            elif self.plan.explicit and vr not in LONG_VRS:
                entry = Entry(tag, KEEP_SHORT)
            else:
                entry = Entry(tag, KEEP_BULK if bulk else KEEP_LONG)
            if tag in DATA and not self.path:
                entry = Entry(tag, KEEP_PIXELS)
        elif (
            isinstance(entry.change, Constant)
            and not _tells(tag, vr)
            and (self.path or tag not in CAPTURED | self.plan.rules.captured)
        ):
            entry = self._fixed(tag, vr, entry.change)
        if len(self.entries) < _MOST_ENTRIES and (entry.table is None or not self.plan.full):
            self.entries[head] = entry
        return entry

    def _fixed(self, tag: int, file_vr: bytes, change: Constant) -> Entry:
        """Return a constant as the bytes of its element, which are the same in every instance."""
        vr = file_vr if file_vr and file_vr != b"UN" else change.vr
        return Entry(tag, REPLACE, fixed=encode(tag, vr, change.constant, explicit=self.plan.explicit))

    def _entry(self, tag: int, file_vr: bytes) -> Entry:
        if tag >> 16 & 1:
            may_stay = self.plan.rules.private.keep_any and not (self.dummy or self.gathering)
            return Entry(tag, PRIVATE if may_stay else REMOVE)
        if tag == CHARACTERISTICS and self.plan.rules.private.keep_any:
            return Entry(tag, DECLARE)
        if tag & 0xFFFF == 0 or tag >> 16 < 0x0008:
            return Entry(tag, REMOVE)
        captured = not self.path and (tag in CAPTURED or tag in self.plan.rules.captured)
        if not self.path and tag in self.plan.marked and not captured:
            return Entry(tag, REMOVE)
        legal = legal_vrs(tag)
        if self.gathering:
            return self._gathered(tag, file_vr if file_vr in legal else (*legal, b"UN")[0])
        if not legal:
            return Entry(tag, REMOVE)
        vr = treated_as(file_vr, legal)
        if vr is None:
            entry = Entry(tag, REMOVE)
        elif self.dummy:
            entry = self._dummy(tag, vr)
        else:
            entry = self._by_action(tag, vr)
        if captured:
            return _captured(entry, vr or legal[0], marked=tag in self.plan.marked)
        if entry.kind == REMOVE and _tells(tag, vr or legal[0]):
            return Entry(tag, CHANGE, Remove(vr or legal[0]))
        return entry

    def _by_action(self, tag: int, vr: bytes) -> Entry:
        plan, rules = self.plan, self.plan.rules
        path = (*self.path, tag)
        place = Place(rules, plan.sop_class_uid, path, vr, self.trust, plan.suspicious)
        rule = rules.rule(path)
        if isinstance(rule, Override) and rule.value is not None:
            return Entry(tag, CHANGE, Constant(vr, rule.value.encode("ascii")))
        if self.value is not None and tag in _CONTENT_VALUES:
            return in_content_item(self.value, place)
        if isinstance(rule, Generalization):
            otherwise = place.otherwise if rule.otherwise is None else rule.otherwise.encode("ascii")
            return Entry(tag, CHANGE, Generalize(vr, way_of(rule), otherwise))
        action = place.action()
        if tag == _PATIENT_AGE and action in (Action.K, Action.C) and rules.bands:
            return Entry(tag, CHANGE, BandAge(rules.bands))
        if vr == b"SQ":
            return self._sequence(path, action)
        return treated(action, place)

    def _sequence(self, path: tuple[int, ...], action: Action) -> Entry:
        tag = path[-1]
        if action is Action.X:
            # Before it goes it is read: what identifies somebody there is searched for in what stays.
            return Entry(tag, REMOVE, None, LevelTable(self.plan, path, gathering=True))
        if action is Action.Z:
            return Entry(tag, CHANGE, Constant(b"SQ", b""))
        if action is Action.D:
            # A dummy content tree or annotation would say nothing true; the sequence goes instead, as its
            # optional module may. Short identification sequences keep their shape and lose their values.
            if tag in (CONTENT_SEQUENCE, _GRAPHIC_ANNOTATIONS):
                return Entry(tag, REMOVE, None, LevelTable(self.plan, path, gathering=True))
            return Entry(tag, DESCEND, None, LevelTable(self.plan, path, dummy=True))
        return Entry(tag, DESCEND, None, LevelTable(self.plan, path))

    def _gathered(self, tag: int, vr: bytes) -> Entry:
        """Return the entry inside a sequence that goes: nothing stays, and what identifies somebody is seen."""
        if vr == b"SQ":
            return Entry(tag, REMOVE, None, LevelTable(self.plan, (*self.path, tag), gathering=True))
        return Entry(tag, CHANGE, Remove(vr)) if _tells(tag, vr) else Entry(tag, REMOVE)

    def _dummy(self, tag: int, vr: bytes) -> Entry:
        """Return the entry inside a sequence that is replaced by a dummy: the shape stays, the values go."""
        path = (*self.path, tag)
        if vr == b"SQ":
            return Entry(tag, DESCEND, None, LevelTable(self.plan, path, dummy=True))
        if vr == b"UI":
            return Entry(tag, KEEP_SHORT) if tag in STRUCTURAL_UIDS else Entry(tag, CHANGE, MapUid())
        if tag == CODING_SCHEME:
            return Entry(tag, CHANGE, Constant(vr, b"99TCE"))
        return Entry(tag, CHANGE, Constant(vr, dummy(tag, vr)))


def _holds_content(path: tuple[int, ...]) -> bool:
    """Say whether the items at ``path`` are content items, or cells of a table among them."""
    if not path or path[-1] == CONTENT_SEQUENCE or path[-1] in CONTEXTS:
        return bool(path)
    return path[-1] == CELL_VALUES and CONTENT_SEQUENCE in path


def _captured(entry: Entry, vr: bytes, *, marked: bool) -> Entry:
    """Return the same treatment as a change, so that the engine sees the original value.

    What a mark writes in its place is not written here; the change says what the mark may carry on.
    """
    change = entry.change or (Remove(vr) if entry.kind == REMOVE else Keep(vr))
    if entry.tag in (OFFSETS, OFFSET_LENGTHS) and entry.kind != REMOVE:
        change = KeepOffsetTable(vr)
    return Entry(entry.tag, CHANGE, Marked(vr, change) if marked else change)


def _tells(tag: int, vr: bytes) -> bool:
    """Say whether a value that goes is searched for in what stays."""
    return vr == b"PN" or tag in NAMES or tag in IDENTIFYING or tag in PLACES
