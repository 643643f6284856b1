"""Instances led back to their patients: from their own Encrypted Attributes, or with what custody revealed.

    sources ──read──▶ words ──mapping──▶ whose, of which kind ──rehearsed──▶ grant used ──▶ written, all or none

A grant holds for one reveal. So everything that may be refused is refused before it is used, and every instance is
written once with nothing in the place of the originals: what cannot be read, encoded or stored shows then. No file
that is written here is for anybody but its owner, and none appears before all are complete.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from policies import restoring
from policies.errors import Refusal
from policies.restoring import Identity
from tce.errors import Refused
from tce.walking import files_under
from vault.coverage import Coverage
from vault.custody import Revealed
from vault.envelopes import Opener
from vault.errors import BadEnvelope
from vault.keys import Kind

Covers = Callable[[Collection[str]], Coverage]
"""What the grant covers of some words."""

_STUDY_KIND = str(Kind.STUDY_ID)
_NOTHING = "É"
"""What stands in the place of an original in the rehearsal; beyond ASCII, as the original may be."""


@dataclass(frozen=True, slots=True)
class Restored:
    """How many instances were led back, of how many patients, and how many attributes came out of envelopes."""

    instances: int
    patients: int
    attributes: int = 0


def open_encrypted(sources: Sequence[Path], out: Path, opener: Opener) -> Restored:
    """Lead instances back by their own Encrypted Attributes, into a folder that does not exist yet; all or none.

    Raises Refused; then nothing is written.
    """

    def opened(envelope: bytes) -> bytes | None:
        try:
            return opener.open(envelope).reveal()
        except BadEnvelope:
            return None

    attributes = 0
    patients = set()
    with _folder(out) as scratch:
        placed = _placed(sources)
        for number, (path, target) in enumerate(placed, start=1):
            with _naming(number):
                ds = restoring.read(path)
                attributes += restoring.open_encrypted(ds, opened)
                content = restoring.encoded(ds).file
            patients.add(restoring.patient_id(ds))
            _write(scratch / target, content)
    return Restored(len(placed), len(patients), attributes)


def reveal_instances(
    sources: Sequence[Path], out: Path, covers: Covers, reveal: Callable[[], Revealed]
) -> Restored:
    """Put the originals of a grant's patients back into their instances, in a folder that does not exist yet.

    ``covers`` says what the grant covers of some words, ``reveal`` uses it up. All or none.

    Raises Refused before the grant is used; OSError afterwards, when the disk failed all the same.
    """
    with _folder(out) as scratch:
        placed = _placed(sources)
        # 1. Whose are they, and is all that is known of them granted?
        words = [_words(number, path) for number, (path, _) in enumerate(placed, start=1)]
        coverage = covers(frozenset[str]().union(*(of_one for of_one, _ in words)))
        owners = [_owner(number, coverage, *of_one) for number, of_one in enumerate(words, start=1)]
        _require_single_values(coverage, set(owners))
        # 2. Rehearsed, with nothing in the place of the originals.
        blanks = {patient: _blank(coverage, patient) for patient in owners}
        for number, ((path, target), patient) in enumerate(zip(placed, owners, strict=True), start=1):
            with _naming(number):
                _write(scratch / target, _put_back(path, blanks[patient]))
        # 3. The grant is used up, on the record.
        revealed = reveal()
        # 4. In earnest.
        identities = {patient: _identity(coverage, revealed, patient) for patient in owners}
        for number, ((path, target), patient) in enumerate(zip(placed, owners, strict=True), start=1):
            with _naming(number):
                (scratch / target).unlink()
                _write(scratch / target, _put_back(path, identities[patient]))
    return Restored(len(placed), len(set(owners)))


def is_instance(path: Path) -> bool:
    """Say whether a file is an instance, and not a table."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _words(number: int, path: Path) -> tuple[frozenset[str], str]:
    """Return the words of an instance, and its Patient ID."""
    with _naming(number):
        ds = restoring.read(path)
        return restoring.words_of(ds), restoring.patient_id(ds)


