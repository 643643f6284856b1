"""The whole road on sample studies, really walked, in one folder, with an account at the end (``tce demo``).

``road`` has the steps, ``proofs`` what is proved on the way, ``folder`` and ``children`` what may be emptied and
ended. This module walks the steps and tells what they found.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from tce.demo.folder import DemoFolder
from tce.demo.road import POLICY, Road
from tce.errors import Exit, Held, Refused
from tce.logins import PASSWORD_VARIABLE, TOKEN_VARIABLE


@dataclass
class Account:
    """What a demo did: one title and its facts for each step."""

    steps: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    def facts(self) -> dict[str, object]:
        """Return all facts by name."""
        return {name: value for _, facts in self.steps for name, value in facts.items()}


def run(root: Path, *, own: Path | None, out: Console, err: Console) -> Account:
    """Walk the whole road in a folder and tell it; afterwards nothing that was started runs any more.

    Raises Refused for a folder that is not a demo's, and whatever a step raises.
    """
    folder, account = DemoFolder(root), Account()
    own = own.expanduser().absolute() if own else None
    if own is not None and not own.is_dir():
        raise Refused("there is no folder to take studies from", next_step="name one: --from DIR")
    # The people of the demo have logins of its own.
    for variable in (TOKEN_VARIABLE, PASSWORD_VARIABLE):
        os.environ.pop(variable, None)
    # Asked to end, the demo ends what it has started; killed, the next run in the folder does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(Exit.REFUSED))
    with folder.made_anew():
        road = Road(folder, own)
        for number, (title, step) in enumerate(road.steps, 1):
            with err.status(f"{number}. {title} …"):
                facts = step()
            account.steps.append((title, facts))
            out.print(f"{number:2}. {title}", style="bold", markup=False)
            for name, value in facts.items():
                if isinstance(value, list | dict) and not value:
                    continue
                out.print(f"      {name.replace('_', ' ')}: {value}", markup=False)
        document = {"format": "tce-demo-account-1", "facts": account.facts(), "places": _places(folder, own)}
        folder.account.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    _tell_the_end(folder, own, account, out)
    if hits := account.facts()["hits"]:
        raise Held(
            f"{hits} places of the receiver's media hold what some original also says",
            next_step=f"judge whether that is chance (a number, a common word); they are listed in {folder.account}",
        )
    return account


def _places(folder: DemoFolder, own: Path | None) -> dict[str, str]:
    return {
        "settings": str(folder.site / "tce.toml"),
        "identified studies": str(own or folder.identified),
        "pseudonymized": str(folder.pseudonymized),
        "medium of stage 1": str(folder.medium),
        "research side": str(folder.research),
        "receiver's media": str(folder.received),
        "release records": str(folder.site / "releases"),
        "audit trail": str(folder.site / "audit" / "trail.jsonl"),
        "this account": str(folder.account),
    }


def _tell_the_end(folder: DemoFolder, own: Path | None, account: Account, out: Console) -> None:
    facts = account.facts()
    out.print("\nDone.", style="bold")
    out.print(
        f"{facts['selected_instances']} instances of {facts['exports_delivered']} patients went the whole road; "
        f"{facts['receiver_media']} media were received. Of {facts['values_searched']} original values "
        f"{facts['hits']} were found in {facts['bytes_searched']:,} bytes.",
        markup=False,
    )
    out.print("\nWhere things lie", style="bold")
    for name, place in _places(folder, own).items():
        out.print(f"  {name + ':':<20} {place}", markup=False)
    release = next((folder.site / "releases").iterdir())
    out.print("\nWhat to try next", style="bold")
    out.print(f"  export TCE_HOME={shlex.quote(str(folder.site))}", markup=False)
    for command in (
        f"policy describe {POLICY}",
        "exports list",
        "audit list --last 20",
        f"verify {shlex.quote(str(release))} {shlex.quote(str(folder.received))}",
        "--as custodian-a reidentify list",
        f"media check {shlex.quote(str(folder.medium))}",
        "vault stop",
    ):
        out.print(f"  {_program()} {command}", markup=False)
    out.print("\nEverything that was started has been stopped.", markup=False)


def _program() -> str:
    """Return how this program is called here: as ``tce`` where that is found, else by its interpreter."""
    if shutil.which("tce"):
        return "tce"
    python = Path(sys.executable)
    here = Path.cwd()
    return f"{python.relative_to(here) if python.is_relative_to(here) else python} -m tce"
