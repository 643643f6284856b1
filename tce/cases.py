"""A case: which data, for what purpose, under which two policies, to which receivers.

Coordinators write a case as YAML; its canonical digest is what an approver signs, so the digest covers every
field. Signing lives in :mod:`tce.approvals_desk`, the trial's values go into the Clinical Trial modules
(PS3.3 C.7.1.3, C.7.2.3) by way of :meth:`Case.trial_attributes`. This module holds no key and asks nobody.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import date
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from tce.config import AETitle, Host, Port
from tce.errors import CaseFault, UnknownCase
from tce.settings_text import fault_text
from vault.alphabets import Alphabet
from vault.errors import BadIdentifier
from vault.scheme import LONGEST, SHORTEST, Form

CASE_FILE = "case.yaml"

CaseId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Text64 = Annotated[str, StringConstraints(max_length=64, pattern=r"^[^\\\x00-\x1f]*$")]  # the VR LO

# What the library quotes of the text; names of its own (<block end>) and single characters may stay.
_QUOTED = re.compile(r"(['\"])(?!<[a-z ]+>\1).{2,}\1")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Subjects(StrEnum):
    """Which patients a case takes."""

    ANY = "any"
    LISTED = "listed"


class PolicyRef(_Part):
    """One policy, exactly: its name, version and digest."""

    name: str = Field(min_length=1, description="name of the policy")
    version: str = Field(min_length=1, description="its version")
    digest: Digest = Field(description="its digest, as tce policy show prints it")


class CaseReceiver(_Part):
    """Where the case's exports go (RAD-53)."""

    ae_title: AETitle
    host: Host
    port: Port
    tls: bool = Field(default=False, description="true: over TLS only")


class EncryptFor(_Part):
    """A certificate for whose key stage 1 encrypts what it takes out (PS3.15 E.1.1)."""

    certificate: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] = Field(
        description="file in PEM beside the case"
    )
    digest: Digest = Field(description="SHA-256 of the certificate in DER")


class Trial(_Part):
    """Values for the Clinical Trial modules. Without a sponsor the modules are left out (PS3.3 C.7.1.3)."""

    sponsor: Text64 = Field(default="", description="Clinical Trial Sponsor Name")
    protocol_id: Text64 = Field(default="", description="Clinical Trial Protocol ID")
    protocol_name: Text64 = Field(default="", description="Clinical Trial Protocol Name")
    site_id: Text64 = Field(default="", description="Clinical Trial Site ID")
    site_name: Text64 = Field(default="", description="Clinical Trial Site Name")
    coordinating_center: Text64 = Field(default="", description="Clinical Trial Coordinating Center Name")


_KEYWORDS = {
    "sponsor": "ClinicalTrialSponsorName",
    "protocol_id": "ClinicalTrialProtocolID",
    "protocol_name": "ClinicalTrialProtocolName",
    "site_id": "ClinicalTrialSiteID",
    "site_name": "ClinicalTrialSiteName",
    "coordinating_center": "ClinicalTrialCoordinatingCenterName",
}


class Case(_Part):
    """Everything that decides what an export of this case is. Frozen: a change is another digest."""

    id: CaseId = Field(description="short name, also the name of the case's key: a-z, 0-9, hyphen")
    title: str = Field(min_length=1, description="what people call it")
    purpose: str = Field(min_length=1, description="what the data are for")
    stage1: PolicyRef = Field(description="policy that pseudonymizes in the hospital")
    stage2: PolicyRef = Field(description="policy that anonymizes for this case")
    selectors: tuple[AETitle, ...] = Field(
        min_length=1, description="AE titles that may select for this case"
    )
    receivers: tuple[CaseReceiver, ...] = Field(min_length=1, description="where exports go")
    prefix: Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{0,5}$")] = Field(
        default="", description="up to five characters in front of every pseudonym of the case"
    )
    alphabet: Alphabet = Field(
        default=Alphabet.BASE32,
        description="characters of its pseudonyms: base32 (no I, L, O, U), letters (no I, L, O) or digits",
    )
    length: int = Field(
        default=LONGEST,
        validate_default=True,
        description=f"characters of a pseudonym, prefix and check character included: {SHORTEST} to {LONGEST}",
    )
    subjects: Subjects = Field(
        default=Subjects.ANY,
        description="any: every patient; listed: only those of an imported list (tce mapping import)",
    )
    key_version: int = Field(
        default=1, ge=1, description="version of the site's keys that its pseudonyms of stage 1 are made with"
    )
    trial: Trial = Field(default=Trial(), description="values for the Clinical Trial modules")
    encrypt_for: tuple[EncryptFor, ...] = Field(
        default=(),
        description="certificates for which stage 1 encrypts what it takes out; none: it encrypts nothing",
    )
    minimum_cohort: int = Field(
        default=1, ge=1, description="k: fewest patients that may share the given traits"
    )
    retention_days: int = Field(
        default=30, ge=0, description="days that originals stay in the spool after export"
    )
    expires: date | None = Field(
        default=None, description="last day of the case; nothing: the approval's own end"
    )

    @field_validator("length")
    @classmethod
    def _long_enough(cls, length: int, others: ValidationInfo) -> int:
        # What is wrong with the others is told for them.
        if {"prefix", "alphabet"} <= others.data.keys():
            try:
                Form(others.data["prefix"], others.data["alphabet"], length)
            except BadIdentifier as bad:
                words = f"{bad.what}; {bad.next_step}"
                raise PydanticCustomError("form", "{words}", {"words": words}) from None
        return length

    @property
    def form(self) -> Form:
        """What its readable pseudonyms look like."""
        return Form(self.prefix, self.alphabet, self.length)

    @property
    def digest(self) -> str:
        """The SHA-256 over the canonical JSON of all fields: sorted keys, no white space, UTF-8."""
        canonical = json.dumps(
            self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )
        return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()

    def trial_attributes(self) -> Mapping[str, str]:
        """Return keyword to value for the Clinical Trial modules, empty when there is no sponsor."""
        if not self.trial.sponsor:
            return {}
        return {_KEYWORDS[name]: value for name, value in self.trial.model_dump().items() if value}


