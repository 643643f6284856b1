"""A policy compiled once: which action code each attribute gets, before the IOD has a say.

    override ─ Table E.1-1 with options ─ what the table forgets ─ rule for the VR ─▶ action code

The first that speaks decides. Nothing here depends on a SOP Class; :mod:`policies.plan` adds that.
"""

from __future__ import annotations

from pydicom.datadict import dictionary_has_tag, keyword_for_tag, repeater_has_tag

from policies.generalize import Bands
from policies.model import Blank, Dates, Generalization, Override, Policy
from policies.pixels.image import COLOURING, DESCRIBING
from policies.pixels.kinds import MATCHED, TELLING, TELLING_OF_BODY
from policies.private import PrivateElement, PrivateRules
from policies.profile import resolve, resolve_beyond
from policies.shutters import SHUTTER_OVERLAY_GROUP
from policies.standard.tables import Option, safe_private
from policies.structured import concepts_of
from policies.text import Cleaner

STRUCTURAL_UIDS = frozenset(
    {
        0x00080016,  # SOP Class UID
        0x0008001A,  # Related General SOP Class UID
        0x0008001B,  # Original Specialized SOP Class UID
        0x00080062,  # SOP Classes Supported
        0x0008010C,  # Coding Scheme UID
        0x0008010D,  # Context Group Extension Creator UID
        0x00080117,  # Context UID
        0x00080118,  # Mapping Resource UID
        0x00081150,  # Referenced SOP Class UID
        0x0008115A,  # SOP Classes in Study
        0x00400440,  # SOP Class of a substance administration's reference
        0x04000010,  # MAC Calculation Transfer Syntax UID
    }
)
"""UIDs that name classes, syntaxes and code sets: never a person's, never replaced (standards: PS3.6 annex A)."""

_WRITTEN_BY_PEOPLE = ("Comment", "Comments", "Description", "Label", "Note", "Notes", "Title")
"""Endings of keywords whose values people write: what the table forgets of them is cleaned like other descriptors."""

PATIENT_AGE = 0x00101010
_INSTITUTION_NAME = 0x00080080
_TEMPORAL_VRS = (b"DA", b"DT", b"TM")

NOT_OF_A_PATIENT = frozenset(
    {
        0x00080106,  # Context Group Version
        0x00080107,  # Context Group Local Version
        0x00141020,  # Expiry Date
        0x00181204,  # Date of Manufacture
        0x00181205,  # Date of Installation
        0x0040DB06,  # Template Version
        0x0040DB07,  # Template Local Version
        0x0044000B,  # Product Expiration DateTime
        0x00686226,  # Effective DateTime (of an implant template)
        0x00686270,  # Information Issue DateTime
        0x0072000A,  # Hanging Protocol Creation DateTime
    }
)
"""Dates of products and publications. Others know them; moved with the patient's, they would tell by how much."""

_VERSIONS_AND_CODES = (
    "Manufacturer",
    "ModelName",
    "Version",
    "Versions",
    "VersionName",
    "CodeValue",
    "Designator",
)
"""Endings of keywords whose text names a product or a term. A date in it is the product's, and stays."""


def _captured(policy: Policy) -> frozenset[int]:
    """Return top-level attributes whose original value tells what is to be done with the pixels."""
    captured = DESCRIBING | TELLING
    if policy.pixels:
        captured |= MATCHED | COLOURING
    if Option.CLEAN_RECOGNIZABLE_VISUAL_FEATURES in policy.options:
        captured |= TELLING_OF_BODY
    return captured


