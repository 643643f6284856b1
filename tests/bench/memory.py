"""How much memory a job takes: one instance of 2 GB, and ten thousand instances.

Each is a process of its own, so that nothing else is counted; what is told is its resident memory. The large instance
is sparse where the file system allows it, and its copy is written in full.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from policies.engine import Engine
from policies.loader import load_library
from policies.pseudonyms import Pseudonyms
from tce.folder import de_identify
from tests.bench.work_sets import large_instances, mr_instances
from tests.policies.pseudonyms_for_tests import CountedPseudonyms

GIB = 1 << 30
_PAGE = os.sysconf("SC_PAGE_SIZE")


def memory_table(root: Path, *, octets: int, instances: int) -> str:
    """Return the figures as a table in Markdown."""
    large, many = root / "large", root / "many"
    write_large(large, octets)
    write_many(many, instances)
    small, peak = measured("large", large)
    progress = measured("many", many)
    return "\n".join(
        [
            "",
            "### Memory, resident MB of a process in stage 2",
            "",
            "| | after one of 0.5 MB | peak |",
            "|---|---|---|",
            f"| one multi-frame instance of {octets / GIB:.1f} GiB | {small:.0f} | {peak:.0f} |",
            "",
            "| | after a tenth | at the end |",
            "|---|---|---|",
            f"| {instances:,} instances | {progress[0]:.0f} | {progress[-1]:.0f} |",
        ]
    )


def measured(what: str, folder: Path) -> list[float]:
    """Run one measurement in a fresh process, remove its folder, and return its figures in MB."""
    command = [sys.executable, "-m", "tests.bench.memory", what, str(folder)]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    shutil.rmtree(folder)
    if done.returncode:
        raise RuntimeError(f"the measurement of memory failed: {done.stderr[-2000:]}")
    return [float(figure) for figure in done.stdout.split()]


def write_large(folder: Path, octets: int) -> None:
    """Write a multi-frame instance of about so many octets, sparse where the file system can, and one of one frame.

    The small one says that it has as many frames; what is too short passes as it is.
    """
    folder.mkdir()
    path = folder / "header.dcm"
    ds = next(iter(large_instances(1)))
    frame = ds.Rows * ds.Columns * 2
    ds.NumberOfFrames = str(octets // frame)
    ds.PixelData = b""
    ds.save_as(path, enforce_file_format=True)
    # Only Data Set Trailing Padding could follow Pixel Data; it goes, and the value is a hole.
    head, empty, _ = path.read_bytes().partition(b"\xe0\x7f\x10\x00OW\0\0")
    for name, length in (("small.dcm", frame), ("large.dcm", octets // frame * frame)):
        with (folder / name).open("wb") as file:
            file.write(head + empty + length.to_bytes(4, "little"))
            file.truncate(file.tell() + length)


def write_many(folder: Path, count: int) -> None:
    """Write so many small instances of one series."""
    sources = folder / "in"
    sources.mkdir(parents=True)
    template = next(iter(mr_instances(1)))
    template.save_as(folder / "template.dcm", enforce_file_format=True)
    content = (folder / "template.dcm").read_bytes()
    uid = template.SOPInstanceUID.encode()
    for number in range(count):
        (sources / f"{number:06d}.dcm").write_bytes(content.replace(uid, uid[:-8] + b"%08d" % number))


def one_large(folder: Path) -> list[float]:
    """Carry the small instance and then the large one through stage 2; the peak of resident memory after each."""
    engine, known = Engine(load_library("longitudinal-trial")), CountedPseudonyms()
    peaks = []
    for name in ("small", "large"):
        with engine.read(folder / f"{name}.dcm") as draft:
            engine.write(draft, known.resolve([draft.subject]), folder / f"{name}-out.dcm")
        peaks.append(_peak())
    return peaks


def many_small(folder: Path) -> list[float]:
    """Carry the small instances through a job; resident memory after each tenth of them."""
    count = sum(1 for _ in (folder / "in").iterdir())
    figures: list[float] = []

    def progress(done: int) -> None:
        while done >= (len(figures) + 1) * count // 10 and len(figures) < 10:
            figures.append(resident())

    def bench() -> tuple[Engine, Callable[[], Pseudonyms]]:
        return Engine(load_library("longitudinal-trial")), CountedPseudonyms

    account = de_identify([folder / "in"], folder / "out", bench, workers=1, progress=progress)
    if account.written != count:
        raise RuntimeError("not every instance was written")
    return figures


def resident() -> float:
    """Return the resident memory of this process in MB."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE / 1e6


def _peak() -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("the system does not tell the peak of memory")


if __name__ == "__main__":
    what, where = sys.argv[1:]
    print(*{"large": one_large, "many": many_small}[what](Path(where)))
