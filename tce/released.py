"""What was released under a policy, whatever became of the policy since.

The signed records tell of exports that reached all their receivers; the index of exports of those that had begun to
leave when they were stopped. A policy is named by its digest, or by its name and version as the records have them: it
need not be on the shelf any more, nor approved.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tce import release
from tce.config import Site
from tce.errors import ReleaseError
from tce.exports import Exports
from tce.release import ReleaseRecord
from tce.shelf import Shelf
from vault.errors import ApprovalRefusal
from vault.trust import Trust


@dataclass(frozen=True, slots=True)
class Left:
    """One export of which something left. ``told_by`` says what tells of it, and whether that can be believed."""

    export: str
    case: str
    policy: str
    digest: str
    instances: int
    receivers: str
    when: str
    told_by: str


def under(site: Site, wanted: str) -> list[Left]:
    """Return everything that left under a policy: a digest (``sha256:…``), ``NAME`` or ``NAME@VERSION``.

    Raises Malformed without readable keys, where there are records.
    """
    records = list(_records(site))
    names = {one.record.policy["digest"]: _name(one.record) for one in records}
    names |= {
        one.policy.digest: f"{one.policy.name}@{one.policy.version}" for one in Shelf(site.policies_dir).all()
    }
    digests = {
        digest for digest, name in names.items() if wanted in (digest, name, name.partition("@")[0])
    } | {wanted}
    found = [_recorded(one) for one in records if one.record.policy["digest"] in digests]
    recorded = {one.record.release for one in records}
    return found + [
        left for left in _begun(site, names) if left.digest in digests and left.export not in recorded
    ]


@dataclass(frozen=True, slots=True)
class _Recorded:
    record: ReleaseRecord
    genuine: bool


def _records(site: Site) -> Iterator[_Recorded]:
    paths: list[Path] = sorted(site.releases_dir.glob(f"*/{release.RELEASE_FILE}"))
    if not paths:
        return
    trust = Trust.load(site.trust_path)
    for path in paths:
        signed = release.read(path)
        if not signed.record.policy.get("digest"):
            raise ReleaseError(f"{path} names no policy", next_step=f"check it: tce verify {path}")
        try:
            signed.require_signed(trust)
        except ApprovalRefusal:
            yield _Recorded(signed.record, genuine=False)
        else:
            yield _Recorded(signed.record, genuine=True)


def _recorded(one: _Recorded) -> Left:
    record = one.record
    return Left(
        export=record.release,
        case=record.case,
        policy=_name(record),
        digest=record.policy["digest"],
        instances=len(record.instances),
        receivers=", ".join(str(to["ae_title"]) for to in record.receivers),
        when=record.delivered or record.made,
        told_by="signed record" if one.genuine else "RECORD THAT DOES NOT VERIFY",
    )


def _begun(site: Site, names: dict[str, str]) -> Iterator[Left]:
    """Yield the exports without a record of which a receiver has something."""
    index = Exports(site.exports_url)
    try:
        for export in index.listing():
            has = {name: count for name, (count, _) in index.commitments.progress(export).items() if count}
            if has:
                yield Left(
                    export=export.id,
                    case=export.case_id,
                    policy=names.get(export.policy_digest, ""),
                    digest=export.policy_digest,
                    instances=max(has.values()),
                    receivers=", ".join(f"{name} has {count}" for name, count in sorted(has.items())),
                    when="",
                    told_by=f"index of exports: {export.state}, not all was delivered",
                )
    finally:
        index.close()


def _name(record: ReleaseRecord) -> str:
    return f"{record.policy.get('name', '')}@{record.policy.get('version', '')}"
