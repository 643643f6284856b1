"""Everything at the server that is asked about when the rights of a token are looked at: in words, path and capability.

What is derived, opened and signed, in every form that the server offers; keys read out, copied, loosened, exchanged
or deleted; rights, persons, logins and tokens; the server itself. For every kind of identifier and every person of the
site, because a right can be added for one of them alone. ``any`` and ``other`` stand for names that nobody has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vault import second_factor
from vault.keys import ATTRIBUTE_KEY, CASE_MOUNTS, RELEASE_KEY, Kind, Mount
from vault.methods import Type
from vault.roles import POLICIES, ROLE_KEYS, Role, Service, SitePlan, at_server

CASE = "any"
OTHER = "other"
_READ, _LIST = frozenset({"read"}), frozenset({"list"})
_UPDATE, _CREATE, _DELETE = frozenset({"update"}), frozenset({"create"}), frozenset({"delete"})

_HASHES = tuple(f"{family}-{bits}" for family in ("sha2", "sha3") for bits in (224, 256, 384, 512))
_MEANT_HASH = "sha2-256"
_SECRET_PARTS = ("hmac-key", "encryption-key", "signing-key")


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that can be done at the server: in words, the path, and the capabilities that doing it takes."""

    words: str
    path: str
    takes: frozenset[str]


def deeds(plan: SitePlan) -> list[Deed]:
    """Return everything that is looked at, with the names of this site. Several deeds may have the same words."""
    return [
        *_derivations(),
        *_uses_of_persons_keys(plan),
        *_lives_of_keys(plan),
        *_keys_out(plan),
        *_of_the_server(),
        *_of_rights(),
        *_of_tokens(),
        *_of_persons(plan),
        *_of_logins(plan),
    ]


def _derivations() -> Iterator[Deed]:
    """Deriving under the keys of identifiers and cases; every form but one is meant for nobody."""
    stage_1 = "derive pseudonyms of stage 1"
    for words, mount, keys in (
        (stage_1, Mount.IDENTIFIERS, (*Kind, ATTRIBUTE_KEY)),
        ("derive pseudonyms of a case", Mount.CASES, (CASE,)),
        ("use the ways back of a case", Mount.WAYS_BACK, (CASE,)),
    ):
        for key in keys:
            yield Deed(words, f"{mount}/hmac/{key}/{_MEANT_HASH}", _UPDATE)
            for path in _in_other_forms(f"{mount}/hmac/{key}"):
                yield Deed(f"{words} in another form", path, _UPDATE)
            for path in (f"{mount}/verify/{key}/{_MEANT_HASH}", *_in_other_forms(f"{mount}/verify/{key}")):
                yield Deed(f"find out by comparing ({mount})", path, _UPDATE)


def _in_other_forms(path: str) -> Iterator[str]:
    yield path
    yield from (f"{path}/{name}" for name in _HASHES if name != _MEANT_HASH)


def _uses_of_persons_keys(plan: SitePlan) -> Iterator[Deed]:
    yield Deed("sign releases", f"{Mount.RELEASE}/sign/{RELEASE_KEY}", _UPDATE)
    for form in _HASHES:
        yield Deed("sign releases in another form", f"{Mount.RELEASE}/sign/{RELEASE_KEY}/{form}", _UPDATE)
    for name in plan.holders(Role.CUSTODIAN):
        for verb, words in (
            ("decrypt", f"open the shares of {name}"),
            ("encrypt", f"close shares for {name}"),
            ("rewrap", f"close shares of {name} anew, unseen"),
            ("datakey/plaintext", f"get a data key of {name}"),
            ("datakey/wrapped", f"get a data key of {name}"),
        ):
            yield Deed(words, f"{Mount.CUSTODY}/{verb}/{name}", _UPDATE)
    # Every person at both mounts: who is not meant to sign there is no less of a finding.
    for name in sorted(plan.people):
        for mount, words in (
            (Mount.AUTHORSHIP, f"sign as author {name}"),
            (Mount.APPROVAL, f"approve as {name}"),
        ):
            yield Deed(words, f"{mount}/sign/{name}", _UPDATE)
            for form in _HASHES:
                yield Deed(f"{words} in another form", f"{mount}/sign/{name}/{form}", _UPDATE)


