"""Tests of ``tce reidentify`` as custodians use it: purpose, ticket, fields, window, denial, listing, one use."""

from __future__ import annotations

import itertools
import json
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tce.cli import main
from tce.site import export_trust
from tests.conftest import SiteVault
from tests.tce.parts import a_site_of
from tests.vault.subjects import a_subject, patient_id
from vault.keys import create_way_back
from vault.mapping import MappingStore
from vault.pseudonyms import IdentityPseudonyms

pytestmark = pytest.mark.vault

_numbers = itertools.count(1)
Tce = Callable[..., tuple[int, str, str]]


@pytest.fixture
def asked_for(embedded_site_vault: SiteVault, tmp_path: Path) -> str:
    """A site with one patient in the mapping; how a request for him begins."""
    site = a_site_of(embedded_site_vault, tmp_path)
    export_trust(site, embedded_site_vault.service("operator"))
    case, service = f"revealed-{next(_numbers)}", embedded_site_vault.service("pseudonymizer")
    create_way_back(service, case)
    store = MappingStore(site.mapping_url)
    one = IdentityPseudonyms(service, store, case=case, custodians=embedded_site_vault.custodians)
    pseudonym = one.resolve([a_subject(1)])[patient_id(1)]
    store.close()
    return f"request {pseudonym} --case {case}"


@pytest.fixture
def tce(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Tce:
    """Runs ``tce reidentify`` as a person."""

    def run(person: str, line: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["--home", str(tmp_path), "--as", person, "reidentify", *line.split()])
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


def asked(tce: Tce, line: str) -> str:
    """The id of a request that was made."""
    status, out, err = tce("carol", line)
    assert status == 0, err
    found = re.search(r"request ([0-9a-f]{16}) for 1 patient", out)
    assert found
    return found[1]


def listed(tce: Tce, request: str) -> dict[str, object]:
    [row] = [row for row in json.loads(tce("erin", "list --json")[1]) if row["id"] == request]
    return dict(row)


GOOD = "--purpose incidental-finding --ticket ETH-2031-17"


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ("--purpose curiosity --ticket T", 2, "curiosity"),
        ("--ticket T", 2, "--purpose"),
        ("--purpose legal-duty", 2, "--ticket"),
        ("--purpose legal-duty --ticket Mr.Smith's", 1, "the ticket is not usable"),
        (f"{GOOD} --hours 0", 1, "a week at most"),
        (f"{GOOD} --hours 168.1", 1, "a week at most"),
        (f"{GOOD} --hours nan", 1, "a week at most"),
        (f"{GOOD} --hours inf", 1, "a week at most"),
        (f"{GOOD} --field days", 1, "the fields are not usable"),
    ],
)
def test_a_request_says_what_for_and_how_long(
    asked_for: str, tce: Tce, line: str, status: int, words: str
) -> None:
    """Purposes are a list, a ticket has no room for a sentence, a window is a week at most; else nothing is asked."""
    refused = tce("carol", f"{asked_for} {line}")
    assert refused[0] == status
    assert words in refused[2]
    assert json.loads(tce("carol", "list --json")[1]) == []


def test_the_approver_sees_what_is_asked_for(asked_for: str, tce: Tce) -> None:
    """The list names case, number of patients, fields, purpose, ticket, requester and end, and no pseudonym."""
    request = asked(tce, f"{asked_for} {GOOD} --field PatientBirthDate --field uid --hours 1")
    row = listed(tce, request)
    assert (row["state"], row["requested_by"], row["decided_by"]) == ("requested", "carol", "")
    assert (row["purpose"], row["ticket"]) == ("incidental-finding", "ETH-2031-17")
    assert (row["patients"], row["fields"]) == (1, ["PatientBirthDate", "uid"])
    assert asked_for.split()[1] not in json.dumps(row)
    status, out, _ = tce("dave", "list")
    assert status == 0
    assert "PatientBirthDate, uid" in out


def test_one_reveal_uses_the_grant_up(asked_for: str, tce: Tce) -> None:
    """The table has the fields that were asked for and no other, and is shown once."""
    request = asked(tce, f"{asked_for} {GOOD} --field PatientBirthDate")
    assert tce("carol", f"reveal {request}")[0] == 1
    assert tce("dave", f"approve {request} --yes")[0] == 0
    for other in ("dave", "erin"):
        assert "only the requester" in tce(other, f"reveal {request}")[2]
    status, out, err = tce("carol", f"reveal {request} --json")
    assert status == 0, err
    assert [(row["field"], row["original"]) for row in json.loads(out)] == [("PatientBirthDate", "19700101")]
    status, out, err = tce("carol", f"reveal {request}")
    assert status == 1 and "19700101" not in out
    assert "the request is used" in err
    assert listed(tce, request)["state"] == "used"


def test_what_was_denied_stays_closed(asked_for: str, tce: Tce) -> None:
    """A denial ends a request before its approval and after it; also the requester may give the own one up."""
    for before, who in (((), "dave"), (("approve --yes",), "erin"), ((), "carol")):
        request = asked(tce, f"{asked_for} {GOOD}")
        for verb in before:
            assert tce("dave", f"{verb} {request}")[0] == 0
        assert tce(who, f"deny {request}")[0] == 0
        assert tce("carol", f"reveal {request}")[0] == 1
        assert tce("dave", f"approve {request} --yes")[0] == 1
        assert (listed(tce, request)["state"], listed(tce, request)["decided_by"]) == ("denied", who)


def test_after_its_window_a_request_is_over(asked_for: str, tce: Tce, tmp_path: Path) -> None:
    """What has run out is neither approved nor revealed, and both refusals say when it ended."""
    waiting, approved = (asked(tce, f"{asked_for} {GOOD}") for _ in range(2))
    assert tce("dave", f"approve {approved} --yes")[0] == 0
    with sqlite3.connect(tmp_path / "mapping.db") as database:
        database.execute("UPDATE custody_requests SET expires = '2020-01-01T00:00:00Z'")
    for person, line in (("dave", f"approve {waiting} --yes"), ("carol", f"reveal {approved}")):
        status, out, err = tce(person, line)
        assert status == 1 and "ended 2020-01-01" in err
        assert "Canary1" not in out


@pytest.mark.parametrize("who", ["alice", "bob", "grace"])
def test_others_take_no_part(asked_for: str, tce: Tce, who: str) -> None:
    """Coordinators, approvers and auditors neither ask nor see the list."""
    for line in (f"{asked_for} {GOOD}", "list"):
        status, _, err = tce(who, line)
        assert status == 1 and "needs a custodian" in err
