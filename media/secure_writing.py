"""Writing encrypted media: plain ones are made and proved in a private folder, closed from there, and never seen.

::

    instances ──write_media──▶ private folder ──protect_medium──▶ staging beside out ──▶ out, images

What is deleted from a stick can be found again; so nothing plain is ever written where the medium grows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from media.errors import OutputRefused
from media.iso import octets_on_medium, prove_iso, write_iso
from media.opening import private_folder
from media.pages import MediumLabel
from media.pdi import Medium, block_of, image_name, require_disc, write_media
from media.profiles import Profile
from media.secure_media import Protection, protect_medium
from media.staging import draft_beside, give_names, staging_beside

_MEDIA = "media"


def write_secure_media(
    instances: Sequence[Path],
    out: Path,
    *,
    label: MediumLabel,
    protection: Protection,
    profile: Profile = Profile.STD_GEN_CD,
    capacity: int | None,
    iso: Path | None = None,
    date_if_missing: str = "",
    scratch: Path | None = None,
    made: Callable[[Medium], None] = lambda plain: None,
) -> tuple[Medium, ...]:
    """Write the instances as encrypted media, all of them or none; otherwise as :func:`media.pdi.write_media` says.

    ``scratch`` is where the private folder is made; ``made`` is told of each plain medium while it is there. Raises
    ProtectionRefused besides.
    """
    require_disc(iso, profile)
    block = block_of(profile)
    grown = (protection.grows_by() + block) * (len(instances) + 1)
    if capacity is not None and capacity <= grown:
        raise OutputRefused(
            "the instances are too many to be encrypted on media of this capacity",
            next_step="choose a profile or --capacity of a larger medium",
        )
    with (
        private_folder(scratch) as private,
        staging_beside(out) as staging,
        ExitStack() as drafts,
    ):
        plain = private() / "PLAIN"
        media = write_media(
            instances,
            plain,
            label=label,
            profile=profile,
            capacity=None if capacity is None else capacity - grown,
            date_if_missing=date_if_missing,
            images=False,
        )
        folder, drafted, named = staging / _MEDIA, dict[Path, Path](), list[Medium]()
        for number, medium in enumerate(media, 1):
            made(medium)
            place = medium.path.relative_to(plain)
            own = replace(label, fileset_id=medium.fileset_id)
            protect_medium(medium.path, folder / place, label=own, profile=profile, protection=protection)
            octets = octets_on_medium(folder / place, block=block)
            image = None
            if iso is not None:
                image = image_name(iso, number, len(media))
                draft = drafts.enter_context(draft_beside(image))
                drafted[draft] = image
                write_iso(folder / place, draft, volume_id=medium.fileset_id)
                prove_iso(folder / place, draft, volume_id=medium.fileset_id)
            named.append(replace(medium, path=out / place, octets=octets, iso=image))
        os.sync()
        give_names(drafted, folder, out)
        return tuple(named)
