"""The release record: one signed file that accounts for every instance of an export, and its proof.

It names the case, the policy and both approvals, the receivers, every instance by its new UID and digests,
what was done in numbers, and where the audit trail stood. It holds no original value. It is an in-toto Statement in
a DSSE envelope (:mod:`tce.statements`); records of the first format, which was our own, can still be verified.
Verification needs the record, the site's public keys (``trust.json``) and, for the bytes, the folder: no network, no
Vault.

An instance has several digests: of the file as sealed; of its data set alone, which survives a transfer (the
Receiver writes File Meta Information of its own, PS3.10 section 7.1); and, where a medium has to hold it in
another encoding, of its data set in Explicit VR Little Endian.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from media.errors import UnreadableInstance
from media.files import is_part_10
from media.layout import is_page
from media.placing import place
from media.profiles import Handling, Profile, handling_of
from tce import statements
from tce.errors import ReleaseError
from tce.statements import Account, canonical
from vault.approvals import verify_release
from vault.attestations import Envelope, verify_statement
from vault.errors import Malformed
from vault.trust import Trust

FORMAT = "tce-release-2"
_FIRST_FORMAT = "tce-release-1"
RELEASE_FILE = "release.json"
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class ReleasedInstance:
    """One instance that left: new identity, and the digests that recognize it."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    file_digest: str
    data_set_digest: str
    explicit_digest: str
    manifest: bool


@dataclass(frozen=True, slots=True)
class ReleaseRecord:
    """What was released, under which approvals, to whom. Approvals are kept as they were signed.

    ``options`` are the codes of CID 7050 that the instances claim; ``key_version`` is that of the site's keys for the
    case; ``holds`` say why it was held and who let it go on; ``disclosure`` are the figures of the cohort, where these
    were asked for; ``delivered`` is when the approvals were asked for last before an instance left. Records of the
    first format have none of these.
    """

    release: str
    case: str
    case_digest: str
    policy: Mapping[str, str]
    approvals: Mapping[str, Mapping[str, Any]]
    receivers: Sequence[Mapping[str, Any]]
    instances: Sequence[ReleasedInstance]
    tally: Mapping[str, int]
    audit_head: Mapping[str, Any]
    made: str
    software: str
    options: Sequence[Mapping[str, str]] = ()
    key_version: int | None = None
    holds: Sequence[Mapping[str, Any]] = ()
    disclosure: Mapping[str, Any] | None = None
    delivered: str = ""
    format: str = field(default=FORMAT)


@dataclass(frozen=True, slots=True)
class SignedRelease:
    """A record as it was read, not yet verified, with what was signed of it."""

    record: ReleaseRecord
    envelopes: tuple[Envelope, ...] = ()
    first_format: tuple[bytes, str] | None = field(default=None, repr=False)

    def require_signed(self, trust: Trust) -> None:
        """Return if the site signed all of it; offline. Raises Untrusted or BadSignature."""
        for envelope in self.envelopes:
            verify_statement(envelope, trust)
        if self.first_format is not None:
            verify_release(*self.first_format, trust)


