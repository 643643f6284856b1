"""Proving media from their own bytes, for who relies on them (``tce media check``).

::

    medium ──▶ media.checker   layout, DICOMDIR, records, files, volume ─┐
           ──▶ tce.gate        each instance against the policy's text  ─┼─▶ certificate
           ──▶ policies.residue   given originals, in every byte        ─┘

What is searched for is never repeated: a finding names the file and what kind of place it is. Nothing the writer of the
medium knew is used.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from media.certificate import Certificate, Proved
from media.checker import Check, Examined, examine
from media.digests import digest_of_all, digests_of
from media.files import MediumFiles, is_part_10, walk_medium
from media.fileset import is_legal_file_id
from media.layout import is_page
from media.opening import OpenMedium, open_medium
from media.profiles import Profile
from media.secure_media import Unlocking
from media.sets import check_set
from media.volume import gaps
from policies.originals import DIRECT, originals_of
from policies.residue import Residue
from tce import __version__, counts
from tce.errors import Refused
from tce.gate import Gate, Known
from tce.proving import traits_sought
from tce.walking import files_under

_AT_ONCE = 16 << 20
_OVERLAP = 1 << 12
_MOST_NAMED = 5
_ALWAYS_OPEN = (
    "Pictures: whether a face, or text within the pixels, shows who the patient is.",
    "Medicine: whether the images are the right ones, or good enough for their purpose.",
)
_ORIGIN = "Origin: who wrote the medium."


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a check asks beyond the medium itself.

    ``known`` are the policies one of which each instance has to be of; ``originals`` the values that may stand nowhere.
    """

    profile: Profile
    known: Sequence[Known] = ()
    originals: Sequence[str] = field(default=(), repr=False)


def originals_in(given: Path, known: Sequence[Known]) -> list[str]:
    """Return the values to search for: the lines of a text file, or what the originals in a folder tell.

    Of originals, that is all that the policies take away; without a policy, what identifies directly. Raises Refused
    when there is nothing to search for.
    """
    if given.is_dir() or (given.is_file() and is_part_10(given)):
        traits = frozenset(DIRECT)
        if known:
            traits = frozenset.intersection(*(traits_sought(one.policy) for one in known))
        found = list(originals_of(files_under([given]), traits))
    else:
        try:
            text = given.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError):
            raise Refused(
                f"{given} cannot be read as a list of identifiers",
                next_step="give a text file in UTF-8 with one name or number in each line, or a folder of originals",
            ) from None
        found = list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
    if not found:
        raise Refused(
            f"{given} has nothing to search for", next_step="name the file or folder of the originals"
        )
    return found


def prove_media(
    media: Sequence[Path],
    wanted: Wanted,
    *,
    site: str = "",
    unlock: Callable[[], Unlocking] = Unlocking,
) -> Certificate:
    """Check media, each by itself and all together; ``unlock`` makes what opens one if it is encrypted.

    Raises :class:`media.errors.UnreadableMedium` for what is none, and :class:`media.errors.ClosedFile`.
    """
    proved: list[Proved] = []
    examined: list[Examined] = []
    residue = Residue(wanted.originals) if wanted.originals else None
    signed = True
    with ExitStack() as opened:
        for medium in media:
            unlocked = unlock()
            one = opened.enter_context(open_medium(medium, unlock=unlocked))
            signed = signed and unlocked.is_secure
            files = walk_medium(one.root)
            found = examine(one.root, profile=wanted.profile, volume=one.volume)
            checks = [*unlocked.checks(), *found.report.checks]
            if wanted.known:
                checks.append(_by_policy(files, wanted.known))
            if residue is not None:
                checks.append(_by_originals(files, one, residue, len(wanted.originals)))
            digests = digests_of(files)
            proved.append(
                Proved(
                    what=_words_for(one, encrypted=unlocked.is_secure),
                    fileset_id=found.fileset_id,
                    instances=found.report.instances,
                    checks=tuple(checks),
                    digest=digest_of_all(digests),
                    image_digest="" if one.volume is None else _digest(medium),
                    files=tuple(digests),
                )
            )
            examined.append(found)
    return Certificate(
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        software=f"tce {__version__}",
        site=site,
        profile=wanted.profile.value,
        policy=" or ".join(one.name for one in wanted.known),
        media=tuple(proved),
        together=(check_set(examined),) if len(examined) > 1 else (),
        not_checked=tuple(_open_questions(wanted, any(one.image_digest == "" for one in proved), signed)),
    )


