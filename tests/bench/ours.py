"""One job of ours in a process of its own: ``python -m tests.bench.ours STAGE SITE IN OUT MAPPING``.

It prints seconds for starting (imports) and for the job itself (workers, login at Vault, reading, writing) as JSON.
The policies are the library's, the pseudonyms come from a real Vault.
"""

from __future__ import annotations

import time

_BEGAN = time.perf_counter()

import json  # noqa: E402 (starting is measured)
import sys  # noqa: E402
from collections.abc import Callable  # noqa: E402
from functools import partial  # noqa: E402
from pathlib import Path  # noqa: E402

from policies.engine import Engine  # noqa: E402
from policies.loader import load_library  # noqa: E402
from policies.pseudonyms import Pseudonyms  # noqa: E402
from tce.folder import de_identify  # noqa: E402
from vault.credentials import Credentials  # noqa: E402
from vault.mapping import MappingStore  # noqa: E402
from vault.naming import Naming  # noqa: E402
from vault.pseudonyms import CasePseudonyms, IdentityPseudonyms  # noqa: E402
from vault.roles import Service  # noqa: E402
from vault.scheme import Form  # noqa: E402

CASE = "bench"
CUSTODIANS = ("carol", "dave", "erin")
TRIAL = {"ClinicalTrialSponsorName": "Bench", "ClinicalTrialProtocolID": "B-1"}


def stage_one(site: Path, url: str, mapping: str) -> tuple[Engine, Callable[[], Pseudonyms]]:
    """The engine, and the way to pseudonyms: the site's keys, the mapping sealed."""

    def pseudonyms() -> Pseudonyms:
        client = Credentials(site).service(url, Service.PSEUDONYMIZER)
        store = MappingStore(mapping)
        return IdentityPseudonyms(client, store, case=CASE, custodians=CUSTODIANS, naming=Naming(Form("BEN")))

    return Engine(load_library("pseudonymization")), pseudonyms


def stage_two(site: Path, url: str) -> tuple[Engine, Callable[[], Pseudonyms]]:
    """The engine, and the way to pseudonyms: the case's own key."""

    def pseudonyms() -> Pseudonyms:
        return CasePseudonyms(
            Credentials(site).service(url, Service.MANAGER), case=CASE, naming=Naming(Form("B"))
        )

    return Engine(load_library("longitudinal-trial"), trial=TRIAL), pseudonyms


def main(stage: str, site: str, url: str, source: str, out: str, mapping: str) -> None:
    """Do the job and print what it took."""
    bench = (
        partial(stage_one, Path(site), url, mapping) if stage == "1" else partial(stage_two, Path(site), url)
    )
    started = time.perf_counter()
    account = de_identify([Path(source)], Path(out), bench)
    done = time.perf_counter()
    print(json.dumps({"start": started - _BEGAN, "job": done - started, "written": account.written}))


if __name__ == "__main__":
    main(*sys.argv[1:])
