"""Where a value that identifies somebody may stand by chance: in words that the standard and this program chose.

A patient may be called Head, Test or Patient, and be born on the day of a study. What the de-identifier writes itself,
what a public code means, a defined term and a date are no residue of a name or a birth date, because other parts
of the verification judge them exactly: claims word by word, dates against the source.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

from policies.layout import Element, Instance, Level, Step
from policies.silence import SafeWords
from policies.standard.codes import public_meaning

_WRITTEN_HERE = {0x00120062, 0x00120063, 0x00120064, 0x0018A001, 0x00280303}
_CODE_VALUE, _SCHEME, _CODE_MEANING = 0x00080100, 0x00080102, 0x00080104
_ENCRYPTED = 0x04000520
_CHARACTERS_IN_ENCRYPTED = 6
_BORN = {0x00100030, 0x00100033, 0x00100034}


def place_of(instance: Instance, offset: int) -> tuple[tuple[Step, ...], Element | None, Level]:
    """Return the element in whose value a byte lies, with the steps that lead to it; None between elements."""
    level: Level = instance.top
    steps: tuple[Step, ...] = ()
    found: tuple[tuple[Step, ...], Element | None, Level] = ((), None, level)
    while True:
        element = next((one for one in level.values() if one.start <= offset < one.start + one.length), None)
        if element is None:
            return found
        found = (*steps, (element.tag, 0)), element, level
        for number, item in enumerate(element.items or (), start=1):
            if any(one.start <= offset < one.start + one.length for one in item.values()):
                level, steps = item, (*steps, (element.tag, number))
                break
        else:
            return found


def may_be_chance(steps: tuple[Step, ...], element: Element | None, level: Level, value: str) -> bool:
    """Say whether ``value`` may stand in ``element`` without being what remains of somebody."""
    if element is None or not steps:
        return False
    if steps[0][0] in _WRITTEN_HERE:
        return True
    if element.tag == _ENCRYPTED:
        # Encrypted octets hold any few letters by chance, like cells of an image; that they are encrypted is judged
        # exactly (policies.enciphered), and where nobody asked for them they are not let pass at all.
        return len(value) < _CHARACTERS_IN_ENCRYPTED
    if element.vr in ("DA", "DT") and element.tag not in _BORN:
        return re.fullmatch(r"\d{8}", value) is not None
    if element.tag == _CODE_MEANING:
        scheme, code = (level[tag].text() if tag in level else "" for tag in (_SCHEME, _CODE_VALUE))
        public = public_meaning(scheme, code) or ""
        return bool(public) and not SafeWords([public]).tells_more(element.text())
    return element.vr == "CS" and _terms().only(element)


@cache
def _terms() -> SafeWords:
    text = (resources.files("policies") / "defined_terms.txt").read_text(encoding="utf-8")
    return SafeWords(line for line in text.splitlines() if not line.startswith("#"))
