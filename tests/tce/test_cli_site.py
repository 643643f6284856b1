"""``tce init`` says what comes next, and that is what really does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tce.cli import main
from vault.server import EmbeddedServer


@pytest.mark.vault
def test_the_next_step_is_the_one_that_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A site whose policy is approved is not told to submit it; each step before names who does it."""

    def tce(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["--home", str(tmp_path), *words])
        printed = capsys.readouterr()
        assert ended.value.code == 0, printed.err
        return printed.out

    try:
        said = [tce("init", "--coordinator", "carla", "--approver", "ann")]
        tce("--as", "carla", "policy", "submit", "pseudonymization")
        said.append(tce("init"))
        assert "to do: tce vault enrol-person ann " in said[0]
        tce("vault", "enrol-person", "ann", "--keep")
        tce("--as", "ann", "policy", "approve", "pseudonymization")
        said.append(tce("init"))
        tce("--as", "ann", "policy", "withdraw", "pseudonymization", "--reason", "x")
        said.append(tce("init"))
        tce("--as", "carla", "policy", "submit", "pseudonymization")
        said.append(tce("init"))
    finally:
        EmbeddedServer(tmp_path / "vault").stop()
    following = [text.partition("next: ")[2].split("   ")[0].strip() for text in said]
    assert following == [
        "tce --as carla policy submit pseudonymization",
        "tce --as ann policy approve pseudonymization",
        "tce case new CASE",
        "tce --as carla policy submit pseudonymization",
        "tce --as ann policy approve pseudonymization",
    ]
