"""Files to files for a case that asks for company: all of the folder, or nothing of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from policies.disclosure.cohort import Limits
from policies.engine import Engine
from policies.loader import load_library
from policies.pseudonyms import Pseudonyms
from tce.cohort import CohortRule, Share
from tce.errors import Refused
from tce.folder_cohort import Company, LeftOut, de_identify_in_company
from tests.builders import a_ct_study
from tests.derivation import LocalPseudonyms

RULE = CohortRule(("PatientSex",), None, Limits(2))


def bench() -> tuple[Engine, Callable[[], Pseudonyms]]:
    return Engine(load_library("pseudonymization")), LocalPseudonyms


def sources(home: Path, sexes: str) -> Path:
    """A study of one image for each patient."""
    folder = home / f"sources-{sexes}"
    folder.mkdir()
    for number, sex in enumerate(sexes, start=1):
        for place, sample in enumerate(a_ct_study(patient=number, slices=1)):
            sample.instance.PatientSex = sex
            sample.instance.save_as(folder / f"{number}-{place}", enforce_file_format=True)
    return folder


def patients(out: Path) -> int:
    return len(list(out.iterdir())) if out.exists() else 0


def test_all_who_look_alike_appear_at_once(tmp_path: Path) -> None:
    """Two women are enough for each other; what waited is gone, and the same command again changes nothing."""
    here, out = sources(tmp_path, "FF"), tmp_path / "out"
    account, left_out = de_identify_in_company([here], out, bench, Company(RULE, ()), workers=1)
    assert (patients(out), len(account.patients), left_out) == (2, 2, LeftOut(0, 0))
    assert account.written == len(list(out.rglob("*.dcm"))) == 6
    assert not (tmp_path / "out.waiting").exists()
    again, _ = de_identify_in_company([here], out, bench, Company(RULE, ()), workers=1)
    assert (again.written, again.already) == (0, 6)


def test_one_who_falls_short_stops_the_whole_folder(tmp_path: Path) -> None:
    """Nothing is written, and nothing is left lying about; it is said how many fall short, and no value."""
    here, out = sources(tmp_path, "FFM"), tmp_path / "out"
    with pytest.raises(Refused, match="1 patient would have too little company"):
        de_identify_in_company([here], out, bench, Company(RULE, ()), workers=1)
    assert {path.name for path in tmp_path.iterdir()} == {here.name}


def test_who_falls_short_can_be_left_out(tmp_path: Path) -> None:
    """Asked for, the others appear without those who fall short."""
    here, out = sources(tmp_path, "FFM"), tmp_path / "out"
    account, left_out = de_identify_in_company(
        [here], out, bench, Company(RULE, (), leave_out=True), workers=1
    )
    assert (patients(out), account.written, left_out) == (2, 6, LeftOut(1, 3))


def test_those_who_are_released_are_company(tmp_path: Path) -> None:
    """A man is enough where the case has released another one, and not where that is himself."""
    here, out = sources(tmp_path, "M"), tmp_path / "out"
    another = Share(1, "SOMEBODY", {"PatientSex": ("M",)}, True)
    de_identify_in_company([here], out, bench, Company(RULE, [another]), workers=1)
    himself = Share(1, next(out.iterdir()).name, {"PatientSex": ("M",)}, True)
    with pytest.raises(Refused):
        de_identify_in_company([here], tmp_path / "other", bench, Company(RULE, [himself]), workers=1)


def test_what_lies_there_already_is_company(tmp_path: Path) -> None:
    """A further patient joins those who are in the folder, and they stay."""
    out = tmp_path / "out"
    de_identify_in_company([sources(tmp_path, "FF")], out, bench, Company(RULE, ()), workers=1)
    account, _ = de_identify_in_company([sources(tmp_path, "FFF")], out, bench, Company(RULE, ()), workers=1)
    assert (patients(out), account.written, account.already) == (3, 3, 6)