def _words_for(opened: OpenMedium, *, encrypted: bool) -> str:
    if opened.volume is not None:
        return "an encrypted ISO 9660 image" if encrypted else "an ISO 9660 image"
    kind = "folder or mounted disc" if opened.source.is_dir() else "ZIP file"
    return f"an encrypted {kind}" if encrypted else f"a {kind}"


def _open_questions(wanted: Wanted, folders: bool, signed: bool) -> Iterator[str]:
    if not wanted.known:
        yield "The policy: whether the files are what a policy of de-identification promises; none was named."
    if not wanted.originals:
        yield "Names and numbers: whether those of the patients stand anywhere; none were given to be searched for."
    if folders:
        yield "The disc as such: a folder was checked, not what lies between the files on a disc."
    yield from _ALWAYS_OPEN
    if not signed:
        yield _ORIGIN


def _digest(image: Path) -> str:
    with image.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _by_policy(files: MediumFiles, known: Sequence[Known]) -> Check:
    gate = Gate(known)
    found: Counter[str] = Counter()
    judged = 0
    for name, path in files.names.items():
        if name == ("DICOMDIR",):
            continue
        if not is_part_10(path):
            if not is_page(name):
                found["not-as-policy: it is neither an instance nor a page, and may hold anything"] += 1
            continue
        verdict = gate.judge(path)
        judged += 1
        if not verdict.admitted:
            found[f"{verdict.reason}: {verdict.what}"] += 1
    if not judged:
        return Check("policy", False, "not made: there is no DICOM file")
    what = "; ".join(f"{text} ({counts.files(count)})" for text, count in found.most_common(_MOST_NAMED))
    if len(found) > _MOST_NAMED:
        what += f"; and {len(found) - _MOST_NAMED} more kinds of fault"
    held = f"{counts.instances(judged)} hold what the policy lets stand, and nothing else"
    return Check("policy", not found, what or held)


def _by_originals(files: MediumFiles, opened: OpenMedium, residue: Residue, count: int) -> Check:
    found: list[str] = []
    for name, path in files.names.items():
        named = any(residue.search_bytes("/".join(name).encode("utf-8", "surrogateescape")))
        if named:
            found.append("the name of a file")
        # Of an instance, hits that chance explains do not count; a DICOMDIR and pages are searched to the letter.
        whole = name != ("DICOMDIR",) and is_part_10(path)
        hits = residue.search_instance(path) if whole else residue.search_file(path, named="")
        if hits:
            found.append("a file with such a name" if named else _shown(name))
    for folder in files.folders:
        if any(residue.search_bytes(folder[-1].encode("utf-8", "surrogateescape"))):
            found.append("the name of a folder")
    if opened.volume is not None and _between_files(opened, residue):
        found.append("what lies between the files of the image")
    short = len(residue.unsearchable)
    skipped = f"; {short} of them are too short or too common to be searched for" if short else ""
    if found:
        places = [f"{place} ({number})" for place, number in Counter(found).most_common(_MOST_NAMED)]
        more = f"; and {len(set(found)) - _MOST_NAMED} more places" if len(set(found)) > _MOST_NAMED else ""
        return Check("identifiers", False, "one of them stands in " + ", ".join(places) + more + skipped)
    if short == count:
        return Check(
            "identifiers", False, "not made: all of them are too short or too common to be searched for"
        )
    return Check("identifiers", True, f"{count} were searched for in every byte, none was found{skipped}")


def _shown(name: tuple[str, ...]) -> str:
    """Return a file's name if it is one that media have; whatever a stranger wrote otherwise is not shown."""
    return "/".join(name) if is_legal_file_id(name) else "a page or another file"


def _between_files(opened: OpenMedium, residue: Residue) -> bool:
    assert opened.volume is not None
    with opened.source.open("rb") as image:
        size = image.seek(0, os.SEEK_END)
        for gap in gaps(opened.volume, size):
            for start in range(gap.offset, gap.offset + gap.length, _AT_ONCE):
                image.seek(start)
                part = image.read(min(_AT_ONCE + _OVERLAP, gap.offset + gap.length - start))
                if any(residue.search_bytes(part)):
                    return True
    return False
