"""What the Export Selector puts on the audit trail: that it begins to send, one message a patient (RAD-50, ITI-20).

A selection may be made of anything. Patients and studies are named only where the instances say that the patient's
identity was removed; of others the trail learns how many they are, and where they went.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from tce.audit.journal import Journal, peer_of
from tce.audit.messages import Study
from tce.candidates import Candidate
from tce.config import Site
from tce.road import Peer

BEGINS = "begin transfer"


def tell_of_beginning(site: Site, person: str, going: Sequence[Candidate], to: Peer) -> None:
    """Write that these instances are being sent. Raises AuditError when that cannot be written: then nothing goes."""
    journal = Journal(site, person, ae_title=site.settings.network.selector.ae_title)
    detail = {"receiver": to.ae_title, "receiver_address": to.host}
    removed = [one for one in going if one.identity_removed]
    if studies := studies_of(removed):
        told = {**detail, "instances": str(len(removed))}
        journal.transferred(BEGINS, journal.participant, peer_of(to.ae_title, to.host), studies, told)
    if identified := len(going) - len(removed):
        journal.record(BEGINS, detail={**detail, "instances": str(identified), "identity_removed": "no"})


def studies_of(going: Iterable[Candidate]) -> dict[str, list[Study]]:
    """Count instances by patient, study and SOP Class."""
    counts: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for one in going:
        of_study = counts[one.patient[0] or "none"][one.reference.study_uid]
        of_study[one.reference.sop_class_uid] += 1
    return {
        patient: [Study(uid, dict(classes)) for uid, classes in studies.items()]
        for patient, studies in counts.items()
    }
