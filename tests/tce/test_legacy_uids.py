"""A trial that began with a script of CTP goes on with the same UIDs: two stages on a real site, with the warnings."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pydicom
import pytest

from tce import release
from tce.cli import main
from tce.config import Site
from tce.releasing import SignedReleases
from tce.road import PolicyTerms, Release
from tests.builders import a_ct_study, an_mr_study, written
from vault.server import EmbeddedServer

pytestmark = pytest.mark.vault

ROOT = "1.3.6.1.4.1.14519.5.2.1.7009.2403"
SAID = "UIDS HASHED WITHOUT A KEY (CTP HASHUID)"
LEGACY = f"legacy_uids:\n  method: ctp-hashuid\n  root: {ROOT}\n  reason: The trial began with CTP.\n"


def as_ctp(uid: str) -> str:
    """What CTP's documentation of @hashuid says."""
    return f"{ROOT}.{int(hashlib.md5(uid.encode()).hexdigest(), 16)}"[:64]


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


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A site with a case that takes legacy UIDs in stage 1 and keeps them, and one that makes them in stage 2."""
    home = tmp_path_factory.mktemp("legacy") / "site"
    people = "--coordinator carla --approver ann --auditor otto --custodian kim --custodian lee"
    steps = [f"init --no-second-factor --name test {people}"]
    made = {
        "one": "pseudonymization",
        "kept": "longitudinal-trial",
        "two": "longitudinal-trial",
        "keyed": "pseudonymization",
    }
    steps += [f"policy new {name} --like {like}" for name, like in made.items()]
    steps += [f"--as carla policy submit {name}" for name in made]
    steps += [f"--as ann policy approve {name}" for name in made]
    for case, one, two in (("running", "one", "kept"), ("late", "keyed", "two"), ("new", "keyed", "kept")):
        steps.append(
            f"case new {case} --title T --purpose P --stage1 {one} --stage2 {two} --receiver R@127.0.0.1:9"
        )
        steps += [f"--as carla case submit {case}", f"--as ann case approve {case}"]
    try:
        for step in steps:
            with pytest.raises(SystemExit) as ended:
                main(["--home", str(home), *step.split()])
            assert ended.value.code == 0, step
            if step.startswith("policy new"):
                _edited(home / "policies" / f"{step.split()[2]}-1.yaml")
        yield home
    finally:
        EmbeddedServer(home / "vault").stop()


def _edited(file: Path) -> None:
    """Write what the test's policies say beyond the shipped ones."""
    text = file.read_text()
    if file.name.startswith("kept"):
        text = text.replace("options:\n", "options:\n  - retain-uids\n", 1)
    elif not file.name.startswith("keyed"):
        text += LEGACY
    file.write_text(text)


@pytest.fixture
def identified(tmp_path: Path) -> Path:
    """Two studies of two patients."""
    folder = tmp_path / "in"
    written([*a_ct_study(slices=2), *an_mr_study(slices=2)], folder)
    return folder


def uids(folder: Path) -> set[str]:
    """SOP Instance and study UIDs of a folder."""
    found = [
        pydicom.dcmread(path) for path in folder.rglob("*") if path.is_file() and path.suffix in ("", ".dcm")
    ]
    return {str(ds[keyword].value) for ds in found for keyword in ("SOPInstanceUID", "StudyInstanceUID")}


def test_the_trial_s_uids_leave_again(identified: Path, tmp_path: Path, tce: Tce) -> None:
    """Stage 1 makes the UIDs that CTP made, stage 2 keeps them; both are proved, and stage 1 says it."""
    said = tce("pseudonymize", identified, "--case", "running", "--out", tmp_path / "ps", "--verify")
    assert said.status == 0, said.err
    said = tce("anonymize", tmp_path / "ps", "--case", "running", "--out", tmp_path / "an", "--verify")
    assert said.status == 0, said.err
    assert uids(tmp_path / "an") == {as_ctp(uid) for uid in uids(identified)}
    assert all(
        SAID in pydicom.dcmread(path).DeidentificationMethod for path in (tmp_path / "ps").rglob("*.dcm")
    )


def test_stage_2_makes_them_too_and_remembers_them(
    home: Path, identified: Path, tmp_path: Path, tce: Tce
) -> None:
    """Of what comes in under a key, stage 2 makes the UIDs that CTP made of the same, and has a store for them."""
    assert tce("pseudonymize", identified, "--case", "late", "--out", tmp_path / "ps").status == 0
    for run in ("an", "again"):
        said = tce("anonymize", tmp_path / "ps", "--case", "late", "--out", tmp_path / run, "--verify")
        assert said.status == 0, said.err
        assert uids(tmp_path / run) == {as_ctp(uid) for uid in uids(tmp_path / "ps")}
    assert (home / "cases" / "late" / "pseudonyms.anonymize").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        "policy check {home}/policies/one-1.yaml",
        "policy show one",
        "policy describe one",
        "--as carla policy submit one",
        "--as ann policy approve one",
        "case show running",
        "--as carla case submit running",
        "--as ann case approve running",
        "case show late",
    ],
)
def test_who_submits_and_approves_is_warned(arguments: str, home: Path, tce: Tce) -> None:
    """Author and approver, of the policy and of the case, are told in plain words that the UIDs are no pseudonyms."""
    said = tce(*arguments.format(home=home).split())
    assert said.status == 0, said.err
    words = " ".join(said.out.split())
    assert "made without a key" in words
    assert "not pseudonyms" in words


def test_others_are_not_warned(tce: Tce) -> None:
    """A case without such a policy has no warning."""
    assert "WARNING" not in tce("case", "show", "new").out
    assert "WARNING" not in tce("policy", "show", "keyed").out


@pytest.mark.parametrize(("case", "policy"), [("running", "one"), ("late", "two"), ("new", "")])
def test_the_signed_record_says_it(case: str, policy: str, home: Path) -> None:
    """The warning is in the release record, of whichever stage, and under its signature; other records have none."""
    signed: list[bytes] = []

    def sign(payload: bytes) -> str:
        signed.append(payload)
        return "vault:v1:AAAA"

    closed = Release(f"export-{case}", case, PolicyTerms("", "", ""), (), (), {}, datetime.now(UTC))
    SignedReleases(Site(home), sign, "export-manager").close(closed)
    record = release.read(home / "releases" / closed.export_id).record
    warned = record.policy.get("warnings", "")
    assert bool(warned) == bool(policy)
    assert f"policy {policy} 1" in warned or not policy
    assert warned.encode() in signed[0]