def _owner(number: int, coverage: Coverage, words: frozenset[str], patient_id: str) -> str:
    """Return the one patient of an instance, by pseudonym. Raises Refused unless the grant covers all of him there."""
    known = [word for word in words if word in coverage.patients]
    if not known:
        refusal = restoring.no_reference()
        raise _refused(number, refusal.reason, refusal.what, refusal.next_step)
    granted = set(coverage.request.patients)
    owners = frozenset[str](granted).intersection(*(coverage.patients[word] for word in known))
    if not owners:
        raise _refused(
            number,
            "another-patient",
            "It is, or refers to, what belongs to a patient whom the request does not name.",
            "Leave it out, or make a request for that patient.",
        )
    if patient_id:
        owners &= {patient_id}
    if len(owners) != 1:
        raise _refused(
            number,
            "another-patient",
            "Its Patient ID is not the pseudonym of the patient whom its references are of.",
            "Have it corrected where it was made.",
        )
    [owner] = owners
    later = [
        word
        for word in coverage.closed.intersection(known)
        if coverage.kinds[word] in coverage.request.fields
    ]
    if later:
        raise _refused(
            number,
            "added-later",
            "It holds what was pseudonymized after the approval.",
            "Make a new request and have it approved.",
        )
    missing = {coverage.kinds[word] for word in known} | {str(Kind.PATIENT_ID)}
    missing -= {_STUDY_KIND, *coverage.request.fields}
    if missing:
        raise _refused(
            number,
            "not-granted",
            f"The request does not cover what it holds: {', '.join(sorted(missing))}.",
            "Make a request with these fields: " + " ".join(f"--field {field}" for field in sorted(missing)),
        )
    return owner


def _require_single_values(coverage: Coverage, patients: set[str]) -> None:
    """Refuse where several values of an attribute are sealed: nobody can tell which one belongs to these instances."""
    several = {
        keyword
        for (patient, keyword), count in coverage.values.items()
        if patient in patients and keyword in coverage.request.fields and count > 1
    }
    if several:
        raise Refused(
            f"several values are sealed of {', '.join(sorted(several))}, and it cannot be told which is right here",
            next_step="make a request without these fields: they stay empty, and can be revealed as a table",
        )


def _blank(coverage: Coverage, patient: str) -> Identity:
    granted = coverage.kinds.keys() - coverage.closed
    return Identity(patient, _NOTHING, dict.fromkeys(granted, _NOTHING), {}, coverage.own[patient])


def _identity(coverage: Coverage, revealed: Revealed, patient: str) -> Identity:
    lines = [line for line in revealed.lines if line.patient == patient]
    originals = {line.pseudonym: line.original.reveal() for line in lines if line.pseudonym}
    issuers = [line.issuer.reveal() for line in lines if line.pseudonym == patient]
    if patient not in originals:
        raise Refused(
            "the patient's own identifier was added after the approval",
            next_step="the grant is used up; make a new request",
        )
    attributes = {line.field: line.original.reveal() for line in lines if not line.pseudonym}
    issuer = issuers[0]
    if issuer == "study":
        # An instance without Patient ID was a patient of its own, named by its study.
        originals[patient], issuer = "", ""
    return Identity(patient, issuer, originals, attributes, coverage.own[patient])


def _put_back(path: Path, identity: Identity) -> bytes:
    ds = restoring.read(path)
    restoring.put_back(ds, identity)
    written = restoring.encoded(ds)
    restoring.require_no_pseudonym(written.header, identity)
    return written.file


def _refused(number: int, reason: str, what: str, next_step: str) -> Refused:
    return Refused(f"{reason}: instance {number}: {what} Nothing was written.", next_step=next_step)


@contextlib.contextmanager
def _naming(number: int) -> Iterator[None]:
    """Say of which instance something was refused: by its place, as file names may say more."""
    try:
        yield
    except Refusal as refusal:
        raise _refused(number, refusal.reason, refusal.what, refusal.next_step) from None


def _placed(sources: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Return each file with its place below the folder that is made: under the name that it has below its source."""
    placed = []
    for source in sources:
        for path in files_under([source]):
            placed.append((path, path.relative_to(source) if source.is_dir() else Path(path.name)))
    if not placed:
        raise Refused("there is no file under the sources", next_step="check the path")
    if len({target for _, target in placed}) != len(placed):
        raise Refused(
            "two of the sources hold files of one name", next_step="give one folder, or one after the other"
        )
    return placed


@contextlib.contextmanager
def _folder(out: Path) -> Iterator[Path]:
    """Give a folder to write into, which becomes ``out`` in the end; on any failure nothing is left."""
    if out.exists():
        raise Refused(f"there is {out} already", next_step="name a folder that does not exist")
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    scratch = out.with_name(f".{out.name}.{os.getpid()}.part")
    scratch.mkdir(mode=0o700)
    try:
        yield scratch
        scratch.rename(out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    restoring.write_new(path, content)
