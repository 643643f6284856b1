"""``tce policy``: what is done to attributes: list, read, write and compare policies, and get them approved."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from policies import loader
from policies.describe import describe as in_words
from policies.importing.original import Dialect
from policies.model import Policy
from policies.schema import shipped_text
from policies.whole import whole_text
from tce import cautions, released
from tce.approvals_desk import Desk
from tce.cli import policy_diff, policy_preview
from tce.cli.policy_advise import Question, run_advise
from tce.cli.policy_benchmark import run_benchmark, run_corpus, run_score
from tce.cli.policy_import import Request, run_import
from tce.cli.policy_named import named
from tce.cli.session import JsonOption, Session, session, verbs
from tce.directory_keys import empty_keys
from tce.directory_keys import in_words as keys_in_words
from tce.errors import Refused
from tce.shelf import Shelf, Shelved, renamed
from tce.trial_figures import Figures

app = verbs("Policies: what is done to each attribute, and who approved it.")

Wanted = Annotated[str, typer.Argument(metavar="POLICY", help="NAME (newest version), or NAME@VERSION.")]
Days = Annotated[int, typer.Option(help="Days until the approval ends.", min=1, max=3650)]


def _shelf(run: Session) -> Shelf:
    return Shelf(run.site.policies_dir)


@app.command("list")
def list_(
    context: typer.Context,
    library: Annotated[bool, typer.Option("--library", help="List the shipped policies instead.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the site's policies and whether each is approved.

    Example: tce policy list
    """
    run = session(context)
    if library:
        shipped = [loader.load_library(name) for name in loader.library()]
        rows = [
            {"name": one.name, "version": one.version, "stage": one.stage, "title": one.title}
            for one in shipped
        ]
    else:
        desk = Desk(run.site)
        rows = [
            {
                "name": one.policy.name,
                "version": one.policy.version,
                "stage": one.policy.stage,
                "state": desk.standing(one.path, one.policy.digest).words,
                "title": one.policy.title,
            }
            for one in _shelf(run).all()
        ]
    run.table(rows, as_json=as_json, empty="no policies yet; take one: tce policy new longitudinal-trial")


