"""Where secrets and originals lie by design, and which secrets and originals there are. All other places are leaks."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from policies.originals import Trait, originals_of
from tce.samples import write_two_studies

SERVER_FILE = "server.hcl"
SETTINGS_FILE = "tce.toml"

# Below the home of an embedded key server, each of mode 0600. Whoever owns the folder owns the keys: docs/limits.md.
SECRETS_LIE = re.compile(r"people/[^/]+|roles/[^/]+|init\.json|seal\.key")

# Below a site: what an actor received, as it was received; the coordinator's own lists of patients; and what an
# approver wrote in the own words.
ORIGINALS_LIE = re.compile(r"(receiver/)?spool/.*|cases/[^/]+/events\.csv|(.*/)?[^/]*withdrawal\.json")

# What the program writes about its work, wherever a test lets it write.
RECORDS = re.compile(
    r".*(\.db|\.db-wal|\.db-shm|\.jsonl|\.head|\.log|\.hcl|\.toml)|trust\.json|release\.json"
)

_TOKENS_BODY = re.compile(rb"\.[A-Za-z0-9_-]{24,}(?![A-Za-z0-9_.-])")
_TOKENS_BEGIN = re.compile(rb"(?:^|[^A-Za-z0-9_.-])(?:hv)?[sbr]$")

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LONG_ENOUGH = 16


def files_under(root: Path) -> Iterator[Path]:
    """Every file below a folder; links are not followed."""
    return (path for path in sorted(root.rglob("*")) if not path.is_symlink() and path.is_file())


def secrets_under(root: Path) -> dict[bytes, str]:
    """Every secret that key servers below a folder keep in their files, with what it is."""
    found: dict[bytes, str] = {}
    for configuration in root.rglob(SERVER_FILE):
        home = configuration.parent
        for path in files_under(home):
            if SECRETS_LIE.fullmatch(path.relative_to(home).as_posix()):
                kind = (
                    "the seal key"
                    if path.name == "seal.key"
                    else f"a secret of {path.parent.name}/{path.name}"
                )
                found |= {form: kind for value in _values(path) for form in _forms(value)}
    return found


def is_place_of_secrets(path: Path) -> bool:
    """Whether a file is one of those in which a key server's secrets lie by design."""
    for folder in path.parents:
        if (folder / SERVER_FILE).exists():
            return bool(SECRETS_LIE.fullmatch(path.relative_to(folder).as_posix()))
        if (folder / SETTINGS_FILE).exists():  # a site with a key server elsewhere keeps logins of services
            return bool(SECRETS_LIE.fullmatch(path.relative_to(folder).as_posix().removeprefix("vault/")))
    return False


def holds_no_original(path: Path) -> bool:
    """Whether no original may stand in a file: the program's records, and all of a site but what was received."""
    if RECORDS.fullmatch(path.name):
        return True
    for folder in path.parents:
        if (folder / SETTINGS_FILE).exists():
            return not ORIGINALS_LIE.fullmatch(path.relative_to(folder).as_posix())
    return False


@cache
def sample_originals() -> dict[bytes, str]:
    """What identifies the people of the samples and of ``tests.builders``, in no word of which a record may speak."""
    with TemporaryDirectory() as folder:
        paths = write_two_studies(Path(folder))
        traits = {Trait.PERSON, Trait.NUMBER, Trait.CONTACT}
        named = {value.encode(): "an original of the sample people" for value in originals_of(paths, traits)}
    invented = (b"^Persona", b"Persona Testov", b"TEST-0000", b"OTHER-0000")
    return named | dict.fromkeys(invented, "an original of the invented people")


def holds_token(content: bytes) -> bool:
    """Whether a token of a Vault or OpenBao stands in ``content``, of whatever kind, also one that nobody told of."""
    found = _TOKENS_BODY.finditer(content)
    return any(_TOKENS_BEGIN.search(content[max(0, one.start() - 4) : one.start()]) for one in found)


def looks_random(value: str | bytes) -> bool:
    """Whether something is a token, password, secret id, key or share, and no text that people write."""
    if isinstance(value, str):
        mixed = all(re.search(kind, value) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
        return bool(_UUID.fullmatch(value)) or (
            mixed and bool(re.fullmatch(r"[A-Za-z0-9._+/=-]{20,}", value))
        )
    try:
        value.decode()
    except UnicodeDecodeError:
        return 32 <= len(value) <= 64
    return False


def _values(path: Path) -> Iterator[bytes]:
    content = path.read_bytes()
    if path.name == "seal.key":
        yield content
    elif path.suffix == ".json":
        yield from (value.encode() for key, value in json.loads(content).items() if key != "role_id")
    else:
        yield content.strip()


def _forms(value: bytes) -> Iterator[bytes]:
    """A secret as it is, and as it would be written if it were encoded."""
    if len(value) >= _LONG_ENOUGH:
        yield from (value, value.hex().encode(), base64.b64encode(value).rstrip(b"="))