class Rules:
    """What one policy says, in the form that plans ask for."""

    def __init__(self, policy: Policy) -> None:
        self.options = policy.options
        self.dates = policy.dates
        self._said = _by_tag(policy)
        self._companions = policy.companions
        ages = {PATIENT_AGE} if policy.ages else set[int]()
        self.institution_retained = (
            Option.RETAIN_INSTITUTION_IDENTITY in policy.options and self.rule((_INSTITUTION_NAME,)) is None
        )
        self.untold = concepts_of(ages | {rule.tag for rule in policy.generalize})
        self.placeholders = policy.blank is Blank.PLACEHOLDER
        self.bands = Bands(policy.ages.lowers) if policy.ages else None
        self.cleaner = Cleaner(policy.vocabulary)
        self.captured = _captured(policy)
        self.blackens = bool(policy.pixels)
        self.notes_anatomy = Option.CLEAN_RECOGNIZABLE_VISUAL_FEATURES in self.options
        self.private = _private_rules(policy)

    def rule(self, path: tuple[int, ...]) -> Override | Generalization | None:
        """Return what the policy says of the attribute at ``path``: what names most sequences before it goes first."""
        for rule, ending in self._said.get(path[-1], ()):
            if path[-len(ending) :] == ending:
                return rule
        return None

    def code(self, path: tuple[int, ...], vr: bytes) -> str:
        """Return the action code, possibly compound, for an attribute of the standard's dictionary."""
        tag = path[-1]
        rule = self.rule(path)
        if rule is not None:
            return str(rule.action) if isinstance(rule, Override) else "C"
        if tag in self._companions:
            return "X"
        if tag == SHUTTER_OVERLAY_GROUP:
            return "X"
        if repeater_has_tag(tag) and not dictionary_has_tag(tag):
            # Nobody can say what an overlay's bitmap shows, or a retired curve says, which may be a recorded voice: the
            # whole group goes (PS3.3 C.9.2, C.10.2). All other repeating groups are retired too; Pixel Data is none.
            return "X"
        code = resolve(tag, self.options) or resolve_beyond(tag, self.options) or self._by_vr(tag, vr)
        # References to images stay, with new UIDs, wherever the table would let them go as well (X/Z/U*): UIDs are
        # protected either way, and presentation states, segmentations and plans keep what they refer to.
        return "K" if code == "X/Z/U*" else code

    def lists(self, path: tuple[int, ...]) -> bool:
        """Say whether a table or an override decides about the attribute, and not its VR alone."""
        named = resolve(path[-1], self.options) or resolve_beyond(path[-1], self.options)
        return named is not None or self.rule(path) is not None

    def _by_vr(self, tag: int, vr: bytes) -> str:
        """Return the action code for an attribute that no table names (PS3.15 E.1.1, suggested hardening)."""
        if vr == b"UI":
            structural = tag in STRUCTURAL_UIDS or Option.RETAIN_UIDS in self.options
            return "K" if structural else "U"
        if vr in _TEMPORAL_VRS:
            return "C" if self.dates.moves else "K" if self.dates is Dates.KEEP else "X/Z/D"
        if vr in (b"LT", b"ST", b"UT"):
            return "C" if Option.CLEAN_DESCRIPTORS in self.options else "X/Z/D"
        if vr in (b"LO", b"SH", b"UC") and keyword_for_tag(tag).endswith(_WRITTEN_BY_PEOPLE):
            return "C"
        return "X/Z/D" if vr in (b"PN", b"UR", b"AE") else "K"

    def holds_dates(self, tag: int) -> bool:
        """Say whether dates that are written into a kept text of this attribute are treated as dates."""
        return self.dates is not Dates.KEEP and not keyword_for_tag(tag).endswith(_VERSIONS_AND_CODES)


def _by_tag(policy: Policy) -> dict[int, list[tuple[Override | Generalization, tuple[int, ...]]]]:
    """Return the policy's rules by tag, the more particular first. Of equal ones the policy's order decides."""
    found: dict[int, list[tuple[Override | Generalization, tuple[int, ...]]]] = {}
    for rule in sorted(policy.rules, key=lambda rule: (-len(rule.path), rule.when is None)):
        found.setdefault(rule.tag, []).append((rule, rule.path))
    return found


def _private_rules(policy: Policy) -> PrivateRules:
    if Option.RETAIN_SAFE_PRIVATE not in policy.options:
        return PrivateRules()
    chosen = {
        PrivateElement(rule.creator, rule.group, rule.element): (rule.vr or "").encode()
        for rule in policy.private
    }
    table = {PrivateElement(*key): row.vr.partition("/")[0].encode() for key, row in safe_private().items()}
    return PrivateRules(chosen, table)
