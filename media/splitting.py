"""Dividing instances among several media when one does not hold them: studies stay whole (PS3.11 D.3.3).

Studies come in the order of the medium and fill one after the other, so that a patient's studies lie together as far as
may be. The same instances are always divided in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from media.errors import OutputRefused
from media.fileset import LONGEST_FILESET_ID
from media.hierarchy import Hierarchy, Node, in_order
from media.iso import BLOCK, in_blocks

_PAGES = 1 << 20  # for the texts and pages that every medium has
_PAGES_OF_SERIES = 96 << 10  # and for those of a series, with its pictures
_RECORD = 400  # octets of an instance in directories of any kind, beside the keys of its record


@dataclass(frozen=True, slots=True, repr=False)
class Room:
    """What goes onto one medium: ``capacity`` octets (None: any number), given out in blocks."""

    capacity: int | None
    medium: str
    block: int = BLOCK


def divided(hierarchy: Hierarchy, room: Room, *, kept_free: int = 0) -> list[Hierarchy]:
    """Return what goes onto each medium, leaving ``kept_free`` octets on each.

    What belongs to no patient goes onto the first. Raises :class:`OutputRefused` when a study is larger than a medium.
    """
    if room.capacity is None:
        return [hierarchy]
    left_alone = room.capacity - kept_free - _PAGES
    parts: list[list[Node]] = [[]]
    free = left_alone - sum(in_blocks(entry.size, room.block) + _RECORD for entry in hierarchy.root_entries)
    for number, study in enumerate(_studies(hierarchy), 1):
        octets = _octets_of(study, room.block)
        if octets > left_alone:
            raise _too_large(number, study, octets + room.capacity - left_alone, room)
        if octets > free:
            parts.append([])
            free = left_alone
        parts[-1].append(study)
        free -= octets
    if len(parts) == 1:
        return [hierarchy]
    return [hierarchy.part(studies, first=not number) for number, studies in enumerate(parts)]


def numbered_id(fileset_id: str, number: int, of: int) -> str:
    """Return the File-set ID of one of several media: the common one with its number."""
    if of == 1:
        return fileset_id
    suffix = f"_{number}"
    return fileset_id[: LONGEST_FILESET_ID - len(suffix)].rstrip("_") + suffix


def in_words(octets: int) -> str:
    """Return a size as it stands on the package of a medium: ``700 MB``, ``4.7 GB``."""
    if octets < 10**9:
        return f"{octets / 10**6:.0f} MB"
    return f"{octets / 10**9:.1f} GB"


def _studies(hierarchy: Hierarchy) -> Iterator[Node]:
    for patient in hierarchy.patients():
        yield from in_order(patient.children)


def _octets_of(study: Node, block: int) -> int:
    octets = 2 * block
    for series in study.children.values():
        octets += 2 * block + _PAGES_OF_SERIES
        octets += sum(
            in_blocks(entry.size, block) + entry.body_place[1] + _RECORD for entry in series.entries
        )
    return octets


def _too_large(number: int, study: Node, octets: int, room: Room) -> OutputRefused:
    instances = sum(len(series.entries) for series in study.children.values())
    held = "1 instance" if instances == 1 else f"{instances} instances"
    return OutputRefused(
        f"study {number} in the order of the medium ({held}) needs {in_words(octets)} with its pages, "
        f"and one {room.medium} takes {in_words(room.capacity or 0)}; a study is not divided",
        next_step="choose a profile or --capacity of a larger medium",
    )
