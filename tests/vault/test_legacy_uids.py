"""New UIDs of trials that are running already: the ones that they had, one for one, and nothing else of the kind."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from tests.conftest import SiteVault
from tests.vault.conftest import StageOne
from tests.vault.subjects import a_subject, image, patient_id
from vault.assignments import Assignments, Stage
from vault.errors import BadList, BadPlan, Collision
from vault.importing import Entry
from vault.keys import create_case_key
from vault.legacy_uids import CtpHashUid
from vault.mapping import MappingStore
from vault.naming import Naming
from vault.pseudonyms import CasePseudonyms
from vault.scheme import Form

ROOT = "1.3.6.1.4.1.14519.5.2.1"
LEGACY = Naming(Form("T-"), legacy=CtpHashUid(ROOT))


def as_ctp(root: str, uid: str) -> str:
    """What CTP's documentation of @hashuid says, worked out by itself."""
    return f"{root}.{int(hashlib.md5(uid.encode()).hexdigest(), 16)}"[:64]


def test_it_is_what_ctp_makes() -> None:
    """The MD5 of the trimmed UID as a decimal number under the root; this one was worked out with md5sum and bc."""
    original = "1.2.840.113619.2.55.3.604688119.971.1234567890.123"
    assert CtpHashUid("1.2.3").uid(original) == "1.2.3.159999555072689245734894362860341159294"
    assert CtpHashUid("1.2.3").uid(f" {original}\0") == "1.2.3.159999555072689245734894362860341159294"


@pytest.mark.parametrize("root", ["1.2.3", ROOT, "1.3.6.1.4.1.14519.5.2.1.7009.2403.123456"])
def test_it_is_cut_where_ctp_cuts(root: str) -> None:
    """Under a long root the last digits are missing, at 64 characters; the UID is legal still."""
    for number in range(200):
        new = CtpHashUid(root).uid(f"1.2.{number}")
        assert new == as_ctp(root, f"1.2.{number}")
        assert len(new) <= 64
        assert new.startswith(f"{root}.")
        assert not new.removeprefix(f"{root}.").startswith("0")


@pytest.mark.parametrize("root", ["", "1", "1.2.", "1.02", "3.1", "1.2.x", "1." + "2" * 40])
def test_what_is_no_root_is_refused(root: str) -> None:
    """A root that is none would make illegal UIDs, and one too long UIDs that meet."""
    with pytest.raises(BadPlan):
        CtpHashUid(root)


def test_they_are_never_drawn(store: MappingStore) -> None:
    """Nothing of an original is in what is drawn, and such a UID is nothing else."""
    with pytest.raises(BadPlan):
        Naming(
            assignments=Assignments(store.database, stage=Stage.ANONYMIZE, case="C"),
            draws=True,
            legacy=LEGACY.legacy,
        )


@pytest.mark.vault
def test_only_uids_and_only_where_it_is_said(stage_one: StageOne) -> None:
    """Patients, days, devices and the like are derived under the key as ever; so are the UIDs of other cases."""
    keyed, legacy = (
        stage_one(naming=naming).resolve([a_subject(1)]) for naming in (Naming(Form("T-")), LEGACY)
    )
    for identifier, name in legacy.items():
        if identifier.kind == "uid":
            assert name == as_ctp(ROOT, identifier.value)
        else:
            assert name == keyed[identifier]
    assert keyed[image(1, 0)].startswith("2.25.")


@pytest.mark.vault
def test_a_list_cannot_contradict_them(stage_one: StageOne, store: MappingStore, case: str) -> None:
    """What stage 1 gave by the old rule is given: a list with another UID for the original is refused."""
    stage_one(naming=LEGACY).resolve([a_subject(1)])
    assigned = Assignments(store.database, stage=Stage.PSEUDONYMIZE, case=case)
    intake = stage_one(naming=LEGACY).intake(assigned, assigned.begin)
    with pytest.raises(BadList, match="contradicts"):
        intake.take([Entry(2, image(1, 0), "1.2.3.4")])
    assert intake.take([Entry(2, patient_id(2), "SUBJ-2")]).new == 1


@pytest.fixture
def stage_two(embedded_site_vault: SiteVault, store: MappingStore, case: str) -> Callable[[], CasePseudonyms]:
    """Makes pseudonyms of stage 2 as a new process would."""
    create_case_key(embedded_site_vault.person("bob"), case)
    assigned = Assignments(store.database, stage=Stage.ANONYMIZE, case=case)
    assigned.begin()
    naming = Naming(Form(), assigned, claims=True, legacy=LEGACY.legacy)
    return lambda: CasePseudonyms(embedded_site_vault.service("manager"), case=case, naming=naming)


@pytest.mark.vault
def test_two_originals_never_get_one_uid(
    stage_one: StageOne, stage_two: Callable[[], CasePseudonyms], monkeypatch: pytest.MonkeyPatch
) -> None:
    """MD5 can be made to meet: in both stages the second original stops the job, also in another process."""
    monkeypatch.setattr(CtpHashUid, "uid", lambda self, original: f"{self.root}.7")
    for begun in (lambda: stage_one(naming=LEGACY), stage_two):
        with pytest.raises(Collision):
            for number in (1, 2):
                begun().resolve([a_subject(number, images=1)])


@pytest.mark.vault
def test_stage_2_gives_the_same_ones_again(stage_two: Callable[[], CasePseudonyms]) -> None:
    """What is claimed is no obstacle to who gave it."""
    first = stage_two().resolve([a_subject(1)])
    assert first[image(1, 0)] == as_ctp(ROOT, image(1, 0).value)
    assert stage_two().resolve([a_subject(1), a_subject(2)]).items() >= first.items()
