"""The two searches for what names somebody: the quick one finds whatever the exact one finds."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.births import Birth
from policies.known import (
    KnownSearch,
    KnownWords,
    hidden_in,
    is_known_number,
    known_words,
    names_a_place,
    names_somebody,
)
from policies.known_uids import uids_stand_in
from policies.respelling import respelled

KNOWN = known_words(
    frozenset({b"Lee-Brown^Ann^Zoe", b"M\xc3\xbcller^J\xc3\xbcrgen"}),
    frozenset({b"MRN-4455667", b"12345", b"QX 77", b"QIN-HEADNECK-3"}),
    frozenset({b"Praxis Dr. Suedhang", b"CT-ALPHA9"}),
    addresses=frozenset({b"9 Kirchgasse 79100 Oberried"}),
    further=respelled(frozenset({"Müller^Jürgen", "Бела", "小東"})),
    birth=Birth(date(1962, 3, 4)),
)
FRAGMENTS = [
    *(
        b"lee",
        b"LEE",
        b"ann",
        b"Zoe",
        b"brown",
        b"mrn4455667",
        b"MRN 4455667",
        b"12345",
        b"kirchgasse",
        b"qx77",
    ),
    *(
        b"suedhang",
        b"ctalpha9",
        b"CT-ALPHA9",
        b"04.03.62",
        b"4 mar 1962",
        b"1962-03-04",
        b"4.3.1962",
        b"leebrown",
    ),
    *("Müller".encode(), "MÜLLER".encode("latin-1"), b"Mueller", b"muller", "бела".encode("iso8859-5")),
    *("Бела".encode("utf-16-le"), "小東".encode("shift_jis"), b"l\0e\0e\0", b"\0a\0n\0n", b"b\0r\0o\0w\0n\0"),
]
TAGS = [
    b"\x32\x00\x60\x10",
    b"\x54\x00\x01\x00",
    b"\x50\x20\x20\x00",
    b"\xe0\x7f\x10\x00",
    b"\xfe\xff\x0d\xe0",
    b"",
]


@given(
    parts=st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=3), st.just(b" ")), max_size=6),
    behind=st.sampled_from(TAGS),
    before=st.binary(max_size=8),
    explicit=st.booleans(),
)
@settings(max_examples=1500, deadline=None)
def test_the_quick_search_misses_nothing(
    parts: list[bytes], behind: bytes, before: bytes, explicit: bool
) -> None:
    """What the exact searches find in a value, the quick one finds in the elements around it."""
    raw = b"".join(parts)
    exact = names_somebody(raw, KNOWN) or names_a_place(raw, KNOWN) or hidden_in(raw, KNOWN)
    exact = exact or is_known_number(raw, KNOWN)
    if explicit:
        head = b"\x18\x00\x60\x11SH" + struct.pack("<H", len(raw))
    else:
        head = b"\x18\x00\x60\x11" + struct.pack("<I", len(raw))
    chunk = before + head + raw + behind
    if exact:
        assert KnownSearch(KNOWN).finds_in_any([b"other", chunk])


def test_what_was_clear_stays_clear_for_the_same_words_only() -> None:
    """A search remembers what it has seen; another patient's search looks anew."""
    one = KnownSearch(known_words(frozenset({b"Quirin^Zoe"}), frozenset()))
    assert not one.finds_in_any([b"LO\x06\0Nowak "])
    assert not one.finds_in_any([b"LO\x06\0Nowak "])
    assert KnownSearch(known_words(frozenset({b"Nowak^X"}), frozenset())).finds_in_any([b"LO\x06\0Nowak "])


@pytest.mark.parametrize(
    "text", [b"sleeve", b"channel", b"B30f", b"1962", b"the 3rd of 4", b"12", b"19620305"]
)
def test_what_only_looks_alike_is_nobody(text: bytes) -> None:
    """A short name inside a longer word, a year, a short number and another day name nobody."""
    assert not names_somebody(text, KNOWN)


