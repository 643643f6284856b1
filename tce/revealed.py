"""What custody revealed, on its way to the custodian: a table on the terminal, or in a file that only he can open.

A grant is used up before anything is shown, so everything that can fail is done before: the certificate is read, the
file is made and has its place on the disk. Where writing fails all the same, the same encrypted text goes to the
terminal, so that the custodian is not left with nothing. No original ever stands in a file in the clear.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from tce.errors import Refused
from tce.recipients import read_pem
from vault.custody import Revealed
from vault.envelopes import Envelope, Recipient
from vault.secrecy import sync_directory

_RESERVED = 1 << 20
COLUMNS = ("patient", "field", "pseudonym", "original", "issuer")


def rows_of(revealed: Revealed) -> list[Mapping[str, str]]:
    """Return the originals in the clear, for the custodian's own eyes."""
    return [
        {
            "patient": line.patient,
            "field": line.field,
            "pseudonym": line.pseudonym,
            "original": line.original.reveal(),
            "issuer": line.issuer.reveal(),
        }
        for line in revealed.lines
    ]


def csv_of(revealed: Revealed) -> bytes:
    """Return the table as CSV in UTF-8 (RFC 4180)."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(rows_of(revealed))
    return text.getvalue().encode("utf-8", "surrogatepass")


def into_file(
    out: Path, certificate: Path, reveal: Callable[[], Revealed], to_terminal: Callable[[str], None]
) -> Revealed:
    """Reveal into a new file that is encrypted for one certificate, and return what was revealed.

    ``reveal`` uses the grant up. ``to_terminal`` is given the encrypted text where the file could not be finished.

    Raises BadCertificate, Refused or OSError before the grant is used; afterwards Refused, when the text went to the
    terminal.
    """
    # 1. All that can fail: the certificate, the file, the room for it.
    envelope = Envelope([Recipient.read(read_pem(certificate))])
    if out.exists():
        raise Refused(f"there is {out} already", next_step="name a file that does not exist")
    unfinished = out.with_name(f".{out.name}.{os.getpid()}.part")
    descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, _RESERVED)
        # 2. The grant is used up, on the record.
        revealed = reveal()
        # 3. Closed, written, named.
        text = envelope.close_as_text(csv_of(revealed))
        try:
            _finish(descriptor, text, unfinished, out)
        except OSError as fault:
            to_terminal(text.decode("ascii"))
            raise Refused(
                f"the file could not be written ({os.strerror(fault.errno or 0)}); the grant is used up",
                next_step="save what stands above, from BEGIN to END: it is the same, encrypted for you",
            ) from None
    finally:
        os.close(descriptor)
        unfinished.unlink(missing_ok=True)
    return revealed


def _finish(descriptor: int, text: bytes, unfinished: Path, out: Path) -> None:
    view = memoryview(text)
    while view:
        view = view[os.write(descriptor, view) :]
    os.ftruncate(descriptor, len(text))
    os.fsync(descriptor)
    os.link(unfinished, out)  # fails where somebody made the file meanwhile
    sync_directory(out.absolute().parent)
