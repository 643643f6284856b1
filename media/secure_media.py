"""Secure media: a whole File-set as Secure DICOM Files, DICOMDIR and all (PS3.11 D.3.5, PS3.15 annex D).

::

    plain medium ──protect_medium──▶ DICOM/…, DICOMDIR (each enveloped)  README.TXT
    secure medium ──Unlocking──▶ plain medium in a private folder, and what was found on the way

Nothing on a secure medium but README.TXT is readable, and that says nothing of patients: there are no pages and no
thumbnails. What can be seen is how many files there are, how they lie in folders, and how large they are.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from media.checker import Check
from media.errors import ClosedFile, MediumUnproven, OutputRefused, UnreadableMedium
from media.files import is_part_10, walk_medium
from media.fileset import is_legal_file_id
from media.pages import README, MediumLabel
from media.profiles import Profile
from media.secure_files import Opened, close_file, is_closed, open_file
from media.secure_keys import CertificateRecipient, Keys, Recipient
from media.secure_passwords import PasswordRecipient
from media.secure_readme import write_secure_readme
from media.secure_signatures import Signed, Signer, is_trusted

_DICOMDIR = ("DICOMDIR",)
_FRONT = "STD-GEN-"
_MOST_NAMED = 20
_OTHERS = ("no-key", "wrong-key", "wrong-password", "unsupported")
CHECKS = {
    "protection": "every file is a Secure DICOM File but README.TXT",
    "opening": "every file opens, and is what was signed",
    "signer": "every file is signed by one whom this site trusts",
}


def secure_identifier(profile: Profile) -> str:
    """Return the name of the secure variant of a profile, like ``STD-GEN-SEC-CD`` (PS3.11 D.1, H.1, J.1, L.1)."""
    return f"{_FRONT}SEC-{profile.value.removeprefix(_FRONT)}"


@dataclass(frozen=True, slots=True)
class Protection:
    """Who opens a medium, and who signs it."""

    recipients: tuple[Recipient, ...] = field(repr=False)
    signer: Signer

    def grows_by(self) -> int:
        """Return by how many octets a file grows at most."""
        return 2048 + 1024 * len(self.recipients) + len(self.signer.certificate.public_bytes(Encoding.DER))


def protect_medium(
    plain: Path, out: Path, *, label: MediumLabel, profile: Profile, protection: Protection
) -> None:
    """Write the medium in the folder ``plain`` as a secure medium into the folder ``out``, which must be empty.

    1. Close each DICOM file and the DICOMDIR; leave every page and thumbnail behind.
    2. Open each again from its own bytes and compare it with the plain one.
    3. Write README.TXT, which says how to open it.

    Raises ProtectionRefused, OutputRefused or MediumUnproven; what was written is removed then.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputRefused("the output folder is not empty", next_step="name a folder that is empty")
    out.mkdir(parents=True, exist_ok=True)
    try:
        for name, path in walk_medium(plain).names.items():
            if name == _DICOMDIR or is_part_10(path):
                target = out.joinpath(*name)
                target.parent.mkdir(parents=True, exist_ok=True)
                key = close_file(path, target, protection.recipients, protection.signer)
                _prove(target, path, key)
        kinds = {type(one) for one in protection.recipients}
        write_secure_readme(
            out,
            label,
            secure_identifier(profile),
            certificates=CertificateRecipient in kinds,
            password=PasswordRecipient in kinds,
        )
    except OSError as fault:
        shutil.rmtree(out, ignore_errors=True)
        raise OutputRefused(
            f"the medium cannot be written: {fault.strerror}",
            next_step="see to the space and the rights there, or name another folder",
        ) from None
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise
    os.sync()


def _prove(closed: Path, plain: Path, key: bytes) -> None:
    """Open a file that was just written and compare it with what went in."""
    again = plain.with_name(f".{plain.name}.again")
    try:
        open_file(closed, again, Keys(content=(key,)))
        same = _digest(again) == _digest(plain)
    except ClosedFile:
        same = False
    finally:
        again.unlink(missing_ok=True)
    if not same:
        raise MediumUnproven(
            "a file that was encrypted does not open to what went in; nothing was kept",
            next_step="try again on another disk; if it stays so, report it with this message",
        )


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


@dataclass(frozen=True, slots=True)
class Closed:
    """A file that did not open: its name where that is a File ID, and why."""

    name: str
    reason: str
    what: str
    next_step: str

    def __str__(self) -> str:
        return f"{self.name} {self.what}"


