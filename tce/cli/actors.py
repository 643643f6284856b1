"""``tce select``, ``tce manager run``, ``tce receiver run``: the three actors of the profile."""

from __future__ import annotations

import contextlib
import re
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from tce import cases, counts, wiring
from tce.actors import export_manager, receiver
from tce.actors.export_manager import audit_states
from tce.actors.receiver import MediumReport
from tce.audit.forwarding import forwarder
from tce.audit.journal import Journal
from tce.cli import purging
from tce.cli.purging import YesOption
from tce.cli.session import JsonOption, Session, session, verbs
from tce.documents.codes import Category, Confirmed, Level
from tce.documents.teaching_file_info import PolicyRequest, TeachingFileInfo
from tce.errors import Refused
from tce.exports import Exports
from tce.spool import Spool

manager = verbs("The Export Manager: takes selections in, anonymizes, delivers.")
receivers = verbs("The Receiver: takes exports in, writes portable media.")


_PEER = re.compile(r"(?P<ae>[^@]{1,16})@(?P<host>[^@]+):(?P<port>[0-9]{1,5})")


def address_of(text: str) -> tuple[str, str, int]:
    """Read ``AET@HOST:PORT``. Raises Refused."""
    found = _PEER.fullmatch(text)
    if found is None or not 0 < int(found["port"]) < 65536:
        raise Refused(
            "this is no application entity", next_step="write AET@HOST:PORT, e.g. PACS@10.0.0.5:104"
        )
    return found["ae"], found["host"], int(found["port"])


def request_for(run: Session, case_id: str, *, with_policy: bool) -> PolicyRequest:
    """Return the request that goes with a selection: the case, and its policy where it is known here."""
    if not with_policy:
        return PolicyRequest(case=case_id)
    ref = cases.load(run.site.cases_dir, case_id).stage2
    return PolicyRequest(name=ref.name, version=ref.version, digest=ref.digest, case=case_id)


_TEXT = ("author", "abstract", "affiliation", "contact")
_CHOICES: Mapping[str, type[Category | Level | Confirmed]] = {
    "category": Category,
    "level": Level,
    "diagnoses_confirmed": Confirmed,
}
_KEYS = tuple(field.name for field in fields(TeachingFileInfo))


def information(path: Path) -> TeachingFileInfo:
    """Read additional information from YAML. Raises Refused naming every key that is wrong."""
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        raise Refused(f"{path.name} cannot be read as YAML", next_step="check the file") from None
    if not isinstance(content, dict):
        raise Refused(
            f"{path.name} holds no keys", next_step="write author: …, abstract: … and keywords: […]"
        )
    needed = [key for key in ("author", "abstract", "keywords") if not content.get(key)]
    faults = [f"{key} is missing" for key in needed]
    found: dict[str, Any] = {}
    for key, value in content.items():
        if key not in _KEYS:
            faults.append(f"{key} is no key of it; the keys are {', '.join(_KEYS)}")
        elif value is not None and key not in needed:
            found[key] = _row_of_information(str(key), value)
            if found[key] is None:
                faults.append(f"{key} {_what_it_is(key)}")
    if faults:
        raise Refused(f"{path.name}: {'; '.join(faults)}", next_step=f"correct these keys in {path.name}")
    return TeachingFileInfo(**found)


def _row_of_information(key: str, value: object) -> object:
    """Return a value of table H-1 as the document holds it, or None when it cannot be one."""
    if key in _CHOICES:
        said = (
            ("no", "yes")[value] if isinstance(value, bool) else str(value)
        )  # YAML reads a bare yes as true
        wanted = re.sub(r"[-_ ]+", " ", said).casefold()
        choices = ((kind, {str(word).casefold() for word in kind.value}) for kind in _CHOICES[key])
        return next((kind for kind, words in choices if wanted in words), None)
    if key in _TEXT:
        return value if isinstance(value, str) else None
    listed = isinstance(value, list) and all(isinstance(one, str) for one in value)
    return tuple(value) if isinstance(value, list) and listed else None


def _what_it_is(key: str) -> str:
    if key in _CHOICES:
        return f"is one of {', '.join(kind.meaning for kind in _CHOICES[key])}"
    return "is text" if key in _TEXT else "is a list of text"


@manager.command("run")
def run_manager(context: typer.Context) -> None:
    """Be the Export Manager until stopped by Ctrl-C or SIGTERM. What was begun goes on at the next start.

    Example: tce manager run
    """
    run = session(context)
    settings = wiring.manager_settings(run.site)
    rooms = wiring.rooms(run.site)

    def work(stop: threading.Event, started: Callable[[int], None]) -> None:
        export_manager.run(settings, rooms, stop, started)

    _until_stopped(run, "Export Manager", wiring.MANAGER, settings.ae_title, work)


@receivers.command("run")
def run_receiver(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder for the media, one folder for each export.")],
) -> None:
    """Be the Receiver until stopped by Ctrl-C or SIGTERM. Each complete export becomes a medium.

    Example: tce receiver run --out received
    """
    run = session(context)
    settings = wiring.receiver_settings(run.site, out)
    writer, auditor = wiring.medium_writer(run.site), wiring.receiver_auditor(run.site)

    def told(report: MediumReport) -> None:
        run.say(
            f"medium with {counts.instances(report.instances)} in {report.path}, manifest {report.manifest}"
        )

    def work(stop: threading.Event, started: Callable[[int], None]) -> None:
        receiver.run(settings, writer, auditor, stop, started, told)

    _until_stopped(run, "Receiver", wiring.RECEIVER, settings.ae_title, work)


@receivers.command()
def purge(context: typer.Context, yes: YesOption = False, as_json: JsonOption = False) -> None:
    """Remove from the Receiver's spool what the rules of the settings (retention.receiver) name. Media stay.

    The Receiver does the same whenever it has nothing else to do.

    Examples: tce receiver purge   |   tce receiver purge --yes
    """
    run = session(context)
    rules, spool = wiring.receiver_retention_rules(run.site), Spool(run.site.receiver_spool_dir)
    index = Exports(run.site.receiver_url, observer=audit_states(Journal(run.site, run.person)))
    try:
        purging.purge(run, index, spool, rules, yes=yes, as_json=as_json, command="tce receiver purge")
    finally:
        index.close()


def _until_stopped(
    run: Session,
    name: str,
    actor: str,
    ae_title: str,
    work: Callable[[threading.Event, Callable[[int], None]], None],
) -> None:
    """Run an actor until a signal asks it to end, and write start and stop to the trail."""
    stop = threading.Event()
    journal = Journal(run.site, actor, ae_title=ae_title)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    def started(port: int) -> None:
        journal.record("actor.started", detail={"actor": actor, "ae_title": ae_title})
        run.say(f"{name} {ae_title} listens on port {port}; stop it with Ctrl-C")

    repository = forwarder(run.site, actor)
    with repository.following() if repository else contextlib.nullcontext():
        work(stop, started)
        journal.record("actor.stopped", detail={"actor": actor, "ae_title": ae_title})
    run.say(f"{name} {ae_title} stopped")
