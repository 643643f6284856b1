"""Why an instance may show the patient where no attribute rule reaches, and which pixel rules are for it.

    SOP Class, Image Type, Conversion Type, … ──▶ risks ──▶ minus accepted ──▶ minus what a pixel rule settles ──▶ held

A head in a volume is asked for only where the policy has the option Clean Recognizable Visual Features: nothing here
distorts a face, so such volumes are held. Where nothing says which part of the body it is, it may be a head.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Final

from policies.clauses import PixelRule, Region
from policies.elements import text_of
from policies.model import Policy
from policies.standard.beyond import (
    BURNED_IN_RISKS,
    Risk,
    body_words,
    conversion_types,
    risks,
    screen_types,
    volume_classes,
)
from policies.standard.tables import Option

_IMAGE_TYPE: Final = 0x00080008
_CONVERSION: Final = 0x00080064
_MODALITY: Final = 0x00080060
_MANUFACTURER: Final = 0x00080070
_MODEL: Final = 0x00081090
_ROWS: Final = 0x00280010
_COLUMNS: Final = 0x00280011
_BURNED_IN: Final = 0x00280301
_FEATURES: Final = 0x00280302
_BODY: Final = (
    0x00081030,  # Study Description
    0x0008103E,  # Series Description
    0x00180015,  # Body Part Examined
    0x00181030,  # Protocol Name
    0x00321060,  # Requested Procedure Description
    0x00400254,  # Performed Procedure Step Description
)

TELLING: Final = frozenset({_IMAGE_TYPE, _CONVERSION, _BURNED_IN, _FEATURES})
"""Top-level attributes that tell a risk."""
TELLING_OF_BODY: Final = frozenset(_BODY)
"""Top-level attributes that tell a part of the body, asked for only with the option."""
MATCHED: Final = frozenset({_MODALITY, _MANUFACTURER, _MODEL})
"""Top-level attributes that pixel rules match, asked for only where there are some."""

_WORDS: Final = {
    Risk.BURNED_IN_ANNOTATION: "The image says that text is burned into its pixels.",
    Risk.RECOGNIZABLE_VISUAL_FEATURES: "It may show the face, from which a person is recognized.",
}


def words_of_risk(risk: Risk) -> str:
    """Return why an instance of this risk is held, as a sentence."""
    return _WORDS.get(
        risk, f"Instances of this kind ({risk}) may show the patient where no attribute rule reaches."
    )


def risks_of(
    sop_class_uid: str,
    raws: Mapping[int, bytes],
    anatomy: Iterable[bytes],
    decode: Callable[[bytes], str],
    policy: Policy,
) -> frozenset[Risk]:
    """Return why this instance may show the patient, whatever the policy accepts.

    ``anatomy`` are the parts of the body that it names in code sequences.
    """
    told = tuple(raws.get(tag, b"") for tag in (_IMAGE_TYPE, _CONVERSION, _BURNED_IN, _FEATURES))
    if Option.CLEAN_RECOGNIZABLE_VISUAL_FEATURES not in policy.options:
        return _risks(sop_class_uid, told, None)
    body = (*(raws.get(tag, b"") for tag in _BODY), *sorted(anatomy))
    return _risks(sop_class_uid, told, " ".join(map(decode, body)).upper())


@lru_cache(maxsize=256)
def _risks(sop_class_uid: str, told: tuple[bytes, ...], body: str | None) -> frozenset[Risk]:
    image_type, conversion, burned_in, features = (text_of(raw).upper() for raw in told)
    parts = [part.strip() for part in image_type.split("\\")]
    found = {risks().get(sop_class_uid), conversion_types().get(conversion)}
    found |= {screen_types().get(part) for part in parts}
    if burned_in not in ("", "NO"):
        found.add(Risk.BURNED_IN_ANNOTATION)
    if features not in ("", "NO") or (
        body is not None and features != "NO" and _shows_head(sop_class_uid, parts, body)
    ):
        found.add(Risk.RECOGNIZABLE_VISUAL_FEATURES)
    return frozenset(risk for risk in found if risk is not None)


def _shows_head(sop_class_uid: str, image_type: list[str], body: str) -> bool:
    kind = volume_classes().get(sop_class_uid)
    if kind is None:
        return False
    if kind.always:
        return True
    if "LOCALIZER" in image_type[2:3]:
        return False
    words = set(re.findall(r"[^\W\d_]+|H&N", body))
    said = [entry.face for entry in body_words() if entry.word in (body if entry.within else words)]
    return any(said) or (kind.silent_held and not said)


def rules_for(
    sop_class_uid: str, raws: Mapping[int, bytes], found: frozenset[Risk], policy: Policy
) -> tuple[PixelRule, ...]:
    """Return the policy's pixel rules that match an instance; text is compared without regard to case."""
    if not policy.pixels:
        return ()
    text = {
        name: text_of(raws.get(tag, b"")).casefold()
        for name, tag in (("modality", _MODALITY), ("manufacturer", _MANUFACTURER), ("model", _MODEL))
    }
    numbers = {
        name: int.from_bytes(raws.get(tag, b"")[:2], "little")
        for name, tag in (("rows", _ROWS), ("columns", _COLUMNS))
    }
    said: dict[str, object] = {**text, **numbers, "sop_class": sop_class_uid}

    def matches(rule: PixelRule) -> bool:
        return all(
            wanted in found
            if name == "risk"
            else said[name] == (wanted.casefold() if isinstance(wanted, str) else wanted)
            for name, wanted in rule.conditions.items()
        )

    return tuple(rule for rule in policy.pixels if matches(rule))


def regions_of(rules: tuple[PixelRule, ...]) -> tuple[Region, ...]:
    """Return the regions of all rules together."""
    return tuple(region for rule in rules for region in rule.regions)


def settled_by(rules: tuple[PixelRule, ...]) -> frozenset[Risk]:
    """Return the risks that are none any more once rules have blacked out their regions.

    A photograph shows more than what is written on it: its risk is settled only by a rule that names it.
    """
    if not rules:
        return frozenset()
    named = {rule.risk for rule in rules}
    return BURNED_IN_RISKS - ({Risk.VISIBLE_LIGHT} - named)
