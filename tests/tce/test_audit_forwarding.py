"""The audit repository gets all of the trail, in order, whoever was away or died in between."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

import pytest
from lxml import etree

from tce.audit.forwarding import Forwarder, forwarder, standing
from tce.audit.journal import Journal
from tce.audit.repository import RepositorySettings
from tce.audit.trail import Trail
from tce.cli import main
from tce.cli.actors import _until_stopped
from tce.cli.session import Session
from tce.config import Settings, Site, save
from tce.errors import AuditError, Refused, RepositoryAway
from tests.tce.audit_repository import Manner, TlsRepository, UdpRepository, parsed
from tests.tce.test_audit_messages import SCHEMA


@pytest.fixture
def repository(tmp_path: Path) -> TlsRepository:
    return TlsRepository(tmp_path)


@pytest.fixture
def site(tmp_path: Path, repository: TlsRepository) -> Site:
    """A site whose repository is called over TLS."""
    own = repository.certificates()
    network = {"certificate": str(own.certificate), "key": str(own.key), "ca": str(own.ca)}
    audit = {"repository": f"tls://127.0.0.1:{repository.port}", "fingerprints": [repository.fingerprint]}
    home = tmp_path / "home"
    home.mkdir()
    save(Settings.model_validate({"network": {"tls": network}, "audit": audit}), home / "tce.toml")
    return Site(home)


def happen(site: Site, count: int, *, first: int = 0) -> None:
    """Write events with a message each, and as many that have none."""
    journal = Journal(site, "carol")
    for number in range(first, first + count):
        journal.record("case.submitted", detail={"case": f"case-{number}"})
        journal.record("export state", detail={"export": f"e-{number}"})


def of(site: Site) -> Forwarder:
    found = forwarder(site)
    assert found is not None
    return found


def cases_in(got: Sequence[bytes]) -> list[int]:
    """The numbers of the events that messages tell, every message being valid."""
    found = []
    for one in got:
        root = etree.fromstring(parsed(one).xml)
        assert SCHEMA.validate(root), SCHEMA.error_log
        about = re.search(rb"urn:tce:case.submitted:case-([0-9]+)", one)
        if about:
            found.append(int(about[1]))
    return found


@dataclass
class Taking:
    """A repository without a network, that may be away or tell what to do when asked."""

    away: bool = False
    largest: int | None = None
    batches: list[list[bytes]] = field(default_factory=list)

    def send(self, messages: Sequence[bytes]) -> None:
        if self.away:
            raise RepositoryAway("nobody answers")
        self.batches.append(list(messages))

    @property
    def got(self) -> list[bytes]:
        return [one for batch in self.batches for one in batch]


def test_what_happened_arrives_once_and_in_order(site: Site, repository: TlsRepository) -> None:
    """Each call delivers what is new; records without a message are no messages."""
    with repository.open():
        happen(site, 5)
        assert of(site).forward() == 5
        assert of(site).forward() == 0
        happen(site, 3, first=5)
        assert of(site).forward() == 3
    assert cases_in(repository.got) == list(range(8))
    assert standing(Trail(site.audit_trail)).waiting == 0


def test_what_happens_while_it_is_away_waits(site: Site, repository: TlsRepository) -> None:
    """How much waits, since when and why is told; all of it arrives when the repository is there again."""
    happen(site, 4)
    with pytest.raises(RepositoryAway):
        of(site).forward()
    happen(site, 2, first=4)
    found = standing(Trail(site.audit_trail))
    assert (found.delivered, found.waiting) == (0, 6)
    assert found.oldest == next(iter(Trail(site.audit_trail).records())).time
    assert "cannot be reached" in found.why and datetime.fromisoformat(found.away_since)
    with repository.open():
        assert of(site).forward() == 6
    assert cases_in(repository.got) == list(range(6))
    found = standing(Trail(site.audit_trail))
    assert (found.waiting, found.oldest, found.away_since, found.why) == (0, "", "", "")


@pytest.mark.parametrize("manner", [Manner.NO_ANSWER, Manner.RESET])
def test_what_was_not_confirmed_is_sent_again(site: Site, repository: TlsRepository, manner: Manner) -> None:
    """A repository that dies in a batch may get it twice, and never misses a part of it."""
    happen(site, 4)
    repository.manner = manner
    with repository.open(), pytest.raises(RepositoryAway):
        of(site).forward()
    before = len(repository.got)
    repository.manner = Manner.PROPER
    with repository.open():
        of(site).forward()
    assert cases_in(repository.got[before:]) == list(range(4))


def _dies(site: Site, into: Path, batch: int, kill_at: int, *, after: bool) -> None:
    """Forward into a file, and be killed at one of the batches: before it, or before its cursor is written."""

    class Dying:
        largest = None
        sent = 0

        def send(self, messages: Sequence[bytes]) -> None:
            if self.sent == kill_at and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            with into.open("a") as out:
                out.write("".join(json.dumps(one.decode()) + "\n" for one in messages) + "\n")
            if self.sent == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            self.sent += 1

    replace(of(site), sender=Dying(), batch=batch).forward()


@pytest.mark.parametrize("after", [False, True], ids=["before it is sent", "before it is noted"])
def test_a_killed_process_loses_nothing_and_repeats_one_batch_at_most(
    site: Site, tmp_path: Path, after: bool
) -> None:
    """Killed again and again, at a later batch each time: all arrive in order, and only a last batch twice."""
    happen(site, 12)
    into = tmp_path / "sent"
    into.touch()
    for kill_at in (0, 1, 0, 2, 99):
        child = get_context("fork").Process(
            target=_dies, args=(site, into, 1500, kill_at), kwargs={"after": after}
        )
        child.start()
        child.join(60)
        assert child.exitcode == (0 if kill_at == 99 else -signal.SIGKILL)
    batches = [
        cases_in([json.loads(line).encode() for line in text.splitlines()])
        for text in into.read_text().split("\n\n")
        if text.strip()
    ]
    assert len(batches) > 5
    seen: list[int] = []
    repeated = 0
    for before, batch in zip([[], *batches], batches, strict=False):
        if batch == before:
            repeated += 1
            continue
        seen += batch
    assert seen == list(range(12))
    assert repeated <= (4 if after else 0)


def test_a_long_trail_goes_in_batches(site: Site) -> None:
    """Memory holds one batch, however much waits; each is noted before the next is sent."""
    happen(site, 30)
    taking = Taking()
    assert replace(of(site), sender=taking, batch=8000).forward() == 30
    assert len(taking.batches) > 3
    assert max(sum(map(len, batch)) for batch in taking.batches) < 12_000
    assert cases_in(taking.got) == list(range(30))


def test_an_absence_that_lasts_is_an_alert(site: Site) -> None:
    """One Security Alert after the set time and one when the repository is there again, both delivered too."""
    happen(site, 2)
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    taking = Taking(away=True)
    for hours in (0, 0.9, 1.1, 5):
        there = replace(of(site), sender=taking, now=lambda hours=hours: begin + timedelta(hours=hours))
        with pytest.raises(RepositoryAway):
            there.forward()
        events = [record.event for record in Trail(site.audit_trail).records()]
        assert events.count("audit.repository-away") == (1 if hours > 1 else 0)
    taking.away = False
    there.forward()
    assert [record.event for record in Trail(site.audit_trail).records()][-2:] == [
        "audit.repository-away",
        "audit.repository-back",
    ]
    [away] = [one for one in Trail(site.audit_trail).records() if one.event == "audit.repository-away"]
    assert away.detail == {"away_since": "2026-01-01T00:00:00+00:00", "waiting": "2"}
    assert [b"110140" in one for one in taking.got] == [False, False, True, False]
    assert b"110139" in taking.got[-1]


def test_a_short_absence_is_no_alert(site: Site) -> None:
    """A repository that is started anew is nothing to look at."""
    happen(site, 1)
    taking = Taking(away=True)
    with pytest.raises(RepositoryAway):
        replace(of(site), sender=taking).forward()
    taking.away = False
    replace(of(site), sender=taking).forward()
    assert {record.event for record in Trail(site.audit_trail).records()} == {
        "case.submitted",
        "export state",
    }


def test_a_message_that_no_datagram_holds_is_an_alert(tmp_path: Path) -> None:
    """It is not sent cut off: an alert that names the record goes in its place, and the others go."""
    repository = UdpRepository()
    with repository.open():
        audit = RepositorySettings(repository=f"udp://127.0.0.1:{repository.port}")
        save(Settings(audit=audit), tmp_path / "tce.toml")
        site = Site(tmp_path)
        happen(site, 1)
        Journal(site, "carol").record("case.events", detail={"case": "large", "what": "x" * 40_000})
        happen(site, 1, first=1)
        assert of(site).forward() == 3
    assert cases_in(repository.got) == [0, 1]
    [alert] = [one for one in Trail(site.audit_trail).records() if one.event == "audit.too-large"]
    assert alert.detail["record"] == "3" and int(alert.detail["octets"]) > 32768
    assert b"110133" in repository.got[-1]


@pytest.mark.parametrize("what", ["edited", "cut", "another"])
def test_a_trail_that_was_rewritten_is_not_sent(site: Site, what: str) -> None:
    """What follows is proved to follow what was delivered; where it does not, nothing goes and the reason stays."""
    happen(site, 3)
    taking = Taking()
    there = replace(of(site), sender=taking)
    there.forward()
    path = site.audit_trail
    if what == "edited":
        happen(site, 1, first=3)
        path.write_bytes(path.read_bytes().replace(b'"case":"case-3"', b'"case":"case-9"'))
    else:
        path.unlink()
        path.with_suffix(".head").unlink()
        happen(site, 3 if what == "another" else 1)
    before = len(taking.got)
    with pytest.raises(AuditError):
        there.forward()
    assert len(taking.got) == before


def test_one_process_at_a_time_forwards(site: Site) -> None:
    """The other one leaves it alone instead of sending the same."""
    happen(site, 1)
    inside, leave = threading.Event(), threading.Event()

    class Slow(Taking):
        def send(self, messages: Sequence[bytes]) -> None:
            inside.set()
            assert leave.wait(30)
            super().send(messages)

    slow = Slow()
    first = threading.Thread(target=replace(of(site), sender=slow).forward)
    first.start()
    assert inside.wait(30)
    assert replace(of(site), sender=Taking()).forward() is None
    leave.set()
    first.join(30)
    assert cases_in(slow.got) == [0]


def test_an_actor_forwards_while_it_runs(
    site: Site, repository: TlsRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What happens under it arrives without anybody's call, its own start and stop included."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)

    def work(stop: threading.Event, started: object) -> None:
        assert callable(started)
        started(104)
        happen(site, 2)

    with repository.open():
        _until_stopped(Session(site.home), "Export Manager", "manager", "MANAGER", work)
    assert cases_in(repository.got) == [0, 1]
    assert [code in repository.got[at] for at, code in ((0, b"110120"), (-1, b"110121"))] == [True, True]


def test_an_actor_works_on_while_the_repository_is_away(
    site: Site, repository: TlsRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its messages wait for the next one that forwards."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    _until_stopped(
        Session(site.home),
        "Receiver",
        "receiver",
        "R",
        lambda stop, started: (started(104), happen(site, 1))[1],
    )
    assert standing(Trail(site.audit_trail)).waiting == 3
    with repository.open():
        assert of(site).forward() == 3


def _tce(site: Site, *words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["--home", str(site.home), *words])
    return int(str(ended.value.code))


def test_the_commands_send_and_tell(
    site: Site, repository: TlsRepository, capsys: pytest.CaptureFixture[str]
) -> None:
    """``tce audit forward`` sends once, ``tce audit status`` says how many wait."""
    happen(site, 2)
    assert _tce(site, "audit", "forward") == 1
    capsys.readouterr()
    assert _tce(site, "audit", "status", "--json") == 0
    [row] = json.loads(capsys.readouterr().out)
    assert (row["waiting"], row["delivered"]) == (2, 0) and row["oldest"] and row["away_since"] and row["why"]
    with repository.open():
        assert _tce(site, "audit", "forward") == 0
    assert "2 messages sent" in capsys.readouterr().out
    assert cases_in(repository.got) == [0, 1]


def test_a_site_without_repository_says_so(tmp_path: Path) -> None:
    """Nothing is forwarded, and nothing counts as waiting."""
    save(Settings(), tmp_path / "tce.toml")
    site = Site(tmp_path)
    assert forwarder(site) is None
    assert _tce(site, "audit", "forward") == 1
    assert _tce(site, "audit", "status") == 0


def test_tls_needs_certificates(tmp_path: Path) -> None:
    """A repository is not called without a certificate of the site."""
    save(Settings(audit=RepositorySettings(repository="tls://audit.example")), tmp_path / "tce.toml")
    with pytest.raises(Refused, match="no certificates"):
        forwarder(Site(tmp_path))


def test_a_cursor_that_cannot_be_read_stops_forwarding(site: Site) -> None:
    """Nobody guesses how far the repository got."""
    happen(site, 1)
    site.audit_trail.with_suffix(".forwarded").write_text("{}}")
    with pytest.raises(AuditError, match="cannot be read"):
        of(site).forward()
