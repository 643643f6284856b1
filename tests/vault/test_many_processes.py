"""Tests of stage 1 in many processes at once on one mapping, each with a login of its own."""

from __future__ import annotations

import multiprocessing
import random
from collections import Counter
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from tests.conftest import SiteVault
from tests.vault.conftest import open_case
from tests.vault.subjects import Identifier, Subject, a_subject
from vault.credentials import Credentials
from vault.keys import Kind
from vault.mapping import MappingStore
from vault.mapping_check import check
from vault.pseudonyms import IdentityPseudonyms
from vault.row_tags import server_tags

pytestmark = pytest.mark.vault

PROCESSES = 5
BATCHES, IMAGES = 12, 15
CUSTODIANS = ("carol", "dave", "erin")
Answers = "Queue[tuple[int, dict[Identifier, str], str]]"


def subjects_of(process: int, batch: int) -> list[Subject]:
    """A patient that all processes meet at this batch, one that the next process has too, and one of its own."""
    next_one = (process + 1) % PROCESSES
    numbers = [
        batch,
        1000 + 100 * process + batch,
        1000 + 100 * next_one + batch,
        5000 + 100 * process + batch,
    ]
    return [a_subject(number, images=IMAGES) for number in numbers]


def stage_one(
    number: int, home: Path, server: str, url: str, case: str, together: Barrier, answers: Answers
) -> None:
    try:
        client = Credentials(home).service(server, "pseudonymizer")
        pseudonyms = IdentityPseudonyms(client, MappingStore(url), case=case, custodians=CUSTODIANS)
        found: dict[Identifier, str] = {}
        for batch in range(BATCHES):
            subjects = subjects_of(number, batch)
            random.Random(number * 100 + batch).shuffle(subjects)
            together.wait(60)  # all come with the same patient at the same instant
            found |= pseudonyms.resolve(subjects)
        answers.put((number, found, ""))
    except Exception as fault:
        together.abort()
        answers.put((number, {}, f"{type(fault).__name__}: {fault}"))


def test_processes_that_meet_the_same_patients_agree(
    embedded_site_vault: SiteVault, url: str, case: str
) -> None:
    """One identifier has one pseudonym and each patient one row for it, whoever came first; nothing is lost."""
    spawn = multiprocessing.get_context("spawn")
    together, answers = spawn.Barrier(PROCESSES), spawn.Queue()
    site = embedded_site_vault
    open_case(site, case)
    workers = [
        spawn.Process(target=stage_one, args=(number, site.home, site.url, url, case, together, answers))
        for number in range(PROCESSES)
    ]
    for worker in workers:
        worker.start()
    answered = [answers.get(timeout=180) for _ in workers]
    for worker in workers:
        worker.join(60)
    assert [fault for *_, fault in answered if fault] == []
    # 1. All gave the same answer, and no two identifiers one pseudonym.
    pseudonyms: dict[Identifier, str] = {}
    for _, found, _ in answered:
        assert {one: pseudonyms.setdefault(one, told) for one, told in found.items()} == found
    mapped = [told for one, told in pseudonyms.items() if one.kind != Kind.DATE_OFFSET]
    assert max(Counter(mapped).values()) == 1
    # 2. Every patient has one row for each of his identifiers, and none that he does not have.
    store = MappingStore(url)
    subjects = {
        subject.patient: subject
        for process in range(PROCESSES)
        for batch in range(BATCHES)
        for subject in subjects_of(process, batch)
    }
    rows = store.rows(case, [pseudonyms[patient] for patient in subjects])
    store.close()
    assert Counter((row.patient, row.pseudonym) for row in rows if not row.kind.startswith("attribute:")) == {
        (pseudonyms[patient], pseudonyms[one]): 1
        for patient, subject in subjects.items()
        for one in {patient, *subject.identifiers}
        if one.kind != Kind.DATE_OFFSET
    }
    # 3. Every row has its key and is as its process wrote it.
    assert check(url, server_tags(site.service("pseudonymizer"))).sound
