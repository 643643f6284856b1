"""A value that stays is what its Value Representation says, and a text that nobody named looks like nobody's."""

from __future__ import annotations

import pytest

from policies.legality import BY_VR, check_of, is_impersonal, only_terms


@pytest.mark.parametrize(
    ("vr", "raw"),
    [
        *((b"DS", raw) for raw in (b"", b"1", b" -1.5e-3 ", b"1\\2.50\\-.5", b"1.0\0", b"0.000000001")),
        *((b"IS", raw) for raw in (b"", b"12 ", b"-4\\+5", b"1.0")),
        *((b"CS", raw) for raw in (b"", b"ORIGINAL\\PRIMARY\\M_FFE ", b"T1 SAG", b"Brain ", b"b-spline"[:0])),
        *((b"DA", raw) for raw in (b"", b"20240229", b"2024.02.29", b"19000101\\20240101 ")),
        *((b"TM", raw) for raw in (b"", b"10", b"101112.123456 ", b"10:11:12", b"000000")),
        *((b"DT", raw) for raw in (b"", b"2024", b"20240229101112.5+0100")),
        *((b"AS", raw) for raw in (b"", b"038Y", b"012W")),
        *((b"UI", raw) for raw in (b"", b"1.2.840.10008.1.1\0", b"1.2\\1.3")),
    ],
)
def test_a_legal_value_passes(vr: bytes, raw: bytes) -> None:
    """Values that PS3.5 allows, and usual paddings, stay."""
    assert BY_VR[vr](raw)


@pytest.mark.parametrize(
    ("vr", "raw"),
    [
        *((b"DS", raw) for raw in (b"Nowak", b"1.2 mm", b"123-45-6789", b"1,5", b"1\\Ann", b"12 34")),
        *((b"IS", raw) for raw in (b"1A", b"Ann", b"03/04/62")),
        *((b"CS", raw) for raw in (b"Nowak", b"Nowak Brain", b"03/04/62", b"\xc4nn", "王".encode())),
        *((b"DA", raw) for raw in (b"Nowak", b"20241399", b"yesterday", b"***")),
        *((b"TM", raw) for raw in (b"Nowak", b"noon", b"99:99")),
        *((b"DT", raw) for raw in (b"Nowak", b"2024 in May")),
        *((b"AS", raw) for raw in (b"Nowak", b"38 years", b"038Y Ann")),
        *((b"UI", raw) for raw in (b"Nowak", b"1.2.Ann")),
    ],
)
def test_an_illegal_value_does_not(vr: bytes, raw: bytes) -> None:
    """Letters in numbers, dates and UIDs, and words that are no terms in code strings, do not stay."""
    assert not BY_VR[vr](raw)


@pytest.mark.parametrize(
    "text",
    [
        *(
            b"SOMATOM Definition AS+",
            b"syngo CT 2012B",
            b"VB42A",
            b"B30f\\3",
            b"LightSpeed16",
            b"epfid2d1_64",
            b"3.5.0",
        ),
        *(
            b"GE MEDICAL SYSTEMS",
            b"BODY 12 CH",
            b"Aquilion ONE",
            b"*fl3d1_ns",
            b"STANDARD",
            b"4.5.0.30020",
            b"",
        ),
    ],
)
def test_names_of_equipment_stay(text: bytes) -> None:
    """Models, versions, kernels and sequences look like nobody's."""
    assert is_impersonal(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            b"ann.nowak@example.org",
            b"call +49 711 5550143",
            b"0711/5550143",
            b"(212) 555-0143",
            b"212-555-0143",
        ),
        *(
            b"123-45-6789",
            b"MRN 77",
            b"Pat.Nr. 12",
            b"case-no: 5",
            b"ID:44",
            b"12345678",
            b"Nowak^Ann",
            b"Dr. No",
        ),
        *(b"Frau Nowak", b"1.2.276.0.99.1962.4711", b"64 yrs", b"38yo", b"064Y", b"47 Jahre", b"born 1962"),
        *(b"a\0n\0n\0@\0e\0x\0a\0m\0p\0l\0e\0.\0o\0r\0g\0",),
    ],
)
def test_what_looks_personal_does_not(text: bytes) -> None:
    """Addresses, telephone numbers, numbers of records, names, UIDs and ages do not stay where no table says so."""
    assert not is_impersonal(text)


def test_what_a_table_names_is_taken_at_its_word() -> None:
    """The serial number of a device that the policy retains may look like anybody's number."""
    serial_number = 0x00181000
    assert check_of(serial_number, b"LO", listed=True) is None
    assert check_of(serial_number, b"LO", listed=False) is not None


def test_terms_are_upper_case_and_no_dates() -> None:
    """A code string counts as a term of the standard as the standard writes it."""
    assert only_terms(b"ORIGINAL\\PRIMARY\\AXIAL")
    assert only_terms(b"MONOCHROME2 ")
    assert not only_terms(b"Original")
    assert not only_terms(b"03 04 62")
    assert not only_terms(b"NOWAK")
