"""tce demo walks the whole road, twice in a row and after a crash, and leaves nothing running."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pydicom
import pytest
from lxml import etree

from policies.originals import ALL, Trait, originals_of
from tce import release
from tce.audit.trail import Trail
from tce.cases import load
from tce.config import Site
from tce.demo.proofs import medium_of
from tce.proof import prove
from tce.wiring import MANAGER, RECEIVER
from tests.builders import a_ct_study
from tests.journeys.process_table import ProcessTable
from tests.leaks.places import holds_token, secrets_under
from tests.leaks.search import Needles
from tests.tce.test_audit_messages import SCHEMA
from vault.server import EmbeddedServer
from vault.trust import Trust

pytestmark = pytest.mark.vault


GIVEN = "a password that somebody gave in the environment"


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start the demo as a user does."""
    command = [sys.executable, "-m", "tce", "demo", str(folder), *arguments]
    given = {**os.environ, "TCE_PASSWORD": GIVEN}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=given)


def still_running(folder: Path) -> list[str]:
    """Return the command lines of processes that name the demo's folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = process.read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue
        if str(folder) in command and str(os.getpid()) != process.parent.name:
            found.append(command)
    return found


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, ProcessTable]:
    """A folder in which a first demo was killed in the middle, and a second one walked to the end, watched."""
    folder = tmp_path_factory.mktemp("road") / "demo with a space"
    first = start(folder)
    # Killed when the key server of the first run is up and stage 1 or later is under way.
    give_up = time.monotonic() + 120
    while not (folder / "2-pseudonymized").exists():
        assert first.poll() is None, first.stderr.read() if first.stderr else ""
        assert time.monotonic() < give_up
        time.sleep(0.02)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    assert EmbeddedServer(folder / "site" / "vault").status().running
    EmbeddedServer(folder / "site" / "vault").stop()  # so that the key server is seen starting, too
    second = start(folder)
    with ProcessTable(second.pid).watching() as table:
        out, err = second.communicate(timeout=300)
    assert second.returncode == 0, err
    return folder, out, table


@pytest.fixture(scope="module")
def walked(walk: tuple[Path, str, ProcessTable]) -> tuple[Path, str]:
    """The folder, and what the second demo printed."""
    return walk[0], walk[1]


@pytest.fixture(scope="module")
def facts(walked: tuple[Path, str]) -> dict[str, Any]:
    account = json.loads((walked[0] / "account.json").read_text())
    found: dict[str, Any] = account["facts"]
    return found


def test_every_original_instance_reaches_the_receiver(facts: dict[str, Any]) -> None:
    """Nothing is lost on the road, and manifest and additional information come along."""
    assert facts["patients"] == facts["exports_delivered"] == facts["receiver_media"] == 2
    assert facts["instances"] == facts["medium_instances"] == facts["taken_in"] == facts["selected_instances"]
    assert facts["exported_instances"] == facts["instances"] + facts["manifests"] + 2
    assert facts["set_aside"] == facts["selection_set_aside"] == facts["left_off_the_medium"] == 0


def test_what_must_be_refused_was_refused(facts: dict[str, Any]) -> None:
    """An unapproved policy, an altered one, and one custodian alone do not get through."""
    for name in (
        "unapproved_policy",
        "altered_policy",
        "without_approval",
        "one_custodian_alone",
        "one_custodian_at_the_vault",
    ):
        assert facts[name].startswith("refused: ")
    assert "not the text that was approved" in facts["altered_policy"]


def test_two_custodians_together_found_the_patient(facts: dict[str, Any]) -> None:
    """What was revealed is what the modality had written; the account does not repeat it."""
    assert facts["revealed_patients"] == 1
    assert facts["revealed_equal_the_originals"] is True
    assert facts["revealed_values"] >= 2


def test_no_original_value_is_in_any_byte(walked: tuple[Path, str], facts: dict[str, Any]) -> None:
    """The search looked for many values in many bytes and found none."""
    assert facts["values_searched"] > 50
    assert facts["bytes_searched"] > 100_000
    assert facts["hits"] == 0


def test_account_logs_and_trail_hold_no_original(walked: tuple[Path, str]) -> None:
    """What the demo says about itself names nobody."""
    folder, out = walked
    names = {str(pydicom.dcmread(path).PatientName) for path in (folder / "1-identified").rglob("*.dcm")}
    parts = {part for name in names for part in name.replace("=", "^").split("^") if len(part) > 3}
    assert parts
    texts = [out, (folder / "account.json").read_text(), Site(folder / "site").audit_trail.read_text()]
    texts += [path.read_text() for path in (folder / "logs").iterdir()]
    assert [part for part in parts for text in texts if part in text] == []


def test_audit_messages_hold_the_stage_s_own_identifiers(walked: tuple[Path, str]) -> None:
    """Each is valid and tells of one patient at most; none holds an original, those of stage 2 none of stage 1."""
    folder, _ = walked
    sources = [*(folder / "1-identified").rglob("*.dcm")]
    originals = {one for one in originals_of(sources, ALL) if len(one) >= 6}
    originals |= _identifiers(folder / "1-identified")
    first, second = _identifiers(folder / "2-pseudonymized"), _identifiers(folder / "5-received")
    told: dict[str, list[str]] = {"first": [], "second": [], "leaks": [], "mixed": []}
    for record in Trail(Site(folder / "site").audit_trail).records():
        if not record.message:
            continue
        root = etree.fromstring(record.message.encode())
        assert SCHEMA.validate(root), SCHEMA.error_log
        assert len(root.xpath("ParticipantObjectIdentification[@ParticipantObjectTypeCode='1']")) <= 1
        details = [base64.b64decode(str(value)).decode() for value in root.xpath("//@value")]
        text = "\n".join([*map(str, root.xpath("//@*[name()!='value'] | //text()")), *details])
        told["leaks"] += [record.event for one in originals if one in text]
        of_first, of_second = any(one in text for one in first), any(one in text for one in second)
        told["first"] += [record.event] * of_first
        told["second"] += [record.event] * of_second
        told["mixed"] += [record.event] * (of_first and (of_second or record.actor in (MANAGER, RECEIVER)))
    assert told["leaks"] == told["mixed"] == []
    assert {"begin transfer", "export", "import", "medium.written"} <= set(told["second"])
    assert {"medium.written", "medium.read", "begin transfer"} <= set(told["first"])


def _identifiers(folder: Path) -> set[str]:
    """Patient IDs and UIDs of what lies below a folder."""
    found = set()
    for path in folder.rglob("*"):
        pages = path.suffix.upper() in (".HTM", ".JPG", ".TXT")
        if path.is_file() and path.name != "DICOMDIR" and not pages:
            ds = pydicom.dcmread(path, stop_before_pixels=True)
            found |= {str(ds.PatientID), ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID}
    return found


def test_the_process_table_holds_no_secret(walk: tuple[Path, str, ProcessTable]) -> None:
    """No command line and no environment of any process holds a key, a login, a token or an original."""
    folder, _, table = walk
    commands = b"\n".join(one for ones in table.commands.values() for one in ones)
    for started in (b"manager\0run", b"receiver\0run", b"server\0-config="):
        assert started in commands
    assert len(table.commands) > 4
    secrets = secrets_under(folder)
    originals = originals_of(
        (folder / "1-identified").rglob("*.dcm"), {Trait.PERSON, Trait.NUMBER, Trait.CONTACT}
    )
    needles = secrets | {value.encode(): "an original" for value in originals}
    assert len(secrets) > 10 and len(originals) > 10
    assert set(Needles(needles).found_in(table.seen())) == set()
    assert not holds_token(table.seen())


def test_no_child_gets_what_a_person_gave(walk: tuple[Path, str, ProcessTable]) -> None:
    """A password in the environment stays with the process that it was given to; the key server gets no variable."""
    table = walk[2]
    having = {pid for pid, ones in table.environments.items() if any(GIVEN.encode() in one for one in ones)}
    of_its_own = {
        pid
        for pid, ones in table.commands.items()
        if any(b"\0run" in one or b"\0-config=" in one for one in ones)
    }
    assert len(of_its_own) >= 3
    for pid in having & of_its_own:
        # Between fork and exec a child still has its parent's memory; afterwards it has its own.
        last = [one for one in table.environments[pid] if GIVEN.encode() not in one]
        assert last, table.commands[pid]


def test_ages_are_bands_and_the_trial_is_named(walked: tuple[Path, str]) -> None:
    """The approved policy was applied: lower bounds of five years, method and Clinical Trial modules."""
    images = [
        ds
        for path in (walked[0] / "5-received").rglob("IM*")
        if (ds := pydicom.dcmread(path)).Modality in ("CT", "MR")
    ]
    assert images
    for ds in images:
        assert int(ds.PatientAge[:3]) % 5 == 0
        assert ds.PatientIdentityRemoved == "YES"
        assert "five-year-bands 1" in ds.DeidentificationMethod
        assert ds.ClinicalTrialProtocolID == "DEMO-1"
        assert ds.PatientID.startswith("DEMO")


def test_stage_2_has_identifiers_of_its_own(walked: tuple[Path, str]) -> None:
    """No UID and no patient ID of stage 1 is found again after stage 2."""
    identified, first, second = (
        _identifiers(walked[0] / name) for name in ("1-identified", "2-pseudonymized", "5-received")
    )
    assert identified and first and second
    assert not identified & first and not first & second and not identified & second


def test_records_can_be_verified_afterwards(walked: tuple[Path, str]) -> None:
    """Release records and trail prove themselves with everything switched off."""
    folder, _ = walked
    site = Site(folder / "site")
    records = list(site.releases_dir.glob("*/release.json"))
    assert len(records) == 2
    for path in records:
        medium = medium_of(path, folder / "5-received")
        assert prove(path, Trust.load(site.trust_path), medium).holds
        record = release.read(path).record
        assert record.case_digest == load(site.cases_dir, record.case).digest
    assert Trail(site.audit_trail).verify().records > 40


def test_nothing_is_left_running(walked: tuple[Path, str]) -> None:
    """The key server and both actors have ended, those of the killed run included."""
    assert still_running(walked[0]) == []


def test_the_account_says_where_things_lie(walked: tuple[Path, str]) -> None:
    """Every place that is told exists, and the commands to try are there."""
    folder, out = walked
    places = json.loads((folder / "account.json").read_text())["places"]
    assert all(Path(place).exists() for place in places.values())
    assert all(place in out for place in places.values())
    assert "What to try next" in out


def test_a_folder_that_is_no_demo_s_is_left_alone(tmp_path: Path) -> None:
    """Nothing is ever emptied that the demo did not make."""
    (tmp_path / "thesis.txt").write_text("years of work")
    process = start(tmp_path)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "not the folder of a demo" in err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_files_of_one_s_own_take_the_same_road(tmp_path: Path) -> None:
    """With --from, what cannot be treated is set aside and counted, and the rest goes all the way."""
    own = tmp_path / "own"
    own.mkdir()
    for number, sample in enumerate(a_ct_study(patient=7, slices=2)):
        sample.instance.save_as(own / f"{number}.dcm", enforce_file_format=True)
    (own / "notes.txt").write_text("not DICOM")
    before = {path: path.read_bytes() for path in own.iterdir()}
    process = start(tmp_path / "demo", "--from", str(own))
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    facts = json.loads((tmp_path / "demo" / "account.json").read_text())["facts"]
    assert facts["set_aside_because"] == {"not-dicom": 1}
    assert facts["patients"] == facts["receiver_media"] == 1
    assert facts["hits"] == 0
    assert {path: path.read_bytes() for path in own.iterdir()} == before
