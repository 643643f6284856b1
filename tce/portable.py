"""Portable media as this site makes them: label from the settings, and a record in the audit trail.

The writing and checking is :mod:`media`'s; here its results meet the site. One audit message a patient (ITI-20), with
pseudonyms only: an instance that does not say Patient Identity Removed is not written. What comes in from media is
:mod:`tce.incoming`'s.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from media.checker import check_medium
from media.fileset import fileset_id_from
from media.pdi import Medium, MediumLabel, write_medium
from media.profiles import Profile
from tce import __version__
from tce.audit import media as audit_media
from tce.config import Site


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
    label, profile = label_for(site, name), profile or site.settings.media.profile
    with audit_media.exporting(site, actor, case, audit_media.written(profile, label.fileset_id), instances):
        return write_medium(
            instances,
            out,
            label=label,
            profile=profile,
            date_if_missing=datetime.now(UTC).strftime("%Y%m%d"),
            images=site.settings.media.images,
        )


def problems_of(site: Site, medium: Path) -> list[str]:
    """Check a medium and return what is wrong with it, one sentence each."""
    report = check_medium(medium, profile=site.settings.media.profile)
    return [f"{check.name}: {check.what}" for check in report.checks if not check.passed]


def name_for(case: str, content: Iterable[str]) -> str:
    """Return a name for a medium: the case and four characters that tell two media of one case apart."""
    digest = hashlib.sha256("\n".join(sorted(content)).encode()).hexdigest()
    return f"{case}_{digest[:4]}"
