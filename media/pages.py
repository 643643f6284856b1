"""What a person reads on a medium: README.TXT, INDEX.HTM and the pages of IHE_PDI (IHE PDI, web content option).

The pages come from the instances of the same medium and from the label, and from nothing else; no clock and no
machine's name is in them. They are XHTML Basic without scripts and work from a file system: links name files as they
are named on the medium, and a second set of the same pages has them in small letters, for systems that show the names
of an ISO 9660 disc so and tell capital and small letters apart.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from media.errors import LabelFault
from media.fileset import require_legal_fileset_id
from media.hierarchy import Hierarchy
from media.profiles import Profile
from media.record_types import PATIENT, SERIES, STUDY
from media.web import INDEX, SMALL_LETTERS, WEB_FOLDER, content_of, write_web

__all__ = [
    "INDEX",
    "README",
    "SMALL_LETTERS",
    "WEB_FOLDER",
    "MediumLabel",
    "environment",
    "in_ascii",
    "write_pages",
]

README = "README.TXT"
_LONGEST = 2_000  # characters of one text; what is longer is cut
_LETTERS = str.maketrans(
    {"ß": "ss", "ø": "o", "Ø": "O", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ł": "l", "Ł": "L"}
)


@dataclass(frozen=True, slots=True)
class MediumLabel:
    """Who made a medium, with what. ``fileset_id`` is the volume identifier as well.

    ``institution`` is the one that de-identified, not the hospital. ``contact`` is how to reach it. Raises
    :class:`LabelFault` for an illegal File-set ID, an empty text or one with line breaks.
    """

    fileset_id: str
    institution: str
    contact: str
    application: str
    version: str
    application_contact: str = ""

    def __post_init__(self) -> None:
        require_legal_fileset_id(self.fileset_id)
        for name in ("institution", "contact", "application", "version"):
            if not getattr(self, name).strip() or not getattr(self, name).isprintable():
                raise LabelFault(
                    f"the label's {name} is empty or has line breaks",
                    next_step=f"give the {name} as one line of text",
                )


def write_pages(
    folder: Path, label: MediumLabel, profile: Profile, hierarchy: Hierarchy, *, images: bool = True
) -> None:
    """Write README.TXT, INDEX.HTM and IHE_PDI into the folder of a medium on which the instances lie already.

    ``images`` tells whether the pages show pictures. Raises :class:`OSError`.
    """
    templates = environment(label=label, images=images)
    text = templates.get_template(README).render(profile=profile.value)
    _write(folder / README, in_ascii(text))
    web = folder / WEB_FOLDER
    (web / SMALL_LETTERS).mkdir(parents=True)

    def write(name: str, template: str, **values: object) -> None:
        page = templates.get_template(template)
        _write(web / name, page.render(page=str, beside=str, **values))
        _write(web / SMALL_LETTERS / name, page.render(page=str.lower, beside=_from_small_letters, **values))

    manifest = write_web(folder, hierarchy, write, images=images)
    totals = {
        "patients": hierarchy.count(PATIENT),
        "studies": hierarchy.count(STUDY),
        "series": hierarchy.count(SERIES),
        "instances": len(hierarchy.sop_instance_uids),
    }
    of_nobody = content_of(hierarchy.root_entries)
    index = templates.get_template(INDEX)
    text = index.render(profile=profile.value, manifest=manifest, of_nobody=of_nobody, **totals)
    _write(folder / INDEX, text)


def environment(**shared: object) -> Environment:
    """Return the templates of all pages, which escape what stands in them; ``shared`` is known to each."""
    templates = Environment(
        loader=PackageLoader("media"),
        autoescape=select_autoescape(["htm"], default=True, disabled_extensions=["txt"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_legible,
    )
    templates.globals.update(shared, count=_count, date=_date)
    return templates


def _legible(value: object) -> object:
    """Leave out of a text what XML forbids and what turns the direction of writing or hides; cut what has no end."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    text = "".join(
        " " if character.isspace() else character if character.isprintable() else ""
        for character in value[:_LONGEST]
    )
    return text + "…" if len(value) > _LONGEST else text


def _from_small_letters(name: str) -> str:
    """Return the link to a file of IHE_PDI for the pages that are for systems which show names in small letters."""
    return f"../{name.lower()}"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _date(text: str) -> str:
    """Return a date as people read it."""
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if len(text) == 8 and text.isdecimal() else text or "no date"


def in_ascii(text: str) -> str:
    """Bring a text into ASCII, as near as it comes: README.TXT has no way to name a character set."""
    plain = unicodedata.normalize("NFKD", text.translate(_LETTERS))
    return (
        "".join(c for c in plain if not unicodedata.combining(c)).encode("ascii", "replace").decode("ascii")
    )


def _write(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8", newline="\r\n") as file:
        file.write(text)
