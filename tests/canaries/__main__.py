"""``python -m tests.canaries``: plant, carry, search, measure, and print what was found.

The exit status is 1 when anything survived, crashed or was lost that an analysis needs.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from policies.loader import load_library
from policies.model import Stage
from tests.canaries import report
from tests.canaries.corpus import files_of, files_of_pydicom, planted_in
from tests.canaries.garden import Garden
from tests.canaries.legality import available, new_errors
from tests.canaries.policies import accepting, of_stage_two, retaining, shipped
from tests.canaries.road import Tally, carried
from tests.canaries.site import walk
from tests.canaries.utility import Measurement, carry_plainly, measured

_MEASURED = ("pseudonymization", "basic", "longitudinal-trial")


def main(arguments: Sequence[str]) -> int:
    """Run everything and return the exit status."""
    options = _options(arguments)
    shared = Path("/dev/shm")
    place = options.work or (shared if shared.is_dir() else Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix="tce-canaries-", dir=place) as folder:
        root = Path(folder)
        sources = files_of_pydicom() + (files_of(options.corpus) if options.corpus else [])
        tally = _canaries(root, sources, options)
        measurements = [] if options.no_utility else _measure(root, sources)
    _print(tally, measurements)
    if options.json:
        report.write_json(options.json, tally, {"utility": [one.facts() for one in measurements]})
    failed = [
        one for one in measurements if (one.policy == "basic" and not one.utility.whole) or one.new_errors
    ]
    return 1 if tally.survivors or tally.crashed or failed else 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make canaries ARGS=...", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--corpus", type=Path, help="folder with DICOM files of your own, to be planted as well"
    )
    parser.add_argument("--json", type=Path, help="write what was found to this file")
    parser.add_argument("--every", type=int, default=1, help="take only every n-th SOP Class and file")
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--no-site", action="store_true", help="leave the real site out")
    parser.add_argument("--no-utility", action="store_true", help="leave the measurements out")
    parser.add_argument(
        "--work", type=Path, help="where to work (default: /dev/shm, else the temporary folder)"
    )
    return parser.parse_args(arguments)


def _canaries(root: Path, sources: list[Path], options: argparse.Namespace) -> Tally:
    garden = Garden(root / "planted", seed=options.seed, every=options.every)
    in_real, failed = planted_in(sources[:: options.every], garden, garden.mint)
    built = garden.all()
    count = sum(len(file.canaries) for file in (*built, *in_real))
    _say(
        f"{count:,} canaries in {len(built):,} built and {len(in_real):,} real files; {failed:,} real ones not planted"
    )
    if impossible := retaining()[1]:
        _say(f"options that no policy can choose: {', '.join(impossible)}")
    tally = carried(built, root / "out", seconds=of_stage_two(), workers=options.workers)
    # Real files are many and alike: the shipped policies, and those that retain the most.
    most = [*shipped(Stage.ANONYMIZE), *retaining()[0][-2:]]
    tally.add(carried(in_real, root / "out", seconds=most, workers=options.workers))
    if not options.no_site:
        _say("a real site …")
        beds = Garden(root / "beds", seed=options.seed + 1, every=max(1, options.every // 4))
        tally.add(walk([*beds.together(), *beds.alone(), *beds.reports()], root / "site", beds.mint))
    return tally


def _measure(root: Path, sources: list[Path]) -> list[Measurement]:
    found = []
    for name in _MEASURED:
        _say(f"utility under {name} …")
        # Kinds that are held for review are measured as well: a review lets them pass unchanged.
        policy = accepting(load_library(name))
        pairs, reasons = carry_plainly(sources, root / "plain" / name, policy)
        errors, unjudged = new_errors(pairs) if available() else ([], len(pairs))
        found.append(Measurement(name, measured(pairs, policy, reasons), errors, unjudged))
    return found


def _print(tally: Tally, measurements: Sequence[Measurement]) -> None:
    print(report.channels_table(tally))
    print(report.reasons_table(tally))
    print("; ".join(f"{what}: {count}" for what, count in sorted(tally.instances.items())))
    if measurements:
        print(report.utility_table(measurements))
    if tally.survivors:
        print(report.survivors_list(tally))
    for crash, count in Counter(tally.crashed).most_common(20):
        print(f"crashed, {count} times: {crash}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
