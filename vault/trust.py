"""The public keys that signatures are believed under, as a file that travels: no server is asked to verify.

:func:`read_trust` fetches them once; whoever verifies later, on whichever machine, needs this file and
``cryptography``. Where the file itself comes from is the one thing it cannot prove: it is handed over as
the site's certificate would be.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from vault.client import Client
from vault.errors import BadSignature, Malformed, Untrusted
from vault.keys import RELEASE_KEY, Mount
from vault.secrecy import write_private

FORM = "tce-trust-1"

KeyVersions = Mapping[int, bytes]


@dataclass(frozen=True, slots=True)
class Trust:
    """Public keys by person and version, for each of the three things that are signed."""

    authors: Mapping[str, KeyVersions]
    approvers: Mapping[str, KeyVersions]
    release: KeyVersions

    def to_json(self) -> str:
        """The file's content, the same for the same keys."""
        content = {
            "form": FORM,
            "authors": {name: _written(keys) for name, keys in self.authors.items()},
            "approvers": {name: _written(keys) for name, keys in self.approvers.items()},
            "release": _written(self.release),
        }
        return json.dumps(content, indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Trust:
        """Read a file's content. Raises Malformed."""
        try:
            content = json.loads(text)
            if content["form"] != FORM:
                raise ValueError
            return cls(
                {str(name): _read(keys) for name, keys in content["authors"].items()},
                {str(name): _read(keys) for name, keys in content["approvers"].items()},
                _read(content["release"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
            raise Malformed(
                "the file of trusted keys is not readable",
                next_step="get the trust.json of the site again; `tce vault provision` writes it",
            ) from None

    def save(self, path: Path) -> None:
        """Write the file, all at once."""
        write_private(path, self.to_json().encode())

    @classmethod
    def load(cls, path: Path) -> Trust:
        """Read the file. Raises Malformed, also when there is none."""
        try:
            return cls.from_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            raise Malformed(
                f"the file of trusted keys {path} cannot be read",
                next_step="get the trust.json of the site; `tce vault provision` writes it",
            ) from None


def read_trust(client: Client) -> Trust:
    """The public keys of a site as its server holds them now. Any login of the site may ask."""
    return Trust(
        {
            name: client.public_keys(Mount.AUTHORSHIP, name)
            for name in client.names(f"{Mount.AUTHORSHIP}/keys")
        },
        {name: client.public_keys(Mount.APPROVAL, name) for name in client.names(f"{Mount.APPROVAL}/keys")},
        client.public_keys(Mount.RELEASE, RELEASE_KEY),
    )


def check_signature(keys: KeyVersions | None, payload: bytes, signature: str, what: str) -> None:
    """Return if the signature over the payload is one of these keys'. Raises Untrusted or BadSignature."""
    if not keys:
        raise Untrusted(
            f"the {what} is signed by somebody whose key is not trusted here",
            next_step="get the site's current trust.json, if the person is one of the site",
        )
    scheme, _, rest = signature.partition(":v")
    version, _, encoded = rest.partition(":")
    try:
        if scheme != "vault":
            raise ValueError
        key = Ed25519PublicKey.from_public_bytes(keys[int(version)])
        key.verify(base64.b64decode(encoded, validate=True), payload)
    except KeyError:
        raise Untrusted(
            f"the {what} is signed with a version of the key that is not trusted here",
            next_step="get the site's current trust.json",
        ) from None
    except (ValueError, binascii.Error, InvalidSignature):
        raise BadSignature(
            f"the signature of the {what} does not verify",
            next_step="have it signed again; what was changed after signing is void",
        ) from None


def _written(keys: KeyVersions) -> dict[str, str]:
    return {str(version): base64.b64encode(key).decode("ascii") for version, key in keys.items()}


def _read(keys: Mapping[str, str]) -> dict[int, bytes]:
    return {int(version): base64.b64decode(key, validate=True) for version, key in keys.items()}
