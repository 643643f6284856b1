"""What comes in from portable media: read, judged at the gate, copied, recorded in the audit trail.

::

    media ──▶ instances, deviations ──▶ copies in a hidden folder ──▶ the gate judges each copy ──▶ the folder's name
                                                                 └──▶ refused: stays behind, with its reason

The folder gets its name only when everything in it is whole and was judged: a process that dies leaves nothing that
looks finished, and the same command begins again. Copies lie under names of our own, below a preamble and File Meta
Information of our own; their data sets are the bytes of the medium. One audit message a patient (ITI-20).
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from media.bare import copy_under_new_head
from media.errors import UnreadableInstance
from media.opening import open_medium
from media.reader import MediumContents, MediumInstance, read_medium
from media.secure_media import Unlocking
from tce.audit import media as audit_media
from tce.audit.journal import Journal
from tce.config import Site
from tce.errors import Refused
from tce.gate import Gate, Known, Verdict
from tce.proving import Provers

_AT_ONCE = 64
"""Instances that are judged in one go by one process."""


@dataclass(frozen=True, slots=True)
class Behind:
    """One file that stayed on the medium. ``name`` is its place there, which a stranger chose."""

    name: str = field(repr=False)
    reason: str
    what: str
    next_step: str


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What came in, what stayed behind, and what was not as it should be.

    ``policies`` counts the instances that came in by the policy of stage 1 that they are proved to be of.
    """

    instances: tuple[Path, ...]
    policies: dict[str, int]
    behind: tuple[Behind, ...]
    deviations: tuple[str, ...]

    @property
    def reasons(self) -> dict[str, int]:
        """How many files stayed behind for which reason."""
        return dict(Counter(one.reason for one in self.behind))


def take_in(
    site: Site,
    media: Sequence[Path],
    out: Path,
    known: Sequence[Known],
    *,
    case: str = "",
    actor: str = "",
    unlock: Unlocking | None = None,
    seen: Callable[[int], None] = lambda count: None,
) -> TakenIn:
    """Copy the instances of media that pass the gate into a folder that does not exist yet.

    1. Open the media and read what is on them (:mod:`media.reader`).
    2. Copy each instance into a hidden folder beside ``out``, and judge the copy (:mod:`tce.gate`).
    3. Make it durable, give it its name, record it.

    ``known`` are the policies of stage 1 that are known; ``unlock`` opens encrypted media; ``seen`` is told how many
    more instances were judged. Raises Refused when the folder is not empty or nothing may come in; then nothing is
    left at ``out``.
    """
    unlock = unlock or Unlocking()
    with (
        audit_media.importing(site, actor, case, media),
        _staging_beside(out) as staging,
        ExitStack() as opened,
    ):
        # 1.
        found = [
            opened.enter_context(open_medium(medium, scratch=staging.parent, unlock=unlock))
            for medium in media
        ]
        roots = [one.root for one in found]
        contents = read_medium(*roots)
        for one in found:
            contents.deviations.extend(one.deviations())
        behind = [
            Behind(_place(one.path, roots), one.reason, one.what, "ask for the medium again")
            for one in contents.left_out
        ]
        behind += [Behind(one.name, one.reason, one.what, one.next_step) for one in unlock.closed]
        # 2.
        copies: dict[Path, MediumInstance] = {}
        policies: Counter[str] = Counter()
        for instance, copy, verdict in _judged(contents, staging, known, seen):
            if verdict.admitted:
                copies[copy] = instance
                policies[verdict.policy] += 1
            else:
                copy.unlink(missing_ok=True)
                name = _place(instance.path, roots)
                behind.append(Behind(name, verdict.reason, verdict.what, verdict.next_step))
        if not copies:
            raise Refused(
                "no instance of this medium may come in: " + _counted(behind),
                next_step="; ".join(dict.fromkeys(one.next_step for one in behind if one.next_step)),
            )
        # 3.
        os.sync()
        staging.rename(out)
    journal = Journal(site, actor)
    for disc, medium in enumerate(media, start=1):
        of_disc = [out / copy.name for copy, instance in copies.items() if instance.disc == disc]
        if of_disc:
            source = audit_media.read(medium, encrypted=unlock.is_secure)
            journal.imported(case, source, audit_media.by_patient(of_disc))
    return TakenIn(
        tuple(out / copy.name for copy in copies),
        dict(policies),
        tuple(behind),
        (*unlock.deviations(), *contents.deviations),
    )


