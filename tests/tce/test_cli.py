"""The command line: what a user sees and what scripts can rely on, on a real site with its own OpenBao."""

from __future__ import annotations

import json
import re
import shutil
import socket
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pydicom
import pytest

from tce.cli import app, main
from tce.cli.actors import address_of, information
from tce.cli.select import Delay, Title
from tce.config import Site
from tce.demo.children import free_ports
from tce.documents.codes import DelayReason, ExportTitle
from tce.errors import Refused
from tests.builders import a_ct_study, an_mr_study
from vault.server import EmbeddedServer


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str


Tce = Callable[..., Said]


@pytest.fixture
def tce(capsys: pytest.CaptureFixture[str]) -> Tce:
    """Runs a command line."""

    def run(*arguments: object) -> Said:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return Said(int(ended.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A site with an approved policy of stage 1, and the case ``lung-1`` as a draft."""
    home = tmp_path_factory.mktemp("cli") / "site"
    manager, receiver = free_ports(2)
    people = "--coordinator carla --approver ann --auditor otto --custodian kim --custodian lee"
    case = "case new lung-1 --title Lung --purpose Trial --stage2 bands --prefix LU --receiver"
    steps = (
        f"init --no-second-factor --name test {people}",
        "--as carla policy submit pseudonymization",
        "--as ann policy approve pseudonymization",
        "policy new bands --like longitudinal-trial",
        f"{case} TCE_RECEIVER@127.0.0.1:{receiver}",
    )
    try:
        for step in steps:
            with pytest.raises(SystemExit) as ended:
                main(["--home", str(home), *step.split()])
            assert ended.value.code == 0, step
            if step.startswith("init"):
                settings = home / "tce.toml"
                settings.write_text(settings.read_text().replace("port = 11112", f"port = {manager}"))
        yield home
    finally:
        EmbeddedServer(home / "vault").stop()


@pytest.fixture
def identified(tmp_path: Path) -> Path:
    """Two studies of two patients, in files named after them, and two files that cannot be treated."""
    folder = tmp_path / "in" / "Testov^Persona"
    folder.mkdir(parents=True)
    for number, sample in enumerate([*a_ct_study(slices=2), *an_mr_study(slices=2)]):
        sample.instance.save_as(folder / f"Testov_{number}.dcm", enforce_file_format=True)
    (folder / "letter.txt").write_text("Dear Mr Testov")
    whole = next(folder.glob("*_0.dcm")).read_bytes()
    (folder / "cut.dcm").write_bytes(whole[: len(whole) // 2])
    return tmp_path / "in"


@pytest.mark.vault
def test_stage_1_sets_aside_what_it_cannot_treat(
    home: Path, identified: Path, tmp_path: Path, tce: Tce
) -> None:
    """The others go on, each file set aside is named with its reason, and the status says so."""
    out = tmp_path / "out"
    said = tce("--home", home, "pseudonymize", identified, "--case", "lung-1", "--out", out)
    assert said.status == 3
    assert "7 instances pseudonymized: 2 patients, 2 studies" in said.out
    assert re.search(r"letter\.txt: not-dicom: ", said.err)
    assert re.search(r"cut\.dcm: truncated: ", said.err)
    written = [path for path in out.rglob("*") if path.is_file()]
    assert len(written) == 7
    assert not [path for path in out.rglob("*") if "estov" in str(path.relative_to(out))]
    assert all(str(pydicom.dcmread(path).PatientID).startswith("LU") for path in written)


@pytest.mark.vault
def test_stage_1_again_writes_nothing_anew(home: Path, identified: Path, tmp_path: Path, tce: Tce) -> None:
    """The same command continues where it stopped and gives the same bytes."""
    arguments = ("--home", home, "pseudonymize", identified, "--case", "lung-1", "--out", tmp_path / "out")
    tce(*arguments)
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.dcm")}
    said = tce(*arguments)
    assert "0 instances pseudonymized, 7 were there already" in said.out
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.dcm")} == before


@pytest.mark.vault
def test_nothing_is_anonymized_without_two_approvals(
    home: Path, identified: Path, tmp_path: Path, tce: Tce
) -> None:
    """Stage 2 refuses draft, unapproved, self-approved, altered and withdrawn policies and cases, in turn."""
    tce("--home", home, "pseudonymize", identified, "--case", "lung-1", "--out", tmp_path / "ps")
    bands = home / "policies" / "bands-1.yaml"

    def anonymize(out: str) -> Said:
        return tce("--home", home, "anonymize", tmp_path / "ps", "--case", "lung-1", "--out", tmp_path / out)

    # 1. Neither submitted nor approved.
    assert (said := anonymize("an")).status == 1 and "never submitted" in said.err
    assert tce("--home", home, "--as", "ann", "policy", "approve", "bands").status == 1
    # 2. Submitted, and approved by nobody else.
    assert tce("--home", home, "--as", "carla", "policy", "submit", "bands").status == 0
    assert (said := anonymize("an")).status == 1 and "waits for an approver" in said.err
    said = tce("--home", home, "--as", "carla", "policy", "approve", "bands")
    assert said.status == 1 and "needs an approver" in said.err
    # 3. Approved, but the case is not.
    assert tce("--home", home, "--as", "ann", "policy", "approve", "bands").status == 0
    assert (said := anonymize("an")).status == 1 and "case lung-1" in said.err
    assert tce("--home", home, "--as", "carla", "case", "submit", "lung-1").status == 0
    assert tce("--home", home, "--as", "ann", "case", "approve", "lung-1").status == 0
    # 4. Both approved.
    assert (said := anonymize("an")).status == 0, said.err
    assert "7 instances anonymized" in said.out
    # 5. Altered after approval.
    text = bands.read_text()
    bands.write_text(text.replace("width: 5", "width: 1"))
    assert (said := anonymize("an2")).status == 1 and "changed" in said.err
    bands.write_text(text)
    case = home / "cases" / "lung-1" / "case.yaml"
    draft = case.read_text()
    case.write_text(draft.replace("purpose: Trial", "purpose: Other"))
    assert (said := anonymize("an2")).status == 1 and "not the text that was approved" in said.err
    case.write_text(draft)
    # 6. Withdrawn.
    assert tce("--home", home, "--as", "ann", "policy", "withdraw", "bands", "--reason", "r").status == 0
    assert (said := anonymize("an2")).status == 1 and "withdrawn" in said.err
    (home / "policies" / "bands-1.withdrawal.json").unlink()
    assert (said := anonymize("an2")).status == 1 and "the file of that withdrawal is gone" in said.err
    assert not (tmp_path / "an2").exists()
    # Approved anew, it holds again.
    assert tce("--home", home, "--as", "carla", "policy", "submit", "bands").status == 0
    assert tce("--home", home, "--as", "ann", "policy", "approve", "bands").status == 0
    assert anonymize("an").status == 0


@pytest.mark.vault
def test_custody_takes_two(home: Path, identified: Path, tmp_path: Path, tce: Tce) -> None:
    """One custodian is refused, two together see the original once, and the trail holds no original."""
    tce("--home", home, "pseudonymize", identified, "--case", "lung-1", "--out", tmp_path / "ps")
    pseudonym = next(path.name for path in (tmp_path / "ps").iterdir() if path.is_dir())
    asked = tce(
        *("--home", home, "--as", "kim", "reidentify", "request", pseudonym, "--case", "lung-1"),
        *("--purpose", "incidental-finding", "--ticket", "T-1"),
    )
    request = re.search(r"request ([0-9a-f]{16})", asked.out)
    assert asked.status == 0 and request
    for refused in (("--as", "kim", "reidentify", "approve"), ("--as", "kim", "reidentify", "reveal")):
        assert tce("--home", home, *refused, request[1]).status == 1
    assert tce("--home", home, "--as", "carla", "reidentify", "approve", request[1], "--yes").status == 1
    assert tce("--home", home, "--as", "lee", "reidentify", "approve", request[1], "--yes").status == 0
    said = tce("--home", home, "--as", "kim", "reidentify", "reveal", request[1], "--json")
    names = {row["original"] for row in json.loads(said.out) if row["field"] == "PatientName"}
    originals = {str(pydicom.dcmread(path).PatientName) for path in identified.rglob("Testov_*.dcm")}
    assert len(names) == 1 and names < originals
    assert tce("--home", home, "--as", "kim", "reidentify", "reveal", request[1]).status == 1
    trail = Site(home).audit_trail.read_text()
    assert "reidentify.revealed" in trail
    assert not [name for name in originals if name in trail]


@pytest.mark.vault
def test_a_mapping_is_backed_up_and_brought_back(
    home: Path, identified: Path, tmp_path: Path, tce: Tce
) -> None:
    """A row that was lost returns; a row that was altered is told, and replaced only when that is asked."""
    tce("--home", home, "pseudonymize", identified, "--case", "lung-1", "--out", tmp_path / "ps")
    backup = tmp_path / "backup.db"
    said = tce("--home", home, "mapping", "check")
    assert (said.status, "schema" in said.out) == (0, True), said
    assert tce("--home", home, "mapping", "backup", backup).status == 0
    assert "exists already" in tce("--home", home, "mapping", "backup", backup).err
    with sqlite3.connect(home / "mapping.db") as database:
        database.execute("DELETE FROM mappings WHERE kind = 'study'")
        database.execute("UPDATE mappings SET sealed = zeroblob(40) WHERE kind = 'patient'")
    said = tce("--home", home, "mapping", "check")
    assert said.status == 1 and "changed since stage 1 wrote them" in said.err
    said = tce("--home", home, "mapping", "restore", backup)
    assert said.status == 1 and "differ from the backup" in said.err
    assert re.search(r"[1-9]\d* brought back", said.out)
    assert tce("--home", home, "mapping", "restore", backup, "--replace").status == 0
    assert " 0 brought back" in tce("--home", home, "mapping", "restore", backup).out
    assert tce("--home", home, "mapping", "check").status == 0


@pytest.mark.vault
def test_keys_rotate_under_running_cases(home: Path, identified: Path, tmp_path: Path, tce: Tce) -> None:
    """A case keeps its pseudonyms, a new one takes the new keys, and a case that changes its version is stopped."""
    pseudonymize = ("--home", home, "pseudonymize", identified, "--case", "lung-1", "--out")
    tce(*pseudonymize, tmp_path / "before")
    assert "version 2" in tce("--home", home, "vault", "rotate", "stage1").out
    tce(*pseudonymize, tmp_path / "after")
    before, after = (
        {path.relative_to(tmp_path / out) for path in (tmp_path / out).rglob("*.dcm")}
        for out in ("before", "after")
    )
    assert before == after != set()
    new = "case new lung-2 --title L --purpose T --stage2 bands --receiver TCE_RECEIVER@127.0.0.1:9"
    assert tce("--home", home, *new.split()).status == 0
    assert "key_version: 2" in tce("--home", home, "case", "show", "lung-2").out
    draft = ("--home", home, "pseudonymize", identified, "--case", "lung-2", "--out")
    tce(*draft, tmp_path / "second")
    text = home / "cases" / "lung-2" / "case.yaml"
    text.write_text(text.read_text().replace("key_version: 2", "key_version: 1"))
    said = tce(*draft, tmp_path / "changed")
    assert said.status == 1 and "began under version 2" in said.err
    # One that was approved is stopped by that alone.
    tce("--home", home, "--as", "carla", "case", "submit", "lung-1")
    tce("--home", home, "--as", "ann", "case", "approve", "lung-1")
    text = home / "cases" / "lung-1" / "case.yaml"
    kept = text.read_text()
    text.write_text(kept.replace("key_version: 1", "key_version: 2"))
    try:
        said = tce(*pseudonymize, tmp_path / "edited")
    finally:
        text.write_text(kept)
    assert said.status == 1 and "approv" in said.err
    assert "lee: version 2" in tce("--home", home, "vault", "rotate", "custodians").out
    assert re.search(
        r"[1-9]\d* shares? closed anew for kim", tce("--home", home, "--as", "kim", "vault", "reseal").out
    )
    assert tce("--home", home, "--as", "ann", "vault", "reseal").status == 1


@pytest.mark.vault
def test_a_medium_is_written_checked_and_read(home: Path, identified: Path, tmp_path: Path, tce: Tce) -> None:
    """Identified files get onto no medium; pseudonymized ones do, are read back, and a loss is noticed."""
    said = tce(
        "--home",
        home,
        "media",
        "write",
        identified / "Testov^Persona" / "Testov_0.dcm",
        "--out",
        tmp_path / "m",
    )
    assert said.status == 1 and "Patient Identity Removed" in said.err
    tce("--home", home, "pseudonymize", identified, "--case", "lung-1", "--out", tmp_path / "ps")
    assert tce("--home", home, "media", "write", tmp_path / "ps", "--out", tmp_path / "m").status == 0
    certificate = tmp_path / "certificate.htm"
    asked = ("--policy", "pseudonymization", "--identifiers", identified, "--certificate", certificate)
    said = tce("--home", home, "media", "check", tmp_path / "m", *asked)
    assert said.status == 0 and "ok   identifiers" in said.out and "not checked: Pictures" in said.out
    assert "Certificate of check: passed" in certificate.read_text()
    told = json.loads(tce("--home", home, "media", "check", tmp_path / "m", "--case", "lung-1", "--json").out)
    assert told["passed"] and told["policy"].startswith("pseudonymization 1 or ")
    assert tce("--home", home, "media", "read", tmp_path / "m", "--out", tmp_path / "back").status == 0
    assert len(list((tmp_path / "back").iterdir())) == 7
    shutil.copyfile(identified / "Testov^Persona" / "Testov_0.dcm", tmp_path / "m" / "DICOM" / "X")
    said = tce("--home", home, "media", "read", tmp_path / "m", "--out", tmp_path / "again", "--json")
    assert said.status == 3 and "return the medium" in said.err
    assert [one["reason"] for one in json.loads(said.out)["behind"]] == ["still-identified"]
    assert len(list((tmp_path / "again").iterdir())) == 7 and "Testov" not in said.err + said.out
    next((tmp_path / "m" / "DICOM").rglob("IM*")).unlink()
    assert tce("--home", tmp_path / "none", "media", "check", tmp_path / "m").status == 1


@pytest.mark.vault
def test_an_image_is_written_beside_the_medium(
    home: Path, identified: Path, tmp_path: Path, tce: Tce
) -> None:
    """Profile, capacity and image are chosen at the command line, and a capacity that is none is a fault of usage."""
    tce("--home", home, "pseudonymize", identified, "--case", "lung-1", "--out", tmp_path / "ps")
    write = ("--home", home, "media", "write", tmp_path / "ps", "--out", tmp_path / "m")
    assert tce(*write, "--capacity", "much").status == 2
    assert tce(*write, "--capacity", "10 MB", "--profile", "STD-GEN-USB-JPEG", "--iso", "x.iso").status == 1
    said = tce(*write, "--capacity", "650MiB", "--profile", "STD-GEN-DVD-J2K", "--iso", tmp_path / "m.iso")
    assert said.status == 0 and "image of TCE" in said.out
    assert (tmp_path / "m.iso").read_bytes()[16 * 2048 + 1 :][:5] == b"CD001"


@pytest.mark.vault
def test_the_audit_trail_is_listed_verified_and_exported(home: Path, tmp_path: Path, tce: Tce) -> None:
    """The auditor gets every message; an edited trail is refused."""
    assert "audit trail whole" in tce("--home", home, "audit", "verify").out
    rows = json.loads(tce("--home", home, "audit", "list", "--event", "policy", "--json").out)
    assert rows[0]["event"] == "policy.submitted" and rows[0]["actor"] == "carla"
    assert tce("--home", home, "--as", "ann", "audit", "export", "--out", tmp_path / "x").status == 1
    assert tce("--home", home, "--as", "otto", "audit", "export", "--out", tmp_path / "x").status == 0
    assert all(path.read_text().startswith("<AuditMessage") for path in (tmp_path / "x").iterdir())
    trail = Site(home).audit_trail
    whole = trail.read_bytes()
    try:
        trail.write_bytes(whole.replace(b"carla", b"clara", 1))
        said = tce("--home", home, "audit", "verify")
        assert said.status == 1 and "edited" in said.err
    finally:
        trail.write_bytes(whole)


@pytest.mark.vault
def test_a_site_can_be_made_twice(home: Path, tce: Tce) -> None:
    """init on a site that is there changes nothing; provision has nothing to do."""
    settings = (home / "tce.toml").read_text()
    assert tce("--home", home, "init", "--name", "other").status == 0
    assert (home / "tce.toml").read_text() == settings
    assert "nothing to do" in tce("--home", home, "vault", "provision").out


@pytest.mark.vault
def test_the_vault_is_started_when_it_is_needed(home: Path, tce: Tce) -> None:
    """A stopped key server is no reason to fail; its state can be asked."""
    assert tce("--home", home, "vault", "stop").status == 0
    said = tce("--home", home, "vault", "status")
    assert said.status == 1 and "tce vault start" in said.err
    assert tce("--home", home, "--as", "lee", "reidentify", "list").status == 0
    assert json.loads(tce("--home", home, "vault", "status", "--json").out)["server"]["running"] is True


@pytest.mark.vault
def test_a_busy_port_is_named(home: Path, tce: Tce) -> None:
    """An actor that cannot listen says so in one line and ends."""
    port = Site(home).settings.network.manager.port
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        said = tce("--home", home, "manager", "run")
    assert said.status == 1
    assert str(port) in said.err and len(said.err.splitlines()) == 2


@pytest.mark.vault
def test_a_vault_that_does_not_answer_is_named(home: Path, tmp_path: Path, tce: Tce) -> None:
    """With a Vault of the site's own that is down, one line says what to do, and nothing is written."""
    dead = tmp_path / "site"
    [port] = free_ports(1)
    for name in ("policies", "cases", "vault/roles"):
        (dead / name).mkdir(parents=True)
    kept = [path for kind in ("policies/*", "cases/*/*", "audit/trail.*") for path in home.glob(kind)]
    for path in [*kept, home / "trust.json", home / "tce.toml"]:
        copy = dead / path.relative_to(home)
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
    (dead / "vault" / "roles" / "pseudonymizer.json").write_text('{"role_id": "r", "secret_id": "s"}')
    toml = (dead / "tce.toml").read_text().replace('mode = "embedded"', 'mode = "server"')
    (dead / "tce.toml").write_text(toml.replace('address = ""', f'address = "http://127.0.0.1:{port}"'))
    source = tmp_path / "one.dcm"
    a_ct_study(slices=1)[0].instance.save_as(source, enforce_file_format=True)
    said = tce("--home", dead, "pseudonymize", source, "--case", "lung-1", "--out", tmp_path / "out")
    assert said.status == 1
    assert f"http://127.0.0.1:{port}" in said.err
    assert not list((tmp_path / "out").rglob("*.dcm"))


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["frob"], 2, "frob"),
        (["exports", "list", "--bogus"], 2, "--bogus"),
        (["pseudonymize"], 2, "SRC"),
        (["exports", "list"], 1, "tce init"),
        (["policy", "diff", "nonsense", "basic"], 1, "nonsense"),
        (["demo", "--from", "/nowhere", "x"], 1, "--from"),
        (
            ["reidentify", "request", "X", "--case", "c", "--ticket", "1"],
            2,
            "patient-safety, data-correction",
        ),
        (
            ["reidentify", "open", "x", "--certificate", "none.pem", "--key", "none.pem"],
            1,
            "none.pem: No such file",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_a_mistake_is_answered_in_two_lines(
    arguments: list[str], status: int, words: str, tmp_path: Path, tce: Tce, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What happened on one line, what to do on the next, no traceback; the status tells usage from refusal."""
    monkeypatch.chdir(tmp_path)
    said = tce("--home", tmp_path / "none", *arguments)
    assert said.status == status
    assert words in said.err
    assert len(said.err.splitlines()) == 2 and said.err.startswith("tce: ")


def test_verbose_shows_where_and_no_value(tmp_path: Path, tce: Tce) -> None:
    """--verbose names frames of the program, and repeats no text of any library."""
    (tmp_path / "tce.toml").write_text("[site]\nname = 3\n")
    said = tce("--home", tmp_path, "--verbose", "exports", "list")
    assert re.search(r"config\.py:\d+ ", said.err)
    assert "Traceback" not in said.err


def _verbs() -> Iterator[tuple[str, str]]:
    for command in app.registered_commands:
        assert command.callback is not None
        yield command.callback.__name__, command.callback.__doc__ or ""
    for group in app.registered_groups:
        assert group.typer_instance is not None
        for command in group.typer_instance.registered_commands:
            assert command.callback is not None
            yield f"{group.name} {command.name or command.callback.__name__}", command.callback.__doc__ or ""


@pytest.mark.parametrize(("verb", "text"), [pytest.param(*one, id=one[0]) for one in _verbs()])
def test_every_verb_has_an_example(verb: str, text: str) -> None:
    """The help of a verb shows how it is called."""
    assert re.search(r"Examples?: tce ", text)
    assert verb.split()[-1].rstrip("_").removeprefix("run_") in text


def test_the_words_for_titles_and_delays_are_complete() -> None:
    """Every title and every Delay Reason of the profile can be said on the command line."""
    assert [one.name for one in Title] == [one.name for one in ExportTitle]
    assert [one.name for one in Delay] == [one.name for one in DelayReason]


@pytest.mark.parametrize(
    "text", ["", "A", "A@h", "A@h:0", "A@h:70000", "A@:1", "A23456789012345678@h:1", "@h:1"]
)
def test_what_is_no_application_entity_is_refused(text: str) -> None:
    """A peer is written AET@HOST:PORT."""
    with pytest.raises(Refused, match="application entity"):
        address_of(text)


def test_additional_information_is_read_from_yaml(tmp_path: Path) -> None:
    """A selector writes the rows of table H-1 as keys; a wrong key is named."""
    path = tmp_path / "info.yaml"
    path.write_text("author: A\nabstract: B\nkeywords: [c, d]\ncategory: neuro\nhistory: [h]\n")
    assert information(path).keywords == ("c", "d")
    path.write_text("author: A\nabstract: B\nkeywords: c\nfoo: 1\n")
    with pytest.raises(Refused, match="keywords"):
        information(path)


@pytest.mark.vault
def test_study_days_count_from_the_events_of_a_case(
    home: Path, identified: Path, tmp_path: Path, tce: Tce
) -> None:
    """Patients of the case's list get study days, the others are set aside; a faulty list changes nothing."""
    out, given = tmp_path / "out", tmp_path / "events.csv"
    tce("--home", home, "pseudonymize", identified, "--case", "lung-1", "--out", tmp_path / "ps")
    sources = [pydicom.dcmread(path) for path in (tmp_path / "ps").rglob("*.dcm")]
    patients = sorted({str(ds.PatientID) for ds in sources})
    tce("--home", home, "policy", "new", "days", "--like", "longitudinal-trial")
    policy = home / "policies" / "days-1.yaml"
    policy.write_text(policy.read_text().replace("dates: shift", "dates: study-day\nevent: ENROLLMENT"))
    case = "case new days-1 --title t --purpose p --stage2 days --receiver TCE_RECEIVER@127.0.0.1:104"
    for step in ("--as carla policy submit days", "--as ann policy approve days", case):
        assert (said := tce("--home", home, *step.split())).status == 0, said.err
    for step in ("--as carla case submit days-1", "--as ann case approve days-1"):
        assert (said := tce("--home", home, *step.split())).status == 0, said.err
    carla = ("--home", home, "--as", "carla", "case", "events", "days-1", "--file", given)
    given.write_text(f"patient_id,date\n{patients[0]},2024-01-01\n{patients[1]},soon\n")
    said = tce(*carla)
    assert said.status == 1 and "line 3" in said.err and patients[1] not in said.err
    given.write_text(f"patient_id,date\n{patients[0]},2024-01-01\n")
    assert tce("--home", home, "--as", "ann", *carla[4:]).status == 1
    assert (said := tce(*carla)).status == 0 and "1 patient" in said.out
    said = tce("--home", home, "anonymize", tmp_path / "ps", "--case", "days-1", "--out", out)
    assert said.status == 3 and "no-event" in said.err
    written = [pydicom.dcmread(path) for path in out.rglob("*.dcm")]
    assert len(written) == sum(ds.PatientID == patients[0] for ds in sources)
    epoch, event = date(1960, 1, 1), date(2024, 1, 1)
    before = {date.fromisoformat(ds.StudyDate) for ds in sources if ds.PatientID == patients[0]}
    after = {date.fromisoformat(ds.StudyDate) for ds in written}
    assert {day - epoch for day in after} == {day - event for day in before}
    assert {ds.LongitudinalTemporalOffsetFromEvent for ds in written} == {
        (day - event).days for day in before
    }
    assert {ds.LongitudinalTemporalEventType for ds in written} == {"ENROLLMENT"}


def test_a_policy_that_extends_another_is_shown_whole(tce: Tce, home: Path) -> None:
    """Who reads a short policy can see all that is signed, and where each part is from."""
    short = "name: thin\nversion: 1\nextends: teaching-file@1\nages: {width: 20, top: 80}\n"
    (home / "policies" / "thin-1.yaml").write_text(short)
    said = tce("--home", home, "policy", "show", "thin").out
    assert said.startswith("name: thin") and "clean-graphics" not in said
    whole = tce("--home", home, "policy", "show", "thin", "--whole").out
    assert "# from teaching-file@1" in whole and "clean-graphics" in whole and "width: 20" in whole
    digest = json.loads(tce("--home", home, "policy", "show", "thin", "--json").out)["digest"]
    assert f"digest: {digest}" in said and f"digest: {digest}" in whole


def test_editors_get_the_schema(tce: Tce, home: Path, tmp_path: Path) -> None:
    """The schema of policies lies beside a new policy, which names it, and can be written anywhere."""
    tce("--home", home, "policy", "new", "harbor", "--like", "hipaa-safe-harbor")
    first = (home / "policies" / "harbor-1.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=policy.schema.json"
    beside = json.loads((home / "policies" / "policy.schema.json").read_text())
    assert tce("policy", "schema", "--out", tmp_path / "policies.json").status == 0
    assert json.loads((tmp_path / "policies.json").read_text()) == beside
    assert json.loads(tce("policy", "schema").out) == beside
