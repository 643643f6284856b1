"""``tce policy import``: a draft and a report of another de-identifier's file, and a list of a lookup table."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from policies import loader
from policies.errors import PolicyFault
from tce import lookup_tables, subject_lists
from tce.cli import main
from tce.subject_lists import Format
from vault.keys import Kind

SCRIPT = """<script>
 <e en="T" t="00100020" n="PatientID">@lookup(this,ptid)</e>
 <e en="T" t="00100010" n="PatientName">@lookup(PatientID,ptid)</e>
 <e en="T" t="00080050" n="AccessionNumber">@lookup(this,acc)</e>
 <e en="T" t="00080020" n="StudyDate">@incrementdate(this,PatientID,days)</e>
 <e en="T" t="00080080" n="InstitutionName">@lookup(this,site,UC)</e>
 <e en="T" t="00081010" n="StationName">@keep()</e>
</script>
"""
TABLE = r"""# a table
acc/7001 = A1
acc/70\ 02 = @acc/7001
days/4711 = -31
site/HERE = there
other/1 = 2
acc/7003 = @acc/none
broken
"""

Tce = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tce(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Tce:
    """Runs ``tce policy import`` where there is no site."""

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["--home", str(tmp_path / "none"), "policy", "import", *map(str, arguments)])
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


def a_file(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_script_becomes_a_policy_and_a_report(tce: Tce, tmp_path: Path) -> None:
    """The draft loads as a policy; what it keeps is told before anything else."""
    out = tmp_path / "draft.yaml"
    script = a_file(tmp_path, "a.script", SCRIPT)
    status, told, _ = tce(script, "--from", "ctp", "--name", "ours", "--out", out)
    assert status == 0
    assert loader.load(out).name == "ours"
    assert told.index("Keeps more than the profile") < told.index("line 7: StationName: kept")
    status, _, wrong = tce(script, "--from", "ctp", "--out", out)
    assert status == 1 and "exists" in wrong


def test_the_report_is_for_programs_too(tce: Tce, tmp_path: Path) -> None:
    """``--json`` has every line, by how it was carried over."""
    status, told, _ = tce(
        a_file(tmp_path, "a.script", SCRIPT), "--from", "ctp", "--out", tmp_path / "d.yaml", "--json"
    )
    report = json.loads(told)
    assert status == 0
    assert [line["attribute"] for line in report["keeps_more_than_the_profile"]] == [
        "StudyDate",
        "StationName",
    ]


def test_the_dialect_is_not_guessed(tce: Tce, tmp_path: Path) -> None:
    """Without a dialect nothing is read, and with another one the reason is told."""
    script = a_file(tmp_path, "a.script", SCRIPT)
    assert tce(script, "--out", tmp_path / "d.yaml")[0] == 2
    status, _, wrong = tce(script, "--from", "karnak", "--out", tmp_path / "d.yaml")
    assert status == 1
    assert "a script of CTP's DicomAnonymizer, not a profile of Karnak" in wrong and "--from ctp" in wrong


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"x" * 4_000_001], ids=["no text", "too large"])
def test_what_is_no_text_or_too_large_is_refused(tce: Tce, tmp_path: Path, content: bytes) -> None:
    """A file that cannot be what it is said to be is not read further."""
    path = tmp_path / "a.script"
    path.write_bytes(content)
    assert tce(path, "--from", "ctp", "--out", tmp_path / "d.yaml")[0] == 1
    assert not (tmp_path / "d.yaml").exists()


def test_a_lookup_table_becomes_a_list_that_is_imported(tce: Tce, tmp_path: Path) -> None:
    """Key types stand for what the script looks up in them; the list is read by ``tce mapping import``."""
    script, table = a_file(tmp_path, "a.script", SCRIPT), a_file(tmp_path, "t.properties", TABLE)
    out = tmp_path / "list.csv"
    status, told, wrong = tce(table, "--from", "ctp-lookup", "--script", script, "--out", out)
    assert status == 0
    entries = {
        (entry.identifier[0], entry.identifier[2]): entry.pseudonym
        for entry in subject_lists.read(out, Format.CSV).entries
    }
    assert entries == {("accession", "7001"): "A1", ("accession", "70 02"): "A1", ("days", "4711"): "-31"}
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert not any(value in told + wrong for value in ("4711", "7001", "HERE", "A1"))
    assert [line for line in told.splitlines() if line.startswith("  line")] == [
        "  line 5: CTP compares its keys without regard to capitals",
        "  line 6: the script looks nothing up in its key type",
        "  line 7: it leads to no value",
        "  line 8: it has no key type, or no key",
    ]


def test_a_key_type_with_two_meanings_is_not_carried_over() -> None:
    """A table whose keys stand for a patient here and for another attribute there cannot be told apart."""
    table = "ptid/4711 = LN-1\n"
    assert lookup_tables.convert(table, SCRIPT).counts == {Kind.PATIENT_ID: 1}
    other = SCRIPT.replace("@lookup(this,acc)", "@lookup(this,ptid)")
    with pytest.raises(PolicyFault, match="nothing in it"):
        lookup_tables.convert(table, other)


@pytest.mark.parametrize("options", [("--out", "x.csv"), ("--script", "a.script")])
def test_a_table_needs_its_script_and_a_file(tce: Tce, tmp_path: Path, options: tuple[str, str]) -> None:
    """What a table is of is not guessed, and what names patients is not printed."""
    a_file(tmp_path, "a.script", SCRIPT)
    table = a_file(tmp_path, "t.properties", TABLE)
    status, told, wrong = tce(table, "--from", "ctp-lookup", options[0], tmp_path / options[1])
    assert status == 1
    assert "4711" not in told + wrong
