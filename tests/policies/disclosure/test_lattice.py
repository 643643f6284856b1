"""The search finds the least lossy point, whatever the table: against trying every point."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.disclosure.cohort import Cohort, Limits, encoded, standing
from policies.disclosure.lattice import Rung, least_lossy


def a_ladder(values: list[int], losses: tuple[float, ...] = (0.0, 0.4, 1.0)) -> list[Rung]:
    """Numbers, tens, nothing."""
    rungs = (values, [value // 2 for value in values], [0] * len(values))
    return [
        Rung(encoded([str(one) for one in rung])[0], loss) for rung, loss in zip(rungs, losses, strict=True)
    ]


ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.sampled_from(["", "a", "b"])),
    min_size=1,
    max_size=25,
)


@settings(max_examples=200)
@given(rows=ROWS, k=st.integers(1, 5), diversity=st.integers(1, 2), allowed=st.integers(0, 3))
def test_no_point_with_less_loss_keeps_the_limits(
    rows: list[tuple[int, int, int, str]], k: int, diversity: int, allowed: int
) -> None:
    """What is found keeps the limits, and every point that loses less does not; where nothing is found nothing does."""
    ladders = [
        a_ladder([row[0] for row in rows]),
        a_ladder([row[1] for row in rows], (0.0, 0.3, 1.0)),
        a_ladder([row[2] for row in rows], (0.1, 0.3, 0.9)),
    ]
    told, called = encoded([row[3] for row in rows])
    blank = called.index("") if "" in called else None
    limits = Limits(k, diversity)

    def short(point: tuple[int, ...]) -> int:
        columns = tuple(ladder[rung].codes for ladder, rung in zip(ladders, point, strict=True))
        found = standing(Cohort(columns, len(rows), told, blank))
        return int(found.falls_short(limits).sum())

    def loss(point: tuple[int, ...]) -> float:
        return round(sum(ladder[rung].loss for ladder, rung in zip(ladders, point, strict=True)) / 3, 12)

    points = list(product(range(3), repeat=3))
    good = [point for point in points if short(point) <= allowed]
    found = least_lossy(ladders, len(rows), limits, most_left_out=allowed, sensitive=told, blank=blank)
    assert (found is None) == (not good)
    if found is not None:
        assert found.best
        assert (found.point, found.left_out) == (
            min(good, key=lambda one: (loss(one), one)),
            short(found.point),
        )


def test_the_finest_point_is_the_answer_where_it_does() -> None:
    """Who asks nothing is told to change nothing."""
    found = least_lossy([a_ladder([1, 2, 3])], 3, Limits(1))
    assert found is not None
    assert (found.point, found.loss) == ((0,), 0.0)


def test_no_attribute_at_all_is_one_class() -> None:
    """Where nothing is compared, everybody looks alike."""
    found = least_lossy([], 5, Limits(5))
    assert found is not None and found.point == ()
    assert least_lossy([], 4, Limits(5)) is None


def test_rows_are_counted_for_the_patients_they_stand_for() -> None:
    """Many patients of few kinds are as many as they are."""
    values = [0] * 500 + [1] * 499
    codes = np.array(values)
    found = least_lossy([[Rung(codes, 0.0), Rung(codes * 0, 1.0)]], 999, Limits(500), most_left_out=0)
    assert found is not None and found.point == (1,)
    found = least_lossy([[Rung(codes, 0.0), Rung(codes * 0, 1.0)]], 999, Limits(500), most_left_out=499)
    assert found is not None and (found.point, found.left_out) == ((0,), 499)
