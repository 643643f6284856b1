"""``python -m tests.canaries``: plant, carry, search, measure, and print what was found. Exit status 1 when anything survived."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.canaries import report
from tests.canaries.corpus import files_of, files_of_pydicom, planted_in
from tests.canaries.garden import Garden
from tests.canaries.road import carried


def main(arguments: Sequence[str]) -> int:
    """Run everything and return the exit status."""
    parser = argparse.ArgumentParser(prog="make canaries ARGS=...", description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, help="folder with DICOM files of your own, to be planted as well")
    parser.add_argument("--json", type=Path, help="write what was found to this file")
    parser.add_argument("--every", type=int, default=1, help="take only every n-th SOP Class")
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument("--work", type=Path, help="where to work (default: /dev/shm, else the temporary folder)")
    options = parser.parse_args(arguments)
    shared = Path("/dev/shm")
    place = options.work or (shared if shared.is_dir() else Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix="tce-canaries-", dir=place) as folder:
        root = Path(folder)
        garden = Garden(root / "planted", seed=options.seed, every=options.every)
        real = files_of_pydicom() + (files_of(options.corpus) if options.corpus else [])
        in_real, failed = planted_in(real[:: options.every], garden, garden.mint)
        planted = [*garden.all(), *in_real]
        print(f"{len(in_real):,} real files planted, {failed:,} could not be")
        print(f"planted {sum(len(file.canaries) for file in planted):,} canaries in {len(planted):,} files", flush=True)
        tally = carried(planted, root / "out")
    print(report.channels_table(tally))
    print(report.reasons_table(tally))
    if tally.survivors:
        print(report.survivors_list(tally))
    for crash in tally.crashed[:20]:
        print(f"crashed: {crash}")
    if options.json:
        report.write_json(options.json, tally, {})
    return 1 if tally.survivors or tally.crashed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
