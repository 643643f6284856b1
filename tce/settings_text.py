"""Settings as text: TOML with a comment above every key, and faults in plain words with their line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from pydantic import BaseModel
from pydantic_core import ErrorDetails


def table_text(name: tuple[str, ...], table: BaseModel) -> Iterator[str]:
    """Yield a table as TOML, each key below its description; tables inside it follow."""
    fields = type(table).model_fields
    plain = [key for key in fields if not isinstance(getattr(table, key), BaseModel)]
    if name and (plain or type(table).__doc__):
        yield f"\n# {(type(table).__doc__ or '').strip()}\n"
    if plain:
        yield f"[{'.'.join(name)}]\n"
    for key in plain:
        yield f"# {fields[key].description}\n{key} = {_toml(getattr(table, key))}\n"
    for key in fields:
        value = getattr(table, key)
        if isinstance(value, BaseModel):
            yield from table_text((*name, key), value)


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return (
            "{ " + ", ".join(f"{_toml(key)} = {_toml(item)}" for key, item in value.items()) + " }"
            if value
            else "{}"
        )
    if isinstance(value, str):
        # A TOML basic string escapes these two and control characters (TOML 1.0, String).
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}" for c in escaped) + '"'
    return str(value).lower() if isinstance(value, bool) else str(value)


_HEADER = re.compile(r"^\s*\[\s*([A-Za-z0-9_.\s-]+?)\s*\]")
_KEY = re.compile(r"^\s*([A-Za-z0-9_.-]+)\s*=")


def lines_of_keys(text: str) -> dict[tuple[str, ...], int]:
    """Return the line of each key and table of a TOML text."""
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = tuple(part.strip() for part in header[1].split("."))
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            lines.setdefault((*table, *key[1].split(".")), number)
    return lines


_WORDS = {
    "extra_forbidden": "is not a setting; remove it or check its spelling",
    "missing": "is missing; add it",
    "greater_than_equal": "is too small; write {ge:.15g} or more",
    "greater_than": "is too small; write more than {gt:.15g}",
    "less_than_equal": "is too large; write {le:.15g} or less",
    "less_than": "is too large; write less than {lt:.15g}",
    "int_type": "is no whole number; write it without quotes",
    "int_parsing": "is no whole number; write it without quotes",
    "int_from_float": "is no whole number; write it without quotes",
    "bool_type": "is neither true nor false; write one of them without quotes",
    "bool_parsing": "is neither true nor false; write one of them without quotes",
    "float_type": "is no number; write it without quotes",
    "float_parsing": "is no number; write it without quotes",
    "string_type": "is no text; write it in quotes",
    "string_too_short": "is empty; write at least {min_length} character",
    "string_too_long": "is too long; write at most {max_length} characters",
    "string_pattern_mismatch": (
        "is not legal (AE title: at most 16 characters; person: lower-case letters, digits, hyphen)"
    ),
    "enum": "is not possible; write {expected}",
    "literal_error": "is not possible; write {expected}",
    "tuple_type": "is no list; write ['…', '…']",
    "model_type": "is no table; write its keys below [{key}]",
}


def fault_text(
    error: ErrorDetails, lines: Mapping[tuple[str, ...], int], words: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Return a fault in plain words, with its line and key; ``words`` are those of another kind of file."""
    loc, kind = tuple(str(part) for part in error["loc"]), error["type"]
    context = {"key": ".".join(loc), **error.get("ctx", {})}
    said = words.get(kind, _WORDS.get(kind))
    reason = said.format(**context) if said else error["msg"].removeprefix("Value error, ")
    if kind == "value_error" and ": " in reason:  # our own validators name the key in front
        key, reason = reason.split(": ", 1)
        loc = (*loc, key)
    for end in range(len(loc), 0, -1):
        if loc[:end] in lines:
            return f"line {lines[loc[:end]]}, {'.'.join(loc)}: {reason}"
    return f"{'.'.join(loc)}: {reason}"