@dataclass(slots=True)
class Unlocking:
    """Opens a medium into a private folder, and remembers what was found. A plain medium is left as it is.

    It is made for :func:`media.opening.open_medium`.
    """

    keys: Keys = field(default_factory=Keys)
    trusted: Sequence[x509.Certificate] = field(default=(), repr=False)
    ask: Callable[[], Keys] = Keys
    """Asked once for keys, when a file is encrypted and none were given."""
    opened: int = 0
    plain: int = 0
    unsigned: int = 0
    closed: list[Closed] = field(default_factory=list, repr=False)
    weak: Counter[str] = field(default_factory=Counter, repr=False)
    _signers: dict[str, tuple[Signed, int]] = field(default_factory=dict, repr=False)
    _distrusted: int = 0

    @property
    def is_secure(self) -> bool:
        """Whether the medium that was opened has Secure DICOM Files."""
        return bool(self.opened or self.closed)

    def __call__(self, root: Path, private: Path) -> Path:
        """Return the folder with the plain medium.

        A file that was altered is left out and told of; so is one that opens only for others. Raises ClosedFile when
        that is the DICOMDIR, or the first file where there is none, for then it is the key that is wrong.
        """
        files = walk_medium(root)
        names = sorted(files.names, key=lambda name: (name != _DICOMDIR, name))
        secure = {name for name in names if is_closed(files.names[name])}
        if not secure:
            return root
        before = self.opened
        try:
            for name in names:
                target = private.joinpath(*name)
                target.parent.mkdir(parents=True, exist_ok=True)
                if name in secure:
                    self._open(files.names[name], name, target, is_first=self.opened == before)
                else:
                    shutil.copyfile(files.names[name], target)
                    self.plain += name != (README,)
        except OSError as fault:
            raise UnreadableMedium(
                f"the medium cannot be opened: {fault.strerror}",
                next_step="see to the disc, and to space in the folder for temporary files (TMPDIR)",
            ) from None
        return private

    def deviations(self) -> list[str]:
        """Return what is not as it should be, one sentence each, none for a medium without Secure DICOM Files."""
        found = [str(one) for one in self.closed[:_MOST_NAMED]]
        if len(self.closed) > _MOST_NAMED:
            found.append(f"{len(self.closed) - _MOST_NAMED} more files do not open")
        if self.is_secure and self.plain:
            found.append(f"{self.plain} files of this encrypted medium are not encrypted")
        found += self._words_of_signers()
        return found + [f"{count} files: {what}" for what, count in self.weak.items()]

    def checks(self) -> list[Check]:
        """Return the checks that a secure medium has beside those of every medium; none for a plain one."""
        if not self.is_secure:
            return []
        stray = f"{self.plain} files are not encrypted" if self.plain else ""
        weak = "; ".join(f"{what} ({count} files)" for what, count in self.weak.items())
        shut = "; ".join(map(str, self.closed[:_MOST_NAMED]))
        who = "; ".join(self._words_of_signers())
        trusted = next(iter(self._signers), "")
        return [
            Check(
                "protection", not stray, stray or (CHECKS["protection"] + (f"; but {weak}" if weak else ""))
            ),
            Check("opening", not shut, shut or CHECKS["opening"]),
            Check("signer", not who and bool(trusted), who or f"{CHECKS['signer']}: {trusted}"),
        ]

    def _open(self, path: Path, name: tuple[str, ...], target: Path, *, is_first: bool) -> None:
        try:
            if not self.keys:
                self.keys, self.ask = self.ask(), Keys
            found = open_file(path, target, self.keys, known=self.trusted)
        except ClosedFile as fault:
            if is_first and fault.reason in _OTHERS:
                raise ClosedFile(
                    fault.reason, f"the medium {fault.what}", next_step=fault.next_step
                ) from None
            self.closed.append(Closed(_shown(name), fault.reason, fault.what, fault.next_step))
            return
        self.opened += 1
        self._note(found)

    def _note(self, found: Opened) -> None:
        self.weak.update(found.weak)
        if not found.signed:
            self.unsigned += 1
        trusted = [one for one in found.signed if is_trusted(one, self.trusted)]
        self._distrusted += bool(found.signed) and not trusted
        for one in trusted or found.signed:
            _, count = self._signers.get(one.digest, (one, 0))
            self._signers[one.digest] = (one, count + 1)

    def _words_of_signers(self) -> list[str]:
        words = []
        if self.unsigned:
            words.append(f"{self.unsigned} files are signed by nobody: nothing says who wrote them")
        if self._distrusted:
            unknown = [
                digest for digest, (one, _) in self._signers.items() if not is_trusted(one, self.trusted)
            ]
            words.append(
                f"{self._distrusted} files are signed by one whom this site does not trust: {', '.join(unknown[:3])}"
            )
        elif len(self._signers) > 1:
            words.append(f"the files have {len(self._signers)} different signers")
        return words


def _shown(name: tuple[str, ...]) -> str:
    """Name a file where its name is a legal File ID, which names nobody; a stranger's other names may."""
    return "/".join(name) if is_legal_file_id(name) else "a file with a name that is no File ID"
