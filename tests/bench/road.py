"""The whole road: studies go in by C-STORE and come out by C-STORE without the patient, beside Orthanc.

Ours is a real site with its own key server: Export Selector to Export Manager (RAD-50 to RAD-52), anonymization under
an approved case, verification, a signed record, delivery (RAD-53). Orthanc receives from ``storescu``, anonymizes each
study and forwards it. Both deliver to ``storescp``. The clock runs from the first association until everything has
arrived there; programs run before. Orthanc verifies nothing and signs nothing, so what ours does more counts too.
"""

from __future__ import annotations

import json
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from tce.actors.export_selector import select
from tce.config import Site
from tce.documents.teaching_file_info import PolicyRequest
from tce.exports import Exports
from tce.road import Peer
from tce.states import State
from tests.bench.laps import AbsentError
from tests.bench.network import CALLER, Running, await_that, from_storescu, orthanc, storescp
from tests.bench.peers import asked
from tests.bench.work_sets import WorkSet

_PEOPLE = "--coordinator carla --approver ann --custodian kim --custodian lee --no-second-factor"
_POLICY, _CASE = "trial", "road"
_PATIENCE = 600.0
_ENDED = (State.DELIVERED, State.HELD, State.FAILED, State.CANCELLED)


def road_table(work_set: WorkSet, root: Path, repetitions: int) -> str:
    """Return how long the whole road takes for a work set, as a table in Markdown."""
    lines = ["", f"### The whole road, {work_set.instances:,} {work_set.name}", ""]
    lines += ["| | seconds | instances a second |", "|---|---|---|"]
    for name, walk in {"Orthanc: receive, anonymize, forward": _orthanc, "RAD-50 to RAD-53": _ours}.items():
        try:
            seconds = [walk(work_set, root / "road") for _ in range(repetitions)]
        except AbsentError as reason:
            lines.append(f"| {name} | {reason} | |")
            continue
        median = statistics.median(seconds)
        lines.append(f"| {name} | {median:.1f} | {work_set.instances / median:,.0f} |")
    return "\n".join(lines)


def _ours(work_set: WorkSet, root: Path) -> float:
    root.mkdir()
    try:
        place = root / "arrived"
        place.mkdir()
        with storescp(place) as (to, has):
            site = _site(root, to)
            _tce(site, "pseudonymize", str(work_set.folder), "--case", _CASE, "--out", str(root / "stage-1"))
            with _manager(site) as manager:
                began = time.perf_counter()
                request = PolicyRequest(case=_CASE)
                account = select([root / "stage-1"], request, manager, CALLER)
                _delivered(site, account.manifests)
                seconds = time.perf_counter() - began
            if has() < work_set.instances:
                raise RuntimeError(f"{has()} of {work_set.instances} instances arrived")
        return seconds
    finally:
        _tce(Site(root / "site"), "vault", "stop")
        shutil.rmtree(root)


def _site(root: Path, to: Peer) -> Site:
    site = Site(root / "site")
    _tce(site, "init", *_PEOPLE.split())
    settings = site.settings_path
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    text = settings.read_text().replace("port = 11112", f"port = {port}")
    settings.write_text(
        text.replace('["TCE_SELECTOR"]', f'["{CALLER}"]').replace("settle_seconds", "settle_seconds")
    )
    _tce(site, "policy", "new", "trial", "--like", "longitudinal-trial")
    for policy in ("pseudonymization", _POLICY):
        _tce(site, "--as", "carla", "policy", "submit", policy)
        _tce(site, "--as", "ann", "policy", "approve", policy)
    receiver = f"{to.ae_title}@{to.host}:{to.port}"
    case = ["case", "new", _CASE, "--title", "T", "--purpose", "P", "--stage2", _POLICY]
    _tce(site, *case, "--receiver", receiver, "--selector", CALLER)
    _tce(site, "--as", "carla", "case", "submit", _CASE)
    _tce(site, "--as", "ann", "case", "approve", _CASE)
    return Site(site.home)


def _tce(site: Site, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tce", "--home", str(site.home), *arguments], capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"tce {arguments[0]} failed: {done.stderr[-1000:]}")


@contextmanager
def _manager(site: Site) -> Iterator[Peer]:
    network = site.settings.network.manager
    command = [sys.executable, "-m", "tce", "--home", str(site.home), "manager", "run"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _listens(network.port)
        yield Peer(network.ae_title, "127.0.0.1", network.port)
    finally:
        process.terminate()
        process.wait()


def _delivered(site: Site, count: int) -> None:
    index = Exports(site.exports_url)

    def ended() -> bool:
        found = index.listing()
        return len(found) >= count and all(one.state in _ENDED for one in found)

    try:
        await_that(ended, "the exports do not end", _PATIENCE)
        wrong = {
            reason.what
            for one in index.listing()
            if one.state is not State.DELIVERED
            for reason in one.reasons
        }
    finally:
        index.close()
    if wrong:
        raise RuntimeError(f"an export was not delivered: {sorted(wrong)}")


def _orthanc(work_set: WorkSet, root: Path) -> float:
    root.mkdir()
    try:
        place = root / "arrived"
        place.mkdir()
        with storescp(place) as (to, has):
            return _walked_by_orthanc(work_set, root, to, has)
    finally:
        shutil.rmtree(root)


def _walked_by_orthanc(work_set: WorkSet, root: Path, to: Peer, has: Callable[[], int]) -> float:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        http = int(free.getsockname()[1])
    modality = {"receiver": [to.ae_title, to.host, to.port]}
    more = {
        "HttpServerEnabled": True,
        "HttpPort": http,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomModalities": modality,
    }
    running: Running
    with orthanc(root, more) as running:
        _listens(http)
        began = time.perf_counter()
        from_storescu(running[0], sorted(work_set.folder.iterdir()), 1)
        connection = HTTPConnection("127.0.0.1", http, timeout=_PATIENCE)
        for study in json.loads(asked(connection, "GET", "/studies")):
            made = json.loads(asked(connection, "POST", f"/studies/{study}/anonymize", b"{}"))
            asked(connection, "POST", "/modalities/receiver/store", str(made["ID"]).encode())
        await_that(lambda: has() >= work_set.instances, "not everything arrived")
        return time.perf_counter() - began


def _listens(port: int) -> None:
    def answers() -> bool:
        with socket.socket() as trial:
            return trial.connect_ex(("127.0.0.1", port)) == 0

    await_that(answers, "it does not listen", _PATIENCE)
