"""A policy for a trial that began with unkeyed UIDs: it says so everywhere, and is proved by what it says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydantic import ValidationError

from policies.describe import describe, warnings
from policies.engine import Engine
from policies.forms import Forms
from policies.model import Policy
from policies.pseudonyms import Identifier, Kind, Subject
from policies.verify import Verification
from tests.builders import a_ct_study, written
from tests.policies.pseudonyms_for_tests import CountedPseudonyms
from tests.policies.test_verify import a_policy

ROOT = "1.3.6.1.4.1.14519.5.2.1"
LEGACY = {"method": "ctp-hashuid", "root": ROOT, "reason": "The trial began in 2019 with a script of CTP."}
SAID = "UIDS HASHED WITHOUT A KEY (CTP HASHUID)"


def as_ctp(uid: str) -> str:
    """What CTP's documentation of @hashuid says."""
    return f"{ROOT}.{int(hashlib.md5(uid.encode()).hexdigest(), 16)}"[:64]


class Answers(CountedPseudonyms):
    """Answers with UIDs of one's own making."""

    def __init__(self, uid: Callable[[str], str]) -> None:
        super().__init__()
        self._uid = uid

    def resolve(self, subjects: Collection[Subject]) -> Mapping[Identifier, str]:
        found = super().resolve(subjects)
        return {one: self._uid(one.value) if one.kind == Kind.UID else name for one, name in found.items()}


def proved(policy: Policy, uid: Callable[[str], str], folder: Path) -> list[str]:
    """Treat a study under a policy with UIDs as given, and say what its verification finds."""
    sources = written(a_ct_study(slices=2), folder)
    engine, answers = Engine(policy), Answers(uid)
    verification = Verification(policy, forms=Forms("P"))
    found = []
    for number, source in enumerate(sources):
        out = folder / f"{number}.out"
        with engine.read(source) as draft:
            engine.write(draft, answers.resolve([draft.subject]), out)
        found += verification.check(out, source)
    return [finding.code for finding in (*found, *verification.whole())]


def test_the_script_s_own_uids_are_proved(tmp_path: Path) -> None:
    """UIDs as CTP makes them have no finding, and the instances say how they were made."""
    policy = a_policy(legacy_uids=LEGACY)
    assert proved(policy, as_ctp, tmp_path) == []
    ds = pydicom.dcmread(tmp_path / "0.out")
    assert ds.StudyInstanceUID == as_ctp(a_ct_study(slices=2)[0].instance.StudyInstanceUID)
    assert SAID in ds.DeidentificationMethod


@pytest.mark.parametrize(
    "uid",
    [
        lambda original: f"{ROOT}.{int(hashlib.md5(original.encode() + b'x').hexdigest(), 16)}",
        lambda original: f"2.25.{int.from_bytes(hashlib.sha256(original.encode()).digest()[:15], 'big')}",
        lambda original: f"{ROOT}.0{as_ctp(original)[len(ROOT) + 1 :]}"[:64],
        lambda original: original,
    ],
    ids=["of another original", "of another form", "illegal", "the original"],
)
def test_any_other_uid_is_found(uid: Callable[[str], str], tmp_path: Path) -> None:
    """A UID that the script would not have made of that very original holds the export."""
    assert "uid" in proved(a_policy(legacy_uids=LEGACY), uid, tmp_path)


def test_nothing_becomes_legacy_unsaid(tmp_path: Path) -> None:
    """A policy that does not say it refuses such UIDs, and an instance may not claim it."""
    assert "uid" in proved(a_policy(), as_ctp, tmp_path)
    ds = pydicom.dcmread(tmp_path / "0.out")
    ds.DeidentificationMethod = [*ds.DeidentificationMethod, SAID]
    ds.save_as(tmp_path / "claims.dcm")
    found = Verification(a_policy(), forms=Forms("P")).check(tmp_path / "claims.dcm")
    assert "(0012,0063)" in {finding.where for finding in found}


def test_the_form_is_the_root_and_one_number() -> None:
    """What has another root, more than one number, a zero in front or more than 128 bits is not of that form."""
    forms = Forms(legacy_root=ROOT)
    assert forms.is_derived(as_ctp("1.2.3"))
    for uid in (ROOT, f"{ROOT}.", f"{ROOT}.1.2", f"{ROOT}.01", f"{ROOT}.{1 << 128}", f"{ROOT}9.1", "2.25.5"):
        assert not forms.is_derived(uid)


def test_whoever_reads_the_policy_is_warned() -> None:
    """Its description begins with the warning, and names root and reason; other policies have none."""
    policy = a_policy(legacy_uids=LEGACY)
    words = " ".join(describe(policy).split())
    assert "Warning" in words
    assert "without a key" in words
    assert "not pseudonyms" in words
    assert ROOT in words
    assert str(LEGACY["reason"]) in words
    assert warnings(a_policy()) == ()
    assert "Warning" not in describe(a_policy())


def test_it_is_signed_and_others_keep_their_digest() -> None:
    """Root and reason are under the approval; a policy without them has the digest that it had before."""
    digests = {
        a_policy(legacy_uids={**LEGACY, **changed}).digest
        for changed in ({}, {"root": "1.2"}, {"reason": "b"})
    }
    assert len(digests) == 3
    assert a_policy().digest == a_policy(legacy_uids=None).digest not in digests


@pytest.mark.parametrize(
    "fields",
    [
        {"options": ["retain-uids"], "ages": None, "legacy_uids": LEGACY},
        {"pseudonyms": "random", "legacy_uids": LEGACY},
        {"legacy_uids": {**LEGACY, "root": "1.2.840.10008.5"}},
        {"legacy_uids": {**LEGACY, "root": "1.2.3."}},
        {"legacy_uids": {**LEGACY, "root": "1." + "2" * 40}},
        {"legacy_uids": {**LEGACY, "method": "keyed"}},
        {"legacy_uids": {"method": "ctp-hashuid", "root": ROOT}},
    ],
    ids=["retained", "drawn", "the standard's root", "no root", "too long", "another method", "no reason"],
)
def test_what_cannot_be_meant_is_refused(fields: dict[str, Any]) -> None:
    """Beside options that say otherwise, under no usable root, or without a reason there is no such policy."""
    with pytest.raises(ValidationError):
        a_policy(**fields)
