"""The proof of what a stage made, for an export and for a folder alike: verification, and the search for residue.

    (result, source) pairs ──▶ policies.verify ──▶ findings
                           ──▶ originals of the sources ──▶ policies.residue ──▶ findings

A finding names reason, tag and channel and holds no value. What is done about it is the caller's: an export is held
as a whole, of a folder the one instance is set aside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from policies.forms import Forms
from policies.model import Policy
from policies.originals import ALL, Trait, told_by
from policies.parsing import read_source
from policies.residue import Residue
from policies.standard.tables import Option
from policies.verify import Finding, Verification

# What an option leaves in place cannot be residue.
_RETAINED_BY: Mapping[Option, Trait] = {
    Option.RETAIN_UIDS: Trait.UID,
    Option.RETAIN_INSTITUTION_IDENTITY: Trait.PLACE,
    Option.RETAIN_DEVICE_IDENTITY: Trait.DEVICE,
}
_THINGS = frozenset({Trait.PLACE, Trait.DEVICE})
_MANUFACTURER, _MODEL = 0x00080070, 0x00081090


def prove_set(
    pairs: Sequence[tuple[Path, Path]],
    policy: Policy,
    *,
    trial: Mapping[str, str] | None = None,
    forms: Forms = Forms(),
    recipients: int = 0,
) -> list[Finding]:
    """Return everything wrong with the results of a stage, given as pairs of result and source.

    ``forms`` are those of the pseudonyms of the case that the stage was for; ``recipients`` says for how many the
    originals are encrypted in each result.

    1. each instance: policy, claims, legality, Types of its IOD, and what became of its source;
    2. the set: references resolve as they did before, UIDs and patients are one for one, intervals are kept;
    3. residue: no identifying value of any of the sources in any byte.
    """
    verification = Verification(policy, trial=trial, forms=forms, recipients=recipients)
    found = [finding for result, source in pairs for finding in verification.check(result, source)]
    return [*found, *verification.whole(), *_residue(pairs, policy)]


def _residue(pairs: Sequence[tuple[Path, Path]], policy: Policy) -> Iterator[Finding]:
    # What is not there is a finding of the verification already.
    values = _sought([source for _, source in pairs if source.is_file()], policy)
    if not values:
        return
    search = Residue(sorted(values))
    for place, (result, _) in enumerate(pairs, start=1):
        if not result.is_file():
            continue
        for where, channel in sorted({(hit.where, hit.channel) for hit in search.search_instance(result)}):
            yield Finding("residue", where, channel, "a value of the sources stands there", place)


def _sought(sources: Sequence[Path], policy: Policy) -> set[str]:
    """Return the values of the sources that may not stand in any result. Each source is read once."""
    sought = ALL - {trait for option, trait in _RETAINED_BY.items() if option in policy.options}
    told: set[tuple[Trait, str]] = set()
    makers: set[str] = set()
    for source in sources:
        instance = read_source(source)
        told.update(told_by(instance))
        # Manufacturers and model names, which no policy removes by default.
        makers.update(instance.text(tag).casefold() for tag in (_MANUFACTURER, _MODEL))
    # A hospital whose name is written as the maker's, which stays, cannot be told from the maker.
    return {
        value
        for trait, value in told
        if trait in sought and not (trait in _THINGS and any(value.casefold() in maker for maker in makers))
    }
