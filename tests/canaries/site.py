"""The real thing: a site with its own key server, both stages by the command line, media, associations, records,
custody.

``tce demo --from`` walks the whole road over planted files, in folders and under names that are canaries,
malformed ones among them. Then everything that lies in its folder, and everything it said, is searched; of the
key server only its sealed storage is left out. A second site runs the strict policy, with wrong arguments, and
is searched alike.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from policies.loader import load_library
from policies.model import Policy
from policies.selftest.canary import Canary, Kind, Mint, Until
from policies.selftest.expectations import gone
from policies.selftest.search import Search
from tests.canaries.road import Planted, Survivor, Tally
from vault.server import EmbeddedServer

_SEALED = ("raft", "vault.db", "raft.db")
"""The key server's own storage, encrypted by its barrier; its names below the site's ``vault`` folder."""

_CT = b"1.2.840.10008.5.1.4.1.1.2\0"
_FIT = "(uncompressed instances)"
_ILLEGAL = ("wrong kind of value for the VR", "missing file meta")
_PATIENCE = 1500


@dataclass(frozen=True, slots=True)
class Area:
    """A part of what a site leaves, and the stages that what lies there went through."""

    name: str
    folder: Path
    policies: tuple[Policy, ...]


def walk(planted: Sequence[Planted], root: Path, mint: Mint) -> Tally:
    """Walk the whole road with the trial's policy and a second site's with the strict one, and search both."""
    tally = Tally()
    # What one step of the demo cannot take ends all of it, so those go the other way alone.
    legal = [file for file in planted if not any(canary.channel in _ILLEGAL for canary in file.canaries)]
    identified, named = _laid_out(legal, root / "identified", mint)
    everything, further = _laid_out(planted, root / "everything", mint)
    first, strict, trial = (
        load_library(name) for name in ("pseudonymization", "basic", "longitudinal-trial")
    )
    demo = root / "demo"
    said = _tce(["demo", str(demo), "--from", str(identified)])
    tally.instances[f"demo ended with status {said.returncode}"] += 1
    if said.returncode not in (0, 3):
        tally.crashed.append(f"the demo did not walk to its end: {said.stderr.strip().splitlines()[-2:]}")
    canaries = [*named, *further, *(canary for file in planted for canary in file.canaries)]
    areas = [
        Area("stage 1 results", demo / "2-pseudonymized", (first,)),
        Area("medium of stage 1", demo / "3-medium", (first,)),
        Area("research side", demo / "4-research", (first,)),
        Area("media of the receiver", demo / "5-received", (first, trial)),
        Area("site: databases, spool, trail, records, key server", demo / "site", (first,)),
        Area("logs and process folders", demo / "logs", (first,)),
        Area("account of the demo", demo / "account.json", (first,)),
    ]
    _search_said(_text(said), canaries, "what the demo said", tally)
    cli = _by_the_command_line(everything, root / "cli", canaries, tally)
    areas += [
        Area("stage 2 by the command line", cli / "anonymized", (first, strict)),
        Area("medium of stage 2", cli / "medium", (first, strict)),
        Area("site of the command line", cli / "site", (first,)),
    ]
    for area in areas:
        _search_area(area, canaries, tally)
    return tally


def _laid_out(planted: Sequence[Planted], folder: Path, mint: Mint) -> tuple[Path, list[Canary]]:
    """Copy the files into folders named after people; add files that are cut, empty or no DICOM."""
    named: list[Canary] = []

    def name(channel: str) -> str:
        word = mint.word()
        named.append(Canary(channel, word, Kind.WORD, Until.STAGE_1, "file and folder names"))
        return word

    for number, file in enumerate(planted):
        if number % 20 == 0:
            person = folder / f"{name('folder names of the input')}^Ann"
            person.mkdir(parents=True)
        shutil.copy(file.path, person / f"{name('file names of the input')}_{number}.dcm")
    whole = planted[0].path.read_bytes()
    person = folder / "odd"
    person.mkdir()
    for kind, data in (
        ("cut", whole[: len(whole) // 2]),
        ("letter", f"Dear {name('malformed files')}, ".encode()),
        ("garbled", whole[:400] + name("malformed files").encode() * 9 + whole[400:]),
        ("empty", b""),
        ("head only", b"\0" * 128 + b"DICM" + name("malformed files").encode()),
    ):
        (person / f"{name('file names of the input')} {kind}").write_bytes(data)
    return folder, named


def _by_the_command_line(identified: Path, root: Path, canaries: list[Canary], tally: Tally) -> Path:
    """Run a second site with the strict policy, verbosely, and try what must fail."""
    home = root / "site"
    people = "--coordinator carla --approver ann --custodian kim --custodian lee"
    name = next(str(canary.value) for canary in canaries if canary.kind is Kind.WORD)
    steps: tuple[tuple[str, ...], ...] = (
        ("init", "--no-second-factor", "--name", "canary", *people.split()),
        ("--as", "carla", "policy", "submit", "pseudonymization"),
        ("--as", "ann", "policy", "approve", "pseudonymization"),
        ("policy", "new", "strict", "--like", "basic"),
        ("--as", "carla", "policy", "submit", "strict"),
        ("--as", "ann", "policy", "approve", "strict"),
        (
            "case",
            "new",
            "c1",
            "--title",
            "T",
            "--purpose",
            "P",
            "--stage2",
            "strict",
            "--receiver",
            "R@127.0.0.1:11999",
        ),
        ("--as", "carla", "case", "submit", "c1"),
        ("--as", "ann", "case", "approve", "c1"),
        ("--verbose", "pseudonymize", str(identified), "--case", "c1", "--out", str(root / "pseudonymized")),
        (
            "--verbose",
            "anonymize",
            str(root / "pseudonymized"),
            "--case",
            "c1",
            "--out",
            str(root / "anonymized"),
        ),
        ("media", "write", _FIT, "--out", str(root / "medium"), "--case", "c1"),
        ("media", "check", str(root / "medium"), "--json"),
        ("--verbose", "pseudonymize", str(identified), "--case", name, "--out", str(root / "x")),
        ("--verbose", "exports", "show", name),
        ("--verbose", "policy", "show", name),
        ("--as", name, "policy", "list"),
        ("audit", "list", "--json"),
        ("exports", "list", "--json"),
        ("--as", "kim", "reidentify", "list", "--json"),
    )
    try:
        for step in steps:
            arguments = [
                fit for part in step for fit in (_fit(root / "anonymized") if part == _FIT else [part])
            ]
            said = _tce(["--home", str(home), *arguments])
            tally.instances[f"command ended with status {said.returncode}"] += 1
            if said.returncode not in _expected(step, name):
                what = said.stderr.strip().splitlines()[-2:]
                tally.crashed.append(f"tce {' '.join(step[:3])} ended with status {said.returncode}: {what}")
            own = set(step) | {part for argument in step for part in argument.split("/")}
            sought = [one for one in canaries if one.value not in own]
            _search_said(_without_paths(_text(said), identified), sought, "what a command said", tally)
    finally:
        EmbeddedServer(home / "vault").stop()
    return root


def _expected(step: tuple[str, ...], wrong: str) -> tuple[int, ...]:
    """Which exit statuses a step may have: done, some set aside, or refused where an argument is wrong."""
    if wrong in step:
        return (0, 1, 2)
    return (0, 3) if {"pseudonymize", "anonymize"} & set(step) else (0,)


def _fit(folder: Path) -> list[str]:
    """CT images that are not compressed: every medium takes them, and none of them lacks what a record needs."""
    plain = (b"1.2.840.10008.1.2\0", b"1.2.840.10008.1.2.1\0")
    heads = ((path, path.read_bytes()[:1024]) for path in sorted(folder.rglob("*.dcm")))
    return [str(path) for path, head in heads if _CT in head and any(uid in head for uid in plain)]


def _without_paths(said: str, identified: Path) -> str:
    """What was said without the paths of files set aside: they are told to whoever gave them, and nobody else."""
    lines = (line for line in said.splitlines() if not line.startswith(f"  {identified}/"))
    return "\n".join(lines)


def _tce(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("TCE_", "VAULT_", "BAO_"))
    }
    return subprocess.run(
        [sys.executable, "-m", "tce", *arguments],
        capture_output=True,
        text=True,
        check=False,
        errors="replace",
        timeout=_PATIENCE,
        env=environment,
        cwd=Path(__file__).parents[2],
    )


def _text(said: subprocess.CompletedProcess[str]) -> str:
    return f"{said.stdout}\n{said.stderr}"


def _search_said(said: str, canaries: Iterable[Canary], where: str, tally: Tally) -> None:
    sought = [canary for canary in canaries if canary.kind is not Kind.DATE]
    _note("printed", where, Search(sought), said.encode(), "", tally)
    tally.searched["printed"] += len(sought)


def _search_area(area: Area, canaries: Sequence[Canary], tally: Tally) -> None:
    """Search every byte of an area; dates are left to the engine's run, where their offset is known."""
    sought = [
        canary
        for canary in canaries
        if canary.kind not in (Kind.DATE, Kind.BITS) and not _a_date(canary) and gone(canary, area.policies)
    ]
    search, channel = Search(sought), f"area: {area.name}"
    files = list(_files(area.folder))
    tally.searched[channel] += len(sought) * len(files)
    tally.planted[channel] += len(sought)
    tally.through[channel] |= set(map(id, sought)) if files else set()
    for path in files:
        inside = str(path.relative_to(area.folder)) if path != area.folder else path.name
        _note(channel, _kind_of(inside), search, path.read_bytes(), inside, tally)


def _note(channel: str, where: str, search: Search, data: bytes, name: str, tally: Tally) -> None:
    for found in search.everywhere(data, name):
        canary = found.canary
        planted = f"{canary.channel}: {canary.where}"
        tally.survivors.append(
            Survivor(channel, f"{where}: {planted}", "site", channel, found.form, str(canary.value))
        )


def _files(folder: Path) -> Iterator[Path]:
    if folder.is_file():
        yield folder
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_socket() and not (set(path.parts) & set(_SEALED)):
            yield path


def _kind_of(inside: str) -> str:
    """A file's place without what is its own: numbers and pseudonyms."""
    return "/".join(part for part in Path(inside).parts[:2] if not part[:1].isdigit())


def _a_date(canary: Canary) -> bool:
    return isinstance(canary.value, str) and canary.value.isdigit() and len(canary.value) == 8
