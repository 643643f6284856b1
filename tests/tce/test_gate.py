"""The research zone's gate lets in what a known stage 1 pseudonymized, proved element by element, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from policies import loader
from policies.engine import Engine
from policies.forms import Forms
from policies.model import Policy
from tce.folder import de_identify
from tce.gate import Gate, Known
from tce.shelf import renamed
from tests.builders import a_ct_study, an_mr_study, written
from tests.policies.pseudonyms_for_tests import CountedPseudonyms

POLICY = loader.load_library("pseudonymization")


def pseudonymized(folder: Path, policy: Policy = POLICY) -> list[Path]:
    """Two studies after a stage 1."""
    written(a_ct_study(slices=2), folder / "in" / "ct")
    written(an_mr_study(slices=2), folder / "in" / "mr")
    de_identify([folder / "in"], folder / "out", lambda: (Engine(policy), CountedPseudonyms), workers=1)
    return sorted((folder / "out").rglob("*.dcm"))


@pytest.fixture(scope="module")
def instances(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return pseudonymized(tmp_path_factory.mktemp("stage-1"))


def known(policy: Policy = POLICY) -> Known:
    return Known(policy, Forms(), 0)


def changed(path: Path, folder: Path, change: Callable[[Dataset], Any]) -> Path:
    ds = dcmread(path)
    change(ds)
    ds.save_as(folder / "changed.dcm")
    return folder / "changed.dcm"


def test_what_a_known_stage_one_made_comes_in(instances: list[Path]) -> None:
    """Every instance of both studies passes, and the verdict says of which policy it is."""
    gate = Gate([known()])
    verdicts = [gate.judge(path) for path in instances]
    assert len(verdicts) == 7 and {verdict.policy for verdict in verdicts} == {"pseudonymization 1"}
    assert all(verdict.admitted and not verdict.what for verdict in verdicts)


def test_what_identified_instances_say_of_themselves_does_not_help(tmp_path: Path) -> None:
    """An original with all the marks of a pseudonymized instance is refused for what stands in it."""
    made = pseudonymized(tmp_path)
    marks = dcmread(made[0])
    (original, *_) = sorted((tmp_path / "in" / "ct").rglob("*.dcm"))

    def mark(ds: Dataset) -> None:
        for tag in (0x00120062, 0x00120063, 0x00120064, 0x00280303, 0x0018A001):
            ds[tag] = marks[tag]

    verdict = Gate([known()]).judge(changed(original, tmp_path, mark))
    assert verdict.reason == "not-as-policy" and verdict.next_step
    assert str(dcmread(original).PatientID) not in verdict.what


WAYS: dict[str, tuple[str, Callable[[Dataset], Any]]] = {
    "not said to be without identity": (
        "still-identified",
        lambda ds: setattr(ds, "PatientIdentityRemoved", "NO"),
    ),
    "nothing said at all": ("still-identified", lambda ds: delattr(ds, "PatientIdentityRemoved")),
    "no method": ("unknown-stage-one", lambda ds: delattr(ds, "DeidentificationMethod")),
    "another policy": (
        "unknown-stage-one",
        lambda ds: setattr(ds, "DeidentificationMethod", ["other 1", "DATES KEPT"]),
    ),
    "another version": (
        "unknown-stage-one",
        lambda ds: setattr(ds, "DeidentificationMethod", ["pseudonymization 2", "DATES KEPT"]),
    ),
    "a method too much": (
        "marks-differ",
        lambda ds: setattr(ds, "DeidentificationMethod", ["pseudonymization 1", "DATES KEPT", "by hand"]),
    ),
    "a code too few": ("marks-differ", lambda ds: ds.DeidentificationMethodCodeSequence.pop()),
    "no equipment": ("marks-differ", lambda ds: delattr(ds, "ContributingEquipmentSequence")),
    "a name": ("not-as-policy", lambda ds: setattr(ds, "PatientName", "Testov^Persona")),
    "a patient ID": ("not-as-policy", lambda ds: setattr(ds, "PatientID", "4711")),
    "a birth date": ("not-as-policy", lambda ds: setattr(ds, "PatientBirthDate", "19500102")),
    "an original UID": ("not-as-policy", lambda ds: setattr(ds, "StudyInstanceUID", "1.2.840.113619.2.5")),
    "a telephone number": ("not-as-policy", lambda ds: setattr(ds, "PatientTelephoneNumbers", "555 0100")),
    "a private element": (
        "not-as-policy",
        lambda ds: ds.private_block(0x0009, "VENDOR", create=True).add_new(1, "LO", "Testov"),
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_each_way_of_not_being_pseudonymized_is_refused(
    instances: list[Path], tmp_path: Path, way: str
) -> None:
    """One mark or one element that the policy would not have left so keeps the instance out, with its reason."""
    reason, change = WAYS[way]
    verdict = Gate([known()]).judge(changed(instances[0], tmp_path, change))
    assert (verdict.admitted, verdict.reason) == (False, reason)
    assert verdict.what and verdict.next_step
    for value in ("Testov", "4711", "1950", "113619", "555"):
        assert value not in verdict.what


def test_the_head_of_a_file_does_not_decide(instances: list[Path], tmp_path: Path) -> None:
    """Who burned the disc may have written File Meta Information of its own; the data set is what counts."""
    ds = dcmread(instances[0])
    ds.file_meta.ImplementationVersionName = "OTHER"
    ds.file_meta.SourceApplicationEntityTitle = "BURNER"
    ds.save_as(tmp_path / "burned")
    assert Gate([known()]).judge(tmp_path / "burned").admitted


def test_the_policy_counts_by_its_text(tmp_path: Path) -> None:
    """What another policy of the same kind made is not let in by a policy that takes more away."""
    looser = loader.loads(renamed(loader.library_text("pseudonymization"), "other", "1"), "other")
    made = pseudonymized(tmp_path, looser)
    assert Gate([known()]).judge(made[0]).reason == "unknown-stage-one"
    stricter = loader.loads(
        renamed(loader.library_text("pseudonymization"), "other", "1").replace(
            "  - retain-institution-identity\n", ""
        ),
        "stricter",
    )
    assert Gate([known(stricter)]).judge(made[0]).reason in ("marks-differ", "not-as-policy")
    assert Gate([known(looser)]).judge(made[0]).admitted


def test_what_cannot_be_read_does_not_come_in(tmp_path: Path) -> None:
    """A file that breaks off or is none is refused."""
    (tmp_path / "x").write_bytes(b"\0" * 128 + b"DICM\2\0")
    assert not Gate([known()]).judge(tmp_path / "x").admitted
    assert Gate([known()]).judge(tmp_path / "nothing").reason == "unreadable"


def test_nothing_comes_in_behind_the_pixels(instances: list[Path], tmp_path: Path) -> None:
    """Pixel data that is longer than its image holds what nobody sees in a viewer."""
    (image, *_) = [path for path in instances if "PixelData" in dcmread(path)]

    def hide(ds: Dataset) -> None:
        ds.PixelData += b"DOE^JOHN"

    assert Gate([known()]).judge(image).admitted
    assert Gate([known()]).judge(changed(image, tmp_path, hide)).reason == "not-as-policy"
