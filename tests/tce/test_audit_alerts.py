"""Alerts: due by the trail alone, told once, at once, by everybody alike, and missed when they are not there."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from tce.audit.alerts import KINDS, Alert, Kind, State, Watch, examine
from tce.audit.journal import EVENTS, Journal
from tce.audit.rules import AlertRules, from_detail
from tce.audit.trail import Entry, Record, Trail
from tce.cli import main
from tce.config import Settings, Site, save
from tce.errors import AuditError
from tests.tce.test_audit_messages import SCHEMA

ALWAYS = {"working_hours": "00:00-24:00", "working_days": ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")}
MONDAY = datetime(2031, 3, 10, 9, 0, tzinfo=UTC)


def rules(**changes: Any) -> AlertRules:
    """Rules that find no hour odd, unless it is asked for."""
    return AlertRules(**{**ALWAYS, **changes})


def a_record(n: int, event: str, minutes: float = 0, /, actor: str = "carol", **detail: str) -> Record:
    """A record of the trail, so many minutes after nine on a Monday."""
    outcome = 8 if event.endswith("refused") or detail.pop("failed", "") else 0
    time = (MONDAY + timedelta(minutes=minutes)).isoformat(timespec="milliseconds")
    return Record(n, time, event, actor, outcome, detail, "", "")


def due(records: Iterable[Record], **changes: Any) -> list[Alert]:
    """The alerts that these records make due."""
    watch = Watch()
    watch.heed(a_record(0, "alerts.set", **rules(**changes).as_detail()))
    return [alert for record in records for alert in watch.heed(record)]


@pytest.mark.parametrize("step", ["requested", "approved", "revealed"])
def test_a_sweep_is_many_patients_of_one_person_in_a_time(step: str) -> None:
    """Patients add up over the steps of one kind; the alert says how many and names none of them."""
    event = f"reidentify.{step}"
    records = [
        a_record(1, event, 0, case="c", request="r1", patients="4"),
        a_record(2, event, 1, "dave", case="c", request="r2", patients="9"),
        a_record(3, event, 2, case="c", request="r3", patients="6"),
    ]
    [alert] = due(records, sweep_patients=10)
    assert (alert.kind, alert.record, alert.person) == (Kind.SWEEP, 3, "carol")
    assert alert.about == {"step": step, "patients": "10", "hours": "24.0", "case": "c", "request": "r3"}


def test_what_lies_too_far_back_does_not_count() -> None:
    """The window moves with the records: the same number, spread over a longer time, is no sweep."""
    records = [a_record(n, "reidentify.requested", 61 * n, request=str(n), patients="4") for n in range(1, 9)]
    assert due(records, sweep_patients=8, sweep_hours=1) == []
    assert len(due(records, sweep_patients=8, sweep_hours=2)) == 4


def test_whoever_goes_on_causes_another_alert() -> None:
    """After an alert the count begins anew, so a long sweep is told again and again and not at every step."""
    records = [a_record(n, "reidentify.requested", n, request=str(n), patients="1") for n in range(1, 10)]
    assert [alert.record for alert in due(records, sweep_patients=4)] == [4, 8]


def test_refusals_of_every_sort_add_up() -> None:
    """Custody, logins, lists and forbidden steps count together; a login or a list that is taken does not."""
    records = [
        a_record(1, "login", failed="1"),
        a_record(2, "login"),
        a_record(3, "reidentify.refused", reason="SamePerson"),
        a_record(4, "access.refused"),
        a_record(5, "mapping.imported"),
        a_record(6, "mapping.imported", failed="1"),
    ]
    [alert] = due(records, refusals=4)
    assert (alert.kind, alert.record, alert.about["refusals"]) == (Kind.REFUSALS, 6, "4")
    assert due(records, refusals=5) == []


def test_refusals_of_many_names_add_up_as_well() -> None:
    """Trying one password under many names does not stay below the limit."""
    records = [a_record(n, "login", n, f"name-{n}", failed="1") for n in range(1, 7)]
    [alert] = due(records, refusals=2, refusals_of_all=6)
    assert (alert.person, alert.record) == ("everybody", 6)


def test_repeated_reveals_are_told() -> None:
    """So many reveals of one person in a time are an alert, however few patients they were."""
    records = [a_record(n, "reidentify.revealed", n, request=str(n), patients="1") for n in range(1, 4)]
    assert [(alert.kind, alert.record) for alert in due(records, reveals=3)] == [(Kind.REVEALS, 3)]


def test_a_grant_that_is_used_again_is_told() -> None:
    """One request reveals once: a second time means that the database was put back."""
    records = [a_record(n, "reidentify.revealed", n, request="r", patients="1") for n in (1, 2)]
    assert [(alert.kind, alert.record) for alert in due(records)] == [(Kind.REVEALED_AGAIN, 2)]


def test_use_after_expiry_is_told_each_time() -> None:
    """Every try to use a request after its end is an occurrence of its own."""
    records = [a_record(n, "reidentify.refused", n, request="r", reason="Expired") for n in (1, 2)]
    assert [(alert.kind, alert.record) for alert in due(records)] == [(Kind.EXPIRED, 1), (Kind.EXPIRED, 2)]


@pytest.mark.parametrize(
    ("changes", "odd"),
    [
        ({"working_hours": "07:00-19:00"}, False),
        ({"working_hours": "07:00-19:00", "time_zone": "Australia/Sydney"}, True),  # 20:00 there
        ({"working_hours": "10:00-19:00"}, True),
        ({"working_hours": "22:00-09:30"}, False),
        ({"working_hours": "22:00-06:00"}, True),
        ({"working_days": ("Sat", "Sun")}, True),
    ],
)
def test_odd_hours_are_the_sites_own(changes: dict[str, Any], odd: bool) -> None:
    """Working hours are those of the site's time zone, its days, and may go over midnight."""
    found = due([a_record(1, "reidentify.requested", request="r", patients="1")], **changes)
    assert [alert.kind for alert in found] == [Kind.ODD_HOURS] * odd