def _keys(plan: SitePlan) -> Iterator[tuple[Mount, str]]:
    """Every key of the site, and one for all cases."""
    yield from ((Mount.IDENTIFIERS, key) for key in (*Kind, ATTRIBUTE_KEY))
    yield from ((mount, CASE) for mount in CASE_MOUNTS)
    yield from ((mount, name) for role, mount in ROLE_KEYS.items() for name in plan.holders(role))
    yield Mount.RELEASE, RELEASE_KEY


def _lives_of_keys(plan: SitePlan) -> Iterator[Deed]:
    for mount in CASE_MOUNTS:
        key = f"{mount}/keys/{CASE}"
        yield Deed(f"make the key of a case ({mount})", key, _CREATE)
        yield Deed(f"agree that a case is forgotten ({mount})", f"{key}/config", _UPDATE)
        yield Deed(f"forget a case ({mount})", key, _DELETE)
    for mount, name in _keys(plan):
        key = f"{mount}/keys/{name}"
        yield Deed(f"rotate a key ({mount})", f"{key}/rotate", _UPDATE)
        yield Deed(f"cut off old versions of a key ({mount})", f"{key}/trim", _UPDATE)
        yield Deed(f"put a key of elsewhere in ({mount})", f"{key}/import_version", _UPDATE)
        yield Deed(f"delete a key for a while ({mount})", f"{key}/soft-delete", _UPDATE)
        yield Deed(f"put an old copy of a key in ({mount})", f"{mount}/restore/{name}", _UPDATE)
        if mount not in CASE_MOUNTS:
            yield Deed(f"loosen a key ({mount})", f"{key}/config", _UPDATE)
            yield Deed(f"delete a key ({mount})", key, _DELETE)
    for mount in Mount:
        if mount not in CASE_MOUNTS:
            yield Deed(f"make a key ({mount})", f"{mount}/keys/{OTHER}", _CREATE)
        yield Deed(f"put a key of elsewhere in ({mount})", f"{mount}/keys/{OTHER}/import", _UPDATE)
        yield Deed(f"put an old copy of a key in ({mount})", f"{mount}/restore", _UPDATE)
        yield Deed(f"put an old copy of a key in ({mount})", f"{mount}/restore/{OTHER}", _UPDATE)
    yield Deed("make a key by closing a share", f"{Mount.CUSTODY}/encrypt/{OTHER}", _CREATE)
    for mount in (Mount.AUTHORSHIP, Mount.APPROVAL):
        for name in plan.holders(Role.COORDINATOR if mount is Mount.AUTHORSHIP else Role.APPROVER):
            yield Deed(f"check what was signed ({mount})", f"{mount}/keys/{name}", _READ)
    yield Deed("check releases", f"{Mount.RELEASE}/keys/{RELEASE_KEY}", _READ)


def _keys_out(plan: SitePlan) -> Iterator[Deed]:
    for mount, key in _keys(plan):
        for part in _SECRET_PARTS:
            for version in ("", "/latest", "/1"):
                yield Deed(f"read a key out ({mount})", f"{mount}/export/{part}/{key}{version}", _READ)
        yield Deed(f"copy a key in the clear ({mount})", f"{mount}/backup/{key}", _READ)
        for other in (key, OTHER):
            yield Deed(f"wrap a key for elsewhere ({mount})", f"{mount}/byok-export/{other}/{key}", _READ)


def _of_the_server() -> Iterator[Deed]:
    yield from (
        Deed("see where the server's trail is", "sys/audit", _READ),
        Deed("turn the server's trail off", "sys/audit/trail", _DELETE),
        Deed("make another trail of the server", f"sys/audit/{OTHER}", _UPDATE),
        Deed("read the server's storage", "sys/raw/logical", _READ),
        Deed("read the server's storage", "sys/raw/core/keyring", _READ),
        Deed("write the server's storage", "sys/raw/logical", _UPDATE),
        Deed("take a snapshot of all keys", "sys/storage/raft/snapshot", _READ),
        Deed("put a snapshot in", "sys/storage/raft/snapshot", _UPDATE),
        Deed("put a snapshot in", "sys/storage/raft/snapshot-force", _UPDATE),
        Deed("seal the server", "sys/seal", _UPDATE),
        Deed("see the mounts", "sys/mounts", _READ),
        Deed("make a mount", f"sys/mounts/{OTHER}", _UPDATE),
        Deed("move a mount", "sys/remount", _UPDATE),
        Deed("see the ways to log in", "sys/auth", _READ),
        Deed("make a way to log in", f"sys/auth/{OTHER}", _UPDATE),
        Deed("make a root token", "sys/generate-root/attempt", _UPDATE),
    )
    for mount in Mount:
        yield Deed("unmount keys", f"sys/mounts/{mount}", _DELETE)
        yield Deed("tune the mounts of keys", f"sys/mounts/{mount}/tune", _UPDATE)


