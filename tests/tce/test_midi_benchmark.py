"""The answer keys of MIDI-B are read and written, and files are judged by them as the benchmark says."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from policies.loader import load_library
from tce.cli import main
from tce.errors import Refused
from tce.midi_answers import Answer, Check, read_answers, read_map, score, write_answers, write_map
from tce.midi_benchmark import PATIENTS, RESULTS, UIDS, corpus, run
from tests.builders import a_ct_image, a_ct_study, written

Tce = Callable[..., tuple[int, str, str]]
OLD = ("1.2.3.1", "1.2.3.2", "1.2.3.3")
NEW = ("2.25.1", "2.25.2", "2.25.3")
MAP = dict(zip(OLD, NEW, strict=True))


@pytest.fixture
def tce(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Tce:
    """The command line, where there is no site: exit status, output, errors."""

    def call(*words: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["--home", str(tmp_path / "nowhere"), *map(str, words)])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return call


def a_result(folder: Path) -> Path:
    ds = a_ct_image()
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = NEW
    ds.file_meta.MediaStorageSOPInstanceUID = NEW[2]
    ds.PatientID, ds.PatientName = "P1", ""
    ds.StudyDescription, ds.SliceThickness = "CT of the lung", "2.50"
    ds.StudyDate = "20200103"
    folder.mkdir(exist_ok=True)
    ds.save_as(folder / "result.dcm", enforce_file_format=True)
    return folder / "result.dcm"


@pytest.mark.parametrize(
    ("check", "holds"),
    [
        (Check("tag_retained", "<(0010,0010)>"), True),
        (Check("tag_retained", "<(0099,0010)>"), False),
        (Check("text_notnull", "<(0010,0020)>"), True),
        (Check("text_notnull", "<(0010,0010)>"), False),
        (Check("text_retained", "<(0008,1030)>", text="CT lung"), True),
        (Check("text_retained", "<(0008,1030)>", text="CT of the liver"), False),
        (Check("text_retained", "<(0018,0050)>", text="2.5"), True),
        (Check("text_removed", "<(0008,1030)>", text="Lindqvist"), True),
        (Check("text_removed", "<(0008,1030)>", text="the lung of Lindqvist"), False),
        (Check("text_removed", "<(0010,1040)>", text="Main Street"), True),
        (Check("date_shifted", "<(0008,0020)>", value="20200101"), True),
        (Check("date_shifted", "<(0008,0020)>", value="20200103"), False),
        (Check("uid_changed", "<(0020,000d)>", value=OLD[0]), True),
        (Check("uid_changed", "<(0020,000d)>", value=NEW[0]), False),
        (Check("uid_consistent", "<(0008,0018)>", value=OLD[2]), True),
        (Check("uid_consistent", "<(0008,0018)>", value=OLD[1]), False),
        (Check("patid_consistent", "<(0010,0020)>", value="original"), True),
        (Check("patid_consistent", "<(0010,0020)>", value="another"), False),
        (Check("pixels_retained", "<(7fe0,0010)>", text="no digest"), False),
    ],
    ids=lambda given: f"{given.action} {given.tag}" if isinstance(given, Check) else "",
)
def test_each_action_is_judged_as_the_benchmark_does(tmp_path: Path, check: Check, holds: bool) -> None:
    """A check holds of a file or not, whatever the others say."""
    found = score([Answer(OLD, 2, (check,))], [a_result(tmp_path)], MAP, {"original": "P1"})
    assert (found.asked.total(), found.passed.total()) == (1, int(holds))


def test_what_cannot_be_judged_is_counted_and_nothing_else(tmp_path: Path) -> None:
    """Texts in pixels, files that are none, and instances that did not come are told as such."""
    (tmp_path / "none").write_text("no DICOM")
    answers = [
        Answer(OLD, 2, (Check("pixels_hidden", "<(7fe0,0010)>"),)),
        Answer(
            ("1.9", "1.9", "1.9"), 2, (Check("tag_retained", "<(0010,0010)>"), Check("text_removed", "x"))
        ),
    ]
    found = score(answers, [a_result(tmp_path / "made"), tmp_path / "none"], MAP, {})
    assert (found.files, found.unreadable, found.missing, found.not_judged) == (1, 1, 1, 1)
    assert (found.asked.total(), found.passed.total()) == (2, 1)


def test_an_answer_key_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Also one whose rows are for a series, and one without the column of scopes."""
    answers = [
        Answer(OLD, 2, (Check("text_removed", "<(0010,0010)>", "a", "b"),), "ID", "CT", "1.2"),
        Answer(OLD, 1, (Check("tag_retained", "<(0008,0060)>"),)),
    ]
    write_answers(tmp_path / "answers.db", answers)
    assert read_answers(tmp_path / "answers.db") == answers
    entry = {"0": {"action": "<tag_retained>", "action_text": None, "value": None, "tag_ds": "<(0008,0060)>"}}
    with sqlite3.connect(tmp_path / "old.db") as database:
        database.execute(
            "CREATE TABLE answer_data (StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID, AnswerData)"
        )
        database.execute("INSERT INTO answer_data VALUES (?, ?, ?, ?)", (*OLD, json.dumps(entry)))
    assert read_answers(tmp_path / "old.db") == [Answer(OLD, 2, (Check("tag_retained", "<(0008,0060)>"),))]