def test_giving_up_is_no_reason_for_an_alert() -> None:
    """Who denies a request, or takes it back, does so at any hour and as often as there is need."""
    records = [a_record(n, "reidentify.denied", n, patients="50") for n in range(9)]
    assert due(records, working_days=("Sat",), sweep_patients=1, refusals=1) == []


def test_without_rules_on_the_trail_nothing_is_due() -> None:
    """What an earlier version wrote is not judged by rules that nobody had set."""
    assert Watch().heed(a_record(1, "reidentify.refused", reason="Expired")) == []


def test_rules_come_back_from_the_trail() -> None:
    """What the trail says of the rules is what the settings said; what cannot be read is an error."""
    there = rules(time_zone="Europe/Berlin", sweep_hours=1.5)
    assert from_detail(there.as_detail(), 1) == there
    with pytest.raises(AuditError, match="record 7"):
        from_detail({**there.as_detail(), "time_zone": "Nowhere/Land"}, 7)


# On a trail


def a_site(home: Path, **changes: Any) -> Site:
    save(Settings(alerts=rules(**changes)), home / "tce.toml")
    return Site(home)


def refuse(site: Site, times: int, who: str = "carol") -> None:
    for _ in range(times):
        Journal(site, who).record(
            "reidentify.refused", success=False, detail={"case": "c", "request": "r", "reason": "NotYours"}
        )


def events(site: Site) -> list[str]:
    Trail(site.audit_trail).verify()
    return [record.event for record in Trail(site.audit_trail).records()]


def test_an_alert_is_told_at_once_and_once(tmp_path: Path) -> None:
    """The alert follows the record that made it due, after the rules that it was due by; no more of it follows."""
    site = a_site(tmp_path, refusals=3)
    refuse(site, 4)
    refused = "reidentify.refused"
    assert events(site) == ["alerts.set", refused, refused, refused, "alert.refusals", refused]
    [found] = examine(Trail(site.audit_trail))
    assert (found.state, found.told_by, found.detail["record"]) == (State.TOLD, 5, "4")


def test_an_alert_is_a_message_that_names_no_patient(tmp_path: Path) -> None:
    """It follows the schema, is a Security Alert of its type, and holds numbers, persons, request and case."""
    site = a_site(tmp_path, refusals=1)
    refuse(site, 1)
    [record] = [one for one in Trail(site.audit_trail).records() if one.event == "alert.refusals"]
    root = etree.fromstring(record.message.encode())
    assert SCHEMA.validate(root), SCHEMA.error_log
    assert root.find("EventIdentification/EventID").get("csd-code") == "110113"
    assert root.find("EventIdentification/EventTypeCode").get("csd-code") == "110144"
    assert root.find("EventIdentification").get("EventOutcomeIndicator") == "8"
    assert [one.get("UserID") for one in root.iter("ActiveParticipant")] == [record.actor, "carol"]
    assert record.detail == {
        "person": "carol",
        "record": "2",
        "refusals": "1",
        "hours": "1.0",
        "case": "c",
        "request": "r",
    }


def test_every_kind_of_alert_is_an_event() -> None:
    """The table of events, from which the documents are made, has them all."""
    assert {str(kind) for kind in Kind} == {event for event in EVENTS if event.startswith("alert.")}
    assert set(KINDS) == set(Kind)


def test_a_missing_alert_is_noticed_and_told_later(tmp_path: Path) -> None:
    """A process that died before it told is noticed by the auditor, and the next watched event tells it."""
    site = a_site(tmp_path, refusals=2)
    refuse(site, 1)
    Trail(site.audit_trail).append("reidentify.refused", actor="carol", outcome=8, detail={"reason": "X"})
    assert [one.state for one in examine(Trail(site.audit_trail))] == [State.MISSING]
    Journal(site, "dave").record("login")
    assert [one.state for one in examine(Trail(site.audit_trail))] == [State.TOLD]
    assert events(site)[-2:] == ["login", "alert.refusals"]


