"""Answers that are remembered by short values only: what a file may make as long as it likes is not held in memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Concatenate, ParamSpec, TypeVar

LONGEST = 1 << 10

_Further = ParamSpec("_Further")
_Answer = TypeVar("_Answer")
_Asked = Callable[Concatenate[bytes, _Further], _Answer]


def remembered(size: int) -> Callable[[_Asked[_Further, _Answer]], _Asked[_Further, _Answer]]:
    """Return a decorator that remembers the last ``size`` answers of a function of a value."""

    def decorate(asked: _Asked[_Further, _Answer]) -> _Asked[_Further, _Answer]:
        short = lru_cache(maxsize=size)(asked)

        @wraps(asked)
        def answer(raw: bytes, /, *further: _Further.args, **named: _Further.kwargs) -> _Answer:
            if len(raw) > LONGEST:
                return asked(raw, *further, **named)
            return short(raw, *further, **named)  # type: ignore[arg-type]

        return answer

    return decorate
