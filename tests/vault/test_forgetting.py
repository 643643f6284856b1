"""Tests of forgetting a case, with each role's own token: two people can, nobody can alone, and nothing leads back."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.conftest import PEOPLE, SiteVault
from tests.vault.conftest import StageOne
from tests.vault.subjects import a_subject, patient_id
from vault import forgetting, tables
from vault.client import Client, Sealing
from vault.custody import Custody, Purpose
from vault.custody_ledger import Request
from vault.errors import (
    BadPlan,
    BadRequest,
    BadSignature,
    Forbidden,
    Malformed,
    NotFound,
    NoWayBack,
    Tampered,
    Untrusted,
    Withdrawn,
    WrongDigest,
)
from vault.field_keys import Seed, sealing_key, share_of
from vault.forgetting import ForgetOrder, ForgetReason, ForgetWithdrawal
from vault.keys import CASE_MOUNTS, Mount, create_case_key, create_way_back, has_case_key, ways_back
from vault.mapping import MappingStore
from vault.pseudonyms import CasePseudonyms
from vault.roles import Role, Service, SitePlan
from vault.sealing import open_row, share_context
from vault.secrecy import Secret
from vault.shares import combine
from vault.trust import read_trust

pytestmark = pytest.mark.vault

DIGEST = "sha256:" + "1" * 64
EVERYBODY = [*PEOPLE, *Service]


def client_of(site: SiteVault, who: str) -> Client:
    return site.service(who) if who in list(Service) else site.person(who)


@pytest.fixture
def sealed(embedded_site_vault: SiteVault, stage_one: StageOne, case: str) -> str:
    """A case with both keys and two patients in the mapping; the pseudonym of the first."""
    create_case_key(embedded_site_vault.person("bob"), case)
    answer = stage_one().resolve([a_subject(1), a_subject(2)])
    return answer[patient_id(1)]


def forget(site: SiteVault, case: str) -> None:
    forgetting.allow(site.person("bob"), case)
    carol = site.person("carol")
    assert [forgetting.destroy(carol, mount, case) for mount in CASE_MOUNTS] == [True, True]


def an_approved_request(site: SiteVault, store: MappingStore, case: str, pseudonym: str) -> Request:
    carol, dave = (
        Custody(site.person(name), store, lambda event, detail: None) for name in ("carol", "dave")
    )
    request = carol.request(
        case,
        [pseudonym],
        purpose=Purpose.LEGAL_DUTY,
        ticket="T-1",
        fields=["patient"],
        window=timedelta(hours=1),
    )
    return dave.approve(request.id)


@pytest.mark.parametrize("mount", CASE_MOUNTS)
@pytest.mark.parametrize("who", EVERYBODY)
def test_nobody_destroys_a_key_that_no_approver_gave_up(
    embedded_site_vault: SiteVault, sealed: str, case: str, who: str, mount: Mount
) -> None:
    """Without an approver's word no role deletes a case's key, a custodian as little as the operator."""
    with pytest.raises(Forbidden):
        forgetting.destroy(client_of(embedded_site_vault, who), mount, case)
    assert has_case_key(embedded_site_vault.person("erin"), Mount.WAYS_BACK, case)


@pytest.mark.parametrize("who", [who for who in EVERYBODY if who != "bob"])
def test_only_an_approver_gives_a_key_up(
    embedded_site_vault: SiteVault, sealed: str, case: str, who: str
) -> None:
    """Nobody but an approver can allow that a key is deleted; so no custodian can do both."""
    with pytest.raises(Forbidden):
        forgetting.allow(client_of(embedded_site_vault, who), case)


@pytest.mark.parametrize("mount", CASE_MOUNTS)
@pytest.mark.parametrize("who", [who for who in EVERYBODY if PEOPLE.get(who) != {Role.CUSTODIAN}])
def test_only_a_custodian_destroys_it(
    embedded_site_vault: SiteVault, sealed: str, case: str, who: str, mount: Mount
) -> None:
    """Also with an approver's word only a custodian deletes a key: the approver cannot do both."""
    forgetting.allow(embedded_site_vault.person("bob"), case)
    with pytest.raises(Forbidden):
        forgetting.destroy(client_of(embedded_site_vault, who), mount, case)


def test_the_word_can_be_taken_back(embedded_site_vault: SiteVault, sealed: str, case: str) -> None:
    """An approver who changes his mind in time makes the keys safe again."""
    bob = embedded_site_vault.person("bob")
    forgetting.allow(bob, case)
    forgetting.allow(bob, case, allowed=False)
    with pytest.raises(Forbidden):
        forgetting.destroy(embedded_site_vault.person("carol"), Mount.WAYS_BACK, case)


