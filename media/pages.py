"""What a person reads on a medium: README.TXT, INDEX.HTM and the pages of IHE_PDI (IHE PDI, web content option).

The pages come from the instances of the same medium and from the label, and from nothing else; no clock and no
machine's name is in them. They are XHTML without script, style or image, and work from a file system.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from media.errors import LabelFault
from media.fileset import component, require_legal_fileset_id
from media.hierarchy import Hierarchy, Node, in_order
from media.profiles import Profile

README, INDEX, WEB_FOLDER = "README.TXT", "INDEX.HTM", "IHE_PDI"
_STUDY_PREFIX = "ST"


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


def write_pages(folder: Path, label: MediumLabel, profile: Profile, hierarchy: Hierarchy) -> None:
    """Write README.TXT, INDEX.HTM and IHE_PDI into the folder of a medium."""
    environment = Environment(
        loader=PackageLoader("media"),
        autoescape=select_autoescape(["htm"], default=True, disabled_extensions=["txt"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    _write(
        folder / README, _ascii(environment.get_template(README).render(label=label, profile=profile.value))
    )
    totals = {
        "patients": hierarchy.count("PATIENT"),
        "studies": hierarchy.count("STUDY"),
        "instances": len(hierarchy.sop_instance_uids),
    }
    index = environment.get_template(INDEX).render(label=label, count=_count, **totals)
    _write(folder / INDEX, index)
    (folder / WEB_FOLDER).mkdir()
    listed = []
    number = 0
    for patient in hierarchy.patients():
        studies = []
        for study in in_order(patient.children):
            number += 1
            page = component(_STUDY_PREFIX, number) + ".HTM"
            studies.append((study.texts, page))
            series = [{"texts": node.texts, "content": content_of(node)} for node in in_order(study.children)]
            text = environment.get_template("study.htm").render(
                label=label, patient=patient.texts, study=study.texts, series_list=series
            )
            _write(folder / WEB_FOLDER / page, text)
        listed.append((patient.texts, studies))
    text = environment.get_template("patients.htm").render(label=label, patients=listed)
    _write(folder / WEB_FOLDER / INDEX, text)


def content_of(series: Node) -> str:
    """Say what a series holds, like ``12 IMAGE, 1 PRESENTATION``."""
    kinds = Counter(entry.record.name for entry in series.entries)
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _ascii(text: str) -> str:
    """Bring a text into ASCII, as near as it comes: README.TXT has no way to name a character set."""
    plain = unicodedata.normalize("NFKD", text.replace("ß", "ss").replace("ø", "o").replace("Ø", "O"))
    return (
        "".join(c for c in plain if not unicodedata.combining(c)).encode("ascii", "replace").decode("ascii")
    )


def _write(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8", newline="\r\n") as file:
        file.write(text)
