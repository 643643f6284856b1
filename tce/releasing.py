"""Closing an export: the release record is put together from what was approved and delivered, and signed.

The record is written once; a worker that died after writing it and asks again changes nothing. The signature
comes from the release key at the Vault, by the service that did the work.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime

from policies.model import Policy
from tce import __version__, cases, cautions, release
from tce.approvals_desk import Desk
from tce.audit.journal import Journal
from tce.audit.trail import Trail
from tce.cases import Case
from tce.config import Site
from tce.errors import ReleaseError
from tce.release import ReleasedInstance, ReleaseRecord
from tce.road import Release, Sealed
from tce.shelf import Shelf


class SignedReleases:
    """Writes one signed record for each export below the site's releases folder (:class:`tce.road.ReleaseBook`)."""

    def __init__(self, site: Site, sign: Callable[[bytes], str], actor: str) -> None:
        self._site = site
        self._sign = sign
        self._journal = Journal(site, actor)

    def close(self, closed: Release) -> None:
        """Write and sign the record of an export, durably. A second call for one export changes nothing.

        Raises ReleaseError when a file has other bytes than were sealed: nothing is signed then.
        """
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
        # Hashing leaves the interpreter to others, so that threads share it.
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            instances = tuple(threads.map(_released, closed.instances))
        return ReleaseRecord(
            release=closed.export_id,
            case=closed.case_id,
            case_digest=case.digest,
            policy=_policy_of(self._site, case),
            approvals={
                "case": desk.case_approval(case, closed.allowed_at),
                "policy": desk.policy_approval(shelved, closed.allowed_at),
            },
            receivers=tuple(
                {
                    "ae_title": to.ae_title,
                    "host": to.host,
                    "port": to.port,
                    "tls": to.certificates is not None,
                }
                for to in closed.receivers
            ),
            instances=instances,
            tally=dict(closed.tally),
            audit_head={"records": head.records, "size": head.size, "hash": head.hash},
            made=datetime.now(UTC).isoformat(timespec="seconds"),
            software=f"tce {__version__}",
            options=_claimed(shelved.policy),
            key_version=case.key_version,
            holds=tuple(asdict(one) for one in closed.holds),
            disclosure=closed.disclosure,
            delivered=closed.allowed_at.isoformat(timespec="seconds"),
        )


def _policy_of(site: Site, case: Case) -> dict[str, str]:
    """Return what the record says of the policy; a case with warnings has them in it, under the signature."""
    warnings = cautions.of_case(site, case)
    return {**case.stage2.model_dump(mode="json"), **({"warnings": " ".join(warnings)} if warnings else {})}


def _claimed(policy: Policy) -> tuple[dict[str, str], ...]:
    """Return the codes of CID 7050 that instances claim, and which instances do."""
    everywhere = policy.codes_of(pixels_cleaned=False)
    return tuple(
        {
            "code": code,
            "scheme": "DCM",
            "meaning": meaning,
            "claimed": "always" if (code, meaning) in everywhere else "where pixels were cleaned",
        }
        for code, meaning in policy.codes_of(pixels_cleaned=True)
    )


def _released(sealed: Sealed) -> ReleasedInstance:
    file_digest, data_set_digest = release.digests_of(sealed.path)
    if file_digest != sealed.digest:
        raise ReleaseError(
            "a file is not as it was when it was sealed, so no record of it was signed",
            next_step="find out who writes into the spool; export the selection again",
        )
    return ReleasedInstance(
        sop_class_uid=sealed.sop_class_uid,
        sop_instance_uid=sealed.sop_instance_uid,
        transfer_syntax_uid=sealed.transfer_syntax_uid,
        file_digest=file_digest,
        data_set_digest=data_set_digest,
        explicit_digest=release.explicit_digest(sealed.path, sealed.transfer_syntax_uid),
        manifest=sealed.is_manifest,
    )
