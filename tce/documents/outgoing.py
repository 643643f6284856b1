"""What changes in a document before it takes the road like any other instance (RAD-53).

What was said to the Export Manager alone does not go on: the policy request, and a Delay Reason, which no manifest that
leaves may carry. And a receiver that knows one of the two coding schemes only gets its codes. Nothing is
de-identified here; that is the policy's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydicom.dataset import Dataset

from tce.documents import codes
from tce.documents.codes import Code, Scheme, delay_reason
from tce.documents.content import coded, concept, first_code
from tce.documents.manifest import DocumentKind, recognise

_CODE_SEQUENCES = ("ConceptNameCodeSequence", "ConceptCodeSequence")


def outgoing(ds: Dataset, scheme: Scheme | None = None) -> bool:
    """Change a document to what may leave, in place; say whether anything was changed.

    With a scheme, the profile's codes are written in it; without, they stay as they came. An instance that is no
    document of the profile stays as it is.
    """
    if recognise(str(ds.SOPClassUID), ds) is DocumentKind.INSTANCE:
        return False
    taken = _take_out(ds)
    return _recode(ds, codes.translation(scheme)) or taken if scheme else taken


def _take_out(ds: Dataset) -> bool:
    """Take delay reasons and policy requests out of a content tree, at every depth."""
    found = False
    if "ContentSequence" in ds:
        kept = [item for item in ds.ContentSequence if not _stays_here(item)]
        found = len(kept) != len(ds.ContentSequence)
        below = [_take_out(item) for item in kept]
        found = found or any(below)
        if found and kept:
            ds.ContentSequence = kept
        elif found:
            del ds.ContentSequence
    return found


def _stays_here(item: Dataset) -> bool:
    name = concept(item)
    of_request = name is not None and name.scheme == codes.CASE.scheme
    return of_request or delay_reason(first_code(item.get("ConceptCodeSequence"))) is not None


def _recode(ds: Dataset, translation: Mapping[tuple[str, str], Code]) -> bool:
    """Write every code that has another one in ``translation`` as that one."""
    found = False
    for item in _tree(ds):
        for keyword in _CODE_SEQUENCES:
            old = first_code(item.get(keyword))
            new = translation.get((old.value, old.scheme)) if old else None
            if new is not None:
                setattr(item, keyword, [coded(new)])
                found = True
    return found


def _tree(ds: Dataset) -> Iterator[Dataset]:
    yield ds
    for item in ds.get("ContentSequence") or ():
        yield from _tree(item)
