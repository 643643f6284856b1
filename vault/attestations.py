"""Statements of a site, signed with its release key: in-toto Statements in DSSE envelopes, and nothing of our own.

A signature covers the pre-authentication encoding of type and payload (DSSE v1, ``PAE``), so that whoever knows DSSE
and Ed25519 verifies it with the public key alone. What a statement says is not looked at here.

    https://github.com/secure-systems-lab/dsse   protocol.md, envelope.md
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field

from vault.client import Client
from vault.errors import Malformed
from vault.keys import RELEASE_KEY, Mount
from vault.trust import Trust, check_signature

PAYLOAD_TYPE = "application/vnd.in-toto+json"
_WHAT = "release record"


@dataclass(frozen=True, slots=True)
class Envelope:
    """One signed statement. ``signature`` is in the server's form, which names the version of the key."""

    payload: bytes = field(repr=False)
    signature: str

    def to_json(self) -> str:
        """The envelope as one line of JSON."""
        _, version, signature = self.signature.split(":")
        content = {
            "payload": base64.b64encode(self.payload).decode("ascii"),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"keyid": f"{RELEASE_KEY}:{version}", "sig": signature}],
        }
        return json.dumps(content)

    @classmethod
    def from_json(cls, text: str) -> Envelope:
        """Read an envelope with the site's one signature. Raises Malformed; the signature is not checked here."""
        try:
            content = json.loads(text)
            [signed] = content["signatures"]
            name, version = signed["keyid"].split(":")
            if content["payloadType"] != PAYLOAD_TYPE or name != RELEASE_KEY:
                raise ValueError
            payload = base64.b64decode(content["payload"], validate=True)
            return cls(payload, f"vault:{version}:{signed['sig']}")
        except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
            raise Malformed(f"the {_WHAT} is no signed statement", next_step="get it again") from None


def encoded(payload: bytes) -> bytes:
    """Return what is signed: the pre-authentication encoding of DSSE v1."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign_statement(service: Client, payload: bytes) -> str:
    """Sign a statement as the site. Needs the login of the manager or the pseudonymizer.

    Keep it below 700 kB: a key server may refuse texts of more than 1 MiB.
    """
    return service.sign(Mount.RELEASE, RELEASE_KEY, encoded(payload))


def verify_statement(envelope: Envelope, trust: Trust) -> None:
    """Return if the site signed this statement; offline. Raises Untrusted or BadSignature."""
    check_signature(trust.release, encoded(envelope.payload), envelope.signature, _WHAT)
