"""Additional Teaching File Information: an SR document beside the manifest (RAD-52, RAD TF table H-1).

It also carries the request for a policy, in items of the coding scheme 99TCE: the table is extensible and no
standard code exists. A request names a policy by name, version and digest and the case; it never holds a
secret, and :mod:`tce.documents.outgoing` takes it out before export. Which policy is allowed is not decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard_codes
from pydicom.uid import UID, generate_uid

from tce.documents import codes
from tce.documents.codes import BASIC_TEXT_SR, Category, Code, Confirmed, InformationTitle, Level, Scheme
from tce.documents.content import code, coded, concept, first_code, new_document, text
from tce.errors import Refused
from tce.road import Hold, Reason

C = TypeVar("C", Category, Level, Confirmed)


@dataclass(frozen=True, slots=True, repr=False)
class TeachingFileInfo:
    """The content of table H-1. Keywords are text here; codes of other documents are read as their meaning.

    ``modality`` holds code values of CID 29, such as CT. Author, abstract and keywords are mandatory in the table; a
    category that nobody chose is left out rather than invented.
    """

    author: str
    abstract: str
    keywords: tuple[str, ...]
    category: Category | None = None
    level: Level | None = None
    affiliation: str = ""
    contact: str = ""
    history: tuple[str, ...] = ()
    finding: tuple[str, ...] = ()
    discussion: tuple[str, ...] = ()
    impression: tuple[str, ...] = ()
    diagnosis: tuple[str, ...] = ()
    anatomy: tuple[str, ...] = ()
    pathology: tuple[str, ...] = ()
    organ_system: tuple[str, ...] = ()
    modality: tuple[str, ...] = ()
    diagnoses_confirmed: Confirmed | None = None


@dataclass(frozen=True, slots=True)
class PolicyRequest:
    """The policy that a selector asks for, and the case; empty where the document does not say."""

    name: str = ""
    version: str = ""
    digest: str = ""
    case: str = ""

    @property
    def names_a_policy(self) -> bool:
        """Whether any part of a policy is asked for."""
        return bool(self.name or self.version or self.digest)


# Rows of table H-1 with repeated text, in its order (the order is significant).
_BEFORE_CATEGORY: tuple[tuple[str, Code], ...] = (
    ("keywords", codes.KEYWORDS),
    ("history", codes.HISTORY),
    ("finding", codes.FINDING),
    ("discussion", codes.DISCUSSION),
    ("impression", codes.IMPRESSION),
    ("diagnosis", codes.DIAGNOSIS),
    ("anatomy", codes.ANATOMY),
    ("pathology", codes.PATHOLOGY),
    ("organ_system", codes.ORGAN_SYSTEM),
)
_REQUEST: tuple[tuple[str, Code], ...] = (
    ("name", codes.POLICY_NAME),
    ("version", codes.POLICY_VERSION),
    ("digest", codes.POLICY_DIGEST),
    ("case", codes.CASE),
)


def build(
    info: TeachingFileInfo,
    request: PolicyRequest,
    header: Dataset,
    *,
    scheme: Scheme = Scheme.IHERADTF,
    now: datetime,
    new_uid: Callable[[], str] = generate_uid,
) -> Dataset:
    """Return the document as Basic Text SR, of the patient and study of ``header``, ready to be saved.

    Raises Refused when a modality is none of CID 29.
    """
    ds = new_document(BASIC_TEXT_SR, header, "SR", now, new_uid)
    ds.StudyInstanceUID = UID(header.StudyInstanceUID)
    ds.ConceptNameCodeSequence = [coded(InformationTitle.ADDITIONAL_INFORMATION.code(scheme))]
    ds.CompletionFlag = "COMPLETE"
    ds.VerificationFlag = "UNVERIFIED"
    ds.PerformedProcedureCodeSequence = []
    ds.ContentSequence = [*_teaching_items(info, scheme), *_request_items(request)]
    return ds


def parse(ds: Dataset) -> tuple[TeachingFileInfo, PolicyRequest]:
    """Read the document, in either code scheme. Raises Hold when it is malformed or asks for two policies."""
    try:
        content = list(ds.get("ContentSequence") or ())
        request = {}
        for key, name in _REQUEST:
            values = _values(content, name)
            if len(values) > 1:
                raise Hold([Reason("ambiguous-request", "the policy request says something twice")])
            request[key] = values[0] if values else ""
        author = [item for item in content if codes.AUTHOR.same(concept(item))]
        below = list(author[0].get("ContentSequence") or ()) if author else []
        info = TeachingFileInfo(
            author=_first(_values(content, codes.AUTHOR)),
            abstract=_first(_values(content, codes.ABSTRACT)),
            category=_chosen(Category, content, codes.CATEGORY_NAMES),
            level=_chosen(Level, content, codes.LEVEL_NAMES),
            modality=tuple(one.value for one in _coded_values(content, codes.MODALITY)),
            diagnoses_confirmed=_chosen(Confirmed, content, (codes.DIAGNOSES_CONFIRMED,)),
            affiliation=_first(_values(below, codes.AFFILIATION)),
            contact=_first(_values(below, codes.CONTACT)),
            **{key: tuple(_values(content, name)) for key, name in _BEFORE_CATEGORY},
        )
    except Hold:
        raise
    except Exception:  # a peer's bytes may fail in any way
        raise Hold([Reason("malformed-information", "the additional information cannot be read")]) from None
    return info, PolicyRequest(**request)


def _teaching_items(info: TeachingFileInfo, scheme: Scheme) -> Iterator[Dataset]:
    author = text("CONTAINS", codes.AUTHOR, info.author)
    below = [(codes.AFFILIATION, info.affiliation), (codes.CONTACT, info.contact)]
    properties = [text("HAS PROPERTIES", name, value) for name, value in below if value]
    if properties:
        author.ContentSequence = properties
    yield author
    yield text("CONTAINS", codes.ABSTRACT, info.abstract)
    for key, name in _BEFORE_CATEGORY:
        for value in getattr(info, key):
            yield text("CONTAINS", name, value)
    for modality in info.modality:
        yield code("CONTAINS", codes.MODALITY, _modality(modality))
    names = codes.translation(scheme)
    for name, chosen in (
        (codes.CATEGORY, info.category),
        (codes.LEVEL, info.level),
        (codes.DIAGNOSES_CONFIRMED, info.diagnoses_confirmed),
    ):
        if chosen is not None:
            yield code("CONTAINS", names.get((name.value, name.scheme), name), chosen.code(scheme))


def _modality(value: str) -> Code:
    """Return a modality of CID 29."""
    context = standard_codes.cid29
    known = (getattr(context, name) for name in context.dir())
    found = next((one for one in known if one.value == value), None)
    if found is None:
        raise Refused("a modality is none of CID 29", next_step="write code values such as CT, MR, US, DX")
    return Code(found.value, found.scheme_designator, found.meaning)


def _request_items(request: PolicyRequest) -> Iterator[Dataset]:
    for key, name in _REQUEST:
        if value := getattr(request, key):
            yield text("CONTAINS", name, value)


def _values(content: Sequence[Dataset], name: Code) -> list[str]:
    """Return the values of all items of a concept: a text as it is, a code as its meaning."""
    values = []
    for item in content:
        if not name.same(concept(item)):
            continue
        if item.get("ValueType") == "TEXT":
            values.append(str(item.TextValue))
        elif (value := first_code(item.get("ConceptCodeSequence"))) is not None:
            values.append(value.meaning)
    return values


def _coded_values(content: Sequence[Dataset], name: Code) -> list[Code]:
    found = [first_code(item.get("ConceptCodeSequence")) for item in content if name.same(concept(item))]
    return [one for one in found if one is not None]


def _chosen(kinds: type[C], content: Sequence[Dataset], names: Sequence[Code]) -> C | None:
    for item in content:
        if any(name.same(concept(item)) for name in names):
            value = first_code(item.get("ConceptCodeSequence"))
            return next((kind for kind in kinds for s in Scheme if kind.code(s).same(value)), None)
    return None


def _first(values: Sequence[str]) -> str:
    return values[0] if values else ""
