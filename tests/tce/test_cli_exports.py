"""What a person does to an export is on record under a name that the auditor finds in the table of events."""

from __future__ import annotations

from pathlib import Path

import pytest

from tce.audit.journal import EVENTS
from tce.audit.trail import Trail
from tce.cli import main
from tce.config import Settings, Site, save
from tce.exports import Exports
from tce.states import State
from tests.tce.test_exports import INSTANCES, a_manifest, an_instance


@pytest.fixture
def site(tmp_path: Path) -> Site:
    save(Settings(), tmp_path / "tce.toml")
    return Site(tmp_path)


def an_export(site: Site) -> str:
    """A complete export that no worker has taken yet."""
    index = Exports(site.exports_url)
    for uid in INSTANCES:
        an_instance(index, uid)
    a_manifest(index)
    [export] = index.listing()
    index.close()
    return export.id


def tce(site: Site, *words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["--home", str(site.home), "--as", "carol", *words])
    return int(str(ended.value.code))


@pytest.mark.parametrize(
    ("verbs", "event", "state"),
    [
        (["hold"], "export.held", State.HELD),
        (["hold", "release"], "export.released", State.READY),
        (["hold", "retry"], "export.retried", State.READY),
        (["cancel"], "export.cancelled", State.CANCELLED),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_a_person_s_act_has_an_event_of_its_own(
    site: Site, verbs: list[str], event: str, state: State
) -> None:
    """The record says who did what to which export; each change of state that came of it is recorded as any."""
    export = an_export(site)
    assert [tce(site, "exports", verb, export) for verb in verbs] == [0] * len(verbs)
    records = list(Trail(site.audit_trail).records())
    assert {record.event for record in records} <= EVENTS.keys()
    acts = [record for record in records if record.event == event]
    assert [(act.actor, act.detail["export"]) for act in acts] == [("carol", export)]
    changes = [record.detail["after"] for record in records if record.event == "export state"]
    assert changes[-1] == state


def test_what_cannot_be_done_is_no_act(site: Site) -> None:
    """An export that is refused the change leaves no record that it was made."""
    export = an_export(site)
    assert tce(site, "exports", "release", export) == 1
    assert list(Trail(site.audit_trail).records()) == []
