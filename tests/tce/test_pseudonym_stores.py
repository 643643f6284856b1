"""Cases whose pseudonyms no key gives, on a real site: drawn, imported, from a closed list, and never given twice."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pydicom
import pytest

from tce.audit.trail import Trail
from tce.cli import main
from tce.config import Site
from tests.builders import a_ct_study, an_mr_study
from vault.scheme import Form
from vault.server import EmbeddedServer

pytestmark = pytest.mark.vault

KEYED = "keyed"
DRAWN = "drawn"


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str


Tce = Callable[..., Said]


@pytest.fixture
def tce(home: Path, capsys: pytest.CaptureFixture[str]) -> Tce:
    """Runs a command line on the site."""

    def run(*arguments: object) -> Said:
        with pytest.raises(SystemExit) as ended:
            main(["--home", str(home), *(str(argument) for argument in arguments)])
        printed = capsys.readouterr()
        return Said(int(ended.value.code or 0), printed.out, printed.err)

    return run


def case_of(name: str, policies: str, *more: str) -> list[str]:
    one, two = f"{policies}-one", f"{policies}-two"
    new = f"case new {name} --title T --purpose P --stage1 {one} --stage2 {two} --receiver R@127.0.0.1:9"
    return [" ".join((new, *more)), f"--as carla case submit {name}", f"--as ann case approve {name}"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A site with approved policies of both stages, derived and drawn, and approved cases."""
    home = tmp_path_factory.mktemp("stores") / "site"
    people = "--coordinator carla --approver ann --auditor otto --custodian kim --custodian lee"
    steps = [f"init --no-second-factor --name test {people}"]
    names = [f"{way}-{stage}" for way in (KEYED, DRAWN) for stage in ("one", "two")]
    like = {"one": "pseudonymization", "two": "longitudinal-trial"}
    steps += [f"policy new {name} --like {like[name.split('-')[1]]}" for name in names]
    steps += [f"--as carla policy submit {name}" for name in names]
    steps += [f"--as ann policy approve {name}" for name in names]
    steps += case_of("drawn", DRAWN, "--prefix", "DR")
    steps += case_of("digits", KEYED, "--alphabet", "digits", "--length", "15")
    steps += case_of("trial", KEYED, "--subjects", "listed")
    steps += case_of("moved", KEYED)
    try:
        for step in steps:
            with pytest.raises(SystemExit) as ended:
                main(["--home", str(home), *step.split()])
            assert ended.value.code == 0, step
            if step.startswith(f"policy new {DRAWN}"):
                file = home / "policies" / f"{step.split()[2]}-1.yaml"
                file.write_text(file.read_text() + "pseudonyms: random\n")
        yield home
    finally:
        EmbeddedServer(home / "vault").stop()


@pytest.fixture
def identified(tmp_path: Path) -> Path:
    """Two studies of two patients."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number, sample in enumerate([*a_ct_study(slices=2), *an_mr_study(slices=2)]):
        sample.instance.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    return folder


def patients_of(identified: Path) -> list[tuple[str, str]]:
    """Issuer and ID of each patient."""
    found = (pydicom.dcmread(path) for path in sorted(identified.iterdir()))
    return sorted({(str(ds.get("IssuerOfPatientID", "")), str(ds.PatientID)) for ds in found})


def files(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*.dcm")}


def subjects(folder: Path, identified: Path, *names: str) -> Path:
    """A coordinator's list of the first patients."""
    path = folder / "subjects.csv"
    lines = [
        f"{id_},{issuer},{name}" for (issuer, id_), name in zip(patients_of(identified), names, strict=False)
    ]
    path.write_text("\n".join(["patient_id,issuer,subject_id", *lines]))
    return path


def test_what_is_drawn_stays_and_is_proven(home: Path, identified: Path, tmp_path: Path, tce: Tce) -> None:
    """Both stages with drawn pseudonyms: the same input gives the same bytes again, and every result is verified."""
    for stage, source in (("pseudonymize", identified), ("anonymize", tmp_path / "pseudonymize-1")):
        for run in (1, 2):
            out = tmp_path / f"{stage}-{run}"
            said = tce(stage, source, "--case", "drawn", "--out", out, "--verify")
            assert said.status == 0, said.err
        assert files(tmp_path / f"{stage}-1") == files(tmp_path / f"{stage}-2") != {}
        for path in (tmp_path / f"{stage}-1").rglob("*.dcm"):
            ds = pydicom.dcmread(path)
            assert Form("DR").holds(ds.PatientID)
            assert UUID(int=int(ds.SOPInstanceUID.removeprefix("2.25."))).version == 4
    begun = [one.detail for one in Trail(Site(home).audit_trail).records() if one.event == "case.store"]
    assert [one["stage"] for one in begun if one["case"] == "drawn"] == ["pseudonymize", "anonymize"]


def test_nothing_runs_without_its_store(home: Path, identified: Path, tmp_path: Path, tce: Tce) -> None:
    """When the database is lost, drawn pseudonyms are not drawn anew; a backup brings them back."""
    for stage, source in (("pseudonymize", identified), ("anonymize", tmp_path / "pseudonymize-0")):
        arguments = (stage, source, "--case", "drawn", "--out")
        assert tce(*arguments, tmp_path / f"{stage}-0").status == 0
        backup = tmp_path / f"{stage}.db"
        assert tce("mapping", "backup", backup).status == 0
        kept = tmp_path / f"{stage}-kept"
        kept.mkdir()
        for file in home.glob("mapping.db*"):
            shutil.move(file, kept)
        said = tce(*arguments, tmp_path / "never")
        assert said.status == 1
        assert "is not in the database" in said.err
        assert not (tmp_path / "never").exists()
        assert tce("mapping", "restore", backup).status == 0
        assert tce(*arguments, tmp_path / f"{stage}-again").status == 0
        assert files(tmp_path / f"{stage}-again") == files(tmp_path / f"{stage}-0")


