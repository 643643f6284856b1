"""How far signed releases vouch for the audit trail: each was signed over the trail as it stood then.

A hash chain alone proves nothing against somebody who can hash it anew. So a release counts only when its
signature verifies against the site's public keys (``trust.json``), offline; one that does not is an error and
no weaker anchor. What follows the newest anchor is counted, because nothing but the head file speaks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tce import release
from tce.audit.trail import Head, Record, Trail
from tce.errors import AuditError
from vault.errors import ApprovalRefusal
from vault.trust import Trust

SIGNED = "release.signed"


@dataclass(frozen=True, slots=True)
class Anchored:
    """A whole trail: where it ends, and up to which record signed releases vouch for it."""

    head: Head
    releases: int
    newest: str
    reach: int

    @property
    def loose(self) -> int:
        """How many of the last records no signed release stands over."""
        return self.head.records - self.reach


@dataclass(frozen=True, slots=True)
class _Anchor:
    """Where the trail stood when a release was signed."""

    release: str
    records: int
    hash: str


def prove(trail: Trail, releases_dir: Path, trust_path: Path) -> Anchored:
    """Prove the trail whole and every release genuine and anchored in it; return how far that reaches.

    Raises AuditError at the first fault, naming the record or the release: one that is altered, not signed,
    signed over another trail, or gone although the trail names it. Raises ReleaseError for a record that cannot
    be read and Malformed without a readable ``trust_path``, which a site without releases does not need.
    """
    anchors = _signed(releases_dir, trust_path)
    wanted = {anchor.records for anchor in anchors}
    stood: dict[int, str] = {0: Head().hash}
    named: list[str] = []

    def look(record: Record) -> None:
        if record.n in wanted:
            stood[record.n] = record.hash
        if record.event == SIGNED:
            named.append(record.detail.get("release", ""))

    head = trail.walk(Head(), look)
    for anchor in anchors:
        if stood.get(anchor.records) != anchor.hash:
            raise AuditError(
                f"release {anchor.release} was signed over a trail that is not this one",
                next_step=_check(releases_dir / anchor.release),
            )
    for name in named:
        if not (releases_dir / name / release.RELEASE_FILE).exists():
            raise AuditError(
                f"the trail says that release {name} was signed, but its record is gone",
                next_step="put it back from the backup, and tell the auditor",
            )
    newest = max(anchors, key=lambda anchor: anchor.records, default=_Anchor("", 0, ""))
    return Anchored(head, len(anchors), newest.release, newest.records)


def _signed(releases_dir: Path, trust_path: Path) -> Sequence[_Anchor]:
    """Return the anchors of all releases, each after verifying its signature."""
    paths = sorted(releases_dir.glob(f"*/{release.RELEASE_FILE}"))
    if not paths:
        return ()
    trust = Trust.load(trust_path)
    return [_anchor(path, trust) for path in paths]


def _anchor(path: Path, trust: Trust) -> _Anchor:
    name = path.parent.name
    signed = release.read(path)
    record = signed.record
    try:
        signed.require_signed(trust)
    except ApprovalRefusal as exc:
        raise AuditError(
            f"release {name} is altered or was not signed by this site: {exc.what}",
            next_step=_check(path.parent),
        ) from None
    if record.release != name:
        raise AuditError(
            f"release {name} was replaced by the record of another release", next_step=_check(path.parent)
        )
    return _Anchor(name, int(record.audit_head["records"]), str(record.audit_head["hash"]))


def _check(folder: Path) -> str:
    return f"check the release: tce verify {folder}; then tell the auditor, and compare with your backup"
