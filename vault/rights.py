"""What a token may do at the server, compared with what the project's Vault policies give its role.

The server is asked (``sys/capabilities-self``); nothing is tried out. The paths looked at are those that matter:
deriving, opening, signing, reading keys out, loosening or deleting them, changing rights. What a site's own
administrators added on top of ``access/*.hcl`` shows here, and nowhere else; design.md section 5.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from vault import second_factor
from vault.client import Client
from vault.keys import ATTRIBUTE_KEY, CASE_MOUNTS, RELEASE_KEY, Kind, Mount
from vault.roles import EVERYONE, ROLE_KEYS, SERVICE_POLICIES, Role, Service, SitePlan, policy_text

_BLOCK = re.compile(r'path\s+"(?P<path>[^"]+)"\s*\{(?P<body>[^{}]*(?:\{[^{}]*\}[^{}]*)*)\}')
_CAPABILITIES = re.compile(r"capabilities\s*=\s*\[(?P<list>[^\]]*)\]")
_OWN_NAME = "{{identity.entity.name}}"
_NOTHING = frozenset({"deny"})


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that can be done at the server: in words, the path, and the capabilities that doing it takes."""

    words: str
    path: str
    takes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Rights:
    """What one role may do. ``too_much`` is what the project does not give it, ``too_little`` what it lacks."""

    who: str
    may: tuple[str, ...]
    too_much: tuple[str, ...]
    too_little: tuple[str, ...]

    @property
    def as_meant(self) -> bool:
        """Whether the server gives exactly what the project means."""
        return not self.too_much and not self.too_little


def rights_of_service(client: Client, service: Service, plan: SitePlan) -> Rights:
    """Return what a service may do; ``client`` holds its token."""
    return _compared(client, service, SERVICE_POLICIES[service], "", plan)


def rights_of_person(client: Client, name: str, plan: SitePlan) -> Rights:
    """Return what a person of the plan may do; ``client`` holds the person's token."""
    return _compared(client, name, (EVERYONE, *plan.people[name]), name, plan)


def loose_keys(client: Client, plan: SitePlan) -> list[str]:
    """Return which of the site's own keys could leave the server or be deleted, in words; ``client`` may read them.

    No role of the project can bring that about, and what was once exportable stays so: such a key is to be replaced.
    """
    keys = [(Mount.IDENTIFIERS, key) for key in (*Kind, ATTRIBUTE_KEY)] + [(Mount.RELEASE, RELEASE_KEY)]
    keys += [(mount, name) for role, mount in ROLE_KEYS.items() for name in plan.holders(role)]
    found = []
    for mount, key in keys:
        state = client.read(f"{mount}/keys/{key}") or {}
        found += [f"the key {mount}/{key} {words}" for flag, words in _LOOSE.items() if state.get(flag)]
    return found


_LOOSE = {
    "exportable": "can be read out",
    "allow_plaintext_backup": "can be copied in the clear",
    "deletion_allowed": "can be deleted",
}


def _compared(client: Client, who: str, policies: Iterable[str], name: str, plan: SitePlan) -> Rights:
    meant = [given for policy in policies for given in _given_by(policy_text(policy), name)]
    deeds = _deeds(plan)
    found = client.capabilities_at([deed.path for deed in deeds])
    may = [deed for deed in deeds if _enough(found[deed.path], deed)]
    should = [deed for deed in deeds if _enough(_meant_at(deed.path, meant), deed)]
    return Rights(
        who,
        tuple(deed.words for deed in may),
        tuple(deed.words for deed in may if deed not in should),
        tuple(deed.words for deed in should if deed not in may),
    )


def _enough(capabilities: Collection[str], deed: Deed) -> bool:
    return "root" in capabilities or deed.takes <= set(capabilities)


def _meant_at(path: str, meant: Iterable[tuple[re.Pattern[str], frozenset[str]]]) -> frozenset[str]:
    return frozenset[str]().union(*(given for pattern, given in meant if pattern.fullmatch(path)))


def _given_by(policy: str, name: str) -> Iterable[tuple[re.Pattern[str], frozenset[str]]]:
    """Read the paths and capabilities of one of our own policies, with the person's name put in."""
    without_comments = re.sub(r"(?m)^\s*#.*$", "", policy)
    for block in _BLOCK.finditer(without_comments):
        path = block["path"].replace(_OWN_NAME, name)
        # A plus stands for one part of a path, an asterisk at the end for all that follows.
        pattern = re.compile(re.escape(path).replace(r"\+", "[^/]+").replace(r"\*", ".*"))
        listed = _CAPABILITIES.search(block["body"])
        yield pattern, frozenset(re.findall(r'"(\w+)"', listed["list"])) if listed else _NOTHING