def write(record: ReleaseRecord, sign: Callable[[bytes], str], out: Path) -> Path:
    """Sign a record and write it into the folder ``out``, durably and in one step; return the file."""
    predicate = asdict(record)
    account = Account(predicate, predicate.pop("instances"))
    lines = [Envelope(payload, sign(payload)).to_json() for payload in statements.written(account)]
    out.mkdir(parents=True, exist_ok=True)
    path = out / RELEASE_FILE
    draft = path.with_suffix(".new")
    with draft.open("w", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    return path


def read(path: Path) -> SignedRelease:
    """Read a record, unverified. Raises ReleaseError when it is no release record."""
    path = path / RELEASE_FILE if path.is_dir() else path
    try:
        text = path.read_text("utf-8")
        if found := _of_first_format(text):
            content, signature = found
            return SignedRelease(_record(content), first_format=(canonical(content), signature))
        envelopes = tuple(Envelope.from_json(line) for line in text.splitlines())
        account = statements.read([envelope.payload for envelope in envelopes])
        content = {**account.predicate, "instances": account.instances}
        if content["format"] != FORMAT:
            raise ReleaseError(f"{path} has a format that this version does not know", next_step="update tce")
        return SignedRelease(_record(content), envelopes)
    except FileNotFoundError:
        raise ReleaseError(
            f"there is no release record at {path}", next_step="see: tce exports list"
        ) from None
    except (ValueError, KeyError, TypeError, Malformed):
        raise ReleaseError(
            f"{path} is not a release record", next_step="name the folder of a release, or its release.json"
        ) from None


def _of_first_format(text: str) -> tuple[dict[str, Any], str] | None:
    """Return content and signature of a record of the first format; None for anything else."""
    try:
        document = json.loads(text)
        if document["record"]["format"] == _FIRST_FORMAT:
            return document["record"], str(document["signature"])
    except (ValueError, KeyError, TypeError):
        pass
    return None


def _record(content: Mapping[str, Any]) -> ReleaseRecord:
    instances = tuple(ReleasedInstance(**item) for item in content["instances"])
    return ReleaseRecord(**{**content, "instances": instances})


@dataclass(frozen=True, slots=True)
class Match:
    """How the files of a folder compare with a record.

    ``of_medium`` counts what makes the folder a medium: DICOMDIR, README.TXT and pages. ``others`` are files of which
    the record does not speak.
    """

    found: int
    altered: int
    missing: int
    of_medium: int
    others: tuple[Path, ...]


def compare(record: ReleaseRecord, folder: Path) -> Match:
    """Look for every released instance among the files of a folder, by its bytes.

    A file that carries the identity of a released instance with other content counts as altered. Links count as other
    files. Raises ReleaseError without a folder.
    """
    if not folder.is_dir():
        raise ReleaseError(f"there is no folder {folder}", next_step="name the folder that holds the release")
    by_digest = {
        digest: instance.sop_instance_uid
        for instance in record.instances
        for digest in (instance.data_set_digest, instance.explicit_digest)
        if digest
    }
    uids = {instance.sop_instance_uid.encode() for instance in record.instances}
    found: set[str] = set()
    altered: set[bytes] = set()
    of_medium = 0
    others: list[Path] = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            others.append(path)
            continue
        if path.is_dir():
            continue
        uid = by_digest.get(data_set_digest(path))
        if uid is not None:
            found.add(uid)
            continue
        bears = _identity(path, uids)
        if bears is not None:
            altered.add(bears)
        elif _is_of_medium(path, folder):
            of_medium += 1
        else:
            others.append(path)
    replaced = {uid.decode() for uid in altered} - found
    missing = len(uids) - len(found) - len(replaced)
    return Match(len(found), len(replaced), missing, of_medium, tuple(others))


def _is_of_medium(path: Path, folder: Path) -> bool:
    """Whether a file makes a folder a medium: by its name, and since pages are no instances by its content."""
    name = path.relative_to(folder).parts
    return name == ("DICOMDIR",) or (is_page(name) and not is_part_10(path))


def digests_of(path: Path) -> tuple[str, str]:
    """Return the digest of a file and of its data set, of one reading."""
    with path.open("rb") as file:
        head = file.read(144)
        offset = _data_set_offset(head)
        head += file.read(max(0, offset - len(head)))
        whole, data_set = hashlib.sha256(head), hashlib.sha256(head[offset:])
        while chunk := file.read(_CHUNK):
            whole.update(chunk)
            data_set.update(chunk)
    return f"sha256:{whole.hexdigest()}", f"sha256:{data_set.hexdigest()}"


def explicit_digest(path: Path, transfer_syntax_uid: str) -> str:
    """Return the digest of a data set as media hold it in Explicit VR Little Endian.

    Empty for an instance that stays as it is on every medium, or that no medium of such instances takes.
    """
    if handling_of(transfer_syntax_uid, Profile.STD_GEN_CD) is not Handling.REWRITE:
        return ""
    with tempfile.TemporaryDirectory(prefix="tce-") as folder:
        rewritten = Path(folder, "instance")
        try:
            place(path, rewritten, Handling.REWRITE)
        except UnreadableInstance:
            return ""
        return data_set_digest(rewritten)


def data_set_digest(path: Path) -> str:
    """Return the digest of what follows the File Meta Information, of the whole file where there is none."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(_data_set_offset(file.read(144)))
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


def _data_set_offset(head: bytes) -> int:
    """Return where the data set begins: after File Meta Information Group Length (0002,0000) says."""
    if head[128:132] != b"DICM" or head[132:140] != b"\x02\x00\x00\x00UL\x04\x00" or len(head) < 144:
        return 0
    return 144 + int.from_bytes(head[140:144], "little")


def _identity(path: Path, uids: Collection[bytes]) -> bytes | None:
    """Return the released UID that stands as SOP Instance UID (0008,0018) near a file's beginning, if any."""
    with path.open("rb") as file:
        head = file.read(4096)
    if head[128:132] != b"DICM":
        return None
    for uid in uids:
        value = uid + b"\x00" * (len(uid) % 2)
        length = len(value).to_bytes(2, "little")
        explicit = b"\x08\x00\x18\x00UI" + length + value
        implicit = b"\x08\x00\x18\x00" + length + b"\x00\x00" + value
        if explicit in head or implicit in head:
            return uid
    return None