def test_what_is_no_answer_key_and_no_map_is_refused(tmp_path: Path) -> None:
    """In one sentence that says what to name."""
    (tmp_path / "other.db").write_text("nothing of the kind")
    for read in (read_answers, read_map):
        with pytest.raises(Refused) as refused:
            read(tmp_path / "other.db")
        assert refused.value.next_step


def test_a_map_leads_back_and_is_for_one_person(tmp_path: Path) -> None:
    """It is written with mode 0600 and read as it was."""
    write_map(tmp_path / "map.csv", MAP)
    assert read_map(tmp_path / "map.csv") == MAP
    assert (tmp_path / "map.csv").stat().st_mode & 0o777 == 0o600


def test_a_policy_is_tried_on_the_files_of_a_benchmark(tmp_path: Path) -> None:
    """What the basic policy makes of a study holds what an answer key asks of it, and the maps fit."""
    files = written(a_ct_study(slices=2), tmp_path / "in")
    answers = []
    for path in files:
        ds = pydicom.dcmread(path)
        own = (str(ds.StudyInstanceUID), str(ds.SeriesInstanceUID), str(ds.SOPInstanceUID))
        checks = (
            Check("text_removed", "<(0010,0010)>", text=str(ds.PatientName)),
            Check("uid_consistent", "<(0008,0018)>", own[2]),
            Check("patid_consistent", "<(0010,0020)>", str(ds.PatientID)),
            Check("tag_retained", "<(0008,0060)>"),
        )
        answers.append(Answer(own, 2, checks))
    write_answers(tmp_path / "answers.sqlite", answers)
    done = run(load_library("basic"), tmp_path / "answers.sqlite", files, tmp_path / "out")
    assert done.score.missing == len(files) - done.score.files
    assert done.score.files >= 2 and done.score.share == 1.0
    again = score(
        read_answers(tmp_path / "answers.sqlite"),
        sorted((tmp_path / "out" / RESULTS).iterdir()),
        read_map(tmp_path / "out" / UIDS),
        read_map(tmp_path / "out" / PATIENTS),
    )
    assert again == done.score


def test_our_own_instances_have_answers_that_their_originals_fail(tmp_path: Path) -> None:
    """Of the files as they were planted hardly a removal holds; after the policy all do."""
    policy = load_library("basic")
    assert corpus(policy, tmp_path / "planted") > 20
    files = sorted((tmp_path / "planted" / RESULTS).iterdir())
    answers = read_answers(tmp_path / "planted" / "answers.db")
    before = score(answers, files, {uid: uid for one in answers for uid in one.uids}, {})
    assert before.passed["text_removed"] < before.asked["text_removed"] / 10
    done = run(policy, tmp_path / "planted" / "answers.db", files, tmp_path / "out")
    for action in ("text_removed", "uid_changed", "date_shifted"):
        assert done.score.asked[action] > 100
        assert done.score.passed[action] == done.score.asked[action]


def test_the_command_prints_counts_and_no_value(tmp_path: Path, tce: Tce) -> None:
    """Benchmark, score and corpus work one after the other; a wrong file is one line."""
    assert tce("policy", "corpus", "basic", tmp_path / "planted")[0] == 0
    answers, planted = tmp_path / "planted" / "answers.db", tmp_path / "planted" / RESULTS
    status, out, _ = tce("policy", "benchmark", "basic", answers, planted, "--out", tmp_path / "out")
    assert status == 0 and "text_removed" in out and "Qzx" not in out
    maps = ("--uids", tmp_path / "out" / UIDS, "--patients", tmp_path / "out" / PATIENTS)
    told = json.loads(tce("policy", "score", answers, tmp_path / "out" / RESULTS, *maps, "--json")[1])
    assert told["actions"]["text_removed"]["passed"] == told["actions"]["text_removed"]["of"]
    status, _, err = tce("policy", "score", tmp_path / "out" / UIDS, tmp_path / "out" / RESULTS, *maps)
    assert status == 1 and "answer" in err
