"""What a token may do at the server, compared with what the project's Vault policies give its role.

The server is asked (``sys/capabilities-self``) about all of :mod:`vault.deeds`; nothing is tried out. What a site's own
administrators added on top of ``access/*.hcl`` shows here, and nowhere else; design.md section 5.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from vault.client import Client
from vault.deeds import Deed, deeds
from vault.keys import ATTRIBUTE_KEY, RELEASE_KEY, Kind, Mount
from vault.roles import EVERYONE, ROLE_KEYS, SERVICE_POLICIES, Service, SitePlan, policy_text

_BLOCK = re.compile(r'path\s+"(?P<path>[^"]+)"\s*\{(?P<body>[^{}]*(?:\{[^{}]*\}[^{}]*)*)\}')
_CAPABILITIES = re.compile(r"capabilities\s*=\s*\[(?P<list>[^\]]*)\]")
_OWN_NAME = "{{identity.entity.name}}"
_NOTHING = frozenset({"deny"})


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
    asked = deeds(plan)
    found = client.capabilities_at({deed.path for deed in asked})
    may = {deed for deed in asked if _enough(found[deed.path], deed)}
    should = {deed for deed in asked if _enough(_meant_at(deed.path, meant), deed)}
    return Rights(
        who,
        _words(deed for deed in asked if deed in may),
        _words(deed for deed in asked if deed in may - should),
        _words(deed for deed in asked if deed in should - may),
    )


def _words(deeds: Iterable[Deed]) -> tuple[str, ...]:
    """What deeds are called, each once."""
    return tuple(dict.fromkeys(deed.words for deed in deeds))


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
