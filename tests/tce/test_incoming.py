"""What comes in from media comes in whole and judged; what does not is named; a process that dies leaves nothing."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread

from media import opening
from media.errors import ClosedFile
from media.pages import MediumLabel
from media.pdi import write_medium
from media.profiles import Profile
from media.secure_keys import Keys
from media.secure_media import Unlocking, protect_medium
from media.zip_mail import write_zip
from policies.forms import Forms
from tce import incoming
from tce.audit.trail import Trail
from tce.config import Settings, Site, save
from tce.errors import Refused
from tce.gate import Gate, Known, Verdict
from tce.incoming import TakenIn, take_in
from tests.media.images import an_image
from tests.media.secure import STRANGER, a_protection, keys_of
from tests.tce.test_gate import POLICY, pseudonymized

KNOWN = [Known(POLICY, Forms(), 0)]
LABEL = MediumLabel("CASE_7", "Institute of Trials", "trials@example.org", "TCE", "0.1.0")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "home").mkdir()
    save(Settings(), tmp_path / "home" / "tce.toml")
    return Site(tmp_path / "home")


@pytest.fixture
def medium(tmp_path: Path) -> Path:
    return write_medium(pseudonymized(tmp_path / "made"), tmp_path / "medium", label=LABEL).path


def identified(tmp_path: Path, count: int = 1) -> list[Path]:
    return sorted((tmp_path / "made" / "in" / "ct").rglob("*.dcm"))[:count]


def instances(medium: Path) -> list[Path]:
    return sorted(path for path in (medium / "DICOM").rglob("*") if path.is_file())


def data_sets(folder: Path) -> set[bytes]:
    found = set()
    for path in folder.rglob("*"):
        if path.is_file() and path.read_bytes()[128:132] == b"DICM" and path.name != "DICOMDIR":
            data = path.read_bytes()
            found.add(data[144 + int.from_bytes(data[140:144], "little") :])
    return found


def test_a_medium_comes_in_with_its_bytes(site: Site, medium: Path, tmp_path: Path) -> None:
    """Every data set arrives byte by byte, each patient is told to the trail, and no name of the medium is kept."""
    taken = take_in(site, [medium], tmp_path / "out", KNOWN)
    assert data_sets(tmp_path / "out") == data_sets(medium)
    assert taken.policies == {"pseudonymization 1": 7}
    assert (taken.behind, taken.deviations, taken.reasons) == ((), (), {})
    assert [record.event for record in Trail(site.audit_trail).records()].count("medium.read") == 2
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"{n:06d}.dcm" for n in range(1, 8)}
    assert not list(tmp_path.glob(".*"))


def test_an_image_comes_in_like_its_folder(site: Site, medium: Path, tmp_path: Path) -> None:
    """An ISO file gives what its folder gives, and nothing unpacked stays behind."""
    image = an_image(medium, tmp_path / "medium.iso")
    take_in(site, [image], tmp_path / "out", KNOWN)
    assert data_sets(tmp_path / "out") == data_sets(medium)
    assert not list(tmp_path.glob("tce-medium-*")) and not list(tmp_path.glob(".*"))


def test_what_is_still_identified_stays_behind(site: Site, medium: Path, tmp_path: Path) -> None:
    """Beside pseudonymized files, identified ones are named by their place and reason, and do not come in."""
    (original,) = identified(tmp_path)
    shutil.copyfile(original, medium / "DICOM" / "EXTRA")
    taken = take_in(site, [medium], tmp_path / "out", KNOWN)
    assert [(one.name, one.reason) for one in taken.behind] == [("DICOM/EXTRA", "still-identified")]
    assert len(taken.instances) == len(list((tmp_path / "out").iterdir())) == 7
    name = str(dcmread(original).PatientName)
    assert name and name not in repr(taken)
    assert not [path for path in (tmp_path / "out").iterdir() if name.encode() in path.read_bytes()]


def test_a_medium_of_identified_instances_gives_nothing(site: Site, medium: Path, tmp_path: Path) -> None:
    """Where nothing may come in, no folder is made, and the person reads what to do with the medium."""
    only = tmp_path / "only"
    only.mkdir()
    for number, path in enumerate(identified(tmp_path, 2)):
        shutil.copyfile(path, only / f"{number}.dcm")
    with pytest.raises(Refused, match="still-identified") as refusal:
        take_in(site, [only], tmp_path / "out", KNOWN)
    assert "return the medium" in refusal.value.next_step
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".*"))


def test_two_files_of_one_uid_stay_out_unless_they_are_the_same(
    site: Site, medium: Path, tmp_path: Path
) -> None:
    """The same instance twice comes in once; with other content, neither of the two does, and both are named."""
    first, second = instances(medium)[:2]
    shutil.copyfile(first, first.with_name("AGAIN"))
    ds = dcmread(second)
    ds.InstanceNumber = 99
    ds.save_as(second.with_name("OTHER"))
    taken = take_in(site, [medium], tmp_path / "out", KNOWN)
    assert "1 instances are there a second time and were taken once" in taken.deviations
    assert taken.reasons == {"conflict": 2} and len(taken.instances) == 6
    assert {Path(one.name).name for one in taken.behind} == {second.name, "OTHER"}


def test_several_discs_come_in_together(site: Site, medium: Path, tmp_path: Path) -> None:
    """A study that is spread over two discs is whole again, once, and the spreading is told."""
    other = tmp_path / "other"
    moved = instances(medium)[-1]
    other.mkdir()
    shutil.copyfile(instances(medium)[0], other / "AGAIN")
    moved.rename(other / "A.dcm")
    taken = take_in(site, [medium, other], tmp_path / "out", KNOWN)
    assert len(taken.instances) == 7
    assert "medium 2: there is no DICOMDIR; all files were searched" in taken.deviations
    assert "1 records name a file that is not on the medium" in taken.deviations
    assert "1 studies are spread over several media" in taken.deviations


@pytest.mark.parametrize("kept", [10, 300, 1400])
def test_a_truncated_file_is_named(site: Site, medium: Path, tmp_path: Path, kept: int) -> None:
    """A file cut in its head, its data set or its pixels stays behind, and the others come in."""
    cut = instances(medium)[0]
    os.truncate(cut, kept)
    taken = take_in(site, [medium], tmp_path / "out", KNOWN)
    assert len(taken.instances) == 6
    assert [one.name.rpartition("/")[2] for one in taken.behind] == [cut.name]
    # Cut between two elements it is a whole data set with less in it, which the policy would not have made.
    reasons = {"truncated", "malformed", "unreadable", "not-dicom", "marks-differ"}
    assert {one.reason for one in taken.behind} <= reasons


def test_a_data_set_without_preamble_is_named(site: Site, medium: Path, tmp_path: Path) -> None:
    """What somebody saved without the head of a DICOM file is told, and not taken for one."""
    bare = instances(medium)[0]
    bare.write_bytes(bare.read_bytes()[132:])
    taken = take_in(site, [medium], tmp_path / "out", KNOWN)
    assert len(taken.instances) == 6 and taken.reasons == {"not-dicom": 1}


def test_names_that_are_not_legal_are_told_and_read(site: Site, medium: Path, tmp_path: Path) -> None:
    """Endings, files in the root, lower case and a DICOMDIR that is gone hide no instance."""
    (medium / "DICOMDIR").unlink()
    for number, path in enumerate(instances(medium)):
        path.rename(medium / f"image{number}.dcm;1")
    taken = take_in(site, [medium], tmp_path / "out", KNOWN)
    assert len(taken.instances) == 7
    assert "7 names of DICOM files are not legal in a File-set" in taken.deviations
    assert "7 DICOM files lie in the root" in taken.deviations


def test_a_scratch_hides_no_other_file(
    site: Site, medium: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that the drive cannot read stays behind, of a folder and of an image; a full disk ends the reading."""
    image = an_image(medium, tmp_path / "medium.iso")
    code = errno.EIO

    def failing(original: Callable[..., None], at: int) -> Callable[..., None]:
        calls = iter(range(at + 1))

        def one_fails(*given: object, **named: object) -> None:
            if next(calls, None) == at:
                raise OSError(code, os.strerror(code))
            original(*given, **named)

        return one_fails

    whole = incoming.copy_under_new_head
    monkeypatch.setattr(incoming, "copy_under_new_head", failing(whole, 2))
    taken = take_in(site, [medium], tmp_path / "folder", KNOWN)
    assert len(taken.instances) == 6 and taken.reasons == {"unreadable": 1}
    monkeypatch.setattr(incoming, "copy_under_new_head", whole)
    with monkeypatch.context() as patched:
        patched.setattr(opening, "_copy", failing(opening._copy, 3))
        taken = take_in(site, [image], tmp_path / "image", KNOWN)
    assert len(taken.instances) == 6
    assert "of the image, files cannot be read where they lie and were left alone (1)" in taken.deviations
    code = errno.ENOSPC
    monkeypatch.setattr(incoming, "copy_under_new_head", failing(whole, 2))
    with pytest.raises(OSError, match=os.strerror(code)):
        take_in(site, [medium], tmp_path / "full", KNOWN)
    assert not (tmp_path / "full").exists() and not list(tmp_path.glob(".*"))


