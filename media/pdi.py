"""Writing a portable medium: a File-set with DICOMDIR in the layout of IHE PDI (RAD-47, PS3.10, PS3.11).

::

    DICOMDIR  README.TXT  INDEX.HTM  IHE_PDI/INDEX.HTM  IHE_PDI/ST000001.HTM  IHE_PDI/IM000001.JPG …
    DICOM/PA000001/ST000001/SE000001/IM000001 …

The same instances and label give the same bytes. No autorun file, no viewer. What is written is not de-identified
here: an instance that does not say that its patient's identity was removed is refused.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from media.checker import check_medium
from media.dicomdir import write_dicomdir
from media.errors import Fault, InstancesUnfit, LabelFault, MediumUnproven, OutputRefused, UnreadableInstance
from media.fileset import fileset_uid
from media.hierarchy import Hierarchy
from media.instances import EXPLICIT_VR_LITTLE_ENDIAN, META_VERSION, Instance, read_instance
from media.pages import MediumLabel, write_pages
from media.placing import place
from media.profiles import Handling, Profile, handling_of, why_not
from media.record_types import PATIENT, SERIES, STUDY

__all__ = ["Medium", "MediumLabel", "Profile", "write_medium"]


@dataclass(frozen=True, slots=True)
class Medium:
    """A medium that was written and proved by re-reading.

    ``numbered`` counts the records that got a Study ID, Series Number or Instance Number because their instances
    have none; ``rewritten`` the instances whose encoding was changed.
    """

    path: Path
    fileset_id: str
    profile: Profile
    patients: int
    studies: int
    series: int
    instances: int
    rewritten: int
    numbered: int


def write_medium(
    instances: Iterable[Path],
    out: Path,
    *,
    label: MediumLabel,
    profile: Profile = Profile.STD_GEN_CD,
    date_if_missing: str = "",
    images: bool = True,
) -> Medium:
    """Write the instances in the given files as a medium to the folder ``out``, all of them or none.

    1. Refuse an output folder that is not empty or is being written.
    2. Read every header; name all faults of all instances at once, before a byte is written (PS3.3 F.5).
    3. Place the instances under counted names (PS3.10 8), in an encoding of the profile (PS3.11 D).
    4. Write the pages for people, and the DICOMDIR last: without it, the folder is no medium.
    5. Prove it by reading it again from its own bytes.
    6. Make it durable, then give it its name.

    ``date_if_missing`` (``YYYYMMDD``) stands in the directory for dates that the policy has emptied; without it
    such instances are refused. ``images`` tells whether the pages show small pictures. Raises
    :class:`OutputRefused`, :class:`InstancesUnfit`, :class:`MediumUnproven` or :class:`LabelFault`.
    """
    if date_if_missing and not re.fullmatch(r"[0-9]{8}", date_if_missing):
        raise LabelFault("the date for missing dates is not legal", next_step="write it as YYYYMMDD")
    # 1.
    with _staging_beside(out) as staging, tempfile.TemporaryFile() as bodies:
        hierarchy = Hierarchy(bodies, date_if_missing=date_if_missing)
        # 2.
        _take_in(instances, hierarchy, profile)
        # 3.
        rewritten = _place_all(hierarchy, staging)
        # 4.
        write_pages(staging, label, profile, hierarchy, images=images)
        uid = fileset_uid(hierarchy.sop_instance_uids)
        dicomdir = staging / "DICOMDIR"
        write_dicomdir(dicomdir, hierarchy.records(), fileset_id=label.fileset_id, sop_instance_uid=uid)
        # 5.
        _prove(staging, profile)
        # 6.
        os.sync()
        staging.rename(out)
        return Medium(
            path=out,
            fileset_id=label.fileset_id,
            profile=profile,
            patients=hierarchy.count(PATIENT),
            studies=hierarchy.count(STUDY),
            series=hierarchy.count(SERIES),
            instances=len(hierarchy.sop_instance_uids),
            rewritten=rewritten,
            numbered=hierarchy.numbered(),
        )


@contextmanager
def _staging_beside(out: Path) -> Iterator[Path]:
    """Give a folder beside ``out`` to write in; it is gone afterwards unless it was renamed.

    What a process that died left there is removed: its lock died with it.
    """
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise OutputRefused(
            "the output folder is not empty", next_step="name a folder that is empty or does not exist"
        )
    place_of_out = out.absolute()
    place_of_out.parent.mkdir(parents=True, exist_ok=True)
    staging = place_of_out.parent / f".{place_of_out.name}.partial"
    staging.mkdir(exist_ok=True)
    handle = os.open(staging, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputRefused(
                "another process is writing this medium", next_step="wait for it, or name another folder"
            ) from None
        _empty(staging)
        try:
            yield staging
        except OSError as fault:
            raise OutputRefused(
                f"the medium cannot be written: {fault.strerror}",
                next_step="see to the space and the rights there, or name another folder",
            ) from None
        finally:
            if staging.exists():
                shutil.rmtree(staging)
    finally:
        os.close(handle)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _take_in(paths: Iterable[Path], hierarchy: Hierarchy, profile: Profile) -> None:
    faults: list[Fault] = []
    for path in paths:
        try:
            instance = read_instance(path)
            handling = _handling(instance, profile, faults)
            if handling is not None:
                hierarchy.add(instance, handling)
        except UnreadableInstance as fault:
            faults.append(Fault(path, fault.what, "leave these files out of the medium"))
    faults += hierarchy.faults()
    if faults:
        raise InstancesUnfit(faults)
    if not hierarchy.count(PATIENT):
        raise OutputRefused(
            "there is no instance of any patient to write", next_step="name files or folders that hold some"
        )


def _handling(instance: Instance, profile: Profile, faults: list[Fault]) -> Handling | None:
    """Return how an instance comes onto the medium, and name what forbids it."""
    if not instance.identity_removed:
        what = "Patient Identity Removed (0012,0062) is not YES"
        faults.append(Fault(instance.path, what, "de-identify these instances first"))
    named = (instance.meta_sop_class_uid, instance.meta_sop_instance_uid)
    if named != (instance.sop_class_uid, instance.sop_instance_uid):
        what = "the File Meta Information names another SOP Class or SOP Instance than the data set"
        faults.append(Fault(instance.path, what, "let whoever wrote these files write them again"))
    syntax = instance.transfer_syntax_uid
    handling = handling_of(syntax, profile)
    if handling is None:
        faults.append(Fault(instance.path, *why_not(syntax)))
    elif instance.meta_version != META_VERSION:
        if syntax != EXPLICIT_VR_LITTLE_ENDIAN:
            what = "File Meta Information Version (0002,0001) is not 00 01"
            faults.append(Fault(instance.path, what, "let whoever wrote these files write them again"))
        return Handling.REWRITE
    return handling


def _place_all(hierarchy: Hierarchy, staging: Path) -> int:
    rewritten = 0
    faults: list[Fault] = []
    for entry, file_id in hierarchy.files():
        target = staging.joinpath(*file_id)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            place(entry.path, target, entry.handling)
        except UnreadableInstance as fault:
            faults.append(Fault(entry.path, fault.what, "leave these files out of the medium"))
        rewritten += entry.handling is Handling.REWRITE
    if faults:
        raise InstancesUnfit(faults)
    return rewritten


def _prove(staging: Path, profile: Profile) -> None:
    report = check_medium(staging, profile=profile)
    if not report.passed:
        failed = "; ".join(f"{check.name}: {check.what}" for check in report.checks if not check.passed)
        raise MediumUnproven(
            f"the medium did not pass its own re-reading and was not kept: {failed}",
            next_step="try again on another disk; if it stays so, report it with this message",
        )
