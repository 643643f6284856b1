"""Writing portable media: File-sets with DICOMDIR in the layout of IHE PDI (RAD-47, PS3.10, PS3.11).

::

    DICOMDIR  README.TXT  INDEX.HTM  IHE_PDI/INDEX.HTM  IHE_PDI/ST000001.HTM  IHE_PDI/JP000001.JPG …
    DICOM/PA000001/ST000001/SE000001/IM000001 …

The same instances and label give the same bytes. No autorun file, no viewer. What is written is not de-identified
here: an instance that does not say that its patient's identity was removed is refused. What one medium does not hold is
divided among several, each a whole File-set of its own in a numbered folder.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from media.checker import check_medium
from media.dicomdir import write_dicomdir
from media.errors import Fault, InstancesUnfit, LabelFault, MediumUnproven, OutputRefused, UnreadableInstance
from media.fileset import fileset_uid
from media.hierarchy import Hierarchy
from media.instances import EXPLICIT_VR_LITTLE_ENDIAN, META_VERSION, Instance, read_instance
from media.iso import BLOCK, octets_on_medium, prove_iso, write_iso
from media.pages import MediumLabel, write_pages
from media.placing import place
from media.profiles import Handling, Profile, handling_of, why_not
from media.record_types import PATIENT, SERIES, STUDY
from media.splitting import Room, divided, numbered_id
from media.staging import draft_beside, empty, give_names, staging_beside

__all__ = ["Medium", "MediumLabel", "Profile", "write_media", "write_medium"]

_CLUSTER = 32 << 10  # what FAT gives out on cards and sticks, at most
_REWRITTEN, _MEDIA = "rewritten", "media"
_MOST_DIVISIONS = 5


@dataclass(frozen=True, slots=True)
class Medium:
    """A medium that was written and proved by re-reading.

    ``numbered`` counts the records that got a Study ID, Series Number or Instance Number because their instances
    have none; ``rewritten`` the instances whose encoding was changed. ``iso`` is its image, if there is one.
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
    octets: int
    iso: Path | None = None


def write_medium(
    instances: Iterable[Path],
    out: Path,
    *,
    label: MediumLabel,
    profile: Profile = Profile.STD_GEN_CD,
    date_if_missing: str = "",
    images: bool = True,
) -> Medium:
    """Write the instances in the given files as one medium of any size to the folder ``out``, all of them or none.

    See :func:`write_media`, which divides.
    """
    (medium,) = write_media(
        instances,
        out,
        label=label,
        profile=profile,
        capacity=None,
        date_if_missing=date_if_missing,
        images=images,
    )
    return medium


def write_media(
    instances: Iterable[Path],
    out: Path,
    *,
    label: MediumLabel,
    profile: Profile = Profile.STD_GEN_CD,
    capacity: int | None,
    iso: Path | None = None,
    date_if_missing: str = "",
    images: bool = True,
) -> tuple[Medium, ...]:
    """Write the instances in the given files to the folder ``out``, all of them or none.

    One medium of at most ``capacity`` octets (None: of any size) lies in ``out`` itself, several in ``out/1``,
    ``out/2`` …; their File-set IDs and images are numbered too.

    1. Refuse an output that is not empty or is being written.
    2. Read every header; name all faults of all instances at once, before a byte is written (PS3.3 F.5).
    3. Rewrite what the profile does not take as it is (PS3.11).
    4. Divide the studies among as many media as they need.
    5. Write each medium and prove it by reading it again from its own bytes.
    6. Make them durable, then give them their names.

    ``date_if_missing`` (``YYYYMMDD``) stands in the directory for dates that the policy has emptied; without it
    such instances are refused. ``images`` tells whether the pages show small pictures. Raises
    :class:`OutputRefused`, :class:`InstancesUnfit`, :class:`MediumUnproven` or :class:`LabelFault`.
    """
    if date_if_missing and not re.fullmatch(r"[0-9]{8}", date_if_missing):
        raise LabelFault("the date for missing dates is not legal", next_step="write it as YYYYMMDD")
    require_disc(iso, profile)
    room = Room(capacity, profile.medium, block_of(profile))
    # 1.
    with (
        staging_beside(out) as staging,
        tempfile.TemporaryFile(dir=staging) as bodies,
        ExitStack() as drafts,
    ):
        hierarchy = Hierarchy(bodies, date_if_missing=date_if_missing)
        # 2.
        _take_in(instances, hierarchy, profile)
        # 3.
        _rewrite_all(hierarchy, staging / _REWRITTEN)
        # 4. and 5.
        folder = staging / _MEDIA
        media = _write_fitting(hierarchy, folder, label, profile, room, images=images)
        drafted: dict[Path, Path] = {}
        for number, medium in enumerate(media, 1):
            _prove(medium.path, profile)
            if iso is not None:
                image = image_name(iso, number, len(media))
                draft = drafts.enter_context(draft_beside(image))
                drafted[draft] = image
                write_iso(medium.path, draft, volume_id=medium.fileset_id)
                prove_iso(medium.path, draft, volume_id=medium.fileset_id)
        # 6.
        os.sync()
        give_names(drafted, folder, out)
        named = [replace(medium, path=out / medium.path.relative_to(folder)) for medium in media]
        if drafted:
            named = [replace(one, iso=image) for one, image in zip(named, drafted.values(), strict=True)]
        return tuple(named)


