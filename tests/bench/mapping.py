"""The mapping of stage 1: identifiers a second, new and known, in a fresh store and in one of a million rows.

Everything is real: the key server derives and closes shares, each process has its own login, each batch is committed
before the next one begins. A patient has a CT study of 500 images; batches are those of stage 1 (128 images), or four
patients at once. What is counted are rows of the mapping. CPU is told beside it, of ours and of the key server, because
it does not depend on what else the machine does.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

from tests.bench.contenders import a_site
from tests.bench.ours import CASE, CUSTODIANS
from tests.postgres import a_server, lacks
from tests.vault.subjects import DEVICE, Identifier, Subject, offset, patient_id
from vault.credentials import Credentials
from vault.mapping import MappingStore
from vault.pseudonyms import IdentityPseudonyms
from vault.roles import Service

_IMAGES = 500
_STAGE_ONE, _FOUR_PATIENTS = 128, 4 * _IMAGES
_ATTRIBUTES = ("PatientName", "PatientBirthDate", "PatientSex", "PatientAddress", "InstitutionName")
_OF_A_PATIENT = 6 + len(_ATTRIBUTES)
"""Rows besides those of the images: patient, study, series, accession number, study ID, device; and the attributes."""
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Figure:
    """What some processes did together."""

    rows: int
    seconds: float
    cpu: float
    server_cpu: float

    def cells(self) -> str:
        """Rows a second, and microseconds of CPU a row."""
        ours, server = (1e6 * cpu / self.rows for cpu in (self.cpu, self.server_cpu))
        return f"{self.rows / self.seconds:,.0f} | {ours:.0f} + {server:.0f}"


@dataclass
class Measures:
    """Measures on one store, each with patients that no other has met."""

    site: Path
    server: str
    url: str
    patients: int = 0

    def measure(self, rows: int, *, processes: int, batch: int, known: bool = False) -> Figure:
        """Let processes resolve as many identifiers; ``known`` takes the patients of the measure before."""
        each = max(4, rows // processes // (_IMAGES + _OF_A_PATIENT))
        first = self.patients - each * processes if known else self.patients
        self.patients = first + each * processes
        spawn = multiprocessing.get_context("spawn")
        together, done = spawn.Barrier(processes + 1), spawn.Queue()
        workers = [
            spawn.Process(
                target=_work,
                args=(self.site, self.server, self.url, first + at * each, each, batch, together, done),
            )
            for at in range(processes)
        ]
        for worker in workers:
            worker.start()
        together.wait()
        before = _cpu_of(self.site)
        told = [done.get() for _ in workers]
        after = _cpu_of(self.site)
        for worker in workers:
            worker.join()
        began, ended = min(one[0] for one in told), max(one[1] for one in told)
        written = each * processes * (_IMAGES + _OF_A_PATIENT)
        return Figure(written, ended - began, sum(one[2] for one in told), after - before)


def mapping_table(root: Path, *, rows: int, identifiers: int, repetitions: int, only: str = "") -> str:
    """Return the figures as a table in Markdown: SQLite, and PostgreSQL where there is one."""
    lines = ["", f"### The mapping, rows a second, and CPU of ours + the key server ({_load()})", ""]
    lines += ["| | rows a second | microseconds of CPU a row |", "|---|---|---|"]
    with ExitStack() as stack:
        site, server = stack.enter_context(a_site(root))
        stores: dict[str, Callable[[], str]] = {
            "SQLite": lambda: f"sqlite:///{root / 'mapping.db'}",
            # Beside the work: its own user must reach it.
            "PostgreSQL": lambda: stack.enter_context(a_server(root.parent)),
        }
        if lacking := lacks():
            print(f"no PostgreSQL: {lacking}", file=sys.stderr, flush=True)
            del stores["PostgreSQL"]
        for name, start in stores.items():
            if only not in name:
                continue
            url = start()
            MappingStore(url).close()
            measures = Measures(site, server, url)
            for line in _lines(name, measures, rows, identifiers, repetitions):
                print(line, file=sys.stderr, flush=True)
                lines.append(line)
    return "\n".join(lines)


def _lines(name: str, measures: Measures, rows: int, identifiers: int, repetitions: int) -> Iterator[str]:
    def best(processes: int, batch: int, *, known: bool = False) -> str:
        figures = [
            measures.measure(identifiers, processes=processes, batch=batch, known=known)
            for _ in range(repetitions)
        ]
        return max(figures, key=lambda one: one.rows / one.seconds).cells()

    yield f"| {name}, new, 1 process, batches of stage 1 | {best(1, _STAGE_ONE)} |"
    yield f"| {name}, new, 2 processes, batches of stage 1 | {best(2, _STAGE_ONE)} |"
    yield f"| {name}, new, 1 process, 4 patients a batch | {best(1, _FOUR_PATIENTS)} |"
    yield f"| {name}, new, 2 processes, 4 patients a batch | {best(2, _FOUR_PATIENTS)} |"
    yield f"| {name}, known, 1 process, 4 patients a batch | {best(1, _FOUR_PATIENTS, known=True)} |"
    there = measures.patients * (_IMAGES + _OF_A_PATIENT)
    if rows > there:
        filled = measures.measure(rows - there, processes=2, batch=_FOUR_PATIENTS)
        yield f"| {name}, filling up to {rows:,}, 2 processes | {filled.cells()} |"
        for processes in (1, 2):
            yield f"| {name}, new after {rows:,}, {processes} | {best(processes, _FOUR_PATIENTS)} |"
        yield f"| {name}, known after {rows:,}, 1 process | {best(1, _FOUR_PATIENTS, known=True)} |"


def _work(
    site: Path,
    server: str,
    url: str,
    first: int,
    patients: int,
    batch: int,
    together: Barrier,
    done: Queue[tuple[float, float, float]],
) -> None:
    pseudonyms = IdentityPseudonyms(
        Credentials(site).service(server, Service.PSEUDONYMIZER),
        MappingStore(url),
        case=CASE,
        custodians=CUSTODIANS,
    )
    batches = list(_batches(range(first, first + patients), batch))
    together.wait()
    began, cpu = time.monotonic(), time.process_time()
    for subjects in batches:
        pseudonyms.resolve(subjects)
    done.put((began, time.monotonic(), time.process_time() - cpu))


def _batches(patients: range, images: int) -> Iterator[list[Subject]]:
    at_once = max(1, images // _IMAGES)
    for place in range(0, len(patients), at_once):
        some = patients[place : place + at_once]
        for first in range(0, _IMAGES, images):
            yield [_subject(number, range(first, min(first + images, _IMAGES))) for number in some]


def _subject(number: int, images: range) -> Subject:
    uid = f"1.2.840.99999.{number}"
    of_study = [Identifier("uid", "", uid), Identifier("uid", "", f"{uid}.0"), DEVICE, offset(number)]
    of_study += [Identifier("accession", "RIS", f"ACC-{number}"), Identifier("study", "", f"ST-{number}")]
    of_images = [Identifier("uid", "", f"{uid}.0.{at + 1}") for at in images]
    values = tuple((keyword, f"{keyword} of {number}") for keyword in _ATTRIBUTES)
    return Subject(patient_id(number), frozenset([*of_study, *of_images]), values)


def _cpu_of(site: Path) -> float:
    """CPU seconds that the key server has used."""
    pid = (site / "server.pid").read_text()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _load() -> str:
    return f"load {os.getloadavg()[0]:.1f} at the start, {os.cpu_count()} cores"