def test_nothing_is_overwritten(site: Site, medium: Path, tmp_path: Path) -> None:
    """A folder that holds something is left as it is."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(Refused, match="not empty"):
        take_in(site, [medium], tmp_path / "out", KNOWN)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


class _Dying(Gate):
    """A gate whose process is killed at the third instance."""

    judged = 0

    def judge(self, path: Path) -> Verdict:
        _Dying.judged += 1
        if _Dying.judged == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().judge(path)


def _die(site: Site, medium: Path, out: Path) -> None:
    incoming.Gate = _Dying  # type: ignore[misc]
    take_in(site, [medium], out, KNOWN)


def test_a_process_that_dies_leaves_nothing_that_looks_whole(
    site: Site, medium: Path, tmp_path: Path
) -> None:
    """Killed among the instances: no folder of that name, no record; the same command then does it all."""
    child = multiprocessing.get_context("fork").Process(target=_die, args=(site, medium, tmp_path / "out"))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert not (tmp_path / "out").exists() and list(tmp_path.glob(".out.partial"))
    assert not site.audit_trail.exists()
    taken: TakenIn = take_in(site, [medium], tmp_path / "out", KNOWN)
    assert len(taken.instances) == len(list((tmp_path / "out").iterdir())) == 7
    assert not list(tmp_path.glob(".*"))


def test_an_encrypted_medium_comes_in_with_its_bytes(site: Site, medium: Path, tmp_path: Path) -> None:
    """The gate judges what was opened; what does not open stays behind, and what the medium lacks is told."""
    secure = tmp_path / "secure"
    protect_medium(
        medium, secure, label=LABEL, profile=Profile.STD_GEN_CD, protection=a_protection(signer=STRANGER)
    )
    write_zip(secure, tmp_path / "DICOM.ZIP")
    unlock = Unlocking(keys_of())
    taken = take_in(site, [tmp_path / "DICOM.ZIP"], tmp_path / "in", KNOWN, unlock=unlock)
    assert data_sets(tmp_path / "in") == data_sets(medium)
    assert [one for one in taken.deviations if "whom this site does not trust" in one]
    [record, *_] = Trail(site.audit_trail).records()
    assert (record.detail["encrypted"], record.detail["kind"]) == ("yes", "Email")
    cut = instances(secure)[0]
    cut.write_bytes(cut.read_bytes()[:-50])
    taken = take_in(site, [secure], tmp_path / "again", KNOWN, unlock=Unlocking(keys_of()))
    assert [one.reason for one in taken.behind] == ["truncated"]
    assert len(taken.instances) == len(instances(medium)) - 1
    for number, keys in enumerate((Keys(), keys_of(STRANGER))):
        with pytest.raises(ClosedFile):
            take_in(site, [secure], tmp_path / f"none{number}", KNOWN, unlock=Unlocking(keys))
        assert not (tmp_path / f"none{number}").exists()