def require_disc(iso: Path | None, profile: Profile) -> None:
    """Raise :class:`LabelFault` where an image is wanted of what is no disc."""
    if iso is not None and not profile.is_disc:
        raise LabelFault(
            f"a {profile.medium} is not written from an image", next_step="leave --iso away, or choose a disc"
        )


def block_of(profile: Profile) -> int:
    """Return in what pieces a profile's media are given out, in octets."""
    return BLOCK if profile.is_disc else _CLUSTER


def image_name(iso: Path, number: int, of: int) -> Path:
    """Return the name of the image of one of several media."""
    return iso if of == 1 else iso.with_name(f"{iso.stem}_{number}{iso.suffix}")


def _write_fitting(
    hierarchy: Hierarchy, folder: Path, label: MediumLabel, profile: Profile, room: Room, *, images: bool
) -> list[Medium]:
    """Write as many media as are needed, in numbered folders if they are several.

    How much the pages take is only known once they are written: what does not fit with them is divided anew.
    """
    kept_free = 0
    for _ in range(_MOST_DIVISIONS):
        folder.mkdir(exist_ok=True)
        empty(folder)
        parts = divided(hierarchy, room, kept_free=kept_free)
        media: list[Medium] = []
        for number, part in enumerate(parts, 1):
            own = replace(label, fileset_id=numbered_id(label.fileset_id, number, len(parts)))
            place_of_one = folder if len(parts) == 1 else folder / str(number)
            media.append(_write_one(part, place_of_one, own, profile, room.block, images=images))
        largest = max(medium.octets for medium in media)
        if room.capacity is None or largest <= room.capacity:
            return media
        kept_free += largest - room.capacity + room.capacity // 100
    raise OutputRefused(
        f"the instances cannot be divided so that each {room.medium} takes its part with its pages",
        next_step="choose a profile or --capacity of a larger medium",
    )


def _write_one(
    hierarchy: Hierarchy, folder: Path, label: MediumLabel, profile: Profile, block: int, *, images: bool
) -> Medium:
    """Place the instances under counted names, then the pages, and the DICOMDIR last: without it this is no medium."""
    folder.mkdir(exist_ok=True)
    rewritten = 0
    for entry, file_id in hierarchy.files():
        target = folder.joinpath(*file_id)
        target.parent.mkdir(parents=True, exist_ok=True)
        rewritten += entry.handling is Handling.REWRITE
        _put(entry.path, target, entry.handling)
    write_pages(folder, label, profile, hierarchy, images=images)
    uid = fileset_uid(hierarchy.sop_instance_uids)
    write_dicomdir(
        folder / "DICOMDIR", hierarchy.records(), fileset_id=label.fileset_id, sop_instance_uid=uid
    )
    return Medium(
        path=folder,
        fileset_id=label.fileset_id,
        profile=profile,
        patients=hierarchy.count(PATIENT),
        studies=hierarchy.count(STUDY),
        series=hierarchy.count(SERIES),
        instances=len(hierarchy.sop_instance_uids),
        rewritten=rewritten,
        numbered=hierarchy.numbered(),
        octets=octets_on_medium(folder, block=block),
    )


def _put(source: Path, target: Path, handling: Handling) -> None:
    """Place a copy; what was rewritten lies on the same disk already, and only gets another name there if it can."""
    try:
        if handling is Handling.REWRITE:
            os.link(source, target)
            return
    except OSError:  # FAT has no second names
        pass
    place(source, target, Handling.COPY)


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


def _rewrite_all(hierarchy: Hierarchy, folder: Path) -> None:
    """Rewrite what has to be, so that every fault and every size is known before the first medium is begun."""
    faults: list[Fault] = []
    number = 0
    for entry in hierarchy.entries:
        if entry.handling is not Handling.REWRITE:
            continue
        number += 1
        folder.mkdir(exist_ok=True)
        target = folder / str(number)
        try:
            place(entry.path, target, Handling.REWRITE)
            entry.path, entry.size = target, target.stat().st_size
        except UnreadableInstance as fault:
            faults.append(Fault(entry.path, fault.what, "leave these files out of the medium"))
    if faults:
        raise InstancesUnfit(faults)


def _prove(staging: Path, profile: Profile) -> None:
    report = check_medium(staging, profile=profile)
    if not report.passed:
        failed = "; ".join(f"{check.name}: {check.what}" for check in report.checks if not check.passed)
        raise MediumUnproven(
            f"the medium did not pass its own re-reading and was not kept: {failed}",
            next_step="try again on another disk; if it stays so, report it with this message",
        )