def _judged(
    contents: MediumContents, staging: Path, known: Sequence[Known], seen: Callable[[int], None]
) -> Iterator[tuple[MediumInstance, Path, Verdict]]:
    """Copy and judge every instance, on all cores where there are many."""
    parts = [
        (staging, start + 1, contents.instances[start : start + _AT_ONCE], tuple(known))
        for start in range(0, len(contents.instances), _AT_ONCE)
    ]
    provers = Provers(None if len(parts) > 1 else 1)
    together = max(1, provers.count)
    for at in range(0, len(parts), together):
        some = parts[at : at + together]
        for part, verdicts in zip(some, provers.map(_judge_part, some), strict=True):
            for place, (instance, verdict) in enumerate(zip(part[2], verdicts, strict=True), start=part[1]):
                yield instance, _copy_name(staging, place), verdict
            seen(len(verdicts))


def _judge_part(
    staging: Path, first: int, instances: Sequence[MediumInstance], known: Sequence[Known]
) -> list[Verdict]:
    gate = Gate(known)
    return [
        _judge(gate, instance, _copy_name(staging, place))
        for place, instance in enumerate(instances, start=first)
    ]


def _judge(gate: Gate, instance: MediumInstance, copy: Path) -> Verdict:
    copy.unlink(missing_ok=True)  # of a process that died at it
    try:
        copy_under_new_head(
            instance.path,
            copy,
            sop_class_uid=instance.sop_class_uid,
            sop_instance_uid=instance.sop_instance_uid,
            transfer_syntax_uid=instance.transfer_syntax_uid,
        )
    except UnreadableInstance as fault:
        return Verdict("", "unreadable", fault.what)
    except OSError as fault:
        if fault.errno != errno.EIO:
            raise
        return Verdict("", "unreadable", "the medium is damaged where it lies")
    # What is judged is what comes in.
    return gate.judge(copy)


def _copy_name(staging: Path, place: int) -> Path:
    return staging / f"{place:06d}.dcm"


def _place(path: Path, roots: Sequence[Path]) -> str:
    """Return where a file lies on its medium, in signs that cannot disturb a terminal."""
    for root in roots:
        if path.is_relative_to(root):
            shown = path.relative_to(root).as_posix()
            return "".join(sign if sign.isprintable() else "?" for sign in shown)
    return path.name


def _counted(behind: Sequence[Behind]) -> str:
    counts = Counter((one.reason, one.what) for one in behind)
    return "; ".join(f"{reason}: {what} ({count})" for (reason, what), count in counts.most_common(4))


@contextmanager
def _staging_beside(out: Path) -> Iterator[Path]:
    """Give a hidden folder beside ``out``; it is gone afterwards unless it was renamed, also what died there."""
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise Refused(f"{out} is not empty", next_step="name a folder that does not exist yet")
    place = out.absolute()
    place.parent.mkdir(parents=True, exist_ok=True)
    staging = place.parent / f".{place.name}.partial"
    staging.mkdir(exist_ok=True, mode=0o700)
    handle = os.open(staging, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(
                f"another process reads a medium into {out}",
                next_step="wait for it, or name another folder",
            ) from None
        for left in staging.iterdir():
            left.unlink()
        try:
            yield staging
        finally:
            if staging.exists():
                shutil.rmtree(staging)
    finally:
        os.close(handle)
