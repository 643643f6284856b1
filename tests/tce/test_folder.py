"""Files to files: a whole folder, on all cores, nothing lost and nothing of its names kept."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import pydicom
import pytest

from policies.engine import Draft, Engine
from policies.loader import load_library
from policies.pseudonyms import Identifier, Pseudonyms, Subject
from tce.errors import TceError
from tce.folder import de_identify
from tests.builders import a_ct_study, an_mr_study, written
from tests.policies.pseudonyms_for_tests import CountedPseudonyms


def bench() -> tuple[Engine, Callable[[], Pseudonyms]]:
    return Engine(load_library("pseudonymization")), CountedPseudonyms


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "Smith_John_1950"
    written(a_ct_study(slices=4), folder / "ct")
    written(an_mr_study(slices=4), folder / "mr")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("workers", [1, 2])
def test_every_instance_arrives_once(sources: Path, tmp_path: Path, workers: int) -> None:
    """Each source instance becomes one file, under names that say nothing of the source."""
    account = de_identify([sources], tmp_path / "out", bench, workers=workers)
    files = contents(tmp_path / "out")
    assert account.written == len(files) == sum(1 for path in sources.rglob("*") if path.is_file())
    assert len(account.patients) == 2
    assert not [name for name in files if "smith" in name.lower() or ".partial" in name]
    for name in files:
        ds = pydicom.dcmread(tmp_path / "out" / name, stop_before_pixels=True)
        assert Path(name).parts == (
            ds.PatientID,
            ds.StudyInstanceUID,
            ds.SeriesInstanceUID,
            f"{ds.SOPInstanceUID}.dcm",
        )


def test_the_number_of_workers_makes_no_difference(sources: Path, tmp_path: Path) -> None:
    """One process and two give the same files with the same bytes."""
    de_identify([sources], tmp_path / "one", bench, workers=1)
    de_identify([sources], tmp_path / "two", bench, workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_rerun_changes_nothing(sources: Path, tmp_path: Path) -> None:
    """The same job again finds everything there and says so."""
    de_identify([sources], tmp_path / "out", bench, workers=1)
    before = contents(tmp_path / "out")
    account = de_identify([sources], tmp_path / "out", bench, workers=1)
    assert (account.written, account.already) == (0, len(before))
    assert contents(tmp_path / "out") == before


def test_bad_files_are_set_aside_and_the_others_go_on(sources: Path, tmp_path: Path) -> None:
    """Not DICOM, truncated, private, without UID: each is named with its reason, none is passed on."""
    images = (path for path in sorted(sources.rglob("*")) if path.is_file())
    whole = next(path for path in images if pydicom.dcmread(path).Modality == "CT").read_bytes()
    bad = {
        "letter.txt": (b"Dear John Smith", "not-dicom"),
        "cut.dcm": (whole[: len(whole) // 2], "truncated"),
        "odd.dcm": (
            whole.replace(b"1.2.840.10008.5.1.4.1.1.2\0", b"1.3.12.2.1107.5.9.1.1.1.1\0"),
            "private-sop-class",
        ),
    }
    for name, (content, _) in bad.items():
        (sources / name).write_bytes(content)
    account = de_identify([sources], tmp_path / "out", bench, workers=2)
    assert {aside.path.name: aside.reason for aside in account.set_aside} == {
        name: reason for name, (_, reason) in bad.items()
    }
    assert account.written == len(contents(tmp_path / "out")) > 0
    assert all(aside.what for aside in account.set_aside)


def test_what_vanishes_or_is_no_file_does_not_stop_the_others(sources: Path, tmp_path: Path) -> None:
    """Links to nothing, pipes, loops and what vanishes are set aside by their reason; the others go on."""
    (sources / "gone.dcm").symlink_to(tmp_path / "nowhere")
    (sources / "loop").symlink_to(sources)
    (sources / "self.dcm").symlink_to("self.dcm")
    os.mkfifo(sources / "pipe.dcm")
    whole = sum(1 for path in sources.glob("*/**/*") if "loop" not in path.parts and path.is_file())

    class Vanishing(Engine):
        def read(self, path: str | Path) -> Draft:
            if str(path).endswith("0001.dcm"):
                raise FileNotFoundError(2, "gone")
            return super().read(path)

    account = de_identify(
        [sources],
        tmp_path / "out",
        lambda: (Vanishing(load_library("basic")), CountedPseudonyms),
        workers=1,
    )
    reasons = {aside.path.name: aside.reason for aside in account.set_aside}
    assert reasons.pop("gone.dcm") == reasons.pop("self.dcm") == "unreadable"
    assert reasons.pop("pipe.dcm") == "not-dicom"
    assert set(reasons.values()) == {"unreadable"}
    vanished = [aside for aside in account.set_aside if aside.path.name in reasons]
    assert account.written == whole - len(vanished) > 0


def test_one_uid_is_one_instance_whatever_series_says_so(sources: Path, tmp_path: Path) -> None:
    """The same UID again, in another series or of another patient, is a conflict: none of them is written."""
    first = next(path for path in sorted(sources.rglob("*")) if path.is_file())
    for number, change in enumerate(({"PatientID": "OTHER"}, {"SeriesInstanceUID": "1.2.3"})):
        ds = pydicom.dcmread(first)
        for keyword, value in change.items():
            setattr(ds, keyword, value)
        ds.save_as(sources / f"zz-{number}.dcm")
    account = de_identify([sources], tmp_path / "out", bench, workers=2)
    assert [aside.reason for aside in account.set_aside] == ["conflict"] * 3
    names = [path.name for path in (tmp_path / "out").rglob("*.dcm")]
    assert len(names) == len(set(names)) == account.written


def test_two_contents_under_one_uid_conflict(sources: Path, tmp_path: Path) -> None:
    """Two instances with the same UID and other content are both set aside: which is right cannot be decided."""
    first = next(path for path in sorted(sources.rglob("*")) if path.is_file())
    ds = pydicom.dcmread(first)
    ds.WindowCenter = "12345"
    ds.save_as(sources / "zz-later.dcm")
    trees = []
    for workers in (1, 2):
        account = de_identify([sources], tmp_path / f"out-{workers}", bench, workers=workers)
        assert {aside.path for aside in account.set_aside} == {first, sources / "zz-later.dcm"}
        assert {aside.reason for aside in account.set_aside} == {"conflict"}
        trees.append(contents(tmp_path / f"out-{workers}"))
        assert account.written == len(trees[-1])
    assert trees[0] == trees[1]


def test_one_batch_is_one_request(sources: Path, tmp_path: Path) -> None:
    """The identifiers of a batch are resolved in one request."""
    pseudonyms = CountedPseudonyms()
    de_identify(
        [sources], tmp_path / "out", lambda: (Engine(load_library("basic")), lambda: pseudonyms), workers=1
    )
    assert pseudonyms.requests == 1


class Dying:
    """Pseudonyms that stop answering."""

    def resolve(self, subjects: Collection[Subject]) -> Mapping[Identifier, str]:
        raise TceError("The vault does not answer.", next_step="Start it.")


@pytest.mark.parametrize("workers", [1, 2])
def test_without_pseudonyms_nothing_is_written(sources: Path, tmp_path: Path, workers: int) -> None:
    """When pseudonyms cannot be had the job stops by name, and no file is left."""
    with pytest.raises(TceError, match="does not answer"):
        de_identify(
            [sources], tmp_path / "out", lambda: (Engine(load_library("basic")), Dying), workers=workers
        )
    assert contents(tmp_path / "out") == {}


def test_a_worker_that_dies_is_told(sources: Path, tmp_path: Path) -> None:
    """A killed worker process ends the job with what to do; a rerun completes it."""

    class Killed(CountedPseudonyms):
        def resolve(self, subjects: Collection[Subject]) -> Mapping[Identifier, str]:
            os._exit(9)

    with pytest.raises(TceError, match="died"):
        de_identify([sources], tmp_path / "out", lambda: (Engine(load_library("basic")), Killed), workers=2)
    account = de_identify([sources], tmp_path / "out", bench, workers=2)
    assert account.written == sum(1 for path in sources.rglob("*") if path.is_file())


def test_workers_end_with_a_killed_parent(sources: Path, tmp_path: Path) -> None:
    """When the job is killed, its workers end too, what is written is whole, and a rerun completes it."""

    class Slow(CountedPseudonyms):
        def resolve(self, subjects: Collection[Subject]) -> Mapping[Identifier, str]:
            (tmp_path / f"worker-{os.getpid()}").touch()
            time.sleep(60)
            raise AssertionError("the worker should be gone by now")

    parent = multiprocessing.get_context("fork").Process(
        target=de_identify,
        args=([sources], tmp_path / "out", lambda: (Engine(load_library("basic")), Slow)),
        kwargs={"workers": 2},
    )
    parent.start()
    while not (seen := list(tmp_path.glob("worker-*"))):
        time.sleep(0.05)
    parent.kill()
    parent.join()
    workers = [int(path.name.removeprefix("worker-")) for path in seen]
    while any(_lives(worker) for worker in workers):
        time.sleep(0.05)
    account = de_identify([sources], tmp_path / "out", bench, workers=2)
    assert account.written == sum(1 for path in sources.rglob("*") if path.is_file())
    assert not list((tmp_path / "out").glob(".partial-*"))


def _lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_sources_and_target_must_lie_apart(sources: Path) -> None:
    """Writing into a source, or around it, is refused before anything is read."""
    for out in (sources, sources / "inside", sources.parent):
        with pytest.raises(TceError, match="within each other"):
            de_identify([sources], out, bench)


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A missing source is one line."""
    with pytest.raises(TceError, match="no file or folder"):
        de_identify([tmp_path / "nothing"], tmp_path / "out", bench, workers=1)


def test_an_empty_folder_is_no_success(tmp_path: Path) -> None:
    """Nothing to do is told, not counted as done."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(TceError, match="no file"):
        de_identify([tmp_path / "empty"], tmp_path / "out", bench, workers=2)
