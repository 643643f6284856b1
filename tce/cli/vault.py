"""``tce vault``: the embedded key server of the site."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from tce.audit.journal import Journal
from tce.cli.session import JsonOption, session, verbs
from tce.errors import Refused
from tce.logins import Logins, plan_of
from tce.site import export_trust
from vault.provision import Service, provision, provision_embedded

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
    """Say whether the embedded server runs. Exit status 1 when it does not.

    Example: tce vault status
    """
    run = session(context)
    found = Logins(run.site).server.status()
    if as_json:
        typer.echo(json.dumps(asdict(found)))
    elif found.running:
        sealed = "sealed" if found.sealed else "unsealed"
        run.say(f"Vault {found.version} is up at {found.url}, {sealed}")
    if not found.running:
        raise Refused("Vault is not running", next_step="start it: tce vault start")


@app.command(name="provision")
def provision_(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
) -> None:
    """Bring mounts, keys, rights and people at the Vault in line with tce.toml. May be run again at any time.

    Example: tce vault provision --dry-run
    """
    run = session(context)
    logins, plan = Logins(run.site), plan_of(run.site)
    if logins.embedded:
        changes = provision_embedded(logins.server, plan, dry_run=dry_run)
    else:
        changes = provision(logins.service(Service.OPERATOR), plan, dry_run=dry_run)
    for change in changes:
        run.say(f"{'would write' if dry_run else 'wrote'} {change.what}: {change.path}")
    if not changes:
        run.say("nothing to do: the Vault is as tce.toml says")
    if not dry_run:
        export_trust(run.site)
        Journal(run.site, run.person).record("vault.provisioned", detail={"changes": str(len(changes))})
