"""A bounded run of ``make canaries``: every channel, some SOP Classes, pydicom's own files, and a real site."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path

import pytest

from policies.loader import load_library
from policies.model import Stage
from policies.selftest.canary import Canary, Kind, Mint, Until
from policies.selftest.expectations import must_be_gone
from policies.selftest.search import Search
from tests.canaries.corpus import files_of_pydicom, planted_in
from tests.canaries.garden import Garden
from tests.canaries.legality import available, new_errors
from tests.canaries.policies import accepting, shipped
from tests.canaries.road import Tally, carried, carry
from tests.canaries.site import walk
from tests.canaries.utility import PROMISED, carry_plainly, measured

_PASSED_AT_LEAST = 0.8


@pytest.fixture(scope="module")
def tally(tmp_path_factory: pytest.TempPathFactory) -> Tally:
    """Planted files after stage 1 and after both shipped policies of stage 2."""
    root = tmp_path_factory.mktemp("canaries")
    garden = Garden(root / "planted", seed=1, every=30)
    real, _ = planted_in(files_of_pydicom()[::6], garden, garden.mint)
    return carried([*garden.bounded(), *real], root / "out", seconds=shipped(Stage.ANONYMIZE))


def test_no_canary_survives(tally: Tally) -> None:
    """Nothing that was planted is found after the stage that has to take it out, in any form, at any depth."""
    assert tally.survivors == []


def test_nothing_crashes(tally: Tally) -> None:
    """Whatever an instance holds, it passes or is refused by name."""
    assert tally.crashed == []


def test_most_canaries_were_in_instances_that_passed(tally: Tally) -> None:
    """An engine that refuses everything would leave no canary either; this one lets most instances pass."""
    assert sum(tally.passed.values()) > _PASSED_AT_LEAST * sum(tally.planted.values())


def test_a_canary_that_was_let_through_is_found(tmp_path: Path) -> None:
    """The search is worth something: in files that no stage has seen, all canaries of their channels are found."""
    for file in Garden(tmp_path, seed=2, every=30).alone():
        sought = [canary for canary in file.canaries if canary.kind is not Kind.BYTES]
        found = {id(one.canary) for one in Search(sought).everywhere(file.path.read_bytes())}
        assert [canary for canary in sought if id(canary) not in found] == []


@pytest.mark.parametrize(
    ("form", "made"),
    [
        ("as it stands", lambda word: word.encode()),
        ("in capitals", lambda word: word.upper().encode()),
        ("in UTF-16", lambda word: word.encode("utf-16-le")),
        ("in UTF-16, the other way round", lambda word: word.encode("utf-16-be")),
        ("in UTF-32", lambda word: word.encode("utf-32-le")),
        ("in base 64", lambda word: base64.b64encode(f"x{word} and more".encode())),
        ("in hexadecimal digits", lambda word: word.encode().hex().encode()),
        ("percent-encoded", lambda word: "".join(f"%{ord(letter):02X}" for letter in word).encode()),
        ("escaped", lambda word: "".join(f"\\u{ord(letter):04x}" for letter in word).encode()),
        ("cut short", lambda word: word[:9].encode()),
    ],
)
def test_the_search_sees_through_encodings(form: str, made: object) -> None:
    """A canary is found in every form in which a program could have written it."""
    assert callable(made)
    canary = Canary("test", Mint(7).word(), Kind.WORD, Until.STAGE_1, "here")
    assert [
        found.canary for found in Search([canary]).everywhere(b"\0some\xff" + made(canary.value) + b" bytes")
    ] == [canary]


def test_the_search_sees_into_deflated_data_sets() -> None:
    """What is compressed as a whole is searched inflated."""
    word = Canary("test", Mint(8).word(), Kind.WORD, Until.STAGE_1, "here")
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = packer.compress(str(word.value).encode() * 3) + packer.flush()
    meta = b"\2\0\x10\0UI\x18\0" + b"1.2.840.10008.1.2.1.99\0\0"
    head = b"\0" * 128 + b"DICM" + b"\2\0\0\0UL\4\0" + len(meta).to_bytes(4, "little") + meta
    assert [found.canary for found in Search([word]).everywhere(head + packed)] == [word]


@pytest.mark.parametrize(
    ("path", "vr", "policy", "gone"),
    [
        ((0x00100010,), "PN", "pseudonymization", True),
        ((0x00080080,), "LO", "pseudonymization", False),
        ((0x00080080,), "LO", "basic", True),
        ((0x00181210,), "SH", "basic", False),
        ((0x00080020,), "DA", "longitudinal-trial", True),
        ((0x00080030,), "TM", "longitudinal-trial", False),
        ((0x00400275, 0x00400007), "LO", "basic", True),
        ((0x52009229, 0x00289110, 0x00102297), "PN", "basic", True),
    ],
)
def test_what_must_be_gone_is_what_the_table_says(
    path: tuple[int, ...], vr: str, policy: str, gone: bool
) -> None:
    """The expectation is read from Table E.1-1 and its options: names always, institutions after stage 2, kernels
    never.
    """
    assert must_be_gone(path, vr, load_library(policy)) is gone


def test_what_an_analysis_needs_is_unchanged_under_the_basic_profile(tmp_path: Path) -> None:
    """At least 99.9 % of geometry, timing, acquisition, rescale and pixels stay, references resolve, no IOD error
    is new.
    """
    policy = accepting(load_library("basic"))
    pairs, reasons = carry_plainly(files_of_pydicom(), tmp_path, policy)
    utility = measured(pairs, policy, reasons)
    assert len(pairs) > 50
    assert utility.share >= PROMISED, utility.lost
    assert utility.references == utility.resolving, utility.dangling
    if available():
        assert new_errors(pairs)[0] == []


@pytest.mark.vault
def test_a_real_site_leaves_no_canary_anywhere(tmp_path: Path) -> None:
    """Media, databases, spool, trail, records, logs and what commands say hold nothing, nor do names of files."""
    garden = Garden(tmp_path / "planted", seed=3, every=60)
    planted = [*garden.together(), *list(garden.alone())[::6]]
    tally = walk(planted, tmp_path / "run", garden.mint)
    assert tally.crashed == []
    assert tally.survivors == []


def test_stage_one_alone_takes_direct_identifiers(tmp_path: Path) -> None:
    """What the header knows is gone after stage 1 already, in file meta information and preamble as well."""
    garden = Garden(tmp_path / "planted", seed=4, every=30)
    passed, tally = carry(list(garden.alone()), tmp_path / "out", load_library("pseudonymization"))
    assert len(passed) > 20
    assert [one for one in tally.survivors if one.channel.startswith("known")] == []