def _deeds(plan: SitePlan) -> list[Deed]:
    """Return everything that is looked at, with the names of this site."""
    update, read, delete = frozenset({"update"}), frozenset({"read"}), frozenset({"delete"})
    uid, case = Kind.UID, "any-case"
    deeds = [
        Deed("derive pseudonyms of stage 1", f"{Mount.IDENTIFIERS}/hmac/{uid}/sha2-256", update),
        Deed("derive pseudonyms of a case", f"{Mount.CASES}/hmac/{case}/sha2-256", update),
        Deed("use the ways back of a case", f"{Mount.WAYS_BACK}/hmac/{case}/sha2-256", update),
        Deed("sign releases", f"{Mount.RELEASE}/sign/{RELEASE_KEY}", update),
        Deed("change rights", "sys/policies/acl/tce-manager", update),
        Deed("give people rights", "identity/entity", update),
        Deed("give rights by a group", "identity/group", update),
        Deed("make a way into a person", "identity/entity-alias", update),
        Deed("make one of two persons", "identity/entity/merge", update),
        Deed("set another's password", f"auth/userpass/users/{plan.holders(Role.CUSTODIAN)[0]}", update),
        Deed("change where logins are checked", f"auth/{plan.login.mount}/config", update),
        Deed("make a second factor", f"{second_factor.METHODS}/admin-generate", update),
        Deed("replace a second factor", f"{second_factor.METHODS}/admin-destroy", update),
        Deed("end the demand for second factors", second_factor.ENFORCEMENT, delete),
        Deed("make tokens for others", "auth/token/create-orphan", update),
        Deed("see where the server's trail is", "sys/audit", read),
        Deed("turn the server's trail off", "sys/audit/trail", delete),
        Deed("read the server's storage", "sys/raw/logical", read),
        Deed("take a snapshot of all keys", "sys/storage/raft/snapshot", read),
    ]
    for role, mount, verb, words in (
        (Role.CUSTODIAN, Mount.CUSTODY, "decrypt", "open the shares of"),
        (Role.CUSTODIAN, Mount.CUSTODY, "encrypt", "close shares for"),
        (Role.COORDINATOR, Mount.AUTHORSHIP, "sign", "sign as author"),
        (Role.APPROVER, Mount.APPROVAL, "sign", "approve as"),
    ):
        deeds += [Deed(f"{words} {name}", f"{mount}/{verb}/{name}", update) for name in plan.holders(role)]
    for mount in CASE_MOUNTS:
        key = f"{mount}/keys/{case}"
        deeds += [
            Deed(f"make the key of a case ({mount})", key, frozenset({"create", "update"})),
            Deed(f"agree that a case is forgotten ({mount})", f"{key}/config", update),
            Deed(f"forget a case ({mount})", key, delete),
        ]
    for mount, key in _a_key_of_each(plan):
        deeds += [
            Deed(f"read a key out ({mount})", f"{mount}/export/{_SECRET_PART[mount]}/{key}", read),
            Deed(f"copy a key in the clear ({mount})", f"{mount}/backup/{key}", read),
            Deed(f"rotate a key ({mount})", f"{mount}/keys/{key}/rotate", update),
        ]
        if mount not in CASE_MOUNTS:
            deeds.append(Deed(f"loosen a key ({mount})", f"{mount}/keys/{key}/config", update))
    return deeds


_SECRET_PART = {
    Mount.IDENTIFIERS: "hmac-key",
    Mount.WAYS_BACK: "hmac-key",
    Mount.CASES: "hmac-key",
    Mount.CUSTODY: "encryption-key",
    Mount.AUTHORSHIP: "signing-key",
    Mount.APPROVAL: "signing-key",
    Mount.RELEASE: "signing-key",
}


def _a_key_of_each(plan: SitePlan) -> Iterable[tuple[Mount, str]]:
    yield Mount.IDENTIFIERS, Kind.UID
    yield Mount.WAYS_BACK, "any-case"
    yield Mount.CASES, "any-case"
    yield Mount.CUSTODY, plan.holders(Role.CUSTODIAN)[0]
    yield Mount.AUTHORSHIP, plan.holders(Role.COORDINATOR)[0]
    yield Mount.APPROVAL, plan.holders(Role.APPROVER)[0]
    yield Mount.RELEASE, RELEASE_KEY