def test_an_alert_that_was_never_due_is_noticed(tmp_path: Path) -> None:
    """Nobody can be accused by an alert that the trail does not bear out, nor by one told twice."""
    site = a_site(tmp_path, refusals=1)
    refuse(site, 1)
    [told] = [one for one in Trail(site.audit_trail).records() if one.event == "alert.refusals"]
    trail = Trail(site.audit_trail)
    trail.append(told.event, actor="tce/1", outcome=8, detail=told.detail)
    trail.append("alert.sweep", actor="tce/1", outcome=12, detail={"person": "dave", "record": "1"})
    assert sorted(one.state for one in examine(trail)) == [State.NOT_DUE, State.NOT_DUE, State.TOLD]


def test_changed_rules_are_on_the_record_and_judge_what_follows(tmp_path: Path) -> None:
    """Looser settings show on the trail and do not undo an alert; the past keeps its own rules."""
    refuse(a_site(tmp_path, refusals=2), 2)
    site = a_site(tmp_path, refusals=9)
    refuse(site, 2)
    assert events(site).count("alerts.set") == 2
    assert [one.state for one in examine(Trail(site.audit_trail))] == [State.TOLD]


def _refuse_elsewhere(home: Path) -> None:
    refuse(Site(home), 5)


def test_processes_together_tell_an_alert_once(tmp_path: Path) -> None:
    """Whoever is first tells it: what several processes write at one time is the same as of one."""
    site = a_site(tmp_path, refusals=4, refusals_of_all=10)
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_refuse_elsewhere, args=(tmp_path,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [one.state for one in examine(Trail(site.audit_trail))] == [State.TOLD] * 7
    assert events(site).count("alerts.set") == 1


def test_a_value_cannot_pass_for_an_event(tmp_path: Path) -> None:
    """A detail that is written like an event is no event: quotes in it are escaped."""
    trail = Trail(tmp_path / "trail.jsonl")
    trail.append("policy.approved", actor="a", detail={"policy": '","event":"login'})
    trail.append("login", actor="a")
    shown: list[str] = []

    def look(records: Iterable[Record]) -> list[Entry]:
        shown.extend(record.event for record in records)
        return []

    assert trail.react(look, to=["login"]) == []
    assert shown == ["login"]


# The auditor's command


def tce(home: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["--home", str(home), *arguments])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_the_auditor_sees_alerts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`tce audit list --alerts` lists them, for programs too; `tce audit verify` counts them."""
    site = a_site(tmp_path, refusals=2)
    refuse(site, 5)
    status, out, _ = tce(tmp_path, capsys, "audit", "list", "--alerts")
    assert status == 0 and out.count("told") == 2
    _, out, _ = tce(tmp_path, capsys, "audit", "list", "--alerts", "--json", "--last", "1")
    [row] = json.loads(out)
    assert (row["alert"], row["state"], row["person"], row["n"]) == ("refusals", "told", "carol", 7)
    assert row["detail"]["record"] == "6"
    assert "2 alerts on it, none missing" in tce(tmp_path, capsys, "audit", "verify")[1]
    _, out, _ = tce(tmp_path, capsys, "audit", "list", "--event", "alert")
    assert out.count(" alert ") == 2


def test_the_auditor_sees_that_one_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both commands end with status 1 and say how many."""
    site = a_site(tmp_path, refusals=1)
    refuse(site, 1)
    Trail(site.audit_trail).append("reidentify.refused", actor="carol", outcome=8)
    for verb in (("list", "--alerts"), ("verify",)):
        status, out, err = tce(tmp_path, capsys, "audit", *verb)
        assert status == 1 and "1 are missing and 0 were never due" in err
    status, out, _ = tce(tmp_path, capsys, "audit", "list", "--alerts")
    assert "missing" in out


def test_the_wrong_role_is_a_refusal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who acts in a role that is not the own one is on the trail; a stranger's name is not."""
    site = a_site(tmp_path, refusals=2)
    for who in ("coordinator", "coordinator", "Miller^Anna"):
        assert tce(tmp_path, capsys, "--as", who, "reidentify", "list")[0] == 1
    found = [(one.event, one.actor) for one in Trail(site.audit_trail).records()]
    assert found[1:3] == [("access.refused", "coordinator")] * 2
    assert found[3][0] == "alert.refusals" and found[4] == ("access.refused", "nobody known")
    assert "Miller" not in site.audit_trail.read_text()


def test_messages_name_this_machine(tmp_path: Path) -> None:
    """The node of every message is the one that the settings name, else the machine's own name."""
    settings = Settings.model_validate({"site": {"node": "192.0.2.17"}})
    save(settings, tmp_path / "tce.toml")
    site = Site(tmp_path)
    Journal(site, "ann").record("login")
    Journal(site, "ann").record("case.approved")
    for record in Trail(site.audit_trail).records():
        [first, *_] = etree.fromstring(record.message.encode()).iter("ActiveParticipant")
        assert first.get("NetworkAccessPointID") == "192.0.2.17"
        assert first.get("NetworkAccessPointTypeCode") == "2"
