"""The site's policies: one YAML file each, ``<name>-<version>.yaml``, approvals beside it.

A policy is asked for by name, or as ``name@version``. The shelf reads; whether a policy may be used is the
approvals desk's to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from policies import loader, schema
from policies.model import Policy
from tce.cases import PolicyRef
from tce.errors import Refused, UnknownPolicy

_FOR_EDITORS = "# yaml-language-server: $schema="


@dataclass(frozen=True, slots=True)
class Shelved:
    """One policy of the site and its file."""

    path: Path
    policy: Policy

    @property
    def ref(self) -> PolicyRef:
        """Name, version and digest, as a case names it."""
        return PolicyRef(name=self.policy.name, version=self.policy.version, digest=self.policy.digest)


class Shelf:
    """The policies folder of a site."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def all(self) -> list[Shelved]:
        """Return every policy, by name and version. Raises PolicyFault for one that is faulty."""
        found = [Shelved(path, loader.load(path)) for path in sorted(self.folder.glob("*.yaml"))]
        return sorted(found, key=lambda one: (one.policy.name, _order(one.policy.version)))

    def find(self, wanted: str) -> Shelved:
        """Return the policy ``name`` (the newest version) or ``name@version``. Raises UnknownPolicy."""
        name, _, version = wanted.partition("@")
        matching = [
            one for one in self.all() if one.policy.name == name and version in ("", one.policy.version)
        ]
        if not matching:
            raise UnknownPolicy(
                f"this site has no policy {wanted}",
                next_step="see: tce policy list   or take one from the library: tce policy new NAME",
            )
        return matching[-1]

    def exactly(self, ref: PolicyRef) -> Shelved:
        """Return the policy that a case names. Raises UnknownPolicy, also when its text is another one now."""
        found = self.find(f"{ref.name}@{ref.version}")
        if found.policy.digest != ref.digest:
            raise UnknownPolicy(
                f"the text of the policy {ref.name} {ref.version} was changed since the case named it",
                next_step="put the text back, or make a new version and a case that names it",
            )
        return found

    def put(self, text: str) -> Shelved:
        """Add a policy from its text. Raises PolicyFault, or Refused for a version that is there."""
        policy = loader.loads(text, "the new policy")
        path = self.folder / f"{policy.name}-{policy.version}.yaml"
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / schema.FILE_NAME).write_text(schema.shipped_text(), encoding="utf-8")
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            raise Refused(
                f"this site has a policy {policy.name} {policy.version} already",
                next_step="give the new one another version",
            ) from None
        return Shelved(path, policy)


def renamed(text: str, name: str, version: str) -> str:
    """Return a policy's text with another name and version; comments and order stay.

    For editors it names the schema that lies beside it on the shelf.
    """
    lines = []
    for line in text.splitlines():
        if line.startswith(_FOR_EDITORS):
            line = _FOR_EDITORS + schema.FILE_NAME
        elif line.startswith("name:"):
            line = f"name: {name}"
        elif line.startswith("version:"):
            line = f"version: '{version}'"
        lines.append(line)
    return "\n".join(lines) + "\n"


def _order(version: str) -> tuple[tuple[int, str], ...]:
    """Return a key that puts version 10 behind version 9."""
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in version.split("."))
