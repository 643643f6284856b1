"""Tests of rotation: cases keep their pseudonyms, shares stay openable, a run that was cut short is finished."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from tests.conftest import SiteVault
from tests.vault.conftest import StageOne
from tests.vault.subjects import a_subject, patient_id
from vault.client import Client, Sealable
from vault.custody import Custody, Purpose
from vault.errors import Forbidden, Unreachable
from vault.keys import Kind, Mount
from vault.mapping import MappingStore
from vault.rotation import (
    IDENTIFIER_KEYS,
    close_anew,
    newest_version,
    rotate_custodians,
    rotate_identifiers,
)

pytestmark = pytest.mark.vault


@pytest.fixture
def operator(embedded_site_vault: SiteVault) -> Client:
    return embedded_site_vault.service("operator")


def test_a_running_case_keeps_its_pseudonyms(operator: Client, stage_one: StageOne) -> None:
    """After a rotation a case that began before makes the same pseudonyms, and a new one makes others."""
    before = stage_one().resolve([a_subject(1)])
    version = rotate_identifiers(operator)
    assert stage_one().resolve([a_subject(1)]) == before
    [new] = {stage_one(case="C-after", key_version=version).resolve([a_subject(1)])[patient_id(1)]}
    assert new != before[patient_id(1)]


def test_all_keys_of_stage_1_have_one_version(operator: Client) -> None:
    """A rotation that was cut short between two keys is finished by the next, not doubled."""
    rotate_identifiers(operator)
    operator.write(f"{Mount.IDENTIFIERS}/keys/{Kind.UID}/rotate", {})
    version = rotate_identifiers(operator)
    assert {newest_version(operator, Mount.IDENTIFIERS, key) for key in IDENTIFIER_KEYS} == {version}
    assert rotate_identifiers(operator) == version + 1


def test_custodians_still_open_what_was_closed_before(
    embedded_site_vault: SiteVault, operator: Client, stage_one: StageOne, store: MappingStore, case: str
) -> None:
    """With new keys, one custodian's shares closed anew and the other's not yet, the two reveal as before."""
    names = stage_one().resolve([a_subject(1), a_subject(2)])
    rotate_custodians(operator, embedded_site_vault.custodians)
    assert close_anew(embedded_site_vault.person("carol"), store) == 2
    carol, dave = (
        Custody(embedded_site_vault.person(who), store, lambda event, detail: None)
        for who in ("carol", "dave")
    )
    request = carol.request(
        case,
        [names[patient_id(1)]],
        purpose=Purpose.INCIDENTAL_FINDING,
        ticket="T-1",
        fields=[Kind.PATIENT_ID],
        window=timedelta(hours=1),
    )
    dave.approve(request.id)
    assert [line.original.reveal() for line in carol.reveal(request.id).lines] == [patient_id(1).value]


def test_closing_anew_goes_on_where_it_was_cut_short(
    embedded_site_vault: SiteVault,
    operator: Client,
    stage_one: StageOne,
    store: MappingStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was done before the server went away stays done; the next run does the rest, and one more nothing."""
    stage_one().resolve([a_subject(number) for number in range(6)])
    rotate_custodians(operator, embedded_site_vault.custodians)
    monkeypatch.setattr("vault.rotation._AT_ONCE", 4)
    carol = embedded_site_vault.person("carol")
    encrypt, asked = carol.encrypt_batch, []

    def dies_at_the_second(mount: str, key: str, inputs: list[Sealable]) -> list[str]:
        asked.append(key)
        if len(asked) == 2:
            raise Unreachable("gone")
        return encrypt(mount, key, inputs)

    monkeypatch.setattr(carol, "encrypt_batch", dies_at_the_second)
    with pytest.raises(Unreachable):
        close_anew(carol, store)
    monkeypatch.setattr(carol, "encrypt_batch", encrypt)
    assert close_anew(carol, store) == 2
    assert close_anew(carol, store) == 0


def test_no_own_share_is_left_under_an_old_key(
    embedded_site_vault: SiteVault,
    operator: Client,
    stage_one: StageOne,
    store: MappingStore,
    mapping_url: str,
) -> None:
    """Afterwards every ciphertext of each custodian in the database names the newest version."""
    stage_one().resolve([a_subject(1)])
    versions = rotate_custodians(operator, embedded_site_vault.custodians)
    for name in embedded_site_vault.custodians:
        close_anew(embedded_site_vault.person(name), store)
    with sqlite3.connect(Path(mapping_url.removeprefix("sqlite:///"))) as database:
        rows = database.execute("SELECT custodian, ciphertext FROM shares").fetchall()
    assert len(rows) == 3
    assert all(ciphertext.startswith(f"vault:v{versions[name]}:") for name, ciphertext in rows)


@pytest.mark.parametrize("who", ["pseudonymizer", "manager", "alice", "bob", "carol", "grace"])
def test_only_the_operator_rotates(embedded_site_vault: SiteVault, who: str) -> None:
    """Who uses keys cannot change their version."""
    site = embedded_site_vault
    client = site.service(who) if who in ("pseudonymizer", "manager") else site.person(who)
    with pytest.raises(Forbidden):
        client.write(f"{Mount.IDENTIFIERS}/keys/{Kind.UID}/rotate", {})
    with pytest.raises(Forbidden):
        client.write(f"{Mount.CUSTODY}/keys/dave/rotate", {})
