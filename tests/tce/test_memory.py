"""Memory: bounded, whatever the size of an instance and however many there are."""

from __future__ import annotations

from pathlib import Path

from tests.bench.memory import measured, write_large, write_many


def test_memory_does_not_grow_with_the_instance(tmp_path: Path) -> None:
    """An instance of 200 MB takes no more than one of half a megabyte: its pixels never pass through the process."""
    write_large(tmp_path / "large", 200_000_000)
    small, large = measured("large", tmp_path / "large")
    assert large - small < 5


def test_memory_does_not_grow_with_the_job(tmp_path: Path) -> None:
    """Of two thousand instances more than a tenth leave nothing behind but the place where each lies."""
    write_many(tmp_path / "many", 2_000)
    after_a_tenth, *_, at_the_end = measured("many", tmp_path / "many")
    assert at_the_end - after_a_tenth < 10
