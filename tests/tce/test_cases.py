"""A case is data: read back as written, covered by its digest, its faults named by line."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from tce import cases
from tce.cases import Case, CaseReceiver, EncryptFor, PolicyRef, Trial
from tce.errors import CaseFault, UnknownCase

DIGEST = "sha256:" + "0" * 64


def a_case(**changes: object) -> Case:
    fields: dict[str, object] = {
        "id": "lung-1",
        "title": "Lung nodules: äöü",
        "purpose": "A trial",
        "stage1": PolicyRef(name="pseudonymization", version="1", digest=DIGEST),
        "stage2": PolicyRef(name="longitudinal-trial", version="1", digest=DIGEST),
        "selectors": ("TCE_SELECTOR",),
        "receivers": (CaseReceiver(ae_title="TCE_RECEIVER", host="127.0.0.1", port=11113),),
    }
    return Case.model_validate(fields | changes)


def test_a_written_case_is_read_back_the_same(tmp_path: Path) -> None:
    """What a coordinator saved is what an approver reads."""
    case = a_case(trial=Trial(sponsor="Sponsor", protocol_id="P-1"), prefix="LU", expires="2031-05-01")
    cases.save(tmp_path, case)
    assert cases.load(tmp_path, "lung-1") == case
    assert cases.ids(tmp_path) == ["lung-1"]


@pytest.mark.parametrize(
    "change",
    [
        {"title": "other"},
        {"minimum_cohort": 5},
        {"receivers": (CaseReceiver(ae_title="TCE_RECEIVER", host="127.0.0.1", port=11114),)},
        {"stage2": PolicyRef(name="basic", version="1", digest=DIGEST)},
        {"trial": Trial(site_id="3")},
        {"alphabet": "letters"},
        {"length": 12},
        {"encrypt_for": (EncryptFor(certificate="dpo.pem", digest=DIGEST),)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_digest_covers_every_field(change: dict[str, object]) -> None:
    """A case that was changed after its approval is another case."""
    assert a_case(**change).digest != a_case().digest


@pytest.mark.parametrize("name", ["../dpo.pem", "/etc/dpo.pem", "", "a/b.pem"])
def test_a_certificate_lies_beside_the_case(name: str) -> None:
    """A case names a file of its own folder, and no other place of the machine."""
    with pytest.raises(ValidationError):
        EncryptFor(certificate=name, digest=DIGEST)


def test_the_digest_does_not_depend_on_the_layout_of_the_file() -> None:
    """Comments and order are a coordinator's own."""
    text = cases.dumps(a_case())
    plain = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    assert cases.loads(plain, "case.yaml").digest == a_case().digest


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("port: 11113", "port: 99999", ["receivers.0.port", "65535"]),
        ("id: lung-1", "id: Lung 1", ["id", "hyphen"]),
        ("prefix: ''", "prefix: toolong", ["prefix"]),
        ("length: 16", "length: 8", ["length", "35 bits", "40"]),
        ("length: 16", "length: 17", ["length", "8 to 16"]),
        ("alphabet: base32", "alphabet: roman", ["alphabet", "letters"]),
        ("title:", "titel:", ["titel", "spelling"]),
        (DIGEST, "sha256:12", ["digest"]),
    ],
)
def test_a_fault_is_named_with_its_line(old: str, new: str, words: list[str]) -> None:
    """A coordinator is shown the line to correct."""
    text = cases.dumps(a_case()).replace(old, new, 1)
    line = next(number for number, row in enumerate(text.splitlines(), 1) if new in row)
    with pytest.raises(CaseFault) as caught:
        cases.loads(text, "case.yaml")
    assert f"line {line}" in caught.value.what
    for word in words:
        assert word in caught.value.what


@pytest.mark.parametrize("value", [[1], 5, "", "a b\nc", {}, None, -1, True, "2020-13-45", 1.5], ids=repr)
def test_a_fault_is_in_words_for_people(value: object) -> None:
    """Whatever stands in a field, nobody is told of it in the words of the library that found it."""
    with pytest.raises(CaseFault) as caught:
        cases.checked(dict.fromkeys(Case.model_fields, value), "case.yaml")
    for words in ("Input should", "Value error", "should have", "instance of"):
        assert words not in caught.value.what


@pytest.mark.parametrize("text", ["", "id: [", "- 1\n", "\tx"])
def test_what_is_no_case_is_refused(text: str) -> None:
    """An empty or broken file is an error, not an empty case."""
    with pytest.raises(CaseFault):
        cases.loads(text, "case.yaml")


@pytest.mark.parametrize("case_id", ["../x", "/etc", "a/b", "", "A", "a..b"])
def test_an_id_cannot_name_another_folder(case_id: str, tmp_path: Path) -> None:
    """A case id is a name and never a path."""
    with pytest.raises(UnknownCase):
        cases.load(tmp_path, case_id)


def test_trial_values_need_a_sponsor() -> None:
    """The Clinical Trial modules are left out rather than filled with inventions."""
    assert a_case(trial=Trial(protocol_id="P")).trial_attributes() == {}
    assert a_case(trial=Trial(sponsor="S", protocol_id="P")).trial_attributes() == {
        "ClinicalTrialSponsorName": "S",
        "ClinicalTrialProtocolID": "P",
    }


def test_a_prefix_that_leaves_too_little_is_told_at_the_length() -> None:
    """Ten digits beside a prefix of five are too few, although both are legal: what decides is all three together."""
    with pytest.raises(ValidationError, match="33 bits"):
        a_case(prefix="ABCDE", alphabet="digits")
    assert a_case(prefix="AB", alphabet="digits").form.bits > 40
