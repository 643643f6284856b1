"""What the tests of pseudonyms, mapping and custody share."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.conftest import SiteVault
from tests.postgres import a_server, lacks
from vault.keys import create_way_back
from vault.mapping import MappingStore
from vault.naming import Naming
from vault.pseudonyms import IdentityPseudonyms
from vault.scheme import Form

POSTGRES = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"))), None)

_numbers = itertools.count(1)

StageOne = Callable[..., IdentityPseudonyms]


@cache
def open_case(site: SiteVault, case: str) -> None:
    """Give a case its way back, as stage 1 does when it begins."""
    create_way_back(site.service("pseudonymizer"), case)


@pytest.fixture
def case() -> str:
    """A case of one's own."""
    return f"C-{next(_numbers)}"


@pytest.fixture
def mapping_url(tmp_path: Path) -> str:
    """The address of a mapping database of one's own."""
    return f"sqlite:///{tmp_path / 'mapping.db'}"


@pytest.fixture
def store(mapping_url: str) -> Iterator[MappingStore]:
    """An open mapping store."""
    store = MappingStore(mapping_url)
    yield store
    store.close()


@pytest.fixture
def stage_one(embedded_site_vault: SiteVault, store: MappingStore, case: str) -> StageOne:
    """Makes pseudonyms of stage 1 as a new process would, with the pseudonymizer's own token."""

    def make(**changes: object) -> IdentityPseudonyms:
        settings = {
            "case": case,
            "custodians": embedded_site_vault.custodians,
            "naming": Naming(Form("T-")),
        } | changes
        open_case(embedded_site_vault, str(settings["case"]))
        return IdentityPseudonyms(embedded_site_vault.service("pseudonymizer"), store, **settings)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A PostgreSQL server of one's own; skipped where there is none or no driver."""
    if lacking := lacks():
        pytest.skip(lacking)
    with a_server() as address:
        yield address


@pytest.fixture
def emptied(postgres: str) -> str:
    """The address of a PostgreSQL database in which no test has left anything."""
    engine = sa.create_engine(postgres)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    engine.dispose()
    return postgres


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'mapping.db'}"
        return
    yield request.getfixturevalue("emptied")
