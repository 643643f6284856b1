"""Ids of patients' keys: each commits to the case and the patient that the key was made for.

The server opens a custodian's seed for its key's id and no other, and does not know whose key it is: that stands in the
database, which every custodian's command can write. So the id says it itself, and a key that was moved under another
patient is noticed before anything of it is handed over::

    id = base64url(nonce, 8 octets | SHA-256("tce1-key" 00 nonce case 00 patient), 16 octets)
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets

_LABEL = b"tce1-key\0"
_NONCE_BYTES, _DIGEST_BYTES = 8, 16
_BEFORE = re.compile(r"[0-9a-f]{32}")


def new_key_id(case: str, patient: str) -> str:
    """Return an id for a new key of a patient, who is named by his pseudonym."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return base64.urlsafe_b64encode(nonce + _digest(nonce, case, patient)).decode()


def is_of(key_id: str, case: str, patient: str) -> bool:
    """Say whether a key was made for this patient of this case. Ids of before they said so are believed."""
    if _BEFORE.fullmatch(key_id):
        return True
    try:
        raw = base64.b64decode(key_id, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return False
    return len(raw) == _NONCE_BYTES + _DIGEST_BYTES and hmac.compare_digest(
        raw[_NONCE_BYTES:], _digest(raw[:_NONCE_BYTES], case, patient)
    )


def _digest(nonce: bytes, case: str, patient: str) -> bytes:
    content = _LABEL + nonce + case.encode() + b"\0" + patient.encode()
    return hashlib.sha256(content).digest()[:_DIGEST_BYTES]
