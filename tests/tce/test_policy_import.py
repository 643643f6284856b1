"""``tce policy import``: a draft and a report of another de-identifier's file, and a list of a lookup table."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from policies import loader
from policies.errors import PolicyFault
from policies.importing import dialects
from policies.importing.likeness import Likeness
from policies.importing.original import Dialect
from tce import lookup_tables, subject_lists
from tce.cli import main
from tce.subject_lists import Format
from tests.builders import a_ct_study
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


COMPARED = """<script>
 <e en="T" t="00080018" n="SOPInstanceUID">@keep()</e>
 <e en="T" t="00080060" n="Modality">@keep()</e>
 <e en="T" t="00080070" n="Manufacturer">@remove()</e>
 <e en="T" t="00080090" n="ReferringPhysicianName">@keep()</e>
 <e en="T" t="00081010" n="StationName">@keep()</e>
 <e en="T" t="00100010" n="PatientName">@remove()</e>
 <e en="T" t="00100020" n="PatientID">@remove()</e>
 <e en="T" t="00100040" n="PatientSex">@if(this,exists){@keep()}{@remove()}</e>
 <r en="T" t="privategroups">x</r>
</script>
"""


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A CT instance, one with private elements and items, one that is held, and a file that is none."""
    folder = tmp_path / "sample"
    folder.mkdir()
    for number, made in enumerate(a_ct_study(slices=2)[:2]):
        ds = made.instance
        ds.StationName = "SECRETSTATION"
        ds.Manufacturer = "SECRETMAKER"
        ds.PatientSex = "F"
        if number:
            item = Dataset()
            item.RequestedProcedureID = "SECRETREQUEST"
            ds.RequestAttributesSequence = [item]
            ds.private_block(0x0019, "SECRETCREATOR", create=True).add_new(0x0A, "LO", "SECRETPRIVATE")
        ds.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    ds.BurnedInAnnotation = "YES"
    ds.save_as(folder / "held.dcm", enforce_file_format=True)
    (folder / "letter.txt").write_text("no DICOM")
    return folder


def test_a_comparison_tells_who_keeps_more(tce: Tce, tmp_path: Path, sample: Path) -> None:
    """By attribute and count, without a value; where the draft keeps more comes first, and nothing equal is told."""
    script = a_file(tmp_path, "a.script", COMPARED)
    status, told, _ = tce(
        script, "--from", "ctp", "--out", tmp_path / "d.yaml", "--compare", sample, "--json"
    )
    found = json.loads(told)["comparison"]
    assert status == 0
    assert found["instances"] == 2
    assert sum(found["not_passed_by_the_draft"].values()) == 2
    more = {line["attribute"]: line for line in found["draft_keeps_more"]}
    less = {line["attribute"]: line for line in found["draft_removes_more"]}
    assert more["PatientID"] == {
        "attribute": "PatientID",
        "original": "gone",
        "draft": "replaced",
        "count": 2,
    }
    assert less["SOPInstanceUID"] == {
        "attribute": "SOPInstanceUID",
        "original": "kept",
        "draft": "replaced",
        "count": 2,
    }
    assert less["RequestAttributesSequence"]["count"] == 2, "CTP leaves items alone that no row descends into"
    assert less["StudyDate"]["original"] == "kept", "CTP keeps what no row names"
    assert not {"Manufacturer", "StationName", "Modality", "(0019,xx0A)"} & {*more, *less}
    assert "SECRET" not in told
    status, told, _ = tce(script, "--from", "ctp", "--out", tmp_path / "e.yaml", "--compare", sample)
    assert told.index("The draft keeps more:") < told.index("PatientID: gone there, replaced here (2)")
    assert told.index("PatientID: gone there") < told.index("The draft removes more:")
    assert "SECRET" not in told


def test_a_comparison_sees_where_a_draft_is_looser() -> None:
    """A policy that keeps what the original removes is told so, within sequences too."""
    source, kept = Dataset(), Dataset()
    item = Dataset()
    item.CodeMeaning = "a"
    for ds in (source, kept):
        ds.Manufacturer = "a"
        ds.ProcedureCodeSequence = [item]
    kept.Manufacturer = "a"
    rows = '<e en="T" t="00080070">@remove()</e><e en="T" t="00081032">@remove()</e>'
    likeness = Likeness.of(dialects.read(f"<script>{rows}</script>", Dialect.CTP))
    likeness.add(source, kept)
    assert sorted(one.words for one in likeness.differences if one.keeps_more) == [
        "Manufacturer: gone there, kept here",
        "ProcedureCodeSequence > CodeMeaning: gone there, kept here",
    ]
