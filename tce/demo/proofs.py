"""What the demo proves on its way: refusals that were really tried, custody by two, records, and no residue.

Each function returns facts for the account, numbers and words without any value of an instance, and raises when
a promise is not kept. They work on a site and its files and know nothing of the demo's folder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from importlib import resources
from pathlib import Path

import pydicom

from policies.dates import DUMMY_DATE
from policies.originals import originals_of
from policies.residue import Residue
from tce import release, wiring
from tce.audit.trail import Trail
from tce.config import Site
from tce.errors import Refused
from tce.logins import Logins
from tce.proof import prove, require
from vault.client import Sealing
from vault.custody import Purpose, Revealed
from vault.errors import CustodyRefusal, Forbidden
from vault.keys import Mount
from vault.mapping import MappingStore
from vault.sealing import share_context
from vault.trust import Trust

Facts = dict[str, object]


def refused(attempt: Callable[[], object], kind: type[Exception], what: str) -> str:
    """Try what must be refused; return the refusal's words. Raises Refused when it went through."""
    try:
        attempt()
    except kind as exc:
        return str(exc)
    raise Refused(f"{what} was not refused", next_step="report this: a promise is broken")


def two_custodians(site: Site, case: str, patient: str, identified: Sequence[Path]) -> Facts:
    """One custodian alone is refused, by the rules and by the Vault; two together reveal one patient.

    What is revealed must be what one of the ``identified`` instances says.
    """
    one, other = site.settings.people.custodians[:2]
    first, second = wiring.custody(site, one), wiring.custody(site, other)
    asked = first.request(
        case,
        [patient],
        purpose=Purpose.INCIDENTAL_FINDING,
        ticket="DEMO-1",
        fields=("PatientName", "patient", "PatientBirthDate"),
        window=timedelta(hours=1),
    )
    early = refused(lambda: first.reveal(asked.id), CustodyRefusal, "revealing without approval")
    alone = refused(lambda: first.approve(asked.id), CustodyRefusal, "approving one's own request")
    share = refused(
        lambda: _open_share(site, case, patient, one, other), Forbidden, "opening another's share"
    )
    second.approve(asked.id)
    revealed = first.reveal(asked.id)
    if not _belongs_together(revealed, identified):
        raise Refused("what was revealed is not what the modality had")
    return {
        "without_approval": f"refused: {early}",
        "one_custodian_alone": f"refused: {alone}",
        "one_custodian_at_the_vault": f"refused: {share.split(' at ')[0]}",
        "revealed_patients": len(asked.patients),
        "revealed_values": len(revealed.lines),
        "revealed_equal_the_originals": True,
    }


def _open_share(site: Site, case: str, patient: str, one: str, other: str) -> None:
    """Let one custodian ask the Vault to open the other's share of a patient's key."""
    [key, *_] = MappingStore(site.mapping_url).keys(case, [patient])
    sealing = Sealing(key.shares[other], share_context(key.id, other))
    Logins(site).person(one).decrypt_batch(Mount.CUSTODY, other, [sealing])


def _belongs_together(revealed: Revealed, identified: Sequence[Path]) -> bool:
    """Say whether one identified instance has exactly the revealed name and ID."""
    values = {line.field: line.original.reveal() for line in revealed.lines}
    for path in identified:
        ds = pydicom.dcmread(path, specific_tags=["PatientName", "PatientID", "StudyInstanceUID"], force=True)
        # Without a Patient ID, the study stands for the patient.
        known_as = str(ds.get("PatientID", "")).strip() or str(ds.get("StudyInstanceUID", ""))
        if values.get("patient") == known_as:
            return values.get("PatientName", "") == str(ds.get("PatientName", ""))
    return False


def records(site: Site, received: Path) -> Facts:
    """Verify every release record against the received media, and the audit trail."""
    trust, trail = Trust.load(site.trust_path), Trail(site.audit_trail)
    found = sorted(site.releases_dir.glob("*/release.json"))
    if not found:
        raise Refused("no release record was written")
    for record in found:
        require(prove(record, trust, medium_of(record, received)))
    head = trail.verify()
    return {"releases_verified": len(found), "audit_records": head.records, "audit_trail": "whole"}


def medium_of(record: Path, received: Path) -> Path:
    """Return which of the Receiver's media holds a release. Raises Refused when none does."""
    written = release.read(record).record
    for medium in sorted(path for path in received.iterdir() if path.is_dir()):
        if release.compare(written, medium).found:
            return medium
    raise Refused(f"no medium holds the release {written.release}")


def no_residue(identified: Sequence[Path], received: Path) -> Facts:
    """Search every original identifying value in every byte of every medium of the Receiver.

    Values that the pages of every medium say by themselves (a patient called Head) are left out and counted.
    What is found is returned by its place; the caller judges.
    """
    values = originals_of(identified)
    own = _own_words(values)
    sought = [value for place, value in enumerate(values) if place not in own]
    search = Residue(sought)
    hits = search.search_tree(received)
    files = [path for path in received.rglob("*") if path.is_file()]
    return {
        "values_searched": len(sought) - len(search.unsearchable),
        "values_too_short_to_search": len(search.unsearchable),
        "values_every_medium_says": len(own),
        "files_searched": len(files),
        "bytes_searched": sum(path.stat().st_size for path in files),
        "hits": len(hits),
        "hits_at": sorted({f"{hit.path.relative_to(received)}:{hit.offset}" for hit in hits}),
    }


def _own_words(values: Sequence[str]) -> set[int]:
    """Return the places of values that stand on any medium whatever is written on it."""
    templates = resources.files("media").joinpath("templates").iterdir()
    texts = [DUMMY_DATE, *(template.read_bytes() for template in templates)]
    search = Residue(values)
    return {which for text in texts for _, which in search.search_bytes(text)}
