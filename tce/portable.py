"""Portable media as this site makes them: label from the settings, and a record in the audit trail.

The writing and checking is :mod:`media`'s; here its results meet the site. One audit message a patient (ITI-20), with
pseudonyms only: an instance that does not say Patient Identity Removed is not written. What comes in from media is
:mod:`tce.incoming`'s.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydicom.filereader import read_partial
from pydicom.tag import Tag

from media.checker import check_medium
from media.fileset import fileset_id_from
from media.pdi import Medium, MediumLabel, write_medium
from media.profiles import Profile
from tce import __version__
from tce.audit.journal import Journal
from tce.audit.messages import Study
from tce.config import Site

_STUDY_INSTANCE_UID = Tag("StudyInstanceUID")


def label_for(site: Site, name: str) -> MediumLabel:
    """Return the label of a medium of this site; ``name`` is free text without identifiers."""
    settings = site.settings.site
    return MediumLabel(
        fileset_id=fileset_id_from(name),
        institution=settings.institution,
        contact=settings.contact,
        application="tce",
        version=__version__,
    )


def write(
    site: Site,
    instances: Sequence[Path],
    out: Path,
    *,
    name: str,
    profile: Profile | None = None,
    case: str = "",
    actor: str = "",
) -> Medium:
    """Write a medium and record the export of each patient on it. Raises what ``media`` raises.

    Without a ``profile`` it is that of the settings.
    """
    today = datetime.now(UTC).strftime("%Y%m%d")
    medium = write_medium(
        instances,
        out,
        label=label_for(site, name),
        profile=profile or site.settings.media.profile,
        date_if_missing=today,
        images=site.settings.media.images,
    )
    journal = Journal(site, actor)
    for patient, studies in by_patient(instances).items():
        journal.exported(case, out, medium.fileset_id, patient, studies)
    return medium


def problems_of(site: Site, medium: Path) -> list[str]:
    """Check a medium and return what is wrong with it, one sentence each."""
    report = check_medium(medium, profile=site.settings.media.profile)
    return [f"{check.name}: {check.what}" for check in report.checks if not check.passed]


def by_patient(instances: Iterable[Path]) -> dict[str, list[Study]]:
    """Count de-identified instances by patient, study and SOP Class, for audit messages."""
    counts: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for path in instances:
        with path.open("rb") as file:
            ds = read_partial(file, stop_when=lambda tag, vr, length: tag > _STUDY_INSTANCE_UID)
        study = str(ds.get("StudyInstanceUID", "")) or "none"
        counts[str(ds.get("PatientID", "")) or "none"][study][str(ds.SOPClassUID)] += 1
    return {
        patient: [Study(uid, dict(classes)) for uid, classes in studies.items()]
        for patient, studies in counts.items()
    }


def name_for(case: str, content: Iterable[str]) -> str:
    """Return a name for a medium: the case and four characters that tell two media of one case apart."""
    digest = hashlib.sha256("\n".join(sorted(content)).encode()).hexdigest()
    return f"{case}_{digest[:4]}"
