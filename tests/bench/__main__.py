"""``python -m tests.bench``: build the work sets, let everybody run in turn, print medians and ratios.

Everything lies on one tmpfs where there is one, so that a disk's mood does not count. Contenders take turns within
each repetition, so that a slow minute of the machine hits all of them.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.bench.contenders import AbsentError, Contender, Lap, contenders
from tests.bench.work_sets import WorkSet, make_work_sets


def main(arguments: Sequence[str]) -> None:
    """Measure and print a table in Markdown for each work set."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__.splitlines()[0])
    parser.add_argument("--ct", type=int, default=500, help="CT instances (0.5 MB each)")
    parser.add_argument("--mr", type=int, default=2000, help="small MR instances")
    parser.add_argument("--large", type=int, default=10, help="multi-frame instances (38 MB each)")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--only", default="", help="contenders whose name holds this text (and cp)")
    parser.add_argument(
        "--work", type=Path, help="where to work (default: /dev/shm, else the temporary folder)"
    )
    options = parser.parse_args(arguments)
    shared = Path("/dev/shm")
    place = options.work or (shared if shared.is_dir() else Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix="tce-bench-", dir=place) as folder:
        root = Path(folder)
        print(f"building the work sets in {place} …", file=sys.stderr, flush=True)
        sets = make_work_sets(root, ct=options.ct, mr=options.mr, large=options.large)
        with contenders(root) as everybody:
            chosen = [one for one in everybody if one.name == "`cp -r`" or options.only in one.name]
            print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}", end="")
            print(f", {options.repetitions} repetitions, work on {place}")
            for work_set in sets:
                print(_table(work_set, *_race(work_set, chosen, root, options.repetitions)), flush=True)


def _race(
    work_set: WorkSet, everybody: list[Contender], root: Path, repetitions: int
) -> tuple[dict[str, list[Lap]], dict[str, str]]:
    laps: dict[str, list[Lap]] = {contender.name: [] for contender in everybody}
    absent: dict[str, str] = {}
    for repetition in range(repetitions):
        for contender in everybody:
            if contender.name in absent:
                continue
            print(
                f"{work_set.name}: {repetition + 1}/{repetitions} {contender.name}",
                file=sys.stderr,
                flush=True,
            )
            out = root / "out"
            try:
                laps[contender.name].append(contender.run(work_set.folder, out))
            except AbsentError as reason:
                absent[contender.name] = str(reason)
            except RuntimeError as failure:
                absent[contender.name] = f"failed: {failure}"
            finally:
                shutil.rmtree(out, ignore_errors=True)
    return laps, absent


def _table(work_set: WorkSet, laps: dict[str, list[Lap]], absent: dict[str, str]) -> str:
    lines = [
        f"\n### {work_set.instances:,} {work_set.name}, {work_set.octets / 1e6:.0f} MB\n",
        "| | median s | x cp | spread s | process start s |",
        "|---|---|---|---|---|",
    ]
    copied = statistics.median(lap.seconds for lap in laps["`cp -r`"])
    for name, runs in laps.items():
        if name in absent or not runs:
            lines.append(f"| {name} | - | - | {absent.get(name, 'no run')} | |")
            continue
        seconds = [lap.seconds for lap in runs]
        middle = statistics.median(seconds)
        start = statistics.median(lap.start for lap in runs)
        spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
        lines.append(
            f"| {name} | {middle:.2f} | {middle / copied:.1f} | {spread} | {f'{start:.2f}' if start else ''} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
