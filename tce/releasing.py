"""Closing an export: the release record is put together from what was approved and delivered, and signed.

The record is written once; a worker that died after writing it and asks again changes nothing. The signature
comes from the release key at the Vault, by the service that did the work.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from tce import __version__, cases, release
from tce.approvals_desk import Desk
from tce.audit.journal import Journal
from tce.audit.trail import Trail
from tce.config import Site
from tce.release import ReleasedInstance, ReleaseRecord
from tce.road import Release
from tce.shelf import Shelf


class SignedReleases:
    """Writes one signed record for each export below the site's releases folder (:class:`tce.road.ReleaseBook`)."""

    def __init__(self, site: Site, sign: Callable[[bytes], str], actor: str) -> None:
        self._site = site
        self._sign = sign
        self._journal = Journal(site, actor)

    def close(self, closed: Release) -> None:
        """Write and sign the record of an export, durably. A second call for one export changes nothing."""
        folder = self._site.releases_dir / closed.export_id
        if (folder / release.RELEASE_FILE).exists():
            return
        path = release.write(self._record(closed), self._sign, folder)
        digest, _ = release.digests_of(path)
        detail = {"release": closed.export_id, "case": closed.case_id, "digest": digest}
        self._journal.record("release.signed", detail=detail)

    def _record(self, closed: Release) -> ReleaseRecord:
        case = cases.load(self._site.cases_dir, closed.case_id)
        shelved = Shelf(self._site.policies_dir).exactly(case.stage2)
        desk = Desk(self._site)
        head = Trail(self._site.audit_trail).head()
        instances = []
        for one in closed.instances:
            file_digest, data_set_digest = release.digests_of(one.path)
            instances.append(
                ReleasedInstance(
                    sop_class_uid=one.sop_class_uid,
                    sop_instance_uid=one.sop_instance_uid,
                    transfer_syntax_uid=one.transfer_syntax_uid,
                    file_digest=file_digest,
                    data_set_digest=data_set_digest,
                    explicit_digest=release.explicit_digest(one.path, one.transfer_syntax_uid),
                    manifest=one.is_manifest,
                )
            )
        return ReleaseRecord(
            release=closed.export_id,
            case=closed.case_id,
            case_digest=case.digest,
            policy=case.stage2.model_dump(mode="json"),
            approvals={"case": desk.case_approval(case), "policy": desk.policy_approval(shelved)},
            receivers=tuple(
                {
                    "ae_title": to.ae_title,
                    "host": to.host,
                    "port": to.port,
                    "tls": to.certificates is not None,
                }
                for to in closed.receivers
            ),
            instances=tuple(instances),
            tally=dict(closed.tally),
            audit_head={"records": head.records, "size": head.size, "hash": head.hash},
            made=datetime.now(UTC).isoformat(timespec="seconds"),
            software=f"tce {__version__}",
        )
