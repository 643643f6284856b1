"""How the identifiers of a case get their pseudonyms, once the key server has made a digest of each.

    the store has it          what was drawn, or what a list brought
    else, draws               drawn now, and kept before it is told
    else                      derived from the digest (:mod:`vault.scheme`); kept too, where the case claims

A case whose list of subjects is closed has no pseudonyms for other patients. One pseudonym for two originals is an
error, wherever the two come from; only a draw that happens to be taken is made again, as nobody was told of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from vault.assignments import Assignments, Origin, Original
from vault.errors import BadPlan, Collision
from vault.keys import Kind
from vault.scheme import Form, drawn, known_kind, pseudonym

Triple = tuple[str, str, str]

_MOST_DRAWS = 8
_NEVER_SHORT = (Kind.UID, Kind.DATE_OFFSET)


@dataclass(frozen=True, slots=True)
class Naming:
    """The way of one case and stage. Without ``assignments`` every pseudonym is derived.

    ``draws`` says that what the store does not have is drawn, ``listed_only`` that the list of subjects is closed, and
    ``claims`` that what is derived is kept as well: in stage 2 nothing else tells when two originals get one short
    pseudonym. Raises BadPlan where any of them has no store.
    """

    form: Form = field(default_factory=Form)
    assignments: Assignments | None = None
    draws: bool = False
    listed_only: bool = False
    claims: bool = False

    def __post_init__(self) -> None:
        if self.assignments is None and (self.draws or self.listed_only or self.claims):
            raise BadPlan(
                "pseudonyms that are drawn, claimed, or brought by a closed list need a store",
                next_step="open the store of the case first",
            )

    def unlisted(self, patients: Mapping[Triple, bytes]) -> set[Triple]:
        """Those of some patients, given with their digests, that a closed list does not have."""
        if self.assignments is None or not self.listed_only:
            return set()
        originals = {patient: _original(patient, digest) for patient, digest in patients.items()}
        given = self.assignments.given(originals.values())
        return {
            patient
            for patient, original in originals.items()
            if original not in given or given[original].origin is not Origin.IMPORTED
        }

    def names(self, digests: Mapping[Triple, bytes]) -> dict[Triple, str]:
        """The pseudonym of each identifier, given with its digest. Raises Collision, Tampered and StoreUnavailable."""
        if self.assignments is None:
            return {
                identifier: pseudonym(known_kind(identifier[0]), digest, self.form)
                for identifier, digest in digests.items()
            }
        originals = {identifier: _original(identifier, digest) for identifier, digest in digests.items()}
        names = {
            original: given.pseudonym
            for original, given in self.assignments.given(originals.values()).items()
        }
        rest = [original for original in dict.fromkeys(originals.values()) if original not in names]
        if rest:
            names |= (
                self._drawn(self.assignments, rest) if self.draws else self._derived(self.assignments, rest)
            )
        return {identifier: names[original] for identifier, original in originals.items()}

    def _derived(self, store: Assignments, originals: Collection[Original]) -> dict[Original, str]:
        names = {one: pseudonym(one.kind, one.digest, self.form) for one in originals}
        taken = store.holders([name for one, name in names.items() if one.kind is not Kind.DATE_OFFSET])
        if any(taken.get(name, one.place) != one.place for one, name in names.items()):
            raise _collision()
        if self.claims:
            claimed = {one: name for one, name in names.items() if one.kind not in _NEVER_SHORT}
            if claimed and store.give(claimed, Origin.DERIVED).keys() != claimed.keys():
                raise _collision()
        return names

    def _drawn(self, store: Assignments, originals: Collection[Original]) -> dict[Original, str]:
        names: dict[Original, str] = {}
        left = list(originals)
        for _ in range(_MOST_DRAWS):
            given = store.give({one: drawn(one.kind, self.form) for one in left}, Origin.DRAWN)
            names |= {one: found.pseudonym for one, found in given.items()}
            left = [one for one in left if one not in given]
            if not left:
                return names
        raise _collision()


def _original(identifier: Triple, digest: bytes) -> Original:
    return Original(known_kind(identifier[0]), digest)


def _collision() -> Collision:
    return Collision(
        "two originals claim one pseudonym of the case; nothing was passed on",
        next_step="have the case continued with longer pseudonyms or under another prefix",
    )