def test_nobody_is_both(embedded_site_vault: SiteVault) -> None:
    """A plan in which one person is approver and custodian is refused: that person could forget a case alone."""
    both = PEOPLE | {"bob": frozenset({Role.APPROVER, Role.CUSTODIAN})}
    with pytest.raises(BadPlan, match="one person has one role"):
        SitePlan(both)


def test_nothing_is_derived_afterwards(embedded_site_vault: SiteVault, sealed: str, case: str) -> None:
    """Neither stage 1 nor stage 2 goes on for a forgotten case; other cases do."""
    site = embedded_site_vault
    other = f"{case}-other"
    create_case_key(site.person("bob"), other)
    forget(site, case)
    pseudonyms = CasePseudonyms(site.service("manager"), case=case)
    with pytest.raises(NotFound):
        pseudonyms.resolve([a_subject(1)])
    with pytest.raises(NoWayBack):
        ways_back(site.service("pseudonymizer"), case, ["any"])
    assert CasePseudonyms(site.service("manager"), case=other).resolve([a_subject(1)])
    # Doing it again finds nothing, and allowing it finds nothing to allow.
    assert not forgetting.destroy(site.person("carol"), Mount.CASES, case)
    with pytest.raises(NotFound):
        forgetting.allow(site.person("bob"), case)


def test_a_running_stage_1_cannot_go_on(
    embedded_site_vault: SiteVault, store: MappingStore, stage_one: StageOne, sealed: str, case: str
) -> None:
    """A process of stage 1 that met the case before gets no further patient sealed, and tells no pseudonym."""
    one = stage_one()
    one.resolve([a_subject(1)])
    forget(embedded_site_vault, case)
    with pytest.raises(NoWayBack):
        one.resolve([a_subject(3)])


def test_no_backup_leads_back(
    embedded_site_vault: SiteVault, store: MappingStore, tmp_path: Path, sealed: str, case: str
) -> None:
    """A copy of the whole database from before, with an approved request in it, opens nothing for two custodians."""
    site = embedded_site_vault
    request = an_approved_request(site, store, case, sealed)
    backup = tmp_path / "backup.db"
    with sqlite3.connect(tmp_path / "mapping.db") as source, sqlite3.connect(backup) as target:
        source.backup(target)
    forget(site, case)
    forgetting.remove_rows(store, case)
    # 1. By the program.
    old = MappingStore(f"sqlite:///{backup}")
    told: list[str] = []
    carol = Custody(site.person("carol"), old, lambda event, detail: told.append(event))
    with pytest.raises(NoWayBack):
        carol.reveal(request.id)
    assert told == ["reidentify.refused"]
    # 2. Past the program: both custodians put all that they have together, also under a key made anew.
    [key] = old.keys(case, [sealed])
    seeds = []
    for name in ("carol", "dave"):
        own = Sealing(key.shares[name], share_context(key.id, name))
        [opened] = site.person(name).decrypt_batch(Mount.CUSTODY, name, [own])
        seeds.append(Seed.from_bytes(opened))
    create_way_back(site.service("pseudonymizer"), case)
    [anew] = ways_back(site.person("carol"), case, [key.id])
    parts = {one.field: one.parts for one in old.field_keys([key.id])[key.id]}
    guesses = [anew, Secret(bytes(32)), Secret(secrets.token_bytes(32))]
    rows = old.rows(case, [sealed])
    assert rows
    for row, back in product(rows, guesses):
        secret = combine(*(share_of(seed, key.id, row.kind, parts[row.kind]) for seed in seeds))
        with pytest.raises(Tampered):
            open_row(row, sealing_key(secret, back, key.id, row.kind))


def test_with_the_way_back_the_same_backup_opens(
    embedded_site_vault: SiteVault, store: MappingStore, tmp_path: Path, sealed: str, case: str
) -> None:
    """The attempt above fails for want of the key alone: before the case is forgotten it succeeds."""
    site = embedded_site_vault
    an_approved_request(site, store, case, sealed)
    [key] = store.keys(case, [sealed])
    seeds = []
    for name in ("carol", "dave"):
        own = Sealing(key.shares[name], share_context(key.id, name))
        [opened] = site.person(name).decrypt_batch(Mount.CUSTODY, name, [own])
        seeds.append(Seed.from_bytes(opened))
    [back] = ways_back(site.person("carol"), case, [key.id])
    parts = {one.field: one.parts for one in store.field_keys([key.id])[key.id]}
    for row in store.rows(case, [sealed]):
        secret = combine(*(share_of(seed, key.id, row.kind, parts[row.kind]) for seed in seeds))
        assert open_row(row, sealing_key(secret, back, key.id, row.kind)).reveal()


