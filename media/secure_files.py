"""One Secure DICOM File: a DICOM file signed, and that encrypted, as CMS says (PS3.10 7.4, PS3.15 D.1.1).

::

    EnvelopedData (AES-256-CBC, one RecipientInfo each)
    └── SignedData (SHA-256, RSA)
        └── the DICOM file, byte for byte

All lengths are known before the first byte is written, so a file of any size is closed in one pass with little memory.
A file is opened in two: what is decrypted is looked at as a mapped file, and comes out only if it is what was signed.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from asn1crypto import algos, core
from cryptography import x509
from cryptography.hazmat.primitives.padding import PKCS7

from media.errors import ClosedFile, ProtectionRefused
from media.secure_ciphers import AES_256, CIPHERS, Kind
from media.secure_frames import (
    INTEGER,
    OCTETS,
    OID,
    SEQUENCE,
    SET,
    Buffer,
    Frame,
    altered,
    content_of,
    frame_at,
    head,
    inside,
    parts_of,
    value,
    whole,
)
from media.secure_keys import MOST_RECIPIENTS, Keys, Offer, Recipient
from media.secure_signatures import DIGESTS, WEAK_DIGEST, Signed, Signer, verified

_DATA: Final = bytes.fromhex("2a864886f70d010701")
_SIGNED: Final = bytes.fromhex("2a864886f70d010702")
_ENVELOPED: Final = bytes.fromhex("2a864886f70d010703")
_DIGESTED: Final = bytes.fromhex("2a864886f70d010705")
_AES_256_CBC: Final = bytes.fromhex("060960864801650304012a")
_SHA_256: Final = bytes.fromhex("300d06096086480165030402010500")
_BLOCK: Final = 16
_CHUNK: Final = 1 << 20
_PROBE: Final = 144  # bytes that tell whether a key fits: the first value, or preamble and DICM
_HEAD: Final = 32


@dataclass(frozen=True, slots=True)
class Opened:
    """What a Secure DICOM File said beside its content: who signed it, and what is weak about it, one sentence each."""

    signed: tuple[Signed, ...]
    weak: tuple[str, ...] = field(repr=False)


def is_closed(path: Path) -> bool:
    """Whether a file begins as an EnvelopedData in DER or BER does. A file that cannot be read does not."""
    try:
        with path.open("rb") as file:
            start = file.read(_HEAD)
    except OSError:
        return False
    return start[:1] == b"\x30" and start.find(value(OID, _ENVELOPED)) in range(2, 12)


def close_file(
    source: Path, out: Path, recipients: Sequence[Recipient], signer: Signer, *, now: datetime | None = None
) -> bytes:
    """Write a DICOM file as a Secure DICOM File to a new file and return its content key, for proving it.

    Raises ProtectionRefused without a recipient or with too many, and OSError.
    """
    if not 0 < len(recipients) <= MOST_RECIPIENTS:
        raise ProtectionRefused(
            "a medium is closed for nobody, or for too many",
            next_step=f"name 1 to {MOST_RECIPIENTS} recipients, or a password",
        )
    when = now or datetime.now(UTC)
    key, vector = os.urandom(32), os.urandom(_BLOCK)
    with source.open("rb") as reading, out.open("xb") as writing:
        size = os.fstat(reading.fileno()).st_size
        front = _signed_front(size, len(signer.trailer(bytes(32), when)))
        inner = len(front) + size + len(signer.trailer(bytes(32), when))
        writing.write(_envelope_front(inner, [one.info(key) for one in recipients], vector))
        padder, encryptor = PKCS7(8 * _BLOCK).padder(), AES_256.encryptor(key, vector)
        writing.write(encryptor.update(padder.update(front)))
        digest, done = hashlib.sha256(), 0
        while chunk := reading.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            writing.write(encryptor.update(padder.update(chunk)))
        if done != size:
            raise ProtectionRefused(
                "a file changed while it was encrypted", next_step="write the medium again"
            )
        last = padder.update(signer.trailer(digest.digest(), when)) + padder.finalize()
        writing.write(encryptor.update(last) + encryptor.finalize())
    return key


def open_file(source: Path, out: Path, keys: Keys, *, known: Sequence[x509.Certificate] = ()) -> Opened:
    """Write the DICOM file that is in a Secure DICOM File to a new file, if it is what was signed or digested.

    ``known`` are certificates of signers, for files that hold none. Raises ClosedFile, and leaves nothing then.
    """
    with (
        _mapped(source) as closed,
        tempfile.TemporaryFile(dir=out.parent) as opened,
    ):
        inner, weak = _decrypt(closed, opened.fileno(), keys)
        opened.flush()
        if not os.fstat(opened.fileno()).st_size:
            raise altered()
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as plain:
            try:
                signed, more = _take_out(plain, inner, out, known)
            except BaseException:
                out.unlink(missing_ok=True)
                raise
    return Opened(tuple(signed), (*weak, *more))


def _signed_front(size: int, trailer: int) -> bytes:
    """Everything of SignedData that stands before the content of the DICOM file."""
    octets = head(OCTETS, size)
    explicit = head(0xA0, len(octets) + size)
    content_type = value(OID, _DATA)
    encapsulated = head(SEQUENCE, len(content_type) + len(explicit) + len(octets) + size)
    before = value(INTEGER, b"\1") + value(SET, _SHA_256)
    front = before + encapsulated + content_type + explicit + octets
    return head(SEQUENCE, len(front) + size + trailer) + front


def _envelope_front(inner: int, infos: Sequence[bytes], vector: bytes) -> bytes:
    """Everything of EnvelopedData that stands before the encrypted content."""
    size = inner + _BLOCK - inner % _BLOCK
    content = head(0x80, size)
    algorithm = value(SEQUENCE, _AES_256_CBC, value(OCTETS, vector))
    content_type = value(OID, _SIGNED)
    encrypted = (
        head(SEQUENCE, len(content_type) + len(algorithm) + len(content) + size)
        + content_type
        + algorithm
        + content
    )
    has_password = any(info[0] == 0xA3 for info in infos)
    before = value(INTEGER, b"\3" if has_password else b"\0") + value(SET, *sorted(infos))
    enveloped = head(SEQUENCE, len(before) + len(encrypted) + size) + before + encrypted
    named = value(OID, _ENVELOPED)
    explicit = head(0xA0, len(enveloped) + size)
    return head(SEQUENCE, len(named) + len(explicit) + len(enveloped) + size) + named + explicit + enveloped


@contextmanager
def _mapped(source: Path) -> Iterator[mmap.mmap]:
    with source.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            raise altered()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as buffer:
            yield buffer


def _decrypt(closed: Buffer, out: int, keys: Keys) -> tuple[bytes, tuple[str, ...]]:
    """Decrypt an EnvelopedData into a file and return the type of the content, and what is weak."""
    size = len(closed)
    outer = frame_at(closed, 0, size)
    if closed[outer.after :] not in (b"", b"\0"):
        raise altered()
    named, explicit = _exactly(closed, outer, 2)
    if outer.tag != SEQUENCE or content_of(closed, named) != _ENVELOPED:
        raise altered()
    [enveloped] = _exactly(closed, explicit, 1)
    values = [one for one in inside(closed, enveloped) if one.tag not in (0xA0, 0xA1)]
    if [one.tag for one in values] != [INTEGER, SET, SEQUENCE]:
        raise altered()
    content_type, algorithm, content = _exactly(closed, values[2], 3)
    if content.tag not in (0x80, 0xA0):
        raise altered()
    cipher, vector, weak = _cipher(whole(closed, algorithm))
    parts = list(parts_of(closed, content))
    length = sum(end - start for start, end in parts)
    block = cipher.block
    if not length or length % block:
        raise altered()
    inner = content_of(closed, content_type)
    probe = b"".join(_chunks(closed, parts, _PROBE))

    def fits(key: bytes) -> bool:
        if len(key) != cipher.key:
            return False
        start = cipher.decryptor(key, vector).update(probe)
        return start[:1] == b"\x30" or (inner == _DATA and start[128:132] == b"DICM")

    offer = Offer(whole(closed, values[1]))
    key = offer.content_key(keys, fits)
    decryptor = cipher.decryptor(key, vector)
    unpadder = PKCS7(8 * block).unpadder()
    for chunk in _chunks(closed, parts):
        _write(out, unpadder.update(decryptor.update(chunk)))
    try:
        _write(out, unpadder.update(decryptor.finalize()) + unpadder.finalize())
    except ValueError:
        raise altered() from None
    return inner, (*weak, *offer.weak)


def _cipher(der: bytes) -> tuple[Kind, bytes, tuple[str, ...]]:
    try:
        algorithm = algos.EncryptionAlgorithm.load(der)
        name = str(algorithm["algorithm"].native)
        vector = algorithm["parameters"].native
    except (ValueError, TypeError, KeyError):
        raise altered() from None
    cipher = CIPHERS.get(name)
    if cipher is None or not isinstance(vector, bytes) or len(vector) != cipher.block:
        raise ClosedFile(
            "unsupported",
            "is encrypted with something else than AES or Triple DES in CBC mode",
            next_step="ask for a medium of the Basic DICOM Media Security Profile (PS3.15 D.1)",
        )
    return cipher, vector, ("it is encrypted with Triple DES",) if cipher.block == 8 else ()


def _take_out(
    plain: Buffer, inner: bytes, out: Path, known: Sequence[x509.Certificate]
) -> tuple[list[Signed], list[str]]:
    """Write the DICOM file that is in SignedData or DigestedData, once its digest is known to be right."""
    if plain[128:132] == b"DICM" and inner == _DATA:
        _copy(plain, [(0, len(plain))], {}, out)
        return [], ["it is encrypted only: nothing proves that it was not altered"]
    outer = frame_at(plain, 0, len(plain))
    if outer.after != len(plain):
        raise altered()
    values = list(inside(plain, outer))
    if values and values[0].tag == OID:  # a whole ContentInfo, as tools that know no other way put in
        inner = content_of(plain, values[0])
        values = list(inside(plain, _exactly(plain, values[1], 1)[0])) if len(values) == 2 else []
    if len(values) < 4 or inner not in (_SIGNED, _DIGESTED):
        raise altered()
    _, content = _exactly(plain, values[2], 2)
    [octets] = _exactly(plain, content, 1)
    if inner == _DIGESTED:
        return [], _take_digested(plain, values, octets, out)
    certificates = b"".join(whole(plain, one) for one in values[3:] if one.tag == 0xA0)
    infos = values[-1]
    if infos.tag != SET:
        raise altered()
    digests = {name: hashlib.new(name) for name in DIGESTS if _has(plain, infos, name)}
    _copy(plain, list(parts_of(plain, octets)), digests, out)
    signed, used = verified(
        whole(plain, infos), certificates, {name: one.digest() for name, one in digests.items()}, known
    )
    weak = ["it is signed with SHA-1"] if WEAK_DIGEST in used else []
    if any(one.is_weak for one in signed):
        weak.append("it is signed with a short RSA key")
    return signed, weak


def _take_digested(plain: Buffer, values: Sequence[Frame], octets: Frame, out: Path) -> list[str]:
    try:
        name = str(algos.DigestAlgorithm.load(whole(plain, values[1]))["algorithm"].native)
    except (ValueError, TypeError, KeyError):
        raise altered() from None
    if name not in DIGESTS or values[3].tag != OCTETS:
        raise altered()
    digest = hashlib.new(name)
    _copy(plain, list(parts_of(plain, octets)), {name: digest}, out)
    if digest.digest() != content_of(plain, values[3]):
        raise altered()
    return ["its digest is SHA-1"] if name == WEAK_DIGEST else []


def _has(plain: Buffer, infos: Frame, name: str) -> bool:
    """Whether some signer uses a digest algorithm."""
    wanted = core.ObjectIdentifier(algos.DigestAlgorithmId(name).dotted).dump()
    return wanted in whole(plain, infos)


def _copy(
    plain: Buffer, parts: Sequence[tuple[int, int]], digests: Mapping[str, hashlib._Hash], out: Path
) -> None:
    with out.open("xb") as writing:
        for chunk in _chunks(plain, parts):
            for digest in digests.values():
                digest.update(chunk)
            writing.write(chunk)


def _chunks(buffer: Buffer, parts: Sequence[tuple[int, int]], most: int = 0) -> Iterator[bytes]:
    """Yield what stands in some places, in pieces; with ``most``, so many bytes only."""
    left = most or -1
    for start, end in parts:
        for at in range(start, end, _CHUNK):
            if not left:
                return
            chunk = buffer[at : min(end, at + _CHUNK)]
            chunk = chunk[:left] if most else chunk
            left -= len(chunk) if most else 0
            yield chunk


def _write(out: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(out, view) :]


def _exactly(buffer: Buffer, frame: Frame, count: int) -> list[Frame]:
    found = []
    for one in inside(buffer, frame):
        found.append(one)
        if len(found) > count:
            raise altered()
    if len(found) != count:
        raise altered()
    return found
