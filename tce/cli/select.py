"""``tce select``: the Export Selector. What would go is shown at the terminal, and nowhere else; then it asks."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from rich.markup import escape
from rich.progress import Progress

from tce import archive, counts, selection, wiring
from tce.actors import export_selector
from tce.actors.export_selector import SelectAccount
from tce.archive import Question
from tce.audit.journal import Journal
from tce.candidates import Candidate
from tce.cli.actors import address_of, information, request_for
from tce.cli.session import Session, session
from tce.config import is_here
from tce.counts import counted
from tce.documents.codes import DelayReason, ExportTitle
from tce.errors import Held, Refused, TceError
from tce.road import Peer


class Title(StrEnum):
    """The titles of a manifest, as words of the command line."""

    TEACHING = "teaching"
    TRIAL = "trial"
    RESEARCH = "research"
    PUBLICATION = "publication"


class Delay(StrEnum):
    """What an export can wait for, as words of the command line."""

    FINAL_REPORT = "final-report"
    CLINICAL_INFORMATION = "clinical-information"
    CONFIRMATION = "confirmation"
    HISTOPATHOLOGY = "histopathology"
    LABORATORY = "laboratory"
    DISCHARGE = "discharge"
    DEATH = "death"
    EXPERT_REVIEW = "expert-review"


_Sources = Annotated[
    list[Path] | None,
    typer.Argument(
        help="Pseudonymized files, folders, or media: of a folder with a DICOMDIR goes what that names.",
        metavar="[SRC...]",
    ),
]
_Archived = Annotated[
    str, typer.Option("--from", help="Ask this archive (PACS) for studies.", metavar="AET@HOST:PORT")
]
_Date = Annotated[
    str, typer.Option(help="… of this Study Date or range: 20310517, 20310501-20310531, 20310501-.")
]
_ByMove = Annotated[bool, typer.Option("--move", help="Fetch by C-MOVE to network.selector. Default: C-GET.")]
_Title = Annotated[Title, typer.Option(help="What the export is for: title of the manifest.")]
_Delays = Annotated[list[Delay] | None, typer.Option(help="Delay the export until … ; may be repeated.")]
_Info = Annotated[
    Path | None,
    typer.Option(
        help="YAML file with the additional information: author, abstract, keywords, category, level, history, …"
    ),
]
_WithPolicy = Annotated[bool, typer.Option(help="Ask for the case's policy by name, version and digest.")]
_Tls = Annotated[
    bool | None,
    typer.Option(
        "--tls/--plaintext", help="Call it over TLS. Default: TLS where this site has certificates."
    ),
]
_ArchiveTls = Annotated[
    bool | None,
    typer.Option("--archive-tls/--archive-plaintext", help="The same for the archive."),
]


def select(
    context: typer.Context,
    case: Annotated[str, typer.Option(help="Case that the export is for.")],
    to: Annotated[str, typer.Option(help="The Export Manager.", metavar="AET@HOST:PORT")],
    sources: _Sources = None,
    archived: _Archived = "",
    patient: Annotated[str, typer.Option(help="… of this Patient ID.")] = "",
    accession: Annotated[str, typer.Option(help="… with this Accession Number.")] = "",
    date: _Date = "",
    modality: Annotated[str, typer.Option(help="… with this Modality among theirs.")] = "",
    by_move: _ByMove = False,
    title: _Title = Title.TRIAL,
    delay: _Delays = None,
    info: _Info = None,
    policy: _WithPolicy = True,
    tls: _Tls = None,
    archive_tls: _ArchiveTls = None,
    yes: Annotated[bool, typer.Option("--yes", help="Send without asking; for scripts.")] = False,
) -> None:
    """Select instances for export: send them, a manifest and additional information (RAD-50, RAD-51, RAD-52).

    What would go is shown at the terminal, and it asks before it sends. Exit status 3 when some files were set aside.

    Examples: tce select incoming --case lung-1 --to TCE_MANAGER@127.0.0.1:11112 --title trial   |
    tce select /media/cdrom --case lung-1 --to TCE_MANAGER@127.0.0.1:11112 --yes   |
    tce select --from PACS@127.0.0.1:104 --patient LN0ZQE612QW3GGSZ --modality CT --case lung-1 --to …
    """
    run = session(context)
    question = Question(patient, accession, date, modality.upper())
    if bool(sources) == bool(archived) or (question != Question() and not archived):
        raise Refused(
            "it is not said where to select from",
            next_step="name files, folders or media, or an archive with --from and what to ask it for",
        )
    peer = wiring.peer(run.site, *address_of(to), tls=tls)
    request = request_for(run, case, with_policy=policy)
    additional = information(info) if info else None

    def agree(going: Sequence[Candidate]) -> None:
        _ask(run, progress, _to_go(going), f"Send this to {peer.ae_title}?", yes=yes)
        selection.tell_of_beginning(run.site, run.person, going, peer)

    with contextlib.ExitStack() as ending, run.progress() as progress:
        chosen = _Chosen(tuple(sources or ()))
        if archived:
            folder = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="tce-")))
            pacs = wiring.peer(run.site, *address_of(archived), tls=archive_tls)
            chosen = _fetched(run, pacs, question, folder, progress, by_move=by_move, yes=yes)
        task = progress.add_task("sending", total=None)
        account = export_selector.select(
            chosen.sources,
            request,
            peer,
            run.site.settings.network.selector.ae_title,
            title=ExportTitle[title.name],
            delay=[DelayReason[one.name] for one in delay or ()],
            info=additional,
            scheme=run.site.settings.documents.selected_codes,
            chosen=chosen.holds,
            agree=agree,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    _tell(run, account, peer)


class _Chosen(NamedTuple):
    """Where a selection is taken from, and what of it: studies and their patient, where an archive was asked."""

    sources: tuple[Path, ...]
    studies: frozenset[str] = frozenset()
    patient: str = ""

    def holds(self, candidate: Candidate) -> bool:
        """Say whether an instance is of what was chosen."""
        return (not self.studies or candidate.reference.study_uid in self.studies) and (
            self.patient in ("", candidate.patient[0].strip())
        )

    def __repr__(self) -> str:
        return "_Chosen(…)"


def _fetched(
    run: Session,
    pacs: Peer,
    question: Question,
    folder: Path,
    progress: Progress,
    *,
    by_move: bool,
    yes: bool,
) -> _Chosen:
    """Ask an archive, show what it has, and fetch it into a folder."""
    own = run.site.settings.network.selector
    if by_move and not (pacs.certificates or run.site.settings.network.plaintext or is_here(own.host)):
        raise Refused(
            "the archive could send to this machine without TLS",
            next_step="have it called over TLS, or set network.plaintext = true in tce.toml",
        )
    journal = Journal(run.site, run.person, ae_title=own.ae_title)
    where = {"archive": pacs.ae_title, "archive_address": pacs.host}
    try:
        answer = archive.ask(pacs, own.ae_title, question)
    except TceError as exc:
        journal.refused("archive.asked", exc, where)
        raise
    journal.record("archive.asked", detail={**where, "studies": str(len(answer.studies))})
    if answer.beside:
        run.err.print(
            f"{pacs.ae_title} named {counts.studies(answer.beside)} beside what was asked for: left out"
        )
    if not answer.studies:
        raise Refused(f"{pacs.ae_title} has no such study", next_step="ask for something else")
    rows = [
        _Row(one.patient, one.date, ", ".join(one.modalities), one.series, one.instances)
        for one in answer.studies
    ]
    _ask(run, progress, rows, f"Fetch this from {pacs.ae_title}?", yes=yes)
    known = [one.instances for one in answer.studies if one.instances is not None]
    whole = sum(known) if len(known) == len(answer.studies) else None
    task = progress.add_task("fetching", total=whole)
    try:
        files = archive.fetch(
            pacs,
            own.ae_title,
            answer.studies,
            folder,
            listen=(own.host, own.port) if by_move else None,
            progress=lambda done: progress.update(task, completed=done),
        )
    except TceError as exc:
        journal.refused("archive.fetched", exc, where)
        raise
    journal.record("archive.fetched", detail={**where, "instances": str(len(files))})
    progress.remove_task(task)
    studies = frozenset(one.study_uid for one in answer.studies)
    return _Chosen(tuple(files), studies, question.patient)


class _Row(NamedTuple):
    """One study, as it is shown."""

    patient: str
    date: str
    modality: str
    series: int | None
    instances: int | None

    def __repr__(self) -> str:
        return "_Row(…)"


def _to_go(going: Sequence[Candidate]) -> list[_Row]:
    studies: dict[str, list[Candidate]] = {}
    for one in going:
        studies.setdefault(one.reference.study_uid, []).append(one)
    rows = [
        _Row(
            ", ".join(sorted({one.patient[0] for one in study})),
            ", ".join(sorted({one.study_date for one in study} - {""})),
            ", ".join(sorted({one.modality for one in study} - {""})),
            len({one.reference.series_uid for one in study}),
            len(study),
        )
        for study in studies.values()
    ]
    return sorted(rows)


def _ask(run: Session, progress: Progress, rows: Sequence[_Row], question: str, *, yes: bool) -> None:
    """Show studies at the terminal, and ask. Raises Refused where the answer is no, or nobody is there to answer."""
    if run.out.is_terminal:
        progress.stop()
        shown = [{name: _plain(value) for name, value in row._asdict().items()} for row in rows]
        run.table(shown, as_json=False, empty="")
        patients = counts.patients(len({row.patient for row in rows}))
        instances = counts.instances(sum(row.instances or 0 for row in rows))
        run.say(f"{patients}, {counts.studies(len(rows))}, {instances}")
    if not yes:
        if sys.stdin is None or not sys.stdin.isatty() or not run.out.is_terminal:
            raise Refused(
                "nobody is there to be asked whether this is what was meant",
                next_step="run it at a terminal, or add --yes",
            )
        if not typer.confirm(question):
            raise Refused("nothing was sent", next_step="select something else")
    progress.start()


def _plain(value: object) -> str:
    """Return a value as the terminal may have it: what stands in an instance could be a command to either."""
    text = "" if value is None else str(value)
    return escape("".join(sign if sign.isprintable() else "?" for sign in text))


def _tell(run: Session, account: SelectAccount, peer: Peer) -> None:
    run.say(
        f"sent {counts.instances(account.instances)} of {counts.patients(account.patients)} "
        f"and {counted(account.manifests, 'manifest', 'manifests')} to {peer.ae_title}"
    )
    for mark in account.marks:
        run.say(f"export {mark}: follow it at {peer.ae_title} with: tce exports show {mark}")
    if account.set_aside:
        for one in account.set_aside:
            run.err.print(f"  {one.path}: {one.reason}: {one.what}", markup=False)
        raise Held(
            f"{counted(len(account.set_aside), 'file was', 'files were')} set aside",
            next_step="see the reasons above",
        )