def test_custody_says_why(
    embedded_site_vault: SiteVault, store: MappingStore, sealed: str, case: str
) -> None:
    """A request that was made before can be neither approved nor revealed, and the refusals are on the record."""
    site = embedded_site_vault
    told: list[tuple[str, str]] = []

    def record(event: str, detail: object) -> None:
        told.append((event, detail.get("reason", "")))  # type: ignore[attr-defined]

    approved = an_approved_request(site, store, case, sealed)
    carol, dave = (Custody(site.person(name), store, record) for name in ("carol", "dave"))
    waiting = carol.request(
        case,
        [sealed],
        purpose=Purpose.LEGAL_DUTY,
        ticket="T-2",
        fields=["patient"],
        window=timedelta(hours=1),
    )
    forget(site, case)
    for attempt in (lambda: dave.approve(waiting.id), lambda: carol.reveal(approved.id)):
        with pytest.raises(NoWayBack, match="forgotten"):
            attempt()
    assert told[1:] == [("reidentify.refused", "NoWayBack")] * 2


def test_a_row_is_tried_and_does_not_open(
    embedded_site_vault: SiteVault, store: MappingStore, sealed: str, case: str
) -> None:
    """What is tried before the rows are removed succeeds with the key, fails without, and later finds nothing."""
    carol = embedded_site_vault.person("carol")
    assert forgetting.opens_a_row(carol, store, case) is True
    forget(embedded_site_vault, case)
    assert forgetting.opens_a_row(carol, store, case) is False
    forgetting.remove_rows(store, case)
    assert forgetting.opens_a_row(carol, store, case) is None


def rows_of_the_case(store: MappingStore, case: str) -> dict[str, int]:
    """How many rows of each table belong to a case, whichever tables there are."""
    counted = {}
    with store.database.reading() as connection:
        keys = set(
            connection.scalars(
                sa.select(tables.subject_keys.c.id).where(tables.subject_keys.c.case_id == case)
            )
        )
        for table in tables.metadata.sorted_tables:
            if "case_id" in table.c:
                condition = table.c.case_id == case
            elif "key_id" in table.c:
                condition = table.c.key_id.in_(keys)
            else:
                continue
            counted[table.name] = (
                connection.scalar(sa.select(sa.func.count()).where(condition).select_from(table)) or 0
            )
    return counted


