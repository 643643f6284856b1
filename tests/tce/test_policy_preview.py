"""``tce policy preview`` and the effect of ``tce policy diff``: what a person sees before anybody signs."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest
from lxml import etree
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from rich.console import Console

from policies.grounds import Happened
from policies.loader import load, load_library
from tce import cases, events
from tce import preview as previewing
from tce.audit.trail import Trail
from tce.cases import Trial
from tce.cli import main
from tce.cli.policy_preview import show
from tce.cli.session import Session
from tce.config import Settings, Site, save
from tce.policy_effects import Direction, compare
from tce.preview_account import account_of
from tests.builders import a_ct_image
from tests.tce.test_cases import a_case

Tce = Callable[..., tuple[int, str, str]]

NAME, HOSTILE = "Musterfrau^Erika", '<script>alert("x")</script>&amp;\x1b[31m'
OURS = """
name: ours
version: 1
extends: longitudinal-trial@2
overrides:
  - {attribute: ProtocolName, action: K, reason: the protocol matters}
  - {attribute: PatientSex, action: X, reason: one sex is rare}
"""


@pytest.fixture
def tce(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Tce:
    """Runs ``tce policy`` where there is no site."""

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["--home", str(tmp_path / "none"), "policy", *map(str, arguments)])
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


def a_sample(folder: Path, **attributes: Any) -> Path:
    """A folder with a CT image and a file that is none."""
    folder.mkdir()
    ds = a_ct_image()
    ds.PatientName, ds.ProtocolName, ds.PatientSex = NAME, "Nordlicht 7", "F"
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    _save(ds, folder / "Musterfrau.dcm")
    return folder


def another_image() -> Dataset:
    """Another instance of the same series."""
    ds = a_ct_image()
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"{ds.SOPInstanceUID[:60]}.2"
    return ds


def _save(ds: Dataset, path: Path) -> None:
    ds.save_as(path, enforce_file_format=True)


def a_policy(folder: Path, text: str = OURS) -> Path:
    path = folder / "ours.yaml"
    path.write_text(text)
    return path


def test_a_page_shows_before_and_after(tce: Tce, tmp_path: Path) -> None:
    """The page is well formed, names each rule with its reason, shows originals beside results, has no script, and is
    its owner's alone; its head says that it is identified material."""
    page = tmp_path / "preview.htm"
    status, told, _ = tce("preview", a_policy(tmp_path), a_sample(tmp_path / "in"), "--page", page)
    assert status == 0
    text = page.read_text("utf-8")
    tree = etree.fromstring(text.encode())
    assert not tree.findall(".//{*}script") and not tree.xpath(
        "//@src | //@onload | //@*[contains(., 'http:')]"
    )
    words = " ".join("".join(tree.itertext()).split())
    assert words.index("Identified material") < words.index("What the policy ours 1 does")
    assert "the protocol matters" in words and "one sex is rare" in words
    assert NAME in words and "Nordlicht 7" in words and "Nothing found." in words
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert "original values of patients" in told
    assert tce("preview", a_policy(tmp_path), tmp_path / "in", "--page", page)[0] == 1, (
        "nothing is overwritten"
    )


def test_without_values_nothing_of_the_files_is_told(tce: Tce, tmp_path: Path) -> None:
    """What may be passed on has attributes, reasons and counts, and no value, file name or unpublished creator."""
    ds = a_ct_image()
    originals = {
        str(element.value)
        for element in ds.iterall()
        if element.VR in ("PN", "LO", "SH", "LT", "DA", "UI") and len(str(element.value)) > 5
        if not element.tag.is_private_creator
    } - {str(ds.SOPClassUID)}
    sample = a_sample(tmp_path / "in")
    ds = another_image()
    ds.private_block(0x0099, "Erika Musterfrau", create=True).add_new(1, "LO", "hidden")
    _save(ds, sample / "second.dcm")
    (sample / "Gustav Geheim.dcm").write_bytes(b"no instance")
    page, data = tmp_path / "p.htm", tmp_path / "p.json"
    status, told, wrong = tce(
        *("preview", "longitudinal-trial", sample, "--without-values", "--page", page, "--json", data)
    )
    assert status == 3
    everything = told + wrong + page.read_text("utf-8") + data.read_text("utf-8")
    for value in (*originals, "Musterfrau", "Erika", "Geheim", "hidden", "Nordlicht"):
        assert value not in everything, value
    assert "a creator that nobody published" in everything
    report = json.loads(data.read_text("utf-8"))
    assert report["holds_original_values"] is False and report["passed"] == 2
    (turned,) = report["not_passed"]
    assert (turned["reason"], turned["count"], turned["held"]) == ("not-dicom", 1, False)


def test_a_pipe_gets_no_values(tce: Tce, tmp_path: Path) -> None:
    """Where the output is no terminal, originals are left out of it, whatever was asked for."""
    _, told, wrong = tce("preview", "longitudinal-trial", a_sample(tmp_path / "in"), "--all")
    assert "PatientName" in told and NAME not in told + wrong and "IDENTIFIED" not in told


