"""What a request covers of some pseudonyms, before it is used: whose they are and of which kind, and no original.

Pseudonyms, their patients and their kinds stand in the mapping unsealed; so it can be said beforehand what would be
refused, and a grant, which holds for one reveal, is not used up in vain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from vault.custody_ledger import Ledger, Request
from vault.mapping import MappingStore
from vault.pseudonyms import ATTRIBUTE_KIND


@dataclass(frozen=True, slots=True)
class Coverage:
    """``patients`` of each known pseudonym, of whomever; ``kinds`` of those of the request's patients.

    ``closed`` are those among them whose key was not granted: nobody asked for their kind, or it was made later.

    ``own`` are all pseudonyms of each of the request's patients. ``values`` counts how many different originals are
    sealed of each attribute (patient, keyword).
    """

    request: Request
    patients: Mapping[str, frozenset[str]] = field(repr=False)
    kinds: Mapping[str, str] = field(repr=False)
    closed: frozenset[str] = field(repr=False)
    own: Mapping[str, frozenset[str]] = field(repr=False)
    values: Mapping[tuple[str, str], int] = field(repr=False)


def coverage(store: MappingStore, request: Request, pseudonyms: Collection[str]) -> Coverage:
    """Say what a request covers of some pseudonyms; those that the mapping does not know are not named."""
    granted = Ledger(store.database).granted(request.id)
    kinds: dict[str, str] = {}
    closed: set[str] = set()
    own: dict[str, set[str]] = {patient: set() for patient in request.patients}
    values: Counter[tuple[str, str]] = Counter()
    for row in store.rows(request.case_id, request.patients):
        if row.kind.startswith(ATTRIBUTE_KIND):
            values[row.patient, row.kind.removeprefix(ATTRIBUTE_KIND)] += 1
            continue
        own[row.patient].add(row.pseudonym)
        kinds[row.pseudonym] = row.kind
        if not {(row.key_id, row.kind), (row.key_id, "")} & granted.keys():
            closed.add(row.pseudonym)
    patients = store.patients(request.case_id, pseudonyms)
    known = {patient: frozenset(of_one) for patient, of_one in own.items()}
    return Coverage(request, patients, kinds, frozenset(closed), known, values)