def test_removing_goes_on_where_it_was_cut_short(
    embedded_site_vault: SiteVault,
    store: MappingStore,
    stage_one: StageOne,
    sealed: str,
    case: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows go in parts; a run that dies between two is finished by the next, and another case loses nothing."""
    stage_one(case=f"{case}-other").resolve([a_subject(1)])
    an_approved_request(embedded_site_vault, store, case, sealed)
    other, before = rows_of_the_case(store, f"{case}-other"), rows_of_the_case(store, case)
    assert min(before[name] for name in ("mappings", "field_keys", "shares", "granted_shares")) > 0
    monkeypatch.setattr(forgetting, "_AT_ONCE", 7)

    class KilledError(Exception):
        """The process dies."""

    def dies(parts: list[int]) -> Callable[[int], None]:
        def told(part: int) -> None:
            parts.append(part)
            if len(parts) == 3:
                raise KilledError

        return told

    parts: list[int] = []
    with pytest.raises(KilledError):
        forgetting.remove_rows(store, case, told=dies(parts))
    assert max(parts) <= 7
    assert sum(rows_of_the_case(store, case).values()) == sum(before.values()) - sum(parts)
    again = MappingStore(str(store.database._engine.url))
    assert (
        forgetting.remove_rows(again, case) == sum(before.values()) - sum(parts) - before["custody_requests"]
    )
    left = rows_of_the_case(store, case)
    assert {name: count for name, count in left.items() if count} == {"custody_requests": 1}
    assert rows_of_the_case(store, f"{case}-other") == other
    assert forgetting.remove_rows(again, case) == 0


def an_order(site: SiteVault, case: str = "lung-1") -> ForgetOrder:
    return forgetting.order(
        site.person("bob"), case, DIGEST, reason=ForgetReason.TRIAL_ENDED, ticket="ETH-2031-40"
    )


def test_an_order_is_an_approver_s(embedded_site_vault: SiteVault) -> None:
    """An order is signed under the approver's own name, travels as a file, and is verified offline."""
    order = an_order(embedded_site_vault)
    trust = read_trust(embedded_site_vault.service("operator"))
    assert (order.approver, order.reason, order.ticket) == ("bob", "trial-ended", "ETH-2031-40")
    forgetting.verify_order(ForgetOrder.from_json(order.to_json()), "lung-1", DIGEST, trust)
    with pytest.raises(Forbidden):
        forgetting.order(
            embedded_site_vault.person("carol"),
            "lung-1",
            DIGEST,
            reason=ForgetReason.TRIAL_ENDED,
            ticket="T",
        )


def test_an_order_for_another_case_is_none(embedded_site_vault: SiteVault) -> None:
    """An order counts for one text of one case, and only as it was signed by somebody who is known."""
    order = an_order(embedded_site_vault)
    trust = read_trust(embedded_site_vault.service("operator"))
    for case, digest in (("lung-2", DIGEST), ("lung-1", "sha256:" + "2" * 64)):
        with pytest.raises(WrongDigest):
            forgetting.verify_order(order, case, digest, trust)
    with pytest.raises(BadSignature):
        forgetting.verify_order(replace(order, case="lung-2"), "lung-2", DIGEST, trust)
    with pytest.raises(BadSignature):
        forgetting.verify_order(replace(order, ticket="ANOTHER"), "lung-1", DIGEST, trust)
    with pytest.raises(Untrusted):
        forgetting.verify_order(replace(order, approver="carol"), "lung-1", DIGEST, trust)


def test_a_withdrawal_ends_an_order_and_what_was_before(embedded_site_vault: SiteVault) -> None:
    """It ends the order that it names and every earlier one of the case; a later one and another case's stand."""
    site, begin = embedded_site_vault, datetime(2031, 4, 1, 12, tzinfo=UTC)
    bob, trust = site.person("bob"), read_trust(site.service("operator"))

    def ordered(minutes: int, case: str = "lung-1") -> ForgetOrder:
        when = begin + timedelta(minutes=minutes)
        return forgetting.order(
            bob, case, DIGEST, reason=ForgetReason.TRIAL_ENDED, ticket=f"T-{minutes}", now=when
        )

    withdrawal = forgetting.take_back(bob, ordered(5), now=begin + timedelta(minutes=5))
    withdrawals = [ForgetWithdrawal.from_json(withdrawal.to_json())]
    for minutes in (0, 5):
        with pytest.raises(Withdrawn, match="taken back by bob"):
            forgetting.verify_order(ordered(minutes), "lung-1", DIGEST, trust, withdrawals=withdrawals)
    forgetting.verify_order(ordered(6), "lung-1", DIGEST, trust, withdrawals=withdrawals)
    forgetting.verify_order(ordered(0, "lung-2"), "lung-2", DIGEST, trust, withdrawals=withdrawals)


def test_a_withdrawal_is_an_approver_s(embedded_site_vault: SiteVault) -> None:
    """Nobody else signs one, and one that was altered is no reason to go on."""
    site = embedded_site_vault
    order, trust = an_order(site), read_trust(site.service("operator"))
    with pytest.raises(Forbidden):
        forgetting.take_back(site.person("carol"), order)
    withdrawal = forgetting.take_back(site.person("bob"), order)
    altered = (
        (replace(withdrawal, order="sha256:" + "0" * 64), BadSignature),
        (replace(withdrawal, case="lung-2"), BadSignature),
        (replace(withdrawal, taken_back="yesterday"), BadSignature),
        (replace(withdrawal, approver="carol"), Untrusted),
    )
    for one, refusal in altered:
        with pytest.raises(refusal):
            forgetting.verify_order(order, "lung-1", DIGEST, trust, withdrawals=[one])


@pytest.mark.parametrize("ticket", ["", "because Mr. Smith asked", "x" * 41])
def test_an_order_needs_a_ticket(embedded_site_vault: SiteVault, ticket: str) -> None:
    """The number of the decision is asked for, and has no room for a sentence."""
    with pytest.raises(BadRequest):
        forgetting.order(
            embedded_site_vault.person("bob"), "lung-1", DIGEST, reason=ForgetReason.LEGAL_DUTY, ticket=ticket
        )


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"form": "tce-forget-1"}', '{"form": "other"}'])
def test_what_is_no_order_is_told(text: str) -> None:
    """A file of something else is refused by name of the cause."""
    for kind in (ForgetOrder, ForgetWithdrawal):
        with pytest.raises(Malformed):
            kind.from_json(text)
