"""Types of attributes in the IODs of PS3.3, and which Storage SOP Classes of PS3.4 have one (2026b).

It answers one question: of which Type is the attribute at this path in this SOP Class? The conditions of
Types 1C and 2C are not in the tables. PS3.15 Table E.1-1a needs the answer to choose between compound codes.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import NamedTuple, cast

_STRICTNESS = {"1": 0, "1C": 1, "2": 2, "2C": 3, "3": 4}
_MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"
_MODULES = b',"modules":{'


@dataclass(frozen=True, slots=True)
class AttributeUse:
    """How an IOD uses an attribute at one path.

    ``type`` is the strictest among the modules that hold the path: to obey it is legal whether or not an
    optional module is there. ``mandatory_module`` says that one of these modules has usage M; ``nested`` that
    the attribute lies in a sequence.
    """

    type: str
    mandatory_module: bool
    nested: bool


class _Module(NamedTuple):
    mandatory: bool
    types: dict[str, str]


def is_known_sop_class(sop_class_uid: str) -> bool:
    """Say whether this is a Storage SOP Class of the standard: one with an IOD here, or a retired one.

    A DICOMDIR is no composite instance; DICOS, eddy current and private SOP Classes are not of this standard.
    """
    return sop_class_uid in _iod_of_sop_class() or sop_class_uid in _retired_storage_classes()


def iod_of(sop_class_uid: str) -> str | None:
    """Return the IOD's name in the tables, or None (retired and unknown SOP Classes)."""
    return _iod_of_sop_class().get(sop_class_uid)


def attribute_type(sop_class_uid: str, path: tuple[int, ...]) -> AttributeUse | None:
    """Return how the SOP Class's IOD uses the attribute at ``path``, or None where it does not define it.

    ``path`` is the attribute's tag preceded by the tags of its enclosing sequences. Overlay groups are one
    module; recursive structures (content trees) are looked up at the depth that the tables hold.
    """
    iod = iod_of(sop_class_uid)
    if iod is None:
        return None
    modules = _modules_of(iod)
    shorter: tuple[int, ...] | None = path
    while shorter is not None:
        written = "/".join(_written(tag) for tag in shorter)
        uses = [(module.types[written], module.mandatory) for module in modules if written in module.types]
        if uses:
            strictest = min((attribute for attribute, _ in uses), key=_STRICTNESS.__getitem__)
            return AttributeUse(strictest, any(mandatory for _, mandatory in uses), nested=len(path) > 1)
        shorter = _without_one_recursion(shorter)
    return None


def _written(tag: int) -> str:
    if tag >> 24 == 0x60:
        return f"60xx{tag & 0xFFFF:04X}"
    return f"{tag:08X}"


def _without_one_recursion(path: tuple[int, ...]) -> tuple[int, ...] | None:
    for start, tag in enumerate(path):
        try:
            again = path.index(tag, start + 1)
        except ValueError:
            continue
        return path[:start] + path[again:]
    return None


class _Tables(NamedTuple):
    """The file, read as far as it is needed: the 400 modules stay text until somebody asks for one."""

    sop_classes: dict[str, str]
    ciods: dict[str, list[tuple[str, str, str]]]
    text: bytes
    modules: dict[str, tuple[int, int]]
    """Where in the text the types of a module stand."""


@cache
def _tables() -> _Tables:
    packed = resources.files("policies.standard").joinpath("iod_attribute_types.json.gz").read_bytes()
    text = gzip.decompress(packed)
    head = text.index(_MODULES)
    beginning = json.loads(text[:head] + b"}")
    return _Tables(beginning["sop_classes"], beginning["ciods"], text, _places(text, head + len(_MODULES)))


def _places(text: bytes, at: int) -> dict[str, tuple[int, int]]:
    """Return where each module stands: a flat object, so that it ends at the first closing brace."""
    places: dict[str, tuple[int, int]] = {}
    while text[at : at + 1] == b'"':
        start = text.index(b"{", at)
        stop = text.index(b"}", start) + 1
        places[text[at + 1 : start - 2].decode()] = start, stop
        at = stop + 1  # behind the comma
    return places


@cache
def _iod_of_sop_class() -> dict[str, str]:
    return {uid: iod for uid, iod in _tables().sop_classes.items() if uid != _MEDIA_STORAGE_DIRECTORY}


@cache
def _module_types(name: str) -> dict[str, str]:
    start, stop = _tables().modules[name]
    return cast("dict[str, str]", json.loads(_tables().text[start:stop]))


@cache
def _modules_of(iod: str) -> tuple[_Module, ...]:
    modules = _tables().modules
    return tuple(
        _Module(usage == "M", _module_types(name))
        for name, usage, _ in _tables().ciods[iod]
        if name in modules
    )


@cache
def _retired_storage_classes() -> frozenset[str]:
    from pydicom._uid_dict import UID_dictionary

    return frozenset(
        uid
        for uid, (name, kind, _, retired, _) in UID_dictionary.items()
        if kind == "SOP Class" and retired and "Storage" in name and "Commitment" not in name
    )
