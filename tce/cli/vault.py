"""``tce vault``: the embedded key server of the site."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tce import counts, key_versions
from tce.audit.journal import Journal
from tce.cli.session import JsonOption, session, verbs
from tce.errors import NotAllowed, Refused
from tce.logins import TOKEN_VARIABLE, WRAPPED_VARIABLE, Logins, ask_at_terminal, plan_of
from tce.site import export_trust
from vault.enrolment import enrol_person
from vault.errors import VaultRoomError
from vault.mapping import MappingStore
from vault.provision import provision, provision_embedded, write_policies
from vault.rights import loose_keys, rights_of_person, rights_of_service
from vault.roles import Role, Service
from vault.rotation import close_anew, rotate_custodians, rotate_identifiers
from vault.second_factor import address_of
from vault.secrecy import Secret

app = verbs("The key server: an OpenBao of the site's own.")


@app.command()
def start(context: typer.Context) -> None:
    """Start the embedded server, unless it runs. It listens on this machine only.

    Other verbs start it by themselves when they need it.

    Example: tce vault start
    """
    run = session(context)
    run.say(f"Vault is up at {Logins(run.site).server.start().url}")


@app.command()
def stop(context: typer.Context) -> None:
    """Stop the embedded server. Keys and rights stay on the disk.

    Example: tce vault stop
    """
    run = session(context)
    Logins(run.site).server.stop()
    run.say("Vault is stopped")


@app.command()
def status(context: typer.Context, as_json: JsonOption = False) -> None:
    """Say whether the server answers, and what each role may do there, as the server itself tells it.

    Looks at the services whose logins this site keeps, at the person given with --as, and, by the operator's login,
    at the site's keys. Exit status 1 when the server does not run, when a role may do more or less than the project
    gives it, or when a key could leave the server.

    Examples: tce vault status   |   tce --as custodian-a vault status
    """
    run = session(context)
    logins, plan = Logins(run.site), plan_of(run.site)
    server = logins.server.status() if logins.embedded else None
    if server is not None and not server.running:
        if as_json:
            typer.echo(json.dumps({"server": asdict(server), "rights": [], "loose_keys": []}, indent=1))
        raise Refused("Vault is not running", next_step="start it: tce vault start")
    rights = [
        rights_of_service(logins.service(service), service, plan)
        for service in Service
        if logins.keeps(service)
    ]
    loose = loose_keys(logins.service(Service.OPERATOR), plan) if logins.keeps(Service.OPERATOR) else []
    if run.person:
        if run.person not in plan.people:
            raise NotAllowed(
                f"{run.person} is nobody known to this site", next_step="name a person of tce.toml"
            )
        rights.append(rights_of_person(logins.person(run.person), run.person, plan))
    if as_json:
        known = asdict(server) if server else {"running": True, "url": logins.url()}
        told = {"server": known, "rights": [asdict(one) for one in rights], "loose_keys": loose}
        typer.echo(json.dumps(told, indent=1))
    else:
        if server is not None:
            sealed = "sealed" if server.sealed else "unsealed"
            run.say(f"Vault {server.version} is up at {server.url}, {sealed}")
        else:
            run.say(f"Vault answers at {logins.url()}")
        for one in rights:
            run.say(f"{one.who} may: {', '.join(one.may) or 'nothing of what is looked at'}")
            for words in one.too_much:
                run.say(f"WARNING {one.who} may {words}, which its role is not meant to")
            for words in one.too_little:
                run.say(f"WARNING {one.who} may not {words}, which its role needs")
        for words in loose:
            run.say(f"WARNING {words}, which no key of a site may")
    if loose or not all(one.as_meant for one in rights):
        raise Refused(
            "the rights at the Vault are not those of the project",
            next_step="compare with tce vault provision --dry-run, and with what your administrators added",
        )


@app.command(name="provision")
def provision_(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    policies: Annotated[
        Path | None,
        typer.Option(
            "--write-policies", help="Write the Vault policies of all roles here, and do nothing else."
        ),
    ] = None,
) -> None:
    """Bring mounts, keys, rights, logins and people at the Vault in line with tce.toml. May be run again at any time.

    What somebody changed there by hand is shown line by line, - what goes and + what comes, and put back. Takes the
    login of the provisioner; at a Vault of your own also that of an administrator, by VAULT_TOKEN.

    Examples: tce vault provision --dry-run   |   tce vault provision --write-policies review
    """
    run = session(context)
    if policies is not None:
        for path in write_policies(policies):
            run.say(f"wrote {path}")
        return
    logins = Logins(run.site)
    plan = plan_of(run.site, logins.method_secret())
    if logins.embedded:
        changes = provision_embedded(logins.server, plan, dry_run=dry_run)
    else:
        changes = provision(logins.provisioner(), plan, dry_run=dry_run)
    for change in changes:
        run.say(f"{'would write' if dry_run else 'wrote'} {change.what}: {change.path}")
        for line in change.difference.splitlines():
            run.say(f"    {line}")
    if not changes:
        run.say("nothing to do: the Vault is as tce.toml says")
    if not dry_run:
        export_trust(run.site, logins.service(Service.OPERATOR) if logins.embedded else logins.provisioner())
        Journal(run.site, run.person).record("vault.provisioned", detail={"changes": str(len(changes))})


class Keys(StrEnum):
    """Which keys get a new version."""

    STAGE1 = "stage1"
    CUSTODIANS = "custodians"


@app.command()
def rotate(
    context: typer.Context,
    keys: Annotated[
        Keys, typer.Argument(help="stage1: those that make pseudonyms; custodians: those that close shares.")
    ],
) -> None:
    """Give keys a new version. Old versions stay, and no pseudonym of a running case changes.

    stage1: cases that are made from now on use the new version; a case that is there keeps its own. custodians: what
    is closed from now on is closed under the new version; each custodian then closes the own shares anew with
    tce vault reseal.

    Examples: tce vault rotate stage1   |   tce vault rotate custodians
    """
    run = session(context)
    logins, journal = Logins(run.site), Journal(run.site, run.person)
    operator = logins.service(Service.OPERATOR)
    if keys is Keys.STAGE1:
        version = rotate_identifiers(operator)
        key_versions.keep(run.site, version)
        journal.record("vault.rotated", detail={"keys": keys, "version": str(version)})
        run.say(
            f"the keys of stage 1 have version {version}: new cases use it, cases that are there keep theirs"
        )
        return
    people = plan_of(run.site).holders(Role.CUSTODIAN)
    versions = rotate_custodians(operator, people)
    journal.record("vault.rotated", detail={"keys": keys})
    for name in people:
        run.say(f"{name}: version {versions[name]}; next: tce --as {name} vault reseal")


@app.command()
def reseal(context: typer.Context) -> None:
    """Close the own shares of the mapping anew, under the newest version of the own key. Needs a custodian.

    Goes on where it was cut short. A share alone opens nothing, so nothing is revealed on the way.

    Example: tce --as custodian-a vault reseal
    """
    run = session(context)
    person = run.acting("custodian", "closing shares anew")
    store = MappingStore(run.site.mapping_url)
    try:
        with run.progress() as shown:
            task = shown.add_task("closing shares anew", total=None)
            done = close_anew(
                Logins(run.site).person(person), store, told=lambda count: shown.advance(task, count)
            )
    finally:
        store.close()
    Journal(run.site, person).record("vault.resealed", detail={"shares": str(done)})
    run.say(f"{counts.counted(done, 'share', 'shares')} closed anew for {person}")


@app.command(name="enrol")
def enrol_(
    context: typer.Context,
    service: Annotated[Service, typer.Argument(help="The service that gets its login here.")],
    role_id: Annotated[str, typer.Option(help="The role_id of its AppRole; it is no secret.")],
) -> None:
    """Take over the login of a service from a Vault of your own. The wrapping token comes from TCE_WRAPPED, or is asked
    for at the terminal. It can be opened once: if that fails, somebody else may have opened it.

    Example: tce vault enrol manager --role-id 8f2c1d3e-0a4b-4c5d-9e6f-7a8b9c0d1e2f
    """
    run = session(context)
    token = os.environ.get(WRAPPED_VARIABLE, "") or ask_at_terminal(f"Wrapping token of {service}: ")
    if not token:
        raise NotAllowed(
            "no wrapping token was given", next_step=f"set {WRAPPED_VARIABLE}, or work at a terminal"
        )
    journal = Journal(run.site, run.person)
    try:
        Logins(run.site).enrol(service, role_id, Secret(token))
    except VaultRoomError as exc:
        journal.refused("vault.enrolled", exc)
        raise
    journal.record("vault.enrolled", detail={"service": service})
    run.say(f"the service {service} logs in; its secret is kept in the site, readable by its owner only")


@app.command(name="enrol-person")
def enrol_person_(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The person who gets a second factor.")],
    again: Annotated[
        bool, typer.Option("--again", help="Replace the one that is there. Takes the provisioner's login.")
    ] = False,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep", help="For trying out: keep it in the site, and show nothing. It protects nobody then."
        ),
    ] = False,
) -> None:
    """Give a person a second factor and show it, once, as the address that an authenticator reads.

    Do it with the person beside you. Nobody can read the address again, and it is kept nowhere.

    Examples: tce vault enrol-person custodian-a   |   tce vault enrol-person custodian-a --again
    """
    run = session(context)
    logins, journal = Logins(run.site), Journal(run.site, run.person)
    if run.site.settings.people.role_of(name) is None:
        raise NotAllowed(f"{name} is nobody known to this site", next_step="name a person of tce.toml")
    detail = {"person": name, "again": str(again).lower()}
    try:
        client = logins.provisioner() if again else logins.service(Service.OPERATOR)
        secret = enrol_person(client, name, again=again)
    except VaultRoomError as exc:
        journal.refused("vault.person-enrolled", exc, detail)
        raise
    logins.keep_second_factor(name, secret if keep else None)
    journal.record("vault.person-enrolled", detail=detail)
    if keep:
        run.say(f"{name} has a second factor; its secret is kept in the site")
    else:
        run.say(address_of(secret, site=run.site.settings.site.name, person=name).reveal())
        run.err.print(f"shown once: {name} takes it into an authenticator now, and clears the screen")


@app.command()
def login(context: typer.Context) -> None:
    """Log in once and print the token, for VAULT_TOKEN: commands that follow ask for nothing then. Ends within 8 hours.

    Prints into a program only, so that no token stays on a screen.

    Example: tce --as custodian-a vault login   (as in: export VAULT_TOKEN=$(tce --as custodian-a vault login))
    """
    run = session(context)
    if not run.person:
        raise NotAllowed("a login needs a name", next_step="put --as NAME in front of the verb")
    if sys.stdout.isatty():
        raise NotAllowed(
            "a token is not shown on a screen",
            next_step=f"export {TOKEN_VARIABLE}=$(tce --as {run.person} vault login)",
        )
    typer.echo(Logins(run.site).person(run.person).token().reveal())
