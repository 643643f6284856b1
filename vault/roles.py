"""Who there is at a site: what people may be, which services log in, and a plan of people that keeps them apart.

What each of them may do is written in ``access/*.hcl``, one Vault policy a role, for people to review; nothing in
the program adds to it. design.md section 5.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.resources import files

from vault.errors import BadPlan
from vault.keys import Mount
from vault.methods import USERPASS, Method
from vault.secrecy import safe_name


class Role(StrEnum):
    """What a person may be; the value names the file in ``access/``."""

    COORDINATOR = "coordinator"
    APPROVER = "approver"
    CUSTODIAN = "custodian"
    AUDITOR = "auditor"


class Service(StrEnum):
    """The programs that log in by themselves.

    The provisioner writes rights and makes people, so its login is kept for those moments; the operator of every day
    rotates keys and gives nobody rights.
    """

    PSEUDONYMIZER = "pseudonymizer"
    MANAGER = "manager"
    OPERATOR = "operator"
    PROVISIONER = "provisioner"


EVERYONE = "everyone"
SERVICE_POLICIES = {
    Service.PSEUDONYMIZER: (EVERYONE, "pseudonymizer", "releaser"),
    Service.MANAGER: (EVERYONE, "manager", "releaser"),
    Service.OPERATOR: (EVERYONE, "operator"),
    Service.PROVISIONER: (EVERYONE, "provisioner"),
}
POLICIES = (EVERYONE, "releaser", *Role, *Service)
"""Every Vault policy of the project, by the name of its file."""

ROLE_KEYS = {
    Role.CUSTODIAN: Mount.CUSTODY,
    Role.COORDINATOR: Mount.AUTHORSHIP,
    Role.APPROVER: Mount.APPROVAL,
}
"""The mount in which each holder of a role has a key of the own name."""

# A Vault that others use too has policies, services and people of its own: ours are told apart by this.
PREFIX = "tce-"


def policy_text(name: str) -> str:
    """The Vault policy of a role as the project ships it."""
    return files("vault").joinpath("access", f"{name}.hcl").read_text(encoding="utf-8")


def at_server(policies: Iterable[str]) -> list[str]:
    """The names that our policies have at the server, sorted."""
    return sorted(f"{PREFIX}{name}" for name in policies)


@dataclass(frozen=True, slots=True)
class SitePlan:
    """The people of a site, what each of them may be, and how they log in.

    ``second_factor`` says which roles need a code besides the login; ``login_names`` who has another name where the
    login is checked. Raises BadPlan, with the person's name, for what would undo the separation.
    """

    people: Mapping[str, frozenset[Role]]
    login: Method = USERPASS
    second_factor: frozenset[Role] = frozenset()
    login_names: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, roles in self.people.items():
            _check_person(name, roles)
        if len(self.holders(Role.CUSTODIAN)) < 2:
            raise BadPlan("custody needs at least two custodians", next_step="name two or more in tce.toml")
        if not self.holders(Role.COORDINATOR) or not self.holders(Role.APPROVER):
            raise BadPlan(
                "nobody could approve what another person wrote",
                next_step="name a coordinator and an approver who is another person in tce.toml",
            )
        for login, count in Counter(self.login_name(name) for name in self.people).items():
            if count > 1:
                who = " and ".join(name for name in sorted(self.people) if self.login_name(name) == login)
                raise BadPlan(
                    f"{who} have one login, so one human would hold two roles",
                    next_step="give each person a login of his own under people.login_names",
                )

    def holders(self, role: Role) -> tuple[str, ...]:
        """The people with a role, sorted."""
        return tuple(sorted(name for name, roles in self.people.items() if role in roles))

    def policies(self, name: str) -> list[str]:
        """The Vault policies of a person, as the server names them."""
        return at_server((EVERYONE, *self.people[name]))

    def login_name(self, name: str) -> str:
        """What a person is called where the login is checked."""
        return self.login_names.get(name, name)

    def needs_code(self) -> tuple[str, ...]:
        """The people who need a second factor, sorted."""
        return tuple(sorted({name for role in self.second_factor for name in self.holders(role)}))


def _check_person(name: str, roles: frozenset[Role]) -> None:
    safe_name(name, "person")
    if name != name.lower():
        raise BadPlan("a person's name has capital letters", next_step="write names in small letters")
    if not roles:
        raise BadPlan(
            f"{name} has no role", next_step="give the person a role in tce.toml or leave the name out"
        )
    if len(roles) > 1:
        raise BadPlan(
            f"{name} would be {' and '.join(sorted(roles))}: one person has one role",
            next_step="name another person for one of them in tce.toml",
        )