def test_a_terminal_gets_values_below_a_heading(tmp_path: Path) -> None:
    """A person at a terminal sees before and after, and first of all that it is identified material."""
    sample = a_sample(tmp_path / "in", StudyDescription=f"CT Thorax {HOSTILE}"[:60])
    seen = previewing.preview(load_library("longitudinal-trial"), sorted(sample.iterdir()))
    out = io.StringIO()
    run = Session(tmp_path, out=Console(file=out, force_terminal=True, width=200, color_system=None))
    show(run, account_of(seen, with_values=True), everything=True)
    text = out.getvalue()
    assert text.startswith("IDENTIFIED MATERIAL")
    assert NAME in text and "\x1b[31m" not in text
    assert "What an analysis would lose" in text


def test_a_file_given_twice_is_told_and_counted_once(tmp_path: Path) -> None:
    """Two files of one SOP Instance UID are a conflict, as they would be in a job, and no fault of the policy."""
    sample = a_sample(tmp_path / "in")
    (sample / "copy.dcm").write_bytes((sample / "Musterfrau.dcm").read_bytes())
    seen = previewing.preview(load_library("basic"), sorted(sample.iterdir()))
    assert [one.reason for one in seen.turned_down] == ["conflict"]
    assert len(seen.passed) == 1 and seen.findings == []


def test_hostile_values_stay_text(tce: Tce, tmp_path: Path) -> None:
    """Markup and control sequences in values, file names and private creators are shown as text."""
    sample = a_sample(tmp_path / "in", PatientComments=HOSTILE, StationName="<b>&\u202e")
    ds = another_image()
    ds.private_block(0x0099, "<img src=x>", create=True).add_new(1, "LO", HOSTILE)
    _save(ds, sample / "<i>.dcm")
    (sample / "<u>\x1b[2J.dcm").write_bytes(b"no instance")
    page = tmp_path / "p.htm"
    assert tce("preview", "basic", sample, "--page", page)[0] == 3
    text = page.read_text("utf-8")
    tree = etree.fromstring(text.encode())
    assert not tree.xpath("//*[local-name() = 'script' or local-name() = 'img' or local-name() = 'u']")
    assert "\x1b" not in text and "\u202e" not in text
    assert "<img src=x>" in "".join(tree.itertext())


def test_nothing_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results lie in a folder for nobody else, and are gone afterwards, also where something broke."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "t"))
    (tmp_path / "t").mkdir()
    files = sorted(a_sample(tmp_path / "in").iterdir())
    modes = []

    def told() -> None:
        (folder,) = (tmp_path / "t").iterdir()
        modes.append(stat.S_IMODE(folder.stat().st_mode))

    previewing.preview(load_library("basic"), files, told=told)
    assert modes == [0o700] and list((tmp_path / "t").iterdir()) == []

    def broken() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        previewing.preview(load_library("basic"), files, told=broken)
    assert list((tmp_path / "t").iterdir()) == []


def test_what_media_would_lack_is_counted(tmp_path: Path) -> None:
    """A key of a DICOMDIR that results lack is told, with how many of their sources had it."""
    plan = pydicom.dcmread(str(get_testdata_file("rtplan.dcm", download=False)))
    del plan.RTPlanLabel
    plan.save_as(tmp_path / "plan.dcm")
    seen = previewing.preview(load_library("basic"), [tmp_path / "plan.dcm"])
    assert [(one.record, one.keyword, one.count, one.had) for one in seen.missing_keys] == [
        ("RT PLAN", "RTPlanLabel", 1, 0)
    ]
    (line,) = [one for one in account_of(seen, with_values=False).media if "RTPlanLabel" in one]
    assert "1 result; none of them had it before" in line


def test_policies_are_compared_by_their_effect(tce: Tce, tmp_path: Path) -> None:
    """Attribute by attribute it is told which policy keeps more; equal policies do not differ; no value is told."""
    sample, ours = a_sample(tmp_path / "in"), a_policy(tmp_path)
    status, told, _ = tce("diff", "longitudinal-trial", ours, sample, "--json")
    assert status == 0 and NAME not in told
    effect = json.loads(told)["effect"]
    assert effect["compared"] == 1
    more = {one["attribute"]: (one["first"], one["second"]) for one in effect["second_keeps_more"]}
    less = {one["attribute"]: one["second"] for one in effect["second_removes_more"]}
    assert more["ProtocolName"][1] == "kept" and list(more) == ["ProtocolName"]
    assert list(less) == ["PatientSex"] and less["PatientSex"] in ("removed", "emptied")
    assert effect["otherwise"] == []
    same = compare(load_library("basic"), load_library("basic"), sorted(sample.iterdir()))
    assert same.differences == () and same.compared == 1
    status, words, _ = tce("diff", "longitudinal-trial", ours, sample)
    assert status == 0 and "The second keeps more: 1" in words and "ProtocolName" in words
    assert tce("diff", "basic", "basic")[1].strip() == "no difference"


