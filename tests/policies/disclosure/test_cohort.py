"""k, l, small cells and risks: known examples computed by hand, and a brute-force oracle."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.disclosure.cohort import (
    Codes,
    Limits,
    classes,
    cohort,
    encoded,
    journalist,
    prosecutor,
    standing,
)
from policies.disclosure.report import report

# Ten patients: three women of 35-39, two men of 35-39, four women of 40-44, one man of 40-44.
AGES = ["035Y"] * 5 + ["040Y"] * 5
SEXES = ["F", "F", "F", "M", "M", "F", "F", "F", "F", "M"]
FINDINGS = ["LUNG", "LUNG", "LUNG", "LUNG", "LIVER", "LUNG", "LIVER", "", "BRAIN", "LUNG"]


def test_a_table_of_ten_computed_by_hand() -> None:
    """Classes of 3, 2, 4 and 1: k is 1, and at k = 3 three patients fall short."""
    found = report(cohort([AGES, SEXES]), Limits(k=3))
    assert (found.patients, found.classes, found.k) == (10, 4, 1)
    assert (found.small_classes, found.short, found.kept) == (2, 3, False)
    assert found.prosecutor.largest == 1.0
    assert found.prosecutor.average == pytest.approx(4 / 10)
    assert found.marketer == pytest.approx(4 / 10)
    assert [(cell.least, cell.classes, cell.patients) for cell in found.cells] == [
        (1, 1, 1),
        (2, 1, 2),
        (3, 2, 7),
    ]


def test_diversity_of_the_same_ten_computed_by_hand() -> None:
    """LUNG alone in the first class, two values in the second, three in the third, one in the last."""
    found = standing(cohort([AGES, SEXES], FINDINGS))
    assert found.diversity is not None
    assert dict(zip(found.sizes.tolist(), found.diversity.tolist(), strict=True)) == {3: 1, 2: 2, 4: 3, 1: 1}
    assert report(cohort([AGES, SEXES], FINDINGS), Limits(k=1, diversity=2)).short == 4


def test_a_class_that_tells_nothing_sensitive_needs_no_diversity() -> None:
    """Where nobody has a value there is nothing to learn; where one has, one is too few."""
    assert report(cohort([["a", "a"]], ["", ""]), Limits(diversity=2)).kept
    assert not report(cohort([["a", "a"]], ["", "LUNG"]), Limits(diversity=2)).kept


def test_thresholds_are_within_when_met_exactly() -> None:
    """Ten who look alike are a risk of 0.1: within 0.1, above 0.09."""
    found = report(cohort([["a"] * 10]), Limits(k=10))
    above = dict(found.prosecutor.above)
    assert (above[0.1], above[0.09], above[0.05]) == (0.0, 1.0, 1.0)
    within = found.as_data()["thresholds"]
    assert within["0.1"]["largest_within"] and not within["0.09"]["largest_within"]


def test_a_population_lowers_the_journalist_risk_and_not_the_prosecutor_risk() -> None:
    """Two of a class of eight in the population: 1/2 for who knows they are in, 1/8 for who does not."""
    sizes, population = np.array([2, 4]), np.array([8, 4])
    assert prosecutor(sizes).largest == 0.5
    assert journalist(sizes, population).largest == 0.25
    assert journalist(sizes, population).average == pytest.approx((2 / 8 + 4 / 4) / 6)
    with pytest.raises(ValueError, match="not part"):
        journalist(sizes, np.array([1, 4]))


def test_nobody_is_at_no_risk() -> None:
    """An empty cohort has neither classes nor risks."""
    found = report(cohort([[], []]), Limits(k=5))
    assert (found.patients, found.classes, found.k, found.kept) == (0, 0, 0, True)
    assert found.prosecutor.largest == 0.0


def test_very_many_values_do_not_run_into_each_other() -> None:
    """Columns whose values multiply beyond 64 bits still give one class for each row that differs."""
    rows = 1000
    columns = [np.arange(rows, dtype=np.int64) * 10**9 for _ in range(5)]
    assert classes(columns, rows)[1] == rows
    columns = [np.full(rows, 10**12, dtype=np.int64) for _ in range(9)]
    assert classes(columns, rows)[1] == 1


ROWS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["", "x", "y"]), st.sampled_from(["", "L", "M", "N"])),
    min_size=1,
    max_size=40,
)


@given(rows=ROWS, k=st.integers(1, 6), diversity=st.integers(1, 3))
def test_it_counts_as_a_plain_count_does(rows: list[tuple[str, str, str]], k: int, diversity: int) -> None:
    """Classes, sizes, diversity and risks are those that counting by hand gives, for every patient."""
    one, two, told = (list(column) for column in zip(*rows, strict=True))
    cells = Counter((first, second) for first, second, _ in rows)
    values = {cell: {row[2] for row in rows if row[:2] == cell and row[2]} for cell in cells}
    short = {
        cell for cell, size in cells.items() if size < k or (values[cell] and len(values[cell]) < diversity)
    }
    limits = Limits(k, diversity)
    found, counted = standing(cohort([one, two], told)), report(cohort([one, two], told), limits)
    assert found.falls_short(limits).tolist() == [row[:2] in short for row in rows]
    assert found.sizes[found.class_of].tolist() == [cells[row[:2]] for row in rows]
    assert counted.k == min(cells.values())
    assert counted.short == sum(cells[cell] for cell in short)
    assert counted.prosecutor.largest == pytest.approx(1 / min(cells.values()))
    assert counted.prosecutor.average == pytest.approx(sum(1 / cells[row[:2]] for row in rows) / len(rows))
    for threshold, share in counted.prosecutor.above:
        at_risk = sum(size for size in cells.values() if 1 / size > threshold + 1e-12)
        assert share == pytest.approx(at_risk / len(rows))


@given(rows=ROWS)
def test_numbers_of_classes_do_not_depend_on_the_order_of_patients(rows: list[tuple[str, str, str]]) -> None:
    """Whoever comes first, a class has the same number."""

    def numbered(some: list[tuple[str, str, str]]) -> dict[tuple[str, str, str], int]:
        columns: list[Codes] = [encoded(column)[0] for column in zip(*some, strict=True)]
        return dict(zip(some, classes(columns, len(some))[0].tolist(), strict=True))

    assert numbered(rows) == numbered(rows[::-1])
