"""How the identifiers of a case get their pseudonyms, once the key server has made a digest of each.

    the store has it          what was drawn, or what a list brought
    else, draws               drawn now, and kept before it is told
    else                      derived from the digest (:mod:`vault.scheme`); kept too, where the case claims
    new UIDs of an old trial  hashed without a key, where the case says so (:mod:`vault.legacy_uids`)

A case whose list of subjects is closed has no pseudonyms for other patients. One pseudonym for two originals is an
error, wherever the two come from; only a draw that happens to be taken is made again, as nobody was told of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from vault.assignments import Assignments, Origin, Original
from vault.errors import BadPlan, Collision
from vault.keys import Kind
from vault.legacy_uids import CtpHashUid
from vault.scheme import Form, drawn, known_kind, pseudonym

Triple = tuple[str, str, str]

_MOST_DRAWS = 8
_NEVER_SHORT = (Kind.UID, Kind.DATE_OFFSET)


@dataclass(frozen=True, slots=True)
class Naming:
    """The way of one case and stage. Without ``assignments`` every pseudonym is derived.

    ``draws`` says that what the store does not have is drawn, ``listed_only`` that the list of subjects is closed, and
    ``claims`` that what is derived is kept as well: in stage 2 nothing else tells when two originals get one short
    pseudonym, or one ``legacy`` UID. Raises BadPlan where any of them has no store, and where what is legacy is to be
    drawn.
    """

    form: Form = field(default_factory=Form)
    assignments: Assignments | None = None
    draws: bool = False
    listed_only: bool = False
    claims: bool = False
    legacy: CtpHashUid | None = None

    def __post_init__(self) -> None:
        if self.draws and self.legacy is not None:
            raise BadPlan(
                "UIDs cannot be drawn and be those of a running trial", next_step="choose one of the two"
            )
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
            return {identifier: self.derived(identifier, digest) for identifier, digest in digests.items()}
        originals = {identifier: _original(identifier, digest) for identifier, digest in digests.items()}
        names = {
            original: given.pseudonym
            for original, given in self.assignments.given(originals.values()).items()
        }
        rest = [original for original in dict.fromkeys(originals.values()) if original not in names]
        if rest:
            if self.draws:
                names |= self._drawn(self.assignments, rest)
            else:
                whose = {original: identifier for identifier, original in originals.items()}
                derived = {one: self.derived(whose[one], one.digest) for one in rest}
                names |= self._undisputed(self.assignments, derived)
        return {identifier: names[original] for identifier, original in originals.items()}

    def derived(self, identifier: Triple, digest: bytes) -> str:
        """The pseudonym that an identifier gets where no store has one."""
        kind = known_kind(identifier[0])
        if kind is Kind.UID and self.legacy is not None:
            return self.legacy.uid(identifier[2])
        return pseudonym(kind, digest, self.form)

    def _undisputed(self, store: Assignments, names: dict[Original, str]) -> dict[Original, str]:
        taken = store.holders([name for one, name in names.items() if one.kind is not Kind.DATE_OFFSET])
        if any(taken.get(name, one.place) != one.place for one, name in names.items()):
            raise _collision()
        if self.claims:
            claimed = {one: name for one, name in names.items() if self._may_be_given_twice(one.kind)}
            if claimed and store.give(claimed, Origin.DERIVED).keys() != claimed.keys():
                raise _collision()
        return names

    def _may_be_given_twice(self, kind: Kind) -> bool:
        return kind not in _NEVER_SHORT or (kind is Kind.UID and self.legacy is not None)

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
