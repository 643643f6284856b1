"""What a person does to an export is on record under a name that the auditor finds in the table of events."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tce.audit.journal import EVENTS
from tce.audit.trail import Trail
from tce.cli import main
from tce.config import Settings, Site, save
from tce.exports import Exports
from tce.road import manifest_mark
from tce.spool import Spool
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


def test_what_is_missing_is_named(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Who looks at an incomplete export sees its age, each instance that is missing, and who must act."""
    index = Exports(site.exports_url)
    a_manifest(index, siblings=("9.2",))
    an_instance(index, "1.2")
    [export] = index.listing()
    index.close()
    assert tce(site, "exports", "list") == 0
    listed = capsys.readouterr().out
    assert "0 min" in listed
    assert "the Export Selector" in listed
    assert tce(site, "exports", "show", export.id, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["age"], shown["missing"]) == ("0 min", 3)
    assert shown["missing_instances"] == [
        "9.2 (manifest)",
        "1.1 (CT Image Storage)",
        "1.3 (CT Image Storage)",
    ]


def test_a_long_list_of_missing_instances_is_cut_for_people(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """A terminal gets the first ones and a number; a program gets all."""
    index = Exports(site.exports_url)
    a_manifest(index, of=tuple(f"1.{n}" for n in range(50)))
    [export] = index.listing()
    index.close()
    tce(site, "exports", "show", export.id)
    text = capsys.readouterr().out
    assert text.count("CT Image Storage") == 20
    assert "and 30 more" in text
    tce(site, "exports", "show", export.id, "--json")
    assert len(json.loads(capsys.readouterr().out)["missing_instances"]) == 50


def test_instances_that_no_manifest_names_are_shown(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """They are counted beside the list of exports, and by sender in a list of their own."""
    index = Exports(site.exports_url)
    an_instance(index, "1.1")
    index.close()
    assert tce(site, "exports", "list") == 0
    assert "1 instance" in capsys.readouterr().err
    assert tce(site, "exports", "unclaimed", "--json") == 0
    [row] = json.loads(capsys.readouterr().out)
    assert (row["from"], row["instances"]) == ("SELECTOR", 1)
    assert tce(site, "exports", "unclaimed", "--hours", "1", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize("spool", ["exports", "receiver"])
def test_a_purge_is_shown_before_it_is_done(
    site: Site, capsys: pytest.CaptureFixture[str], spool: str
) -> None:
    """Without --yes nothing changes; with it the files are gone and the trail says who did it and how many.
    The Receiver's spool has rules of its own, and neither command touches the other's spool."""
    rule = {"cancelled_days": 1}
    settings = {"retention": rule if spool == "exports" else {"receiver": rule}}
    save(Settings.model_validate(settings), site.settings_path)
    places = {
        "exports": (site.exports_url, site.spool_dir),
        "receiver": (site.receiver_url, site.receiver_spool_dir),
    }
    lying: dict[str, Path] = {}
    cancelled: dict[str, str] = {}
    for name, (url, folder) in places.items():
        there = Spool(folder)
        index = Exports(url, clock=lambda: time.time() - 2 * 86400)
        for uid in INSTANCES:
            an_instance(index, uid)
        a_manifest(index)
        [export] = index.listing()
        cancelled[name] = index.cancel(export.id).id
        index.close()
        lying[name] = there.path("SELECTOR/1.1")
        lying[name].parent.mkdir(parents=True)
        lying[name].touch()
    rows = []
    for more in ([], ["--yes"], ["--yes"]):
        assert tce(site, spool, "purge", "--json", *more) == 0
        rows.append([(row["export"], row["instances"]) for row in json.loads(capsys.readouterr().out)])
        assert lying[spool].exists() is (not more)
    assert rows == [[(cancelled[spool], 4)], [(cancelled[spool], 4)], []]
    assert [path.exists() for name, path in lying.items() if name != spool] == [True]
    [record] = [one for one in Trail(site.audit_trail).records() if one.event == "spool.purged"]
    assert (record.actor, record.detail["rule"], record.detail["instances"]) == ("carol", "cancelled", "4")


def test_an_export_is_found_by_the_mark_that_its_selector_was_told(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """Id and mark show the same export; a mark of nobody's shows none."""
    export = an_export(site)
    assert tce(site, "exports", "show", export, "--json") == 0
    by_id = json.loads(capsys.readouterr().out)
    assert by_id["mark"] == manifest_mark(["9.1"])
    assert tce(site, "exports", "show", by_id["mark"], "--json") == 0
    assert json.loads(capsys.readouterr().out) == by_id
    assert tce(site, "exports", "show", "0" * 12) == 1
