"""Whatever the bytes, the reader gives an instance or a named refusal, in time and memory that follow their number."""

from __future__ import annotations

import struct
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from policies import memory
from policies.engine import Engine
from policies.errors import Refusal
from policies.loader import load_library
from tests.builders import an_enhanced_ct
from tests.fuzz.targets import TARGETS
from tests.policies.damage import (
    BIG_ENDIAN,
    EXPLICIT,
    IMPLICIT,
    ITEM_END,
    OPEN,
    PREFIX,
    SEQUENCE_END,
    base,
    data_set,
    element,
    item,
    meta,
)
from tests.policies.pseudonyms_for_tests import CountedPseudonyms

TRIAL = {"ClinicalTrialSponsorName": "Sponsor", "ClinicalTrialProtocolID": "P-1"}
SYNTAXES = (EXPLICIT, IMPLICIT, BIG_ENDIAN)
PIECES = st.sampled_from(
    [
        item(b"", length=OPEN),
        item(b""),
        ITEM_END,
        SEQUENCE_END,
        b"\xff\xff\xff\xff",
        b"SQ\0\0",
        b"UN\0\0",
        b"OB\0\0",
        b"\0\0\0\0",
        b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff",
        b"\x40\0\x30\xa7SQ\0\0\xff\xff\xff\xff",
        element(0x00080005, b"CS", b"ISO 2022 IR 87\\"),
    ]
)