@app.command()
def show(
    context: typer.Context,
    policy: Wanted,
    whole: Annotated[
        bool, typer.Option("--whole", help="Write out what is inherited (extends), and say from where.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Print a policy's text, its digest and its approval.

    Examples: tce policy show longitudinal-trial   |   tce policy show ours --whole
    """
    run = session(context)
    one = _shelf(run).find(policy)
    standing = Desk(run.site).standing(one.path, one.policy.digest)
    if as_json:
        typer.echo(json.dumps({**one.policy.model_dump(mode="json"), "digest": one.policy.digest}, indent=1))
        return
    run.say((whole_text(one.policy) if whole else one.path.read_text("utf-8")).rstrip())
    run.say(f"\ndigest: {one.policy.digest}\nstate:  {standing.words}\nfile:   {one.path}")
    for line in Desk(run.site).figures(one):
        run.say(line)
    _warn(run, one.policy)


@app.command()
def new(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the new policy.")],
    like: Annotated[
        str, typer.Option(help="Shipped policy to start from. Default: the one of this name.")
    ] = "",
    version: Annotated[str, typer.Option(help="Version of the new policy.")] = "1",
) -> None:
    """Put a policy onto the site's shelf, as a copy of a shipped one, to be edited and submitted.

    Examples: tce policy new longitudinal-trial   |   tce policy new ours --like basic
    """
    run = session(context)
    text = loader.library_text(like or name)
    one = _shelf(run).put(renamed(text, name, version))
    run.say(
        f"new policy in {one.path}\nedit it, then try it on files: tce policy preview {name}@{version} FILES"
        f"\nand submit it: tce --as COORDINATOR policy submit {name}@{version}"
    )


@app.command("import")
def import_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Script, profile, recipe or lookup table.")],
    dialect: Annotated[
        Dialect, typer.Option("--from", help="What the file is written in; it is not guessed.")
    ],
    name: Annotated[str, typer.Option(help="Name of the draft.")] = "imported",
    version: Annotated[str, typer.Option(help="Version of the draft.")] = "1",
    out: Annotated[
        Path | None, typer.Option(help="New file for the draft or list. Default: the site's policies.")
    ] = None,
    script: Annotated[
        Path | None, typer.Option(help="With ctp-lookup: the script that the table belongs to.")
    ] = None,
    compare: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILES",
            help="DICOM file or folder on which draft and original are compared; may be repeated.",
        ),
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="List what was carried over exactly, too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Draft a policy from a script of CTP or DicomEdit, a profile of Karnak or a recipe of deid.

    Every line is told: carried over exactly, stricter, or not at all. Nothing ends looser than the Basic Profile
    unless a line keeps that attribute by its name; such are listed first. The draft is a coordinator's to read,
    edit and submit.

    Examples: tce policy import anonymizer.script --from ctp --name lung-trial --compare sample/   |
    tce policy import table.properties --from ctp-lookup --script anonymizer.script --out subjects.csv
    """
    run_import(
        session(context),
        Request(file, dialect, name, version, out, script, tuple(compare or ()), exact, as_json),
    )


@app.command()
def check(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A policy's YAML file.", metavar="FILE")],
    selftest: Annotated[
        bool,
        typer.Option(
            "--selftest", help="Try it on built instances with throwaway keys: leaks, retention, validity."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check a policy file; every fault is named with its line, and what media would lack.

    With --selftest, an unmistakable value is planted in each attribute of instances of every main family and in each
    channel beside; what must be gone and is not, ends the command with status 1. It takes about a minute.

    Examples: tce policy check ours-1.yaml   |   tce policy check ours-1.yaml --selftest
    """
    policy = loader.load(file)
    run = session(context)
    tried = _tried(run, policy) if selftest else None
    if as_json:
        typer.echo(json.dumps({"digest": policy.digest, "trial": asdict(tried) if tried else None}, indent=1))
        return
    run.say(f"{policy.name} {policy.version} is a sound policy\ndigest: {policy.digest}")
    _warn(run, policy)
    if lacking := keys_in_words(empty_keys(policy)):
        run.say(lacking.rstrip())
    for line in tried.words() if tried else ():
        run.say(line)


def _tried(run: Session, policy: Policy) -> Figures:
    """Return the figures of a policy's trial. Raises Refused, after saying them, when it does not hold."""
    from tce.selftest import figures  # not at the top: it reads much that no other command needs

    with run.progress() as progress:
        task = progress.add_task("trial", total=None)
        found = figures(policy, lambda done, total: progress.update(task, completed=done, total=total))
    if not found.holds:
        for line in found.words():
            run.say(line)
        raise Refused(
            f"the policy {policy.name} {policy.version} does not hold what it promises",
            next_step="mend the policy; if it is the program that is wrong, report it with these lines",
        )
    return found


@app.command()
def schema(
    context: typer.Context,
    out: Annotated[Path | None, typer.Option(help="File to write it to. Default: print it.")] = None,
) -> None:
    """Write the JSON Schema of policies, with which editors complete keys and show faults.

    A new policy has it beside it already. Other files name it in a first line:
    # yaml-language-server: $schema=policy.schema.json

    Example: tce policy schema --out policy.schema.json
    """
    run = session(context)
    if out is None:
        run.say(shipped_text().rstrip())
        return
    out.write_text(shipped_text(), encoding="utf-8")
    run.say(f"written: {out}")


@app.command()
def describe(context: typer.Context, policy: Wanted) -> None:
    """Say in words what a policy does.

    Example: tce policy describe longitudinal-trial
    """
    run = session(context)
    found = named(run, policy)
    run.say("\n".join(part for part in (in_words(found), keys_in_words(empty_keys(found))) if part))


@app.command()
def preview(
    context: typer.Context,
    policy: Annotated[
        str, typer.Argument(help="NAME, NAME@VERSION, a shipped policy, or a file.", metavar="POLICY")
    ],
    files: Annotated[list[Path], typer.Argument(help="DICOM files or folders.", metavar="FILES...")],
    case: Annotated[str, typer.Option(help="Case whose trial and events it is tried with.")] = "",
    events: Annotated[
        Path | None, typer.Option(help="For study days: CSV with patient_id,date, as FILES name them.")
    ] = None,
    page: Annotated[Path | None, typer.Option(help="New file for a page, to read and to print.")] = None,
    as_json: Annotated[Path | None, typer.Option("--json", help="New file for programs.")] = None,
    without_values: Annotated[
        bool, typer.Option("--without-values", help="Leave out what comes from the files but counts.")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="Show every attribute on the terminal.")] = False,
) -> None:
    """Try a policy on real files: what happens to each attribute and why, and what an analysis would lose.

    Nothing stays but the page: no key is used, and pseudonyms are drawn and forgotten. Terminal and page show original
    values of patients and say so; where the output is no terminal they are left out of it. Exit status 3 when files
    would be held or refused, 1 when the results do not verify.

    Examples: tce policy preview longitudinal-trial sample/ --page preview.htm   |
    tce policy preview ours.yaml sample/ --without-values --json preview.json
    """
    wanted = policy_preview.Request(
        policy, tuple(files), case, events, page, as_json, without_values, everything
    )
    policy_preview.run_preview(session(context), wanted)


@app.command()
def diff(
    context: typer.Context,
    old: Annotated[str, typer.Argument(help="NAME, NAME@VERSION, a shipped policy, or a file.")],
    new: Annotated[str, typer.Argument(help="The same, for the other one.")],
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="DICOM files or folders on which both are tried.", metavar="[FILES...]"),
    ] = None,
    case: Annotated[str, typer.Option(help="Case whose trial and events they are tried with.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Show in which settings two policies differ, and in what they do to given files.

    Told are attributes and counts, and which of the two keeps more; no values. Exit status 0 also when they differ.

    Examples: tce policy diff longitudinal-trial ours-2.yaml   |   tce policy diff ours@1 ours@2 sample/ --json
    """
    policy_diff.run_diff(session(context), policy_diff.Request(old, new, tuple(files or ()), case, as_json))


@app.command()
def advise(
    context: typer.Context,
    policy: Annotated[str, typer.Argument(help="NAME, NAME@VERSION, a shipped policy, or a file.")],
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILES", help="Pseudonymized DICOM files or folders, or one CSV table."),
    ] = None,
    case: Annotated[
        str, typer.Option(help="Case whose k counts, and without FILES what came for it and is still there.")
    ] = "",
    k: Annotated[int, typer.Option(help="How many have to look alike. Default: policy and case.", min=0)] = 0,
    leave_out: Annotated[
        float, typer.Option(help="Share of the patients who may be left out, such as 0.01.", min=0, max=0.5)
    ] = 0.0,
    page: Annotated[
        Path | None, typer.Option(help="File for a page that shows the patients before and after.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Propose the change of a policy that loses least and lets k patients look alike: which bands, which dates, which
    words in one.

    It searches all combinations of coarser values, and prints the keys to write. A table has the columns patient_id and
    one for each quasi-identifier, by keyword. Nothing is changed. The loss of an attribute is 0 where values stay exact
    and 1 where it goes.

    Examples: tce policy advise lung-trial --case lung-1 --page advice.htm   |
    tce policy advise ours-2.yaml pseudonymized/ --k 5 --leave-out 0.01
    """
    run = session(context)
    wanted = Question(tuple(files or ()), case, k, leave_out, page, as_json)
    run_advise(run, named(run, policy), wanted)


@app.command()
def benchmark(
    context: typer.Context,
    policy: Annotated[str, typer.Argument(help="NAME, NAME@VERSION, a shipped policy, or a file.")],
    answers: Annotated[Path, typer.Argument(help="Answer key of MIDI-B: an SQLite database.")],
    files: Annotated[
        list[Path], typer.Argument(metavar="FILES...", help="The benchmark's DICOM files or folders.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for results and maps; must be empty or not exist.")],
    as_json: JsonOption = False,
) -> None:
    """Carry the files of the MIDI-B benchmark through a policy with throwaway keys, and judge them by its answers.

    What comes out, and the two maps that the benchmark's own scorer wants, lie in the folder of --out.

    Example: tce policy benchmark hipaa-safe-harbor answers.db images/ --out tried
    """
    run_benchmark(session(context), policy, answers, files, out, as_json=as_json)


@app.command()
def score(
    context: typer.Context,
    answers: Annotated[Path, typer.Argument(help="Answer key of MIDI-B: an SQLite database.")],
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder with what a program made of the files.")
    ],
    uids: Annotated[Path, typer.Option(help="Its map of UIDs: CSV with id_old and id_new.")],
    patients: Annotated[Path, typer.Option(help="Its map of Patient IDs: CSV with id_old and id_new.")],
    as_json: JsonOption = False,
) -> None:
    """Judge de-identified files, by whatever program, by an answer key of the MIDI-B benchmark.

    Example: tce policy score answers.db tried/instances --uids tried/uid_mapping.csv --patients tried/patid_mapping.csv
    """
    run_score(session(context), answers, folder, uids, patients, as_json=as_json)


@app.command()
def corpus(
    context: typer.Context,
    policy: Annotated[str, typer.Argument(help="NAME, NAME@VERSION, a shipped policy, or a file.")],
    out: Annotated[Path, typer.Argument(help="Folder for them; must be empty or not exist.")],
) -> None:
    """Write built instances with planted values, and an answer key in the form of MIDI-B.

    It says what has to become of them under a policy, for the benchmark's own scorer and for other programs.

    Example: tce policy corpus basic planted
    """
    run_corpus(session(context), policy, out)


@app.command()
def submit(
    context: typer.Context,
    policy: Wanted,
    selftest: Annotated[
        bool, typer.Option("--selftest", help="Try it first, and put the figures beside it for the approver.")
    ] = False,
) -> None:
    """Sign a policy as its author and put it before the approvers. Needs a coordinator.

    Example: tce --as coordinator policy submit longitudinal-trial --selftest
    """
    run = session(context)
    one = _shelf(run).find(policy)
    person = run.acting("coordinator", "submitting a policy")
    tried = _tried(run, one.policy) if selftest else None
    Desk(run.site).submit_policy(one, person, tried)
    run.say(
        f"submitted {_name(one)} by {person}\n"
        f"next, by somebody else: tce --as APPROVER policy approve {one.policy.name}@{one.policy.version}"
    )
    _warn(run, one.policy)


@app.command()
def approve(context: typer.Context, policy: Wanted, days: Days = 365) -> None:
    """Approve a submitted policy. Needs an approver who is not its author.

    Read it first: tce policy describe POLICY. The approval is a signature over the policy's digest; a policy
    that is changed afterwards is not approved.

    Example: tce --as approver policy approve longitudinal-trial --days 180
    """
    run = session(context)
    one = _shelf(run).find(policy)
    person = run.acting("approver", "approving a policy")
    _warn(run, one.policy)
    for line in Desk(run.site).figures(one):
        run.say(line)
    expires = Desk(run.site).approve_policy(one, person, days=days)
    run.say(f"approved {_name(one)} by {person} until {expires:%Y-%m-%d}\ndigest: {one.policy.digest}")


@app.command()
def withdraw(
    context: typer.Context,
    policy: Wanted,
    reason: Annotated[str, typer.Option(help="Why, for the record. No patient's data.")],
) -> None:
    """Withdraw the approval of a policy: from now on nothing is exported under it. Needs an approver.

    Example: tce --as approver policy withdraw longitudinal-trial --reason "bands too narrow"
    """
    run = session(context)
    one = _shelf(run).find(policy)
    if not reason.strip():
        raise Refused("a withdrawal needs a reason", next_step='say why: --reason "…"')
    person = run.acting("approver", "withdrawing an approval")
    Desk(run.site).withdraw_policy(one, person, reason=reason)
    run.say(f"withdrawn: {_name(one)} by {person}")


def _warn(run: Session, policy: Policy) -> None:
    for line in cautions.of_policy(policy):
        run.say(line)


@app.command()
def releases(
    context: typer.Context,
    policy: Annotated[
        str,
        typer.Argument(
            metavar="POLICY", help="Digest (sha256:…), NAME or NAME@VERSION; also one that is gone."
        ),
    ],
    as_json: JsonOption = False,
) -> None:
    """List what was released under a policy, also under one that was withdrawn, has expired or is gone.

    Names every signed record, and every export that was stopped after something of it had left.

    Example: tce policy releases longitudinal-trial@2
    """
    run = session(context)
    rows = [asdict(one) for one in released.under(run.site, policy)]
    run.table(rows, as_json=as_json, empty="nothing was released under it")


def _name(one: Shelved) -> str:
    return f"policy {one.policy.name} {one.policy.version}"
