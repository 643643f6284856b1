"""A selection for a case that nobody approved is held, says why, and goes on when it is approved and released."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tce.cli import main
from tce.config import Settings, Site, save
from tce.demo.children import Children, free_ports
from tests.builders import a_ct_study
from vault.server import EmbeddedServer

pytestmark = pytest.mark.vault


class User:
    """Somebody at the command line of one site."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._home = home
        self._capsys = capsys

    def __call__(self, line: str, *paths: Path, status: int = 0) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["--home", str(self._home), *line.split(), *map(str, paths)])
        printed = self._capsys.readouterr()
        assert ended.value.code == status, printed.err
        return printed.out + printed.err

    def await_state(self, state: str) -> str:
        """Wait until the only export has a state; return its id."""
        give_up = time.monotonic() + 60
        while True:
            # What stands behind it came on the other stream.
            found, _ = json.JSONDecoder().raw_decode(self("exports list --json"))
            if found and found[0]["state"] == state:
                return str(found[0]["id"])
            assert time.monotonic() < give_up, found
            time.sleep(0.1)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    settings = Settings().model_dump()
    manager, receiver = free_ports(2)
    settings["network"]["manager"]["port"] = manager
    settings["network"]["receiver"]["port"] = receiver
    settings["people"]["second_factor"] = ()
    settings["exports"] |= {"settle_seconds": 0.1, "poll_seconds": 0.05}
    home = tmp_path / "site"
    home.mkdir()
    save(Settings.model_validate(settings), home / "tce.toml")
    yield Site(home)
    EmbeddedServer(home / "vault").stop()


@pytest.fixture
def actors(tmp_path: Path) -> Iterator[Children]:
    actors = Children(tmp_path / "run", tmp_path / "logs")
    yield actors
    actors.end_all()


def test_a_held_export_is_released(
    site: Site, actors: Children, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Held before approval, held again when released too early, delivered once when approved."""
    user, network = User(site.home, capsys), site.settings.network
    identified = tmp_path / "identified"
    identified.mkdir()
    for number, sample in enumerate(a_ct_study(slices=2)):
        sample.instance.save_as(identified / str(number), enforce_file_format=True)
    receiver = f"TCE_RECEIVER@127.0.0.1:{network.receiver.port}"
    user("init")
    user("--as coordinator policy submit pseudonymization")
    user("--as approver policy approve pseudonymization")
    user("policy new basic")
    user(f"case new c1 --title T --purpose P --stage2 basic --receiver {receiver}")
    user("pseudonymize --case c1 --out", tmp_path / "ps", identified)
    received = tmp_path / "received"
    home = ["--home", str(site.home)]
    actors.start("receiver", [*home, "receiver", "run", "--out", str(received)], port=network.receiver.port)
    actors.start("manager", [*home, "manager", "run"], port=network.manager.port)
    # Selected, but nobody has approved anything.
    user(f"select --yes --case c1 --to TCE_MANAGER@127.0.0.1:{network.manager.port}", tmp_path / "ps")
    export = user.await_state("held")
    assert "not approved" in user(f"exports show {export}")
    # Released too early, it passes every check again, and is held again.
    user(f"exports release {export}")
    user.await_state("held")
    assert not received.exists()
    # Approved and released, it goes all the way.
    for what in ("policy submit basic", "case submit c1"):
        user(f"--as coordinator {what}")
    for what in ("policy approve basic", "case approve c1"):
        user(f"--as approver {what}")
    user(f"exports release {export}")
    assert user.await_state("delivered") == export
    shown = json.loads(user(f"exports show {export} --json"))
    assert Path(shown["release"]).is_file()
    give_up = time.monotonic() + 60
    while not (received / "1" / "DICOMDIR").exists():
        assert time.monotonic() < give_up
        time.sleep(0.1)
    user("verify", Path(shown["release"]).parent, received / "1")
    # What was delivered can be neither cancelled nor sent again.
    for verb in ("cancel", "retry", "release", "hold"):
        assert "delivered" in user(f"exports {verb} {export}", status=1)


def test_an_actor_has_its_port_for_itself(
    site: Site, actors: Children, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second Export Manager of the same site is told what is wrong, and the first one stays."""
    user, port = User(site.home, capsys), site.settings.network.manager.port
    user("init")
    actors.start("manager", ["--home", str(site.home), "manager", "run"], port=port)
    said = user("manager run", status=1)
    assert len(said.splitlines()) == 2
    actors.check()