def test_files_that_one_policy_turns_down_are_counted(tmp_path: Path) -> None:
    """A file that only one of two policies lets pass is told with the reason of the other."""
    ds = a_ct_image()
    ds.BurnedInAnnotation = "YES"
    _save(ds, tmp_path / "a.dcm")
    basic = load_library("basic")
    accepting = basic.model_validate(
        {
            **basic.model_dump(mode="json"),
            "accept": [{"risk": "burned-in-annotation", "reason": "looked at by two people"}],
        }
    )
    found = compare(basic, accepting, [tmp_path / "a.dcm"])
    assert found.only_second == (("at-risk-burned-in-annotation", 1),) and found.compared == 0
    assert found.of(Direction.OTHERWISE) == []


def test_legacy_uids_are_those_that_will_be(tmp_path: Path) -> None:
    """A policy that hashes UIDs without a key is verified as such, and its warning comes before anything else."""
    text = OURS + "legacy_uids: {method: ctp-hashuid, root: 1.2.3.4, reason: the trial began so}\n"
    policy = load(a_policy(tmp_path, text))
    seen = previewing.preview(policy, sorted(a_sample(tmp_path / "in").iterdir()))
    assert seen.findings == []
    account = account_of(seen, with_values=True)
    assert account.remarks[0].startswith("WARNING")
    (new,) = [group for group in account.groups if group.happened is Happened.NEW_UID]
    assert all(after.startswith("1.2.3.4.") for line in new.lines for _, after in line.examples)


STUDY_DAYS = """
name: days
version: 1
stage: anonymize
title: Study days
description: Days since enrollment.
options: [retain-longitudinal-modified-dates]
dates: study-day
event: ENROLLMENT
clinical_trial: true
"""


def test_a_case_gives_its_trial_and_its_events(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a case its study days are counted and its trial is written, without its key or an approval; the trail says
    that the policy was tried, on how many files, and that values were kept, and holds none."""
    site = Site(tmp_path / "site")
    site.home.mkdir()
    save(Settings(), site.home / "tce.toml")
    cases.save(site.cases_dir, a_case(trial=Trial(sponsor="A sponsor", protocol_id="P-1")))
    days = tmp_path / "events.csv"
    days.write_text(f"patient_id,date\n{a_ct_image().PatientID},2024-01-01\n")
    events.save(site.cases_dir, "lung-1", days)
    data = tmp_path / "out.json"
    arguments = [*("--home", str(site.home), "policy", "preview", str(a_policy(tmp_path, STUDY_DAYS)))]
    arguments += [str(a_sample(tmp_path / "in")), "--case", "lung-1", "--json", str(data)]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert not ended.value.code, capsys.readouterr().err
    assert stat.S_IMODE(data.stat().st_mode) == 0o600
    report = json.loads(data.read_text("utf-8"))
    written = {
        one["attribute"]: one["examples"]
        for group in report["changes"]
        if group["what"] == "written"
        for one in group["attributes"]
    }
    assert written["ClinicalTrialSponsorName"] == [["", "A sponsor"]]
    assert written["LongitudinalTemporalEventType"] == [["", "ENROLLMENT"]]
    (record,) = Trail(site.audit_trail).records()
    assert record.event == "policy.previewed"
    assert (record.detail["files"], record.detail["passed"], record.detail["values"]) == ("1", "1", "kept")
    for line in site.audit_trail.read_text("utf-8").splitlines():
        assert "Musterfrau" not in line and str(a_ct_image().PatientID) not in line


def test_a_killed_preview_leaves_nothing_for_others(tmp_path: Path) -> None:
    """What a killed process leaves lies in a folder for its user alone, and the next command removes it."""
    sample = a_sample(tmp_path / "in")
    for copy in range(400):
        shutil.copyfile(sample / "Musterfrau.dcm", sample / f"{copy}.dcm")
    place = tmp_path / "tmp"
    place.mkdir()
    environment = {**os.environ, "TMPDIR": str(place)}
    command = [sys.executable, "-m", "tce", "--home", str(tmp_path / "none"), "policy"]
    with subprocess.Popen(
        [*command, "preview", "basic", str(sample)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        while process.poll() is None and not list(place.rglob("*.dcm")):
            time.sleep(0.01)
        assert process.poll() is None, "it was still at work"
        process.kill()
    (outer,) = place.iterdir()
    assert stat.S_IMODE(outer.stat().st_mode) == 0o700
    assert list(place.rglob("*.dcm")), "there is something to remove"
    subprocess.run([*command, "list", "--library"], env=environment, check=True, capture_output=True)
    assert list(outer.iterdir()) == []
