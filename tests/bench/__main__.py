"""``python -m tests.bench``: how fast, and in how much memory, beside ``cp -r`` and beside others' de-identifiers.

    race    files to files: both stages of ours with a real Vault, cp and the peers, as multiples of cp
    engine  CPU of the engine alone, an instance
    nested  enhanced multi-frame headers with very many nested elements: linear or not, MB a second
    network C-STORE in and out, beside DCMTK and Orthanc: instances a second
    mapping new and known identifiers a second, Vault included, in a fresh mapping and in one of a million rows
    road    receive, anonymize, forward: RAD-50 to RAD-53 beside Orthanc
    dicomdir  the DICOMDIR of 10,000 and 100,000 instances, beside DCMTK's dcmmkdir; and the whole medium
    memory  one instance of 2 GiB, and 10,000 small ones: resident MB

Without a name all run. Everything lies on one tmpfs where there is one, so that a disk's mood does not count.
Contenders take turns within each repetition, so that a slow minute of the machine hits all of them. The race ends with
the table of docs/verification.md. Peers that are absent are named with how to get them; ``--peers`` fetches those that
are written in Python into an environment of their own.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.bench.contenders import contenders
from tests.bench.directory import directory_table
from tests.bench.engine import engine_table, nested_table
from tests.bench.mapping import mapping_table
from tests.bench.memory import GIB, memory_table
from tests.bench.network import network_tables
from tests.bench.peers import install
from tests.bench.race import page_table, race, table
from tests.bench.road import road_table
from tests.bench.work_sets import make_work_sets

_MEASURES = ("race", "engine", "nested", "network", "road", "mapping", "dicomdir", "memory")
_NESTED = [10_000, 50_000, 200_000]


def main(arguments: Sequence[str]) -> None:
    """Measure and print tables in Markdown."""
    options = _options(arguments)
    if options.peers:
        install()
    shared = Path("/dev/shm")
    place = options.work or (shared if shared.is_dir() else Path(tempfile.gettempdir()))
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}", end="")
    print(f", {options.repetitions} repetitions, work on {place}")
    with tempfile.TemporaryDirectory(prefix="tce-bench-", dir=place) as folder:
        root = Path(folder)
        for measure in options.measures or _MEASURES:
            _RUN[measure](root, options)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench ARGS=...",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "measures", nargs="*", metavar="MEASURE", help=f"{', '.join(_MEASURES)} (default: all)"
    )
    parser.add_argument("--ct", type=int, default=500, help="CT instances (0.5 MB each)")
    parser.add_argument("--mr", type=int, default=2000, help="small MR instances")
    parser.add_argument("--large", type=int, default=10, help="multi-frame instances (38 MB each)")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument(
        "--only", default="", help="contenders, or stores of the mapping, whose name holds this text (and cp)"
    )
    parser.add_argument("--peers", action="store_true", help="install the peers written in Python first")
    parser.add_argument(
        "--instances", type=int, default=10_000, help="instances of the measures of memory and dicomdir"
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the measure of the mapping")
    parser.add_argument("--identifiers", type=int, default=40_000, help="rows that it is timed with")
    parser.add_argument("--gib", type=float, default=2.0, help="size of its large instance")
    parser.add_argument(
        "--work", type=Path, help="where to work (default: /dev/shm, else the temporary folder)"
    )
    options = parser.parse_args(arguments)
    unknown = set(options.measures) - set(_MEASURES)
    if unknown:
        parser.error(f"there is no measure {', '.join(sorted(unknown))}; choose from {', '.join(_MEASURES)}")
    return options


def _race(root: Path, options: argparse.Namespace) -> None:
    print("building the work sets …", file=sys.stderr, flush=True)
    sets = make_work_sets(root / "sets", ct=options.ct, mr=options.mr, large=options.large)
    results = []
    with contenders(root) as everybody:
        chosen = [one for one in everybody if one.name == "`cp -r`" or options.only in one.name]
        for work_set in sets:
            results.append(race(work_set, chosen, root / "out", options.repetitions))
            print(table(results[-1]), flush=True)
    print(page_table(results))
    shutil.rmtree(root / "sets")


def _engine(root: Path, options: argparse.Namespace) -> None:
    sets = make_work_sets(root / "engine", ct=min(options.ct, 200), mr=min(options.mr, 1000), large=0)
    print(engine_table(sets, root / "out"), flush=True)
    shutil.rmtree(root / "engine")


def _nested(root: Path, options: argparse.Namespace) -> None:
    print(nested_table(_NESTED, root / "nested"), flush=True)


def _network(root: Path, options: argparse.Namespace) -> None:
    sets = make_work_sets(root / "network", ct=options.ct, mr=options.mr, large=0)
    print(network_tables(sets, root, options.repetitions), flush=True)
    shutil.rmtree(root / "network")


def _mapping(root: Path, options: argparse.Namespace) -> None:
    repetitions = min(options.repetitions, 3)
    figures = mapping_table(
        root, rows=options.rows, identifiers=options.identifiers, repetitions=repetitions, only=options.only
    )
    print(figures, flush=True)


def _road(root: Path, options: argparse.Namespace) -> None:
    for one in make_work_sets(root / "road-sets", ct=options.ct, mr=options.mr, large=0):
        print(road_table(one, root, options.repetitions), flush=True)
    shutil.rmtree(root / "road-sets")


def _dicomdir(root: Path, options: argparse.Namespace) -> None:
    counts = [options.instances, 10 * options.instances]
    for line in directory_table(root, instances=counts, repetitions=min(options.repetitions, 3)):
        print(line, flush=True)


def _memory(root: Path, options: argparse.Namespace) -> None:
    octets = min(int(options.gib * GIB), (1 << 32) - (1 << 20))
    print(memory_table(root, octets=octets, instances=options.instances), flush=True)


_RUN = {
    "race": _race,
    "engine": _engine,
    "nested": _nested,
    "network": _network,
    "road": _road,
    "mapping": _mapping,
    "dicomdir": _dicomdir,
    "memory": _memory,
}


if __name__ == "__main__":
    main(sys.argv[1:])