def test_the_town_of_a_retained_institution_is_no_secret() -> None:
    """A word of the patient's address that the retained institution has as well is not searched for alone."""
    address, hospital = frozenset({b"9 Kirchgasse 79100 Oberried"}), frozenset({b"Klinik Oberried"})
    known = known_words(frozenset(), frozenset(), addresses=address, retained=hospital)
    assert not names_somebody(b"Klinik Oberried", known)
    assert names_somebody(b"Kirchgasse", known)
    assert names_somebody(b"Oberried, Kirchgasse 9", known)
    assert names_somebody(
        b"Oberried", known_words(frozenset({b"Oberried^X"}), frozenset(), addresses=address)
    )


def test_a_safe_word_in_an_identifier_is_nobody() -> None:
    """A body part inside a patient's number is no name; the number as a whole is."""
    assert not names_somebody(b"HEADNECK", KNOWN)
    assert names_somebody(b"qin headneck 3", KNOWN)


def test_common_words_of_institutions_name_none() -> None:
    """Medical, University, Radiology and the names of manufacturers stay in texts; what is the place's own goes."""
    known = known_words(
        frozenset(), frozenset(), frozenset({b"Siemens Medical University Radiology Suedhang"})
    )
    assert not names_a_place(b"GE MEDICAL SYSTEMS", known)
    assert not names_a_place(b"SIEMENS", known)
    assert names_a_place(b"Kernel Suedhang", known)


@pytest.mark.parametrize(
    "written",
    [
        b"1.2.3.4.55.66",
        b"uid:1.2.3.4.55.66 ",
        b"1_2_3_4_55_66",
        b"1\0.\0002\0.\0003\0.\0004\0.\0005\0005\0.\0006\0006\0",
    ],
)
def test_a_uid_is_found_as_text(written: bytes) -> None:
    """A UID of the instance is found with other signs between its numbers, and in UTF-16."""
    assert uids_stand_in([b"\x18\x00\x60\x11SH\x0e\0" + written], frozenset({b"1.2.3.4.55.66"}))


def test_a_uid_that_its_own_attribute_retains_is_none_of_these() -> None:
    """Where the policy retains a UID of an attribute for UIDs, the same UID may have been replaced elsewhere."""
    uid = b"1.2.3.4.55.66\0"
    device = b"\x18\x00\x02\x10UI" + struct.pack("<H", len(uid)) + uid
    sop_class = b"\x08\x00\x50\x11UI" + struct.pack("<H", len(uid)) + uid
    assert not uids_stand_in([device], frozenset({b"1.2.3.4.55.66"}), {0x00081150})
    assert uids_stand_in([sop_class], frozenset({b"1.2.3.4.55.66"}), {0x00081150})


@pytest.mark.parametrize(
    "written",
    [b"1.2.3.4.55.66", b"0.1.2.3.4.55.66", b"1.2.3.4.55.667", b"x1_2_3_4_55_66.7.8", b"9 1.2.3.4.55.66.dcm"],
)
def test_a_uid_is_found_at_every_number(written: bytes) -> None:
    """A UID is found behind other numbers, and before more digits."""
    others = frozenset(b"1.2.840.%d.7" % number for number in range(100))
    assert uids_stand_in([b"\x08\0\x80\0LO\x20\0" + written], others | {b"1.2.3.4.55.66"})
    assert not uids_stand_in([b"\x08\0\x80\0LO\x20\0" + written], others)


def test_uids_are_looked_up_and_not_gone_through() -> None:
    """However many UIDs an instance has, each text that looks like one costs the same."""

    class Counting(frozenset[bytes]):
        rounds = 0

        def __iter__(self) -> Iterator[bytes]:
            Counting.rounds += 1
            return super().__iter__()

    uids = Counting(b"1.2.840.%d.7" % number for number in range(100))
    assert not uids_stand_in(
        [b"\x08\0\x80\0LO\x10\0" + b"1.2.840.%d.8" % number for number in range(100)], uids
    )
    assert Counting.rounds == 1


def test_nothing_known_finds_nothing() -> None:
    """Without any known value every text is clear."""
    assert not KnownSearch(KnownWords()).finds_in_any([b"anything at all 19620304"])