def _of_rights() -> Iterator[Deed]:
    for name in at_server(POLICIES):
        yield Deed("read rights", f"sys/policies/acl/{name}", _READ)
        yield Deed("change rights", f"sys/policies/acl/{name}", _UPDATE)
        yield Deed("take rights away", f"sys/policies/acl/{name}", _DELETE)
        yield Deed("change rights in the old way", f"sys/policy/{name}", _UPDATE)
    for name in ("default", OTHER):
        yield Deed("change rights that are not the project's", f"sys/policies/acl/{name}", _UPDATE)
        yield Deed("change rights in the old way", f"sys/policy/{name}", _UPDATE)


def _of_tokens() -> Iterator[Deed]:
    for path in ("create", "create-orphan", f"create/{OTHER}", f"roles/{OTHER}"):
        yield Deed("make tokens for others", f"auth/token/{path}", _UPDATE)
    yield Deed("look at others' tokens", "auth/token/accessors", _LIST)


def _of_persons(plan: SitePlan) -> Iterator[Deed]:
    yield from (
        Deed("give people rights", "identity/entity", _UPDATE),
        Deed("give people rights by their number", f"identity/entity/id/{OTHER}", _UPDATE),
        Deed("give rights by a group", "identity/group", _UPDATE),
        Deed("give rights by a group", f"identity/group/id/{OTHER}", _UPDATE),
        Deed("give rights by a group", f"identity/group/name/{OTHER}", _UPDATE),
        Deed("give rights by a group", "identity/group-alias", _UPDATE),
        Deed("make a way into a person", "identity/entity-alias", _UPDATE),
        Deed("move a way into a person", f"identity/entity-alias/id/{OTHER}", _UPDATE),
        Deed("make one of two persons", "identity/entity/merge", _UPDATE),
        Deed("make a second factor", f"{second_factor.METHODS}/admin-generate", _UPDATE),
        Deed("make the own second factor", f"{second_factor.METHODS}/generate", _UPDATE),
        Deed("replace a second factor", f"{second_factor.METHODS}/admin-destroy", _UPDATE),
        Deed("end the demand for second factors", second_factor.ENFORCEMENT, _DELETE),
        Deed("change the demand for second factors", second_factor.ENFORCEMENT, _UPDATE),
    )
    # To read the own entry is what the server itself gives everybody.
    yield Deed("see persons and their rights", f"identity/entity/name/{OTHER}", _READ)
    for name in (*sorted(plan.people), OTHER):
        yield Deed("give people rights by name", f"identity/entity/name/{name}", _UPDATE)
        yield Deed("delete a person", f"identity/entity/name/{name}", _DELETE)


def _of_logins(plan: SitePlan) -> Iterator[Deed]:
    for name in sorted(plan.people):
        login = f"auth/userpass/users/{name}"
        yield Deed(f"set the password of {name}", login, _UPDATE)
        yield Deed(f"change the password of {name}", f"{login}/password", _UPDATE)
        yield Deed("give a login rights of its own", f"{login}/policies", _UPDATE)
        yield Deed("delete a login", login, _DELETE)
    for service in at_server(Service):
        role = f"auth/approle/role/{service}"
        yield Deed("change a service", role, _UPDATE)
        yield Deed("give a service rights of its own", f"{role}/policies", _UPDATE)
        yield Deed("hand out a service's secret", f"{role}/secret-id", _UPDATE)
        yield Deed("choose a service's secret", f"{role}/custom-secret-id", _UPDATE)
    yield Deed("make a login", f"auth/userpass/users/{OTHER}", _CREATE)
    yield Deed("make a service", f"auth/approle/role/{OTHER}", _CREATE)
    for mount in (plan.login.mount, *Type):
        yield Deed("change where logins are checked", f"auth/{mount}/config", _UPDATE)
    for path in (f"users/{OTHER}", f"groups/{OTHER}", f"role/{OTHER}"):
        if plan.login.type is not Type.USERPASS:
            yield Deed("give logins rights of their own", f"auth/{plan.login.mount}/{path}", _UPDATE)