def loads(text: str, source: str) -> Case:
    """Read a case from YAML. Raises CaseFault that names every fault with its line."""
    try:
        raw = yaml.safe_load(text)
        lines: dict[tuple[str, ...], int] = {}
        for loc, number in _lines(yaml.compose(text), ()):
            lines.setdefault(loc, number)  # a key's line, rather than that of its value
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        problem = _QUOTED.sub("…", getattr(exc, "problem", None) or "not YAML")
        raise CaseFault(f"{source}: {where}{problem}", next_step=f"correct {source}") from None
    return checked(raw, source, lines)


def checked(fields: object, source: str, lines: Mapping[tuple[str, ...], int] = MappingProxyType({})) -> Case:
    """Make a case of its fields. Raises CaseFault that names every fault, with its line where it has one."""
    try:
        return Case.model_validate(fields)
    except ValidationError as exc:
        faults = [fault_text(error, lines, _WORDS) for error in exc.errors()]
        what = f"{source}: " + "; ".join(faults)
        raise CaseFault(what, next_step=f"correct these fields of {source}") from None


def dumps(case: Case) -> str:
    """Write a case as YAML with a comment above every key; :func:`loads` reads the same case back."""
    values = case.model_dump(mode="json")
    blocks = ["# A case. Every field is covered by its digest: a change after approval voids the approval.\n"]
    for key, field in Case.model_fields.items():
        body = yaml.safe_dump({key: values[key]}, sort_keys=False, allow_unicode=True, width=100)
        blocks.append(f"\n# {field.description}\n{body}")
    return "".join(blocks)


def case_dir(cases: Path, case_id: str) -> Path:
    """Return the folder of a case. Raises UnknownCase for an id that could name another folder."""
    if not case_id.replace("-", "").isalnum() or not case_id.isascii() or case_id != case_id.lower():
        raise UnknownCase(
            "this is not a legal case id", next_step="use a-z, 0-9 and hyphens; see: tce case list"
        )
    return cases / case_id


def load(cases: Path, case_id: str) -> Case:
    """Read a case of a site by id. Raises UnknownCase or CaseFault."""
    path = case_dir(cases, case_id) / CASE_FILE
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise UnknownCase(f"there is no case {case_id}", next_step="see: tce case list") from None
    case = loads(text, str(path))
    if case.id != case_id:
        raise CaseFault(f"{path}: the id in the file is another one", next_step=f"write id: {case_id}")
    return case


def save(cases: Path, case: Case) -> Path:
    """Write a case into its folder and return the file."""
    path = case_dir(cases, case.id) / CASE_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.write_text(dumps(case), "utf-8")
    draft.replace(path)
    return path


def ids(cases: Path) -> list[str]:
    """Return the ids of all cases of a site, sorted."""
    return sorted(path.parent.name for path in cases.glob(f"*/{CASE_FILE}"))


def retention_days(cases: Path) -> dict[str, int]:
    """Return for each case how many days originals stay after export; a case that cannot be read is left out."""
    found: dict[str, int] = {}
    for case_id in ids(cases):
        with contextlib.suppress(CaseFault, UnknownCase):
            found[case_id] = load(cases, case_id).retention_days
    return found


def _lines(node: yaml.Node | None, loc: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yield every location in a document with its line, so that a fault can be pointed at."""
    if node is None:
        return
    yield loc, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*loc, str(key.value)), key.start_mark.line + 1
            yield from _lines(value, (*loc, str(key.value)))
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _lines(item, (*loc, str(index)))


_WORDS = {
    "extra_forbidden": "is not a field of a case; remove it or check its spelling",
    "missing": "is missing; add it",
    "string_pattern_mismatch": "is not legal (case id: a-z, 0-9, hyphen; AE title: at most 16 characters; "
    "prefix: at most 5 of A-Z, 0-9; digest: as tce policy show prints it)",
    "model_type": "is no table of keys; write them below it, indented",
    "tuple_type": "is no list; write each entry below it, behind a hyphen",
    "too_short": "is empty; write at least {min_length}",
    **dict.fromkeys(
        ("date_type", "date_parsing", "date_from_datetime_parsing", "date_from_datetime_inexact"),
        "is no date; write one such as 2031-12-31",
    ),
}
