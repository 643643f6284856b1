"""Pseudonyms for the identifiers of a batch: derived at the server, and for stage 1 sealed before they are
told.

:class:`IdentityPseudonyms` serves stage 1 (keys of the site, mapping kept), :class:`CasePseudonyms` stage 2
(the case's own key, no way back). Equal identifiers get equal pseudonyms wherever and whenever they occur.
How a pseudonym is made of an HMAC is :mod:`vault.scheme`; design.md section 5.

Which pseudonym stands for a digest is :mod:`vault.naming`: derived as a rule; drawn or imported where the case says so.
A patient whom a closed list does not have gets none: he is left out of the answer, with all that is his alone.

The identifiers come in as anything with the shape of a subject; nothing is imported for it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Protocol, TypeVar

from vault.assignments import Assignments
from vault.client import Client
from vault.importing import Intake
from vault.keys import ATTRIBUTE_KEY, Kind, Mount
from vault.mapping import MappingStore
from vault.naming import Naming, Triple
from vault.recent import Recent
from vault.scheme import PADDING, canonical, fingerprint, known_kind
from vault.sealing import Original, Sealer
from vault.secrecy import Secret, safe_name

I = TypeVar("I", bound=Triple)  # noqa: E741 (an identifier: kind, issuer, value)
I_co = TypeVar("I_co", bound=Triple, covariant=True)

ATTRIBUTE_KIND = "attribute:"  # followed by the keyword: the kind of a row that has no pseudonym
_KNOWN_PSEUDONYMS = 200_000


class SubjectLike(Protocol[I_co]):
    """One patient: the identifier that names him, all his identifiers, and values that only custody needs."""

    @property
    def patient(self) -> I_co:
        """The identifier (kind, issuer, value) that names the patient."""

    @property
    def identifiers(self) -> Collection[I_co]:
        """Every identifier of the patient that the batch meets."""

    @property
    def attributes(self) -> Collection[tuple[str, str]]:
        """Keyword and value of further originals."""


class CasePseudonyms:
    """Stage 2: pseudonyms under the key of one case. Keeps no mapping. Belongs to one process."""

    def __init__(self, client: Client, *, case: str, naming: Naming = Naming()) -> None:
        """Raises BadName for an unusable case name."""
        self._client = client
        self._case = safe_name(case, "case")
        self._naming = naming
        self._known: Recent[Triple, str] = Recent(_KNOWN_PSEUDONYMS)

    def resolve(self, subjects: Collection[SubjectLike[I]]) -> dict[I, str]:
        """A pseudonym for every identifier of every subject, ``patient`` included; none for those not listed.

        Raises BadIdentifier, MappingFault, NotFound when the case has no key, and what the client raises; then
        there is none.
        """
        allowed = _listed(subjects, self._naming, self._digests)
        wanted = dict.fromkeys(identifier for subject in allowed for identifier in _identifiers(subject))
        answer: dict[I, str] = {}
        fresh: list[I] = []
        for identifier in wanted:
            known = self._known.get(identifier)
            if known is None:
                fresh.append(identifier)
            else:
                answer[identifier] = known
        if not fresh:
            return answer
        names = self._naming.names(self._digests(fresh))
        for identifier in fresh:
            answer[identifier] = names[identifier]
            self._known.keep(identifier, answer[identifier])
        return answer

    def intake(self, assignments: Assignments, begin: Callable[[], object]) -> Intake:
        """The way into a store of the case for pseudonyms that exist already; ``begin`` makes the store."""
        return Intake(self._case, self._naming, assignments, begin, self._digests)

    def _digests(self, identifiers: Collection[Triple]) -> dict[Triple, bytes]:
        """The HMAC of each, under the key of the case."""
        for identifier in identifiers:
            known_kind(identifier[0])
        texts = [canonical(*identifier) for identifier in identifiers]
        digests = self._client.hmac_batch(Mount.CASES, self._case, texts, version=1)
        return dict(zip(identifiers, digests, strict=True))


class IdentityPseudonyms:
    """Stage 1: pseudonyms under the keys of the site, each original sealed for two custodians.

    A pseudonym is returned only after its mapping is durable. Belongs to one process.
    """

    def __init__(
        self,
        client: Client,
        store: MappingStore,
        *,
        case: str,
        custodians: Collection[str],
        naming: Naming = Naming(),
        key_version: int = 1,
    ) -> None:
        """``key_version`` pins the version of the site's keys for the case, however often they are rotated.

        Raises BadName or BadPlan for an unusable case name or set of custodians.
        """
        self._client = client
        self._naming = naming
        self._key_version = key_version
        self._store = store
        self._case = safe_name(case, "case")
        self._sealer = Sealer(client, store, self._case, tuple(custodians), key_version)
        # By patient and identifier: what two patients share is sealed for each of them.
        self._known: Recent[tuple[Triple, Triple], str] = Recent(_KNOWN_PSEUDONYMS)
        self._sealed: Recent[Triple, bool] = Recent(_KNOWN_PSEUDONYMS)

    def resolve(self, subjects: Collection[SubjectLike[I]]) -> dict[I, str]:
        """A pseudonym for every identifier of every subject, ``patient`` included; none for those not listed.

        Raises BadIdentifier, MappingFault and what the client raises; then there is none, and nothing may
        leave.
        """
        # 1. What is not known yet, of those who may get a pseudonym.
        subjects = _listed(subjects, self._naming, self._digests)
        answer: dict[I, str] = {}
        fresh: dict[tuple[I, I], None] = {}
        for subject in subjects:
            for identifier in _identifiers(subject):
                known = self._known.get((subject.patient, identifier))
                if known is None:
                    fresh[subject.patient, identifier] = None
                else:
                    answer[identifier] = known
        attributes = self._unsealed_attributes(subjects)
        # 2. Derive, draw, or take what a list brought.
        wanted = {identifier for pair in fresh for identifier in pair}
        digests = self._digests(wanted, attributes)
        names = self._naming.names({identifier: digests[identifier] for identifier in wanted})
        patients = {s.patient: names.get(s.patient) or answer[s.patient] for s in subjects}
        # 3. Seal; until this returns, nothing is told to anybody.
        originals = [
            Original(
                patients[patient],
                names[identifier],
                identifier[0],
                fingerprint(digests[identifier]),
                _content(*identifier[1:]),
            )
            for patient, identifier in fresh
            if identifier[0] != Kind.DATE_OFFSET
        ]
        for attribute, patient in attributes.items():
            digest = digests[attribute]
            row = digest[:16].hex(), attribute[0], fingerprint(digest), _content("", attribute[2])
            originals.append(Original(patients[patient], *row))
        self._sealer.seal(originals)
        # 4. Tell.
        for patient, identifier in fresh:
            answer[identifier] = names[identifier]
            self._known.keep((patient, identifier), names[identifier])
        for attribute in attributes:
            self._sealed.keep(attribute, True)
        return answer

    def intake(self, assignments: Assignments, begin: Callable[[], object]) -> Intake:
        """The way into a store of the case for pseudonyms that exist already; ``begin`` makes the store."""
        way = Intake(self._case, self._naming, assignments, begin, self._digests)
        return replace(way, mapping=self._store, seal=self._seal_alone)

    def _seal_alone(self, named: Mapping[Triple, str]) -> None:
        """Seal each identifier by itself, as a patient of its own; stage 1 seals it again with its patient."""
        digests = self._digests(named)
        self._sealer.seal(
            [
                Original(
                    name, name, identifier[0], fingerprint(digests[identifier]), _content(*identifier[1:])
                )
                for identifier, name in named.items()
            ]
        )

    def _unsealed_attributes(self, subjects: Collection[SubjectLike[I]]) -> dict[Triple, I]:
        """The further values that were not sealed yet, with the patient of each.

        In the place of the issuer stands the patient, so that equal values of two patients look different.
        """
        found: dict[Triple, I] = {}
        for subject in subjects:
            for keyword, value in subject.attributes:
                attribute = (ATTRIBUTE_KIND + keyword, "\x1f".join(subject.patient), value)
                if value.strip(PADDING) and not self._sealed.get(attribute):
                    found[attribute] = subject.patient
        return found

    def _digests(
        self, identifiers: Collection[Triple], attributes: Collection[Triple] = ()
    ) -> dict[Triple, bytes]:
        """The HMAC of each, under the key of its kind."""
        by_key: dict[str, list[Triple]] = {}
        for identifier in identifiers:
            by_key.setdefault(known_kind(identifier[0]), []).append(identifier)
        if attributes:
            by_key[ATTRIBUTE_KEY] = list(attributes)
        texts = {key: [canonical(*member) for member in members] for key, members in by_key.items()}
        answer = self._client.hmac_batches(Mount.IDENTIFIERS, texts, version=self._key_version)
        return {
            member: digest
            for key, members in by_key.items()
            for member, digest in zip(members, answer[key], strict=True)
        }


def _listed(
    subjects: Collection[SubjectLike[I]],
    naming: Naming,
    digests: Callable[[Collection[Triple]], Mapping[Triple, bytes]],
) -> Collection[SubjectLike[I]]:
    """Those of the subjects that may get a pseudonym."""
    if not naming.listed_only:
        return subjects
    unlisted = naming.unlisted(digests({subject.patient for subject in subjects}))
    return [subject for subject in subjects if subject.patient not in unlisted]


def content_of(sealed: Secret[bytes]) -> tuple[str, str]:
    """Issuer and value of an opened row."""
    issuer, value = sealed.reveal().decode("utf-8", "surrogatepass").split("\0", 1)
    return issuer, value


def _content(issuer: str, value: str) -> Secret[bytes]:
    return Secret(f"{issuer.strip(PADDING)}\0{value}".encode("utf-8", "surrogatepass"))


def _identifiers(subject: SubjectLike[I]) -> Iterator[I]:
    yield subject.patient
    yield from subject.identifiers
