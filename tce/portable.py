"""Portable media as this site makes them: label from the settings, and a record in the audit trail.

The writing and checking is :mod:`media`'s; here its results meet the site. One audit message a patient (ITI-20), with
pseudonyms only: an instance that does not say Patient Identity Removed is not written. What comes in from media is
:mod:`tce.incoming`'s.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from media.checker import check_medium
from media.fileset import FILE_ID_ROOT, fileset_id_from
from media.pdi import Medium, MediumLabel, write_media
from media.profiles import Profile
from tce import __version__
from tce.audit import media as audit_media
from tce.config import Site
from tce.walking import files_under

NO_DATE = "19000101"
"""Stands in a directory for a date that the policy has emptied: one that everybody sees to be none."""


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
    """Write one medium of any size; otherwise the same as :func:`write_set`."""
    (medium,) = write_set(site, instances, out, name=name, profile=profile, case=case, actor=actor)
    return medium


def write_set(
    site: Site,
    instances: Sequence[Path],
    out: Path,
    *,
    name: str,
    profile: Profile | None = None,
    capacity: int | None = None,
    iso: Path | None = None,
    case: str = "",
    actor: str = "",
    images: bool | None = None,
) -> tuple[Medium, ...]:
    """Write as many media as are needed, and record the export of each patient on each of them.

    Without a ``profile`` it is that of the settings, and so with pictures on the pages (``images``); see
    :func:`media.pdi.write_media`.
    """
    label, profile = label_for(site, name), profile or site.settings.media.profile
    common = audit_media.written(profile, label.fileset_id)
    with audit_media.exporting(site, actor, case, common, instances) as made:
        media = write_media(
            instances,
            out,
            label=label,
            profile=profile,
            capacity=capacity,
            iso=iso,
            date_if_missing=NO_DATE,
            images=site.settings.media.images if images is None else images,
        )
        for medium in media:
            held = tuple(files_under([medium.path / FILE_ID_ROOT]))
            made.append((audit_media.written(profile, medium.fileset_id), held))
    return media


def problems_of(site: Site, medium: Path) -> list[str]:
    """Check a medium and return what is wrong with it, one sentence each."""
    report = check_medium(medium, profile=site.settings.media.profile)
    return [f"{check.name}: {check.what}" for check in report.checks if not check.passed]


def name_for(case: str, content: Iterable[str]) -> str:
    """Return a name for a medium: the case and four characters that tell two media of one case apart."""
    digest = hashlib.sha256("\n".join(sorted(content)).encode()).hexdigest()
    return f"{case}_{digest[:4]}"
