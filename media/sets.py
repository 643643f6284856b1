"""A set of media: what has to hold between several that one export was split over (PS3.11 D.3.3; IHE PDI).

Each is a File-set of its own, no study is torn, and no instance is on two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain

from media.checker import Check, Examined
from media.record_types import STUDY

SET = "the media are File-sets of their own, with no study torn and no instance on two of them"


def check_set(media: Sequence[Examined]) -> Check:
    """Check several media against each other."""
    found = list(_faults(media))
    return Check("set", not found, "; ".join(found) or SET)


def _faults(media: Sequence[Examined]) -> Iterator[str]:
    if len({one.fileset_id for one in media}) < len(media):
        yield "two media have one File-set ID"
    for name, what in (
        (STUDY, "studies are on more than one medium"),
        ("instance", "instances are on more than one"),
    ):
        seen = Counter(chain.from_iterable(one.identities.get(name, ()) for one in media))
        torn = sum(count > 1 for count in seen.values())
        if torn:
            yield f"{torn} {what}"
