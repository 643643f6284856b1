"""``tce init``: make a site."""

from __future__ import annotations

from typing import Annotated

import typer

from tce import site as sites
from tce.approvals_desk import Desk
from tce.audit.rules import zone_of_this_machine
from tce.cli.session import session
from tce.config import Settings, Site, checked
from tce.logins import plan_of
from tce.shelf import Shelf


def init(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="Name of the site in audit messages.")] = "site",
    institution: Annotated[str, typer.Option(help="Who de-identifies, on media.")] = "",
    contact: Annotated[str, typer.Option(help="Whom a finder of a medium can ask.")] = "",
    coordinator: Annotated[list[str] | None, typer.Option(help="A coordinator; may be repeated.")] = None,
    approver: Annotated[list[str] | None, typer.Option(help="An approver; may be repeated.")] = None,
    custodian: Annotated[list[str] | None, typer.Option(help="A custodian; at least two.")] = None,
    auditor: Annotated[list[str] | None, typer.Option(help="An auditor; may be repeated.")] = None,
    time_zone: Annotated[
        str, typer.Option(help="Time zone of the working hours, e.g. Europe/Berlin. Default: the machine's.")
    ] = "",
    second_factor: Annotated[
        bool,
        typer.Option(help="Whether approvers and custodians need the code of an authenticator to log in."),
    ] = True,
) -> None:
    """Make a site: a folder with tce.toml, a key server, keys, people and the policy of stage 1.

    What is there already stays. To change people later: edit tce.toml, then tce vault provision.

    Example: tce --home ~/trial-site init --name trial-site --custodian anna --custodian bert
    """
    run = session(context)
    existed = Site(run.home).settings_path.exists()
    settings = Settings()
    people = {
        key: tuple(names)
        for key, names in (
            ("coordinators", coordinator),
            ("approvers", approver),
            ("custodians", custodian),
            ("auditors", auditor),
        )
        if names
    }
    texts = {key: text for key, text in (("institution", institution), ("contact", contact)) if text}
    wanted = settings.model_dump()
    wanted["site"] |= {"name": name, **texts}
    wanted["people"] |= people
    wanted["alerts"] |= {"time_zone": time_zone or zone_of_this_machine()}
    if not second_factor:
        wanted["people"]["second_factor"] = ()
    site = sites.make(
        run.home, checked(wanted, "what you gave"), told=lambda step: run.err.print(f"· {step}")
    )
    if existed:
        run.say(f"the site in {site.home} is complete; its settings stay as they were")
    else:
        run.say(f"a new site in {site.home}")
    run.say(f"settings: {site.settings_path}")
    for plural, person in site.settings.people.everyone():
        run.say(f"  {plural.removesuffix('s'):<12} {person}")
    for person in () if existed else plan_of(site).needs_code():
        run.say(f"to do: tce vault enrol-person {person}   (an authenticator, before the first login)")
    run.say(f"next: {_next(site)}")


def _next(site: Site) -> str:
    """Return the first step that is left until the site can work."""
    people = site.settings.people
    shelved = Shelf(site.policies_dir).find(sites.STAGE_ONE_POLICY)
    standing = Desk(site).standing(shelved.path, shelved.policy.digest)
    if standing.approved:
        return "tce case new CASE   (see: tce case --help)"
    who, verb = (
        (people.approvers[0], "approve")
        if standing.waits_for_approver
        else (people.coordinators[0], "submit")
    )
    return f"tce --as {who} policy {verb} {sites.STAGE_ONE_POLICY}   (see: tce policy --help)"
