"""What is remembered is bounded by its size, not by its number alone."""

from __future__ import annotations

from policies.remembered import LONGEST, remembered


def test_long_values_are_answered_and_forgotten() -> None:
    """A short value is asked for once; a long one every time, and nothing of it is held."""
    asked: list[int] = []

    @remembered(8)
    def length(raw: bytes) -> int:
        asked.append(len(raw))
        return len(raw)

    for raw in (b"a", bytes(LONGEST + 1)):
        assert length(raw) == length(raw) == len(raw)
    assert asked == [1, LONGEST + 1, LONGEST + 1]
