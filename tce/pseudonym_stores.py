"""The store of pseudonyms that no key gives, for a stage of a case of a site: begun once, and noticed when it is lost.

A stage whose policy draws its pseudonyms begins a store at its first run, and so does stage 2 of a case with short
ones or with legacy UIDs; an import begins one too. The name that the store gets stands in the case's folder from then
on. If the database has no store of that name, the same patients would get other pseudonyms, so nothing runs until it is
restored. A stage without a store derives every pseudonym.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from policies.model import Policy, PseudonymSource, Stage
from tce.audit.journal import Journal
from tce.cases import Case, Subjects, case_dir
from tce.config import Site
from tce.errors import CaseError
from vault import assignments
from vault.assignments import Assignments, Origin
from vault.errors import StoreMissing
from vault.legacy_uids import CtpHashUid
from vault.mapping import MappingStore
from vault.naming import Naming
from vault.tables import Database

CLAIMED_BELOW_BITS = 50  # with these, two of a hundred thousand get one pseudonym in one of 200,000 cases


def marker(site: Site, case_id: str, stage: Stage) -> Path:
    """Return the file of a case that holds the name of a stage's store."""
    return case_dir(site.cases_dir, case_id) / f"pseudonyms.{stage}"


def of_case(site: Site, case_id: str, stage: Stage, database: Database) -> Assignments | None:
    """Return the store of a stage of a case, or None where there is none. Raises StoreMissing where it was lost."""
    store = Assignments(database, stage=assignments.Stage(stage), case=case_id)
    path = marker(site, case_id, stage)
    there, told = store.id, path.read_text("ascii").strip() if path.exists() else ""
    if told and told != there:
        raise StoreMissing(
            f"the store of the pseudonyms of case {case_id} is not in the database; every patient would get a new one",
            next_step="restore the database from its backup: tce mapping restore",
        )
    if there and not told:
        _write(path, there)
    return store if there else None


def to_fill(
    site: Site, case_id: str, stage: Stage, database: Database, actor: str = ""
) -> tuple[Assignments, Callable[[], None]]:
    """Return the store of a stage of a case, and what makes it where there is none. Raises StoreMissing."""
    there = of_case(site, case_id, stage, database)
    store = there or Assignments(database, stage=assignments.Stage(stage), case=case_id)

    def begin() -> None:
        if there is None:
            _write(marker(site, case_id, stage), store.begin())
            Journal(site, actor).record("case.store", detail={"case": case_id, "stage": str(stage)})

    return store, begin


def prepare(site: Site, case: Case, policy: Policy) -> None:
    """Begin the store that a stage needs, before any of its work begins.

    Raises StoreMissing, and CaseError where the case began in another way than its policy asks for, or its list of
    subjects is closed and there is none.
    """
    mapping = MappingStore(site.mapping_url)
    try:
        store = of_case(site, case.id, policy.stage, mapping.database)
        draws = policy.pseudonyms is PseudonymSource.RANDOM
        if store is None and (draws or _claims(case, policy)):
            if draws and policy.stage is Stage.PSEUDONYMIZE and mapping.key_versions(case.id):
                raise _other_way(case, "derived from a key", "keyed")
            _, begin = to_fill(site, case.id, policy.stage, mapping.database)
            begin()
        elif not draws and store is not None and Origin.DRAWN in store.origins():
            raise _other_way(case, "drawn at random", "random")
        naming(site, case, policy, mapping.database)
    finally:
        mapping.close()


def naming(site: Site, case: Case, policy: Policy, database: Database) -> Naming:
    """Return how a stage of a case gets its pseudonyms. Raises StoreMissing, and CaseError for a missing list."""
    store = of_case(site, case.id, policy.stage, database)
    draws = policy.pseudonyms is PseudonymSource.RANDOM
    closed = case.subjects is Subjects.LISTED
    if closed and policy.stage is Stage.ANONYMIZE:
        # Stage 1 let nobody else pass; a list of its own is for a site that does not trust that.
        closed = store is not None and Origin.IMPORTED in store.origins()
    if store is None and (draws or closed or _claims(case, policy)):
        raise CaseError(
            f"case {case.id} has {'a closed list of subjects, and no list' if closed else 'no store of pseudonyms'}",
            next_step="import the list: tce mapping import" if closed else "begin again",
        )
    legacy = legacy_uids(policy)
    return Naming(
        case.form, store, draws=draws, listed_only=closed, claims=_claims(case, policy), legacy=legacy
    )


def legacy_uids(policy: Policy) -> CtpHashUid | None:
    """Return what makes the new UIDs of a policy for a trial that began without a key; of any other, nothing."""
    return None if policy.legacy_uids is None else CtpHashUid(policy.legacy_uids.root)


def _claims(case: Case, policy: Policy) -> bool:
    """Whether derived pseudonyms are kept too: stage 1 has its mapping to find two originals that claim one."""
    keyed = policy.pseudonyms is PseudonymSource.KEYED
    meet = case.form.bits < CLAIMED_BELOW_BITS or policy.legacy_uids is not None
    return policy.stage is Stage.ANONYMIZE and keyed and meet


def _other_way(case: Case, how: str, word: str) -> CaseError:
    return CaseError(
        f"the pseudonyms of case {case.id} were {how} so far, and its policy now asks for another way",
        next_step=f"take a policy with pseudonyms: {word}, or begin a new case",
    )


def _write(path: Path, name: str) -> None:
    draft = path.with_name(f"{path.name}.new")
    draft.write_text(f"{name}\n", "ascii")
    draft.replace(path)
