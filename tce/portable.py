"""Portable media as this site makes them: label from the settings, and a record in the audit trail.

The writing and checking is :mod:`media`'s; here its results meet the site. One audit message a patient (ITI-20), with
pseudonyms only: an instance that does not say Patient Identity Removed is not written. What comes in from media is
:mod:`tce.incoming`'s.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from media.checker import check_medium
from media.fileset import FILE_ID_ROOT, fileset_id_from
from media.pdi import Medium, MediumLabel, write_media
from media.profiles import Profile
from media.secure_media import Protection
from media.secure_writing import write_secure_media
from media.zip_mail import write_zip
from tce import __version__
from tce.audit import media as audit_media
from tce.cases import case_dir
from tce.config import Site
from tce.errors import Refused
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


@dataclass(frozen=True, slots=True)
class Mail:
    """The ZIP file that goes by e-mail, and the most octets that it may have (0: any number)."""

    path: Path
    limit: int = 0


def write_set(
    site: Site,
    instances: Sequence[Path],
    out: Path,
    *,
    name: str,
    profile: Profile | None = None,
    capacity: int | None = None,
    iso: Path | None = None,
    mail: Mail | None = None,
    protection: Protection | None = None,
    case: str = "",
    actor: str = "",
    images: bool | None = None,
) -> tuple[Medium, ...]:
    """Write as many media as are needed, and record the export of each patient on each of them.

    Without a ``profile`` it is that of the settings, and so with pictures on the pages (``images``); see
    :func:`media.pdi.write_media`. With ``protection`` they are encrypted (:mod:`media.secure_writing`); with ``mail``
    it is one medium, and a ZIP file beside it. Raises UnknownCase for what is no case id, Refused for an image or ZIP
    file that would lie on the medium.
    """
    if case:
        case_dir(site.cases_dir, case)  # the trail takes ids, and no words
    for what, file in (("the image", iso), ("the ZIP file", mail.path if mail else None)):
        if file is not None:
            require_beside([out], file, what)
    label, profile = label_for(site, name), profile or site.settings.media.profile
    encrypted = protection is not None
    common = audit_media.written(profile, label.fileset_id, encrypted=encrypted)
    with audit_media.exporting(site, actor, case, common, instances) as made:

        def note(plain: Medium) -> None:
            one = audit_media.written(profile, plain.fileset_id, encrypted=encrypted)
            made.append((one, audit_media.by_patient(files_under([plain.path / FILE_ID_ROOT]))))

        if protection is not None:
            media = write_secure_media(
                instances,
                out,
                label=label,
                protection=protection,
                profile=profile,
                capacity=None if mail else capacity,
                iso=iso,
                date_if_missing=NO_DATE,
                made=note,
            )
        else:
            media = write_media(
                instances,
                out,
                label=label,
                profile=profile,
                capacity=None if mail else capacity,
                iso=iso,
                date_if_missing=NO_DATE,
                images=site.settings.media.images if images is None else images,
            )
            for medium in media:
                note(medium)
        if mail is not None:
            _send_off(mail, out)
    return media


def _send_off(mail: Mail, out: Path) -> None:
    """Write the ZIP file of a medium; without it there is no medium either."""
    try:
        write_zip(out, mail.path, limit=mail.limit)
    except BaseException:
        shutil.rmtree(out)
        raise


def require_beside(media: Iterable[Path], out: Path, what: str) -> None:
    """Raise Refused where something would be written onto one of the media that it is about."""
    place = out.resolve()
    if any(place.is_relative_to(medium.resolve()) for medium in media):
        raise Refused(f"{what} would lie on the medium", next_step="name a place beside it")


def problems_of(site: Site, medium: Path) -> list[str]:
    """Check a medium and return what is wrong with it, one sentence each."""
    report = check_medium(medium, profile=site.settings.media.profile)
    return [f"{check.name}: {check.what}" for check in report.checks if not check.passed]


def name_for(case: str, content: Iterable[str]) -> str:
    """Return a name for a medium: the case and four characters that tell two media of one case apart."""
    digest = hashlib.sha256("\n".join(sorted(content)).encode()).hexdigest()
    return f"{case}_{digest[:4]}"
