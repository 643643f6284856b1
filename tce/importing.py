"""Brings a policy of another de-identifier to this site: reads its file, drafts a policy, writes it and the report.

The dialect is asked for and never guessed. Files may hold identifiers (a lookup table is a list of patients), so no
message has a value of one. Reading and drafting are :mod:`policies.importing`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from policies.importing import dialects
from policies.importing.drafting import Drafting
from policies.importing.original import Dialect, Original
from policies.importing.report import Report
from policies.importing.writing import written
from policies.model import Policy
from tce.errors import Refused


@dataclass(frozen=True, slots=True)
class Imported:
    """A draft: its text, the policy that it is, what became of the original, and the original as it was understood."""

    text: str = field(repr=False)
    policy: Policy
    report: Report
    original: Original = field(repr=False)


def bring(text: str, dialect: Dialect, *, name: str, version: str) -> Imported:
    """Return the draft made from a text. Raises PolicyFault where it is not in the dialect, or no draft comes of it."""
    original = dialects.read(text, dialect)
    fields, report = Drafting(original, name=name, version=version).draft
    draft, policy = written(fields)
    return Imported(draft, policy, report, original)


def require(text: str, dialect: Dialect) -> None:
    """Raise PolicyFault where a text is not in the dialect that was asked for."""
    dialects.require(text, dialect)


def text_of(path: Path) -> str:
    """Return the text of a file to be imported. Raises Refused where it is too large, no text, or cannot be read."""
    try:
        if not path.is_file():
            raise Refused(f"{path} is no file", next_step="name the script, profile, recipe or table")
        with path.open("rb") as file:
            content = file.read(dialects.LARGEST + 1)
    except OSError as unreadable:
        raise Refused(
            f"{path} cannot be read ({unreadable.strerror})", next_step="check its name and its permissions"
        ) from None
    if len(content) > dialects.LARGEST:
        raise Refused(f"{path} is larger than any file of this kind", next_step="name the right file")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        raise Refused(f"{path} is not UTF-8 text", next_step="save it in UTF-8") from None


def write_new(path: Path, text: str, *, private: bool = False) -> None:
    """Write a file that is not there yet; ``private`` ones are for nobody else. Raises Refused."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o644)
    except FileExistsError:
        raise Refused(f"{path} exists", next_step="name a file that does not") from None
    except OSError as refused:
        raise Refused(
            f"{path} cannot be written ({refused.strerror})", next_step="check folder and permissions"
        ) from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
