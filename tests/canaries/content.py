"""Canaries in the content trees of reports: every value type, every concept of Table E.3.4-1, at every depth."""

from __future__ import annotations

from collections.abc import Callable

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from policies.selftest.attributes import canary_value
from policies.selftest.canary import Canary, Kind, Mint, Until
from policies.standard.tables import concepts

Report = Callable[[Dataset, Mint], list[Canary]]

_VALUES = {
    "TEXT": ("TextValue", "UT"),
    "PNAME": ("PersonName", "PN"),
    "DATE": ("Date", "DA"),
    "TIME": ("Time", "TM"),
    "DATETIME": ("DateTime", "DT"),
    "UIDREF": ("UID", "UI"),
}
_REFERENCES = ("IMAGE", "COMPOSITE", "WAVEFORM")
_CHANNEL = "content of reports, by concept"


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _item(value_type: str, name: Dataset | None, children: list[Dataset] | None = None) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", value_type
    if name is not None:
        item.ConceptNameCodeSequence = Sequence([name])
    if value_type == "CONTAINER":
        item.ContinuityOfContent = "SEPARATE"
    if children:
        item.ContentSequence = Sequence(children)
    return item


def _valued(
    value_type: str, name: Dataset, concept: tuple[str, str, str], mint: Mint
) -> tuple[Dataset, list[Canary]]:
    """An item with a canary for its value, or one that refers to an instance nobody has."""
    item = _item(value_type, name)
    where = f"{value_type} {concept[0]} {concept[1]}"
    if value_type in _VALUES:
        keyword, vr = _VALUES[value_type]
        made = canary_value(mint, vr)
        assert made is not None
        setattr(item, keyword, made[0])
        return item, [Canary(_CHANNEL, made[1], made[2], Until.BY_RULE, where, (), vr, concept)]
    if value_type in _REFERENCES:
        reference = Dataset()
        reference.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        reference.ReferencedSOPInstanceUID = mint.uid()
        item.ReferencedSOPSequence = Sequence([reference])
        uid = str(reference.ReferencedSOPInstanceUID)
        return item, [Canary(_CHANNEL, uid, Kind.UID, Until.BY_RULE, where, (0x00081155,), "UI")]
    return item, []


def every_concept(ds: Dataset, mint: Mint) -> list[Canary]:
    """One item for each row of Table E.3.4-1, nested in containers four deep."""
    planted: list[Canary] = []
    level: list[Dataset] = []
    root = level
    for number, (concept, row) in enumerate(sorted(concepts().items())):
        code, scheme, value_type = concept
        item, canaries = _valued(value_type, _code(code, scheme, row.meaning), concept, mint)
        level.append(item)
        planted += canaries
        if number % 50 == 49:
            container = _item("CONTAINER", _code("121070", "DCM", "Findings"), [_item("TEXT", None)])
            container.ContentSequence[0].TextValue = "CHEST"
            level.append(container)
            level = container.ContentSequence
    _report(ds, root)
    return planted


def every_value_type(ds: Dataset, mint: Mint) -> list[Canary]:
    """Items of every value type under concepts that no table names: free, local and unknown ones."""
    planted: list[Canary] = []
    items: list[Dataset] = []
    for scheme in ("SCT", "DCM", "99HOSP"):
        for value_type in (*_VALUES, *_REFERENCES):
            concept = ("999001", scheme, value_type)
            item, canaries = _valued(value_type, _code(*concept[:2], "Finding"), concept, mint)
            items.append(item)
            planted += [Canary("content of reports, any concept", *_rest(canary)) for canary in canaries]
    channel = "content of reports, local codes"
    local = [
        Canary(channel, mint.word(), Kind.WORD, Until.STAGE_2, what)
        for what in ("value", "name", "unit", "container")
    ]
    coded = _item("CODE", _code("121071", "DCM", "Finding"))
    coded.ConceptCodeSequence = Sequence([_code("4711", "99HOSP", str(local[0].value))])
    named = _item("CODE", _code("4712", "99HOSP", str(local[1].value)))
    named.ConceptCodeSequence = Sequence([_code("39607008", "SCT", "Lung")])
    measured = _item("NUM", _code("410668003", "SCT", "Length"))
    value = Dataset()
    value.NumericValue = "12.5"
    value.MeasurementUnitsCodeSequence = Sequence([_code("4713", "99HOSP", str(local[2].value))])
    measured.MeasuredValueSequence = Sequence([value])
    container = _item("CONTAINER", _code("4714", "99HOSP", str(local[3].value)), [_item("TEXT", None)])
    container.ContentSequence[0].TextValue = "CHEST"
    _report(ds, [*items, coded, named, measured, container])
    return [*planted, *local]


def _rest(
    canary: Canary,
) -> tuple[str | bytes, Kind, Until, str, tuple[int, ...], str, tuple[str, str, str] | None]:
    return canary.value, canary.kind, canary.until, canary.where, canary.path, canary.vr, canary.concept


def _report(ds: Dataset, items: list[Dataset]) -> None:
    ds.ValueType, ds.ContinuityOfContent = "CONTAINER", "SEPARATE"
    ds.ConceptNameCodeSequence = Sequence([_code("18748-4", "LN", "Diagnostic Imaging Report")])
    ds.ContentSequence = Sequence(items)


REPORTS: tuple[Report, ...] = (every_concept, every_value_type)