@st.composite
def instances(draw: st.DrawFn) -> bytes:
    """A real instance of any encoding, some of its bytes exchanged, cut out, doubled, or its end cut off."""
    syntax = draw(st.sampled_from(SYNTAXES))
    content = bytearray(PREFIX + meta(syntax) + _WHOLE[syntax])
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(content)))
        kind = draw(st.sampled_from(["byte", "piece", "length", "cut", "double", "end"]))
        if kind == "byte":
            content[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
        elif kind == "piece":
            content[at:at] = draw(PIECES)
        elif kind == "length":
            content[at : at + 4] = struct.pack("<I", draw(st.integers(0, len(content) + 8)))
        elif kind == "cut":
            del content[at : at + draw(st.integers(1, 64))]
        elif kind == "double":
            content[at:at] = content[at : at + draw(st.integers(1, 64))]
        else:
            del content[at:]
    return bytes(content)


def _small(ds: Dataset) -> Dataset:
    ds.remove_private_tags()
    ds.PixelData = ds.PixelData[:32]
    return ds


_WHOLE = {syntax: data_set(_small(base()), syntax) for syntax in SYNTAXES}


@given(instances())
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_a_mutilated_instance_is_read_or_refused(content: bytes) -> None:
    """Bytes exchanged, cut and doubled anywhere give an instance that conforms, or a refusal with its reason."""
    TARGETS["reader"](content)


@given(instances())
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_a_mutilated_instance_is_carried_or_refused(content: bytes) -> None:
    """The same for the whole way through each shipped policy: what is written conforms."""
    TARGETS["engine"](content)


def deep_in_one_another(levels: int) -> bytes:
    """Sequences without lengths, each in an item of the one before."""
    begin = element(0x0040A730, b"SQ", b"", length=OPEN) + item(b"", length=OPEN)
    return begin * levels + (ITEM_END + SEQUENCE_END) * levels


def many_items(count: int) -> bytes:
    """One sequence of many empty items."""
    return element(0x00082218, b"SQ", item(b"") * count + SEQUENCE_END, length=OPEN)


def many_fragments(count: int) -> bytes:
    """Compressed pixel data of many empty fragments."""
    return element(0x7FE00010, b"OB", item(b"") * count + SEQUENCE_END, length=OPEN)


def many_blocks(count: int) -> bytes:
    """Private blocks of many creators."""
    blocks = range(0x10, 0x10 + min(count, 0xF0))
    return b"".join(
        element(0x0009 << 16 | block, b"LO", f"C{block}".encode()) for block in blocks
    ) + b"".join(
        element(0x0009 << 16 | block << 8 | number, b"LO", b"")
        for block in blocks
        for number in range(count // 0xF0)
    )


def many_zeros(count: int) -> bytes:
    """Elements of tag zero and no length, and one byte at the end that is none."""
    return b"\0" * 8 * count + b"\1"


def out_of_order(count: int) -> bytes:
    """Private elements in the wrong order."""
    return b"".join(
        element(0x00091000 + number, b"UN", b"") for number in reversed(range(min(count, 0xEFFF)))
    )


def one_in_another(count: int) -> bytes:
    """Sequences without lengths that never end, one after another's beginning."""
    return element(0x00082218, b"SQ", item(b"", length=OPEN), length=OPEN) * count


GROWING: list[Callable[[int], bytes]] = [
    deep_in_one_another,
    many_items,
    many_fragments,
    many_blocks,
    many_zeros,
    out_of_order,
    one_in_another,
]


@pytest.mark.parametrize("make", GROWING, ids=lambda make: make.__name__)
def test_work_is_linear(make: Callable[[int], bytes]) -> None:
    """Eight times the input takes about eight times the steps, not sixty-four times."""
    contents = [PREFIX + meta("1.2.840.10008.1.2.4.50") + make(count) for count in (3_000, 24_000)]
    TARGETS["reader"](contents[0])
    few, many = (_steps_of(content) for content in contents)
    assert many < 12 * few + 1_000


def _steps_of(content: bytes) -> int:
    """How many functions are entered or left on the way, those of C included."""
    steps = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal steps
        steps += 1

    sys.setprofile(count)
    try:
        TARGETS["reader"](content)
    finally:
        sys.setprofile(None)
    return steps


@pytest.mark.parametrize("make", GROWING, ids=lambda make: make.__name__)
def test_memory_is_linear(make: Callable[[int], bytes]) -> None:
    """No input needs more than a few hundred times its size, whatever it claims of itself."""
    content = PREFIX + meta("1.2.840.10008.1.2.4.50") + make(6_000)
    TARGETS["reader"](content)
    tracemalloc.start()
    TARGETS["reader"](content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * len(content) + (1 << 20)


def test_a_claim_of_size_costs_nothing(tmp_path: Path) -> None:
    """An element that says it has four gigabytes is refused without room being made for them."""
    content = PREFIX + meta() + element(0x00080005, b"UC", b"", length=0xFFFFFFF0)
    path = tmp_path / "in.dcm"
    path.write_bytes(content)
    engine = Engine(load_library("basic"))
    with pytest.raises(Refusal):
        engine.read(path)
    tracemalloc.start()
    with pytest.raises(Refusal):
        engine.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 22


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("policy", ["pseudonymization", "basic", "longitudinal-trial"])
def test_repeated_sequences_are_taken_over_unchanged(
    policy: str, undefined: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What frames repeat is scanned once, and the result is that of scanning each."""
    ds = an_enhanced_ct(frames=9)
    if undefined:
        _without_lengths(ds)
    path = tmp_path / "in.dcm"
    ds.save_as(path, enforce_file_format=True)
    results = []
    for room in (memory.MOST_REPEATS, 0):
        monkeypatch.setattr(memory, "MOST_REPEATS", room)
        out = tmp_path / f"out-{room}.dcm"
        engine = Engine(load_library(policy), trial=TRIAL)
        with engine.read(path) as draft:
            engine.write(draft, CountedPseudonyms().resolve([draft.subject]), out)
        results.append(out.read_bytes())
    assert results[0] == results[1]


def _without_lengths(ds: Dataset) -> None:
    for sequence in ds:
        if sequence.VR == "SQ":
            sequence.is_undefined_length = True
            for one in sequence.value:
                one.is_undefined_length_sequence_item = True
                _without_lengths(one)
