"""Two patients who look alike leave together, one who does not waits: on a real site, with real actors."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

import pytest

from tce.config import Site
from tce.demo.children import Children
from tests.builders import a_ct_study
from tests.journeys.test_a_held_export_is_released import User, actors, site

pytestmark = pytest.mark.vault
__all__ = ["actors", "site"]

POLICY = """\
name: company
version: 1
stage: anonymize
title: Company
description: For tests.
options: [retain-patient-characteristics]
ages: {width: 10}
minimum_cohort: 2
disclosure:
  quasi_identifiers: [PatientAge, PatientSex]
"""


def await_states(user: User, wanted: dict[str, int]) -> list[dict[str, str]]:
    """Wait until the exports have these states."""
    give_up = time.monotonic() + 90
    while True:
        found, _ = json.JSONDecoder().raw_decode(user("exports list --json"))
        if Counter(one["state"] for one in found) == wanted:
            return list(found)
        assert time.monotonic() < give_up, found
        time.sleep(0.2)


def test_patients_leave_in_company(
    site: Site, actors: Children, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One alone is held and told why; with the second both are delivered; a third who is like nobody stays."""
    user, network = User(site.home, capsys), site.settings.network
    for number, sex in ((1, "F"), (2, "F"), (3, "M")):
        folder = tmp_path / f"identified-{number}"
        folder.mkdir()
        for place, sample in enumerate(a_ct_study(patient=number, slices=1)):
            sample.instance.PatientSex, sample.instance.PatientAge = sex, "062Y"
            sample.instance.save_as(folder / str(place), enforce_file_format=True)
    user("init")
    user("policy new company --like basic")
    (site.policies_dir / "company-1.yaml").write_text(POLICY, "utf-8")
    receiver = f"TCE_RECEIVER@127.0.0.1:{network.receiver.port}"
    user(f"case new c1 --title T --purpose P --stage2 company --receiver {receiver}")
    for what in ("policy submit pseudonymization", "policy submit company", "case submit c1"):
        user(f"--as coordinator {what}")
    for what in ("policy approve pseudonymization", "policy approve company", "case approve c1"):
        user(f"--as approver {what}")
    for number in (1, 2, 3):
        user("pseudonymize --case c1 --out", tmp_path / f"ps-{number}", tmp_path / f"identified-{number}")
    # Files to files: one alone is refused as a whole, two are written.
    said = user("anonymize --case c1 --out", tmp_path / "alone", tmp_path / "ps-1", status=1)
    assert "too little company" in said and not (tmp_path / "alone").exists()
    user("anonymize --case c1 --out", tmp_path / "both", tmp_path / "ps-1", tmp_path / "ps-2")
    assert len(list((tmp_path / "both").iterdir())) == 2
    # Exports: one waits, two go, and the third who is like nobody waits.
    home = ["--home", str(site.home)]
    actors.start(
        "receiver",
        [*home, "receiver", "run", "--out", str(tmp_path / "received")],
        port=network.receiver.port,
    )
    actors.start("manager", [*home, "manager", "run"], port=network.manager.port)
    select = f"select --yes --case c1 --to TCE_MANAGER@127.0.0.1:{network.manager.port}"
    user(select, tmp_path / "ps-1")
    (alone,) = await_states(user, {"held": 1})
    assert "1 fall short" in user(f"exports show {alone['id']}")
    assert "1 fall short" in user(f"exports release {alone['id']}", status=3)
    user(select, tmp_path / "ps-3")
    await_states(user, {"held": 2})
    user(select, tmp_path / "ps-2")
    found = await_states(user, {"delivered": 2, "held": 1})
    done = json.loads(user(f"exports show {alone['id']} --json"))["done"]
    assert (done["cohort patients"], done["cohort k"]) == (2, 2)
    assert user("verify", site.releases_dir / alone["id"])
    record = user("verify --show", site.releases_dir / alone["id"])
    assert "cohort k" in record
    standing = json.loads(user("case cohort c1 --json"))
    assert (standing["patients"], standing["k"], standing["short"], standing["waiting"]) == (2, 2, 0, 1)
    assert "1 export waits for company" in user("case cohort c1")
    # The advice for the case: nobody is told apart by sex any more.
    advice = json.loads(user("policy advise company --case c1 --k 3 --json"))
    assert (advice["patients"], advice["before"]["short"], advice["after"]["k"]) == (3, 3, 3)
    assert len([one for one in found if one["state"] == "held"]) == 1
    actors.check()
