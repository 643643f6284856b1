"""New versions of the site's keys: of the keys of stage 1 for cases to come, of the custodians' for all shares.

Rotating changes no pseudonym of a running case: each case names the version that it uses, and old versions stay at
the server. Shares are closed anew by each custodian, because the server closes nothing anew that is bound to its
place. Both are finished by running them again, wherever they were cut short; design.md section 5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vault.client import Client, Sealable, Sealing
from vault.errors import BadAnswer
from vault.keys import ATTRIBUTE_KEY, Kind, Mount
from vault.mapping import MappingStore
from vault.sealing import share_context

IDENTIFIER_KEYS = (*Kind, ATTRIBUTE_KEY)
_AT_ONCE = 1_000


def rotate_identifiers(operator: Client) -> int:
    """Give every key of stage 1 one further version, and return its number.

    Where an earlier run was cut short, the keys that lag behind are brought up to the others instead.
    """
    versions = {key: newest_version(operator, Mount.IDENTIFIERS, key) for key in IDENTIFIER_KEYS}
    newest = max(versions.values())
    wanted = newest + 1 if len(set(versions.values())) == 1 else newest
    for key, version in versions.items():
        for _ in range(wanted - version):
            operator.write(f"{Mount.IDENTIFIERS}/keys/{key}/rotate", {})
    return wanted


def rotate_custodians(operator: Client, custodians: Sequence[str]) -> dict[str, int]:
    """Give every custodian's key one further version, and return the numbers."""
    for name in custodians:
        operator.write(f"{Mount.CUSTODY}/keys/{name}/rotate", {})
    return {name: newest_version(operator, Mount.CUSTODY, name) for name in custodians}


def close_anew(
    custodian: Client, store: MappingStore, *, told: Callable[[int], None] = lambda done: None
) -> int:
    """Close every share of one custodian under the newest version of the own key; return how many were not yet.

    Each custodian does that with the own login and sees the own shares only, of which none opens anything alone.
    Works through the mapping in parts, each durable by itself: a run that was killed is continued by the next one.
    ``told`` is given the number of shares of each part.
    """
    name = custodian.whoami()
    prefix = f"vault:v{newest_version(custodian, Mount.CUSTODY, name)}:"
    done = 0
    while old := store.shares_not_under(name, prefix, _AT_ONCE):
        contexts = [share_context(key_id, name) for key_id, _ in old]
        sealed = [Sealing(old[at][1], context) for at, context in enumerate(contexts)]
        opened = custodian.decrypt_batch(Mount.CUSTODY, name, sealed)
        items = [Sealable(share, context) for share, context in zip(opened, contexts, strict=True)]
        anew = custodian.encrypt_batch(Mount.CUSTODY, name, items)
        if not all(ciphertext.startswith(prefix) for ciphertext in anew):
            raise BadAnswer(
                "the server closed shares under an old version of a custodian's key",
                next_step="run the command again; if it stays, look into the server's log",
            )
        store.replace_shares(
            name, {key_id: ciphertext for (key_id, _), ciphertext in zip(old, anew, strict=True)}
        )
        done += len(old)
        told(len(old))
    return done


def newest_version(client: Client, mount: Mount, key: str) -> int:
    """The newest version of a key. Raises NotFound where there is no such key."""
    found = client.required(f"{mount}/keys/{key}").get("latest_version")
    if not isinstance(found, int):
        raise BadAnswer(
            "the server does not tell the version of a key", next_step="check the address of Vault"
        )
    return found
