"""DICOMDIR of a File-set that is there: ours and DCMTK's dcmmkdir over the same files, in turn, each a process.

Beside them stands the whole of ``write_media``: copies, pages, DICOMDIR and the proof. What a process needs (CPU,
resident memory) is what the system says of it.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.filewriter import dcmwrite

from media.dicomdir import write_dicomdir
from media.fileset import fileset_uid
from media.hierarchy import Hierarchy
from media.instances import read_instance
from media.pdi import write_media
from media.profiles import Handling
from tests.media.builders import LABEL, an_instance

_SERIES_OF = 100


@dataclass(frozen=True, slots=True)
class _Need:
    """What one run needed."""

    wall: float
    cpu: float
    resident_mb: float


def directory_table(root: Path, *, instances: Sequence[int], repetitions: int) -> Iterator[str]:
    """Yield what everybody needs for File-sets of so many instances, line by line of a table in Markdown.

    The whole medium is written of the first of them only.
    """
    yield "\n| instances | | s | CPU s | resident MB |\n|---|---|---|---|---|"
    for count in instances:
        folder = root / "fileset"
        _make(folder, count)
        runs: dict[str, list[_Need]] = {}
        for _ in range(repetitions):
            for name, command in _contenders(folder, root, whole=count == instances[0]).items():
                print(f"{count} instances: {name}", file=sys.stderr, flush=True)
                runs.setdefault(name, []).append(_run(command, folder))
                shutil.rmtree(root / "medium", ignore_errors=True)
                for left in ("OURS", "THEIRS"):
                    (root / left).unlink(missing_ok=True)
        for name, needs in runs.items():
            wall, cpu = (statistics.median(getattr(need, kind) for need in needs) for kind in ("wall", "cpu"))
            resident = max(need.resident_mb for need in needs)
            yield f"| {count:,} | {name} | {wall:.2f} | {cpu:.2f} | {resident:.0f} |"
        shutil.rmtree(folder)


def _contenders(folder: Path, root: Path, *, whole: bool) -> dict[str, list[str]]:
    ours = [sys.executable, "-m", "tests.bench.directory"]
    found = {"ours, DICOMDIR": [*ours, "directory", str(folder), str(root / "OURS")]}
    program = shutil.which("dcmmkdir")
    if program is None:
        print("dcmmkdir is absent; apt-get install dcmtk", file=sys.stderr)
    else:
        quiet = ["+r", "-Pgp", "-nb", "+D", str(root / "THEIRS"), "+id", str(folder), "DICOM"]
        found["dcmmkdir"] = [program, *quiet]
    if whole:
        found["ours, whole medium"] = [*ours, "medium", str(folder), str(root / "medium")]
    return found


def _run(command: list[str], folder: Path) -> _Need:
    began = time.perf_counter()
    repository = Path(__file__).parents[2]
    process = subprocess.Popen(
        command,
        cwd=folder if "dcmmkdir" in command[0] else repository,
        stdout=subprocess.DEVNULL,
    )
    resident = 0
    while True:
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        resident = max(resident, _peak(process.pid))
        time.sleep(0.01)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{Path(command[0]).name} failed")
    return _Need(time.perf_counter() - began, usage.ru_utime + usage.ru_stime, resident / 1024)


def _peak(process: int) -> int:
    """Return the kB that a process had in memory so far; what wait4 tells counts the parent's before the start too."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def _make(folder: Path, count: int) -> None:
    """Make a File-set of small images: ten patients, series of a hundred."""
    for number in range(count):
        series, image = divmod(number, _SERIES_OF)
        patient, study = series % 10 + 1, series // 10 % 5 + 1
        ds = an_instance(patient=patient, study=study, series=series + 1, number=image + 1)
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"2.25.5{number:09d}"
        names = (f"PA{patient:06d}", f"ST{study:06d}", f"SE{series:06d}", f"IM{image:06d}")
        path = folder.joinpath("DICOM", *names)
        path.parent.mkdir(parents=True, exist_ok=True)
        dcmwrite(path, ds, implicit_vr=False, little_endian=True, enforce_file_format=True)


def _directory(folder: Path, out: Path) -> None:
    with tempfile.TemporaryFile() as bodies:
        hierarchy = Hierarchy(bodies)
        for path in _files(folder):
            hierarchy.add(read_instance(path), Handling.COPY)
        if faults := hierarchy.faults():
            raise RuntimeError(faults[0].what)
        uid = fileset_uid(hierarchy.sop_instance_uids)
        write_dicomdir(out, hierarchy.records(), fileset_id="BENCH", sop_instance_uid=uid)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "DICOM").rglob("*") if path.is_file())


if __name__ == "__main__":
    what, source, target = sys.argv[1:]
    if what == "directory":
        _directory(Path(source), Path(target))
    else:
        write_media(_files(Path(source)), Path(target), label=LABEL, capacity=None, images=False)
