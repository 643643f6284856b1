"""``tce media label`` at the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tce.cli import main
from tests.media.builders import a_medium, an_instance


def label(capsys: pytest.CaptureFixture[str], home: Path, *arguments: object) -> tuple[int, str, str]:
    """Exit status and what was printed."""
    with pytest.raises(SystemExit) as ended:
        main(["--home", str(home), "media", "label", *map(str, arguments)])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_labels_of_a_set_are_numbered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Several media give one page; it needs no site and shows pseudonyms, case and date."""
    media = [a_medium(tmp_path / str(patient), an_instance(patient=patient)).path for patient in (1, 2)]
    out = tmp_path / "label.htm"
    options = ("--out", out, "--case", "lung-1", "--date", "2026-01-02")
    status, said, _ = label(capsys, tmp_path / "none", *media, *options)
    page = out.read_text(encoding="utf-8")
    assert status == 0 and "2 labels in" in said
    assert "1 of 2" in page and "2 of 2" in page and "PSN0002" in page and "2026-01-02" in page


def test_a_label_is_never_written_onto_a_medium(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A page that would lie below the folder of a medium is refused."""
    medium = a_medium(tmp_path).path
    before = sorted(medium.rglob("*"))
    status, _, said = label(capsys, tmp_path / "none", medium, "--out", medium / "IHE_PDI" / "LABEL.HTM")
    assert status == 1 and "on the medium" in said
    assert sorted(medium.rglob("*")) == before