def test_another_alphabet_is_proven_too(identified: Path, tmp_path: Path, tce: Tce) -> None:
    """A case with digits has pseudonyms of digits in both stages, and verification knows them."""
    said = tce("pseudonymize", identified, "--case", "digits", "--out", tmp_path / "ps", "--verify")
    assert said.status == 0, said.err
    said = tce("anonymize", tmp_path / "ps", "--case", "digits", "--out", tmp_path / "an", "--verify")
    assert said.status == 0, said.err
    for path in (tmp_path / "an").rglob("*.dcm"):
        assert len(pydicom.dcmread(path).PatientID) == 15
        assert str(pydicom.dcmread(path).PatientID).isdigit()


def test_a_closed_list_takes_its_subjects_and_nobody_else(
    home: Path, identified: Path, tmp_path: Path, tce: Tce
) -> None:
    """Without a list nothing runs; with it its subjects keep their IDs, and others are set aside with the reason."""
    pseudonymize = ("pseudonymize", identified, "--case", "trial", "--verify", "--out")
    assert "no list" in tce(*pseudonymize, tmp_path / "ps").err
    given = subjects(tmp_path, identified, "SITE1-001")
    assert tce("mapping", "import", given, "--case", "trial").status == 1
    assert tce("--as", "kim", "mapping", "import", given, "--case", "trial").status == 1
    said = tce("--as", "carla", "mapping", "import", given, "--case", "trial")
    assert said.status == 0, said.err
    assert "1 pseudonym imported" in said.out
    said = tce(*pseudonymize, tmp_path / "ps")
    assert said.status == 3
    assert "not-listed" in said.err
    assert {path.name for path in (tmp_path / "ps").iterdir()} == {"SITE1-001"}
    assert {pydicom.dcmread(path).PatientID for path in (tmp_path / "ps").rglob("*.dcm")} == {"SITE1-001"}
    again = tce("--as", "carla", "mapping", "import", given, "--case", "trial")
    assert "0 pseudonyms imported" in again.out
    trail = Site(home).audit_trail.read_text()
    assert "mapping.imported" in trail
    assert not [id_ for _, id_ in patients_of(identified) if f'"{id_}"' in trail]


def test_stage_2_gives_the_subjects_of_its_own_list(identified: Path, tmp_path: Path, tce: Tce) -> None:
    """A list for stage 2 names the pseudonyms of stage 1; what is delivered then has the trial's IDs, and is proven."""
    assert tce("pseudonymize", identified, "--case", "moved", "--out", tmp_path / "ps").status == 0
    given = subjects(tmp_path, next((tmp_path / "ps").glob("*/*/*")), "TRIAL-7")
    said = tce("--as", "carla", "mapping", "import", given, "--case", "moved", "--stage", "anonymize")
    assert said.status == 0, said.err
    said = tce("anonymize", tmp_path / "ps", "--case", "moved", "--out", tmp_path / "an", "--verify")
    assert said.status == 0, said.err
    names = sorted(path.name for path in (tmp_path / "an").iterdir())
    assert len(names) == 2
    assert "TRIAL-7" in names


def test_a_faulty_list_changes_nothing(home: Path, identified: Path, tmp_path: Path, tce: Tce) -> None:
    """A list with a fault is refused with its line, on the record, and the case goes on as before."""
    given = subjects(tmp_path, identified, "S-1", "S-1")
    said = tce("--as", "carla", "mapping", "import", given, "--case", "digits")
    assert said.status == 1
    assert "line 3" in said.err
    assert not list(home.glob("cases/digits/pseudonyms.pseudonymize"))
    last = [one for one in Trail(Site(home).audit_trail).records() if one.event == "mapping.imported"][-1]
    assert last.detail["refusal"] == "BadList"


def _agreed(tce: Tce, case: str) -> None:
    for words in (f"--as carla case submit {case}", f"--as ann case approve {case}"):
        said = tce(*words.split())
        assert said.status == 0, said.err


def test_a_case_does_not_change_its_way(home: Path, identified: Path, tmp_path: Path, tce: Tce) -> None:
    """A case that began with derived pseudonyms never draws, and one that draws never derives."""
    assert tce("pseudonymize", identified, "--case", "digits", "--out", tmp_path / "a").status == 0
    assert tce("pseudonymize", identified, "--case", "drawn", "--out", tmp_path / "b").status == 0
    for case, old, new, words in (
        ("digits", KEYED, DRAWN, "derived"),
        ("drawn", DRAWN, KEYED, "drawn at random"),
    ):
        text = home / "cases" / case / "case.yaml"
        kept, other = text.read_text(), home / "cases" / "moved" / "case.yaml"
        digest = {
            way: next(line for line in source.read_text().splitlines() if line.strip().startswith("digest:"))
            for way, source in ((KEYED, other), (DRAWN, home / "cases" / "drawn" / "case.yaml"))
        }
        text.write_text(kept.replace(f"{old}-one", f"{new}-one").replace(digest[old], digest[new]))
        # One person's edit is stopped as such; here two agree on it.
        _agreed(tce, case)
        said = tce("pseudonymize", identified, "--case", case, "--out", tmp_path / "never")
        text.write_text(kept)
        _agreed(tce, case)
        assert said.status == 1
        assert words in said.err
