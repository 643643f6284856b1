"""Media in audit messages: which type one has, how it is named, and what went onto it (PS3.15 A.5.3.4 and A.5.3.5).

A medium is named by its File-set ID and by the UID of its DICOMDIR, never by the path at which it was found: the names
of folders, and the volume names of other people's discs, may be names of patients.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pydicom.filereader import read_partial
from pydicom.tag import Tag

from media.profiles import Profile
from tce.audit import messages
from tce.audit.journal import Journal
from tce.audit.messages import Code, Medium, Study
from tce.config import Site

_KINDS: Final[Mapping[str, Code]] = {
    "CD": messages.MEDIA_CD,
    "DVD": messages.MEDIA_DVD,
    "USB": messages.MEDIA_USB,
    "CF": messages.MEDIA_COMPACT_FLASH,
    "MMC": messages.MEDIA_MMC,
    "SD": messages.MEDIA_SD,
    "ZIP": messages.MEDIA_EMAIL,
}
_CHUNK: Final = 1 << 20


def kind_of(profile: Profile) -> Code:
    """Return the Media Type (CID 405) of a profile's media; URI for a Blu-ray disc, which the group does not have."""
    family = profile.value.removeprefix("STD-GEN-").split("-")[0]
    return _KINDS.get(family, messages.MEDIA_URI)


def written(profile: Profile, fileset_id: str, *, encrypted: bool = False) -> Medium:
    """Return a medium that this site writes."""
    return Medium(f"urn:tce:medium:{fileset_id}", fileset_id, kind_of(profile), encrypted)


def read(medium: Path, *, encrypted: bool = False) -> Medium:
    """Return a medium that was brought, named by the digest of its directory or, of a file, of its own bytes.

    Nothing tells what a folder has lain on: its type is URI, and that of a ZIP file is Email.
    """
    kind = messages.MEDIA_EMAIL if medium.suffix.lower() == ".zip" else messages.MEDIA_URI
    digest = hashlib.sha256()
    try:
        with (medium / "DICOMDIR" if medium.is_dir() else medium).open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
        name = digest.hexdigest()[:32]
    except OSError:
        name = "without-directory"
    return Medium(f"urn:tce:medium:{name}", kind=kind, encrypted=encrypted)


@contextmanager
def exporting(
    site: Site, actor: str, case: str, medium: Medium, instances: Iterable[Path]
) -> Iterator[list[tuple[Medium, Mapping[str, Sequence[Study]]]]]:
    """Record the export of each patient when what is done here is done, and the attempt when it failed.

    Who makes several media of the instances names them in the list, each with the studies that it holds by patient.
    """
    journal, files = Journal(site, actor), tuple(instances)
    made: list[tuple[Medium, Mapping[str, Sequence[Study]]]] = []
    try:
        yield made
    except BaseException as exc:
        journal.exported(case, medium, by_patient(files, unfit_too=True), failure=exc)
        raise
    for one, held in made or [(medium, by_patient(files))]:
        journal.exported(case, one, held)


@contextmanager
def importing(site: Site, actor: str, case: str, media: Iterable[Path]) -> Iterator[None]:
    """Record an attempt to import from media when it failed; nothing is known of its patients then."""
    journal = Journal(site, actor)
    try:
        yield
    except BaseException as exc:
        for medium in media:
            journal.imported(case, read(medium), {}, failure=exc)
        raise


_STUDY_INSTANCE_UID: Final = Tag("StudyInstanceUID")


def by_patient(instances: Iterable[Path], *, unfit_too: bool = False) -> dict[str, list[Study]]:
    """Count de-identified instances by patient, study and SOP Class, for audit messages.

    With ``unfit_too`` there may be others among them: what cannot be read, or does not say that its patient's identity
    was removed, is left out.
    """
    counts: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for path in instances:
        try:
            with path.open("rb") as file:
                ds = read_partial(file, stop_when=lambda tag, vr, length: tag > _STUDY_INSTANCE_UID)
            if unfit_too and (ds.get("PatientIdentityRemoved") != "YES" or "SOPClassUID" not in ds):
                continue
        except Exception:  # what a broken file does to the parser is not foreseeable
            if unfit_too:
                continue
            raise
        study = str(ds.get("StudyInstanceUID", "")) or "none"
        counts[str(ds.get("PatientID", "")) or "none"][study][str(ds.SOPClassUID)] += 1
    return {
        patient: [Study(uid, dict(classes)) for uid, classes in studies.items()]
        for patient, studies in counts.items()
    }
