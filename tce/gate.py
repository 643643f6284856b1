"""The gate of the research zone: which instances of a medium were pseudonymized by a stage 1 that is known here.

Which policies are known is :mod:`tce.known_policies`' to say. Without one, nothing passes.

An instance passes when all of this is so::

    1. Patient Identity Removed says YES
    2. De-identification Method names one known policy, and none that is not known
    3. codes, dates and equipment are marked as that policy marks them
    4. every element of every level is one that the policy lets stand, in the form that it gives it

Marks can be written by anybody; the fourth is the proof. It is :mod:`policies.verify`'s, without the original: what is
legal DICOM was the hospital's to see to, what could identify is looked for here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from policies.forms import Forms
from policies.layout import Instance
from policies.model import Policy, PseudonymSource
from policies.parsing import Unreadable, read_source
from policies.standard.tables import Option
from policies.verify import Finding, Verification

_IDENTITY_REMOVED, _METHOD, _CODES = 0x00120062, 0x00120063, 0x00120064
_CODE = 0x00080100
_USES = 500
# What a result has from its source or its carrier, and what identifies nobody: not this gate's question.
_OF_THE_CARRIER = frozenset({"preamble", "file-meta"})
_LEGALITY = frozenset({"encoding", "empty-type-1", "empty-item", "missing-required"})

_STEPS: Mapping[str, str] = {
    "still-identified": "this is identified material: return the medium to where it came from",
    "unknown-stage-one": "get the policy of stage 1, have it approved here (tce policy submit, approve), read again",
    "marks-differ": "ask who pseudonymized these instances; the approved policy marks them otherwise",
    "not-as-policy": "return the medium: this may be identified material; the policy would not have left it so",
    "unreadable": "ask for the medium again",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an instance may come in, by which policy; else the reason, and where it was found (tags, no value)."""

    policy: str = ""
    reason: str = ""
    what: str = ""

    @property
    def admitted(self) -> bool:
        """Whether it may come in."""
        return not self.reason

    @property
    def next_step(self) -> str:
        """What a person does about it."""
        return _STEPS.get(self.reason, "")


@dataclass(frozen=True, slots=True)
class Known:
    """One policy of stage 1 that is known, and what the case says that changes its results."""

    policy: Policy
    forms: Forms
    recipients: int

    @property
    def name(self) -> str:
        """The policy as instances name it."""
        return f"{self.policy.name} {self.policy.version}"


def known_by(policy: Policy, forms: Forms = Forms(), recipients: int = 0) -> Known:
    """Return a policy as the gate knows it, whoever approved it."""
    drawn = policy.pseudonyms is PseudonymSource.RANDOM
    return Known(policy, replace(forms, drawn=drawn), recipients)


class Gate:
    """Decides about one instance after the other."""

    def __init__(self, known: Iterable[Known]) -> None:
        self._known = {one.name: one for one in known}
        self._verifications: dict[str, tuple[Verification, int]] = {}

    def judge(self, path: Path) -> Verdict:
        """Return the verdict on the instance in a file."""
        try:
            instance = read_source(path)
        except (Unreadable, OSError):
            return Verdict("", "unreadable", "it cannot be read")
        # 1.
        if instance.text(_IDENTITY_REMOVED) != "YES":
            return Verdict("", "still-identified", "it does not say that the patient's identity was removed")
        # 2.
        known = self._policy_of(instance)
        if known is None:
            return Verdict("", "unknown-stage-one", "it names no policy of stage 1 that is known here")
        # 3.
        findings = [
            finding
            for finding in self._verification(known).check(path)
            if finding.code not in _OF_THE_CARRIER | _LEGALITY
            and not (_is_about_codes(finding) and _codes_hold(instance, known.policy))
        ]
        if any(finding.code == "unreadable" for finding in findings):
            return Verdict("", "unreadable", "it cannot be read")
        marks = [finding for finding in findings if finding.code == "mark"]
        if marks:
            return Verdict("", "marks-differ", _told(marks))
        # 4.
        if findings:
            return Verdict("", "not-as-policy", _told(findings))
        return Verdict(known.name)

    def _verification(self, known: Known) -> Verification:
        """Return a verification by a policy. It remembers what it saw, so that now and then a new one takes over."""
        verification, used = self._verifications.get(known.name, (None, _USES))
        if verification is None or used >= _USES:
            verification, used = (
                Verification(known.policy, forms=known.forms, recipients=known.recipients),
                0,
            )
        self._verifications[known.name] = verification, used + 1
        return verification

    def _policy_of(self, instance: Instance) -> Known | None:
        """Return the one policy that an instance names. Two of them is one too many to be true of it."""
        element = instance.top.get(_METHOD)
        named = [text for text in (element.texts() if element is not None else []) if text in self._known]
        return self._known[named[0]] if len(named) == 1 else None


def _is_about_codes(finding: Finding) -> bool:
    return finding.code == "mark" and finding.where == "(0012,0064)"


def _codes_hold(instance: Instance, policy: Policy) -> bool:
    """Whether the codes are those of an instance whose pixels were cleaned; of which, only the original tells."""
    if Option.CLEAN_PIXEL_DATA not in policy.options:
        return False
    element = instance.top.get(_CODES)
    items = element.items or [] if element is not None else []
    codes = sorted(item[_CODE].text() if _CODE in item else "" for item in items)
    return codes == sorted(code for code, _ in policy.codes_of(pixels_cleaned=True))


def _told(findings: list[Finding]) -> str:
    """Put the first findings into words: places and what is wrong there, no value."""
    first = [f"{finding.where} {finding.what}".strip() for finding in findings[:3]]
    more = len(findings) - len(first)
    return "; ".join(first) + (f"; and {more} more" if more else "")
