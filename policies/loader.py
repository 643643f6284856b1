"""Reads policies from YAML, and reports every fault of a file at once, each with its line.

The text is composed into nodes, never constructed: all scalars stay text as written (``version: 1.10`` and
``group: 0021`` mean what they look like), no tag makes an object, and each node knows its line. What a policy
may say is decided in :mod:`policies.model`. The shipped policies lie in ``library/``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path
from types import UnionType
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from policies.errors import Fault, PolicyFault, PolicyRoomError
from policies.inheritance import merged
from policies.model import Policy
from policies.standard.tables import Option

_LARGEST = 1_000_000
_NEXT = "mend these lines and load it again"
_WORDING = {
    "bool_parsing": "is neither true nor false; write true or false",
    "bool_type": "is neither true nor false; write true or false",
    "frozen_set_type": "wants a list; write its entries below it, each after a hyphen",
    "greater_than_equal": "is too small; write {ge} or more",
    "int_parsing": "is no whole number; write digits",
    "int_type": "is no whole number; write digits",
    "less_than_equal": "is too large; write {le} or less",
    "model_type": "wants keys of its own below it; write key: value",
    "string_pattern_mismatch": "has characters that it cannot have; write {form}",
    "string_too_long": "is too long; write at most {max_length} characters",
    "string_too_short": "is empty; write a few words",
    "string_type": "wants text; write a few words",
    "tuple_type": "wants a list; write its entries below it, each after a hyphen",
}
_FORMS = {
    "'name'": "lower-case letters, digits and hyphens",
    "'version'": "letters, digits, dots and hyphens",
    "'vr'": "the two capital letters of a VR",
    "'event'": "capital letters, digits, underscores and spaces",
}

Place = tuple[str | int, ...]

# What the library quotes of the text; names of its own (<block end>) and single characters may stay.
_QUOTED = re.compile(r"(['\"])(?!<[a-z ]+>\1).{2,}\1")


def load(path: Path) -> Policy:
    """Return the policy in the file ``path``.

    Raises PolicyFault with all faults of the file, PolicyRoomError where it cannot be read.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise PolicyRoomError(
                f"{path.name} is larger than any policy", next_step="name a policy's YAML file"
            )
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as unreadable:
        raise PolicyRoomError(
            f"the policy file {path.name} cannot be read ({unreadable.strerror})",
            next_step="check its name and its permissions",
        ) from None
    except UnicodeDecodeError:
        raise PolicyFault(
            path.name, [Fault(0, "it is not UTF-8 text")], next_step="save it as UTF-8"
        ) from None
    return loads(text, path.name)


def loads(text: str, source: str) -> Policy:
    """Return the policy in ``text``; ``source`` names it in messages. Raises PolicyFault with all faults."""
    root = _composed(text, source)
    faults: list[Fault] = []
    lines: dict[Place, int] = {(): 1}
    data = _plain(root, (), lines, faults)
    data, wrong = _extended(data, lines)
    faults += wrong
    policy, invalid = _validated(data)
    if policy is None:
        invalid += _remaining(data, invalid)
    faults += (Fault(_line(place, lines), what) for place, what in invalid)
    if faults or policy is None:
        raise PolicyFault(source, dict.fromkeys(faults), next_step=_NEXT)
    return policy


def library() -> tuple[str, ...]:
    """Return the names of the shipped policies."""
    files = resources.files("policies").joinpath("library").iterdir()
    return tuple(sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml")))


def library_text(name: str) -> str:
    """Return the text of a shipped policy, to be copied and changed. Raises PolicyRoomError."""
    if name not in library():
        near = difflib.get_close_matches(name, library(), n=1)
        raise PolicyRoomError(
            f"there is no shipped policy '{name}'",
            next_step=f"write {near[0]}" if near else f"write one of {', '.join(library())}",
        )
    return resources.files("policies").joinpath("library", f"{name}.yaml").read_text(encoding="utf-8")


def load_library(name: str) -> Policy:
    """Return a shipped policy. Raises PolicyRoomError where there is none of this name."""
    return loads(library_text(name), f"{name} of the library")


def _extended(data: dict[str, Any], lines: dict[Place, int]) -> tuple[dict[str, Any], list[Fault]]:
    """Return the fields of a policy with those that it takes over from a shipped one."""
    wanted = data.get("extends")
    if "extends" not in data:
        return data, []
    line = lines[("extends",)]
    own = {key: value for key, value in data.items() if key != "extends"}
    name, _, version = wanted.partition("@") if isinstance(wanted, str) else ("", "", "")
    if name not in library():
        near = difflib.get_close_matches(name, library(), n=1) or library()
        return own, [Fault(line, f"'extends' names no shipped policy; write {near[0]}@ and its version")]
    base = load_library(name)
    if version != base.version:
        what = (
            f"'extends' names another version than the shipped one; read that and write {name}@{base.version}"
        )
        return own, [Fault(line, what)]
    for key in base.model_dump(mode="json"):
        # A fault between what is inherited and what the file says is the file's.
        lines.setdefault((key,), line)
    return merged(own, base.model_dump(mode="json"), named=f"{name}@{version}", digest=base.digest), []


def _composed(text: str, source: str) -> yaml.Node:
    try:
        for event in yaml.parse(text, Loader=yaml.BaseLoader):
            if isinstance(event, yaml.AliasEvent):
                line = event.start_mark.line + 1 if event.start_mark else 0
                fault = Fault(line, "an alias (*name) is not used here; write it out")
                raise PolicyFault(source, [fault], next_step=_NEXT)
        root = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as malformed:
        marks = (malformed.problem_mark, malformed.context_mark)
        line = next((mark.line + 1 for mark in marks if mark is not None), 0)
        fault = Fault(line, f"it is not YAML: {_QUOTED.sub('…', malformed.problem or 'malformed')}")
        raise PolicyFault(source, [fault], next_step="mind indentation, colons and quotes") from None
    except (yaml.YAMLError, RecursionError):
        raise PolicyFault(source, [Fault(0, "it is not YAML text")], next_step=_NEXT) from None
    if not isinstance(root, yaml.MappingNode) or not root.value:
        fault = Fault(0, "it holds no policy; write at least name, version, stage, title and description")
        raise PolicyFault(source, [fault], next_step="start from a policy of the library")
    return root


def _plain(node: yaml.Node, place: Place, lines: dict[Place, int], faults: list[Fault]) -> Any:
    """Turn a node into mappings, lists and text, and note on which line each place stands."""
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*place, at), lines, faults) for at, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else ""
            if not key:
                faults.append(Fault(line, "a key is missing; write key: value"))
            elif key in found:
                faults.append(Fault(line, f"'{key}' stands here a second time; write it once"))
            else:
                lines[(*place, key)] = line
                found[key] = _plain(value_node, (*place, key), lines, faults)
        return found
    unquoted = isinstance(node, yaml.ScalarNode) and node.style is None
    return None if unquoted and node.value in ("", "~", "null") else node.value


def _validated(data: Any) -> tuple[Policy | None, list[tuple[Place, str]]]:
    try:
        return Policy.model_validate(data), []
    except ValidationError as invalid:
        return None, [fault for error in invalid.errors() for fault in _worded(error)]


def _remaining(data: dict[str, Any], invalid: Iterable[tuple[Place, str]]) -> list[tuple[Place, str]]:
    """Return the contradictions among the parts that are right for themselves.

    A policy's parts are compared only when each is valid; so those that are not are left out, or where the
    policy needs one, given a harmless one. Of the options those that are known are compared with each other; what
    depends on an option that is not is left open.
    """
    wrong = {place[0] for place, _ in invalid if place}
    sound = {key: value for key, value in data.items() if key not in wrong}
    needed = {"name": "x", "version": "0", "stage": "anonymize", "title": "x", "description": "x"}
    if "options" in wrong:
        sound = {
            key: value for key, value in sound.items() if key not in ("dates", "event", "ages", "private")
        }
        written = data["options"]
        known = {str(option) for option in Option}
        if isinstance(written, list):
            sound["options"] = [option for option in written if isinstance(option, str) and option in known]
    _, contradictions = _validated({**needed, **sound})
    return contradictions


def _worded(error: Any) -> Iterator[tuple[Place, str]]:
    """Yield (place, what is wrong and what to write) for one fault that pydantic found."""
    place: Place = error["loc"]
    context = error.get("ctx", {})
    name = f"'{place[-1]}'" if place and isinstance(place[-1], str) else "this entry"
    kind = error["type"]
    if kind == "contradiction":
        for where, what in context["faults"]:
            at: Place = tuple(int(part) if part.isdigit() else part for part in where.split("."))
            yield at, f"{at[0]}: {what}" if len(at) == 1 else what
    elif kind == "extra_forbidden":
        yield place, f"{name} is unknown; {_nearest(place)}"
    elif kind == "missing":
        yield place, f"{name} is missing; write {place[-1]}: …"
    elif kind == "value_error":
        reason = str(context["error"])
        yield (
            place,
            reason if reason.startswith(("'", '"')) or not reason.startswith("is") else f"{name} {reason}",
        )
    elif kind == "enum":
        yield (
            place,
            f"'{error['input']}' is not possible for {name}; {_choice(error['input'], context['expected'])}",
        )
    else:
        wording = _WORDING.get(kind, "is not possible ({msg}); write another value")
        yield place, f"{name} {wording.format(msg=error['msg'], form=_FORMS.get(name, ''), **context)}"


def _choice(written: Any, expected: str) -> str:
    choices = [choice.strip("'") for choice in expected.replace(" or ", ", ").split(", ")]
    near = difflib.get_close_matches(str(written), choices, n=1)
    return f"write {near[0]}" if near else f"write one of {', '.join(choices)}"


def _nearest(place: Place) -> str:
    model: type[BaseModel] | None = Policy
    for step in place[:-1]:
        if isinstance(step, str) and model is not None:
            field = model.model_fields.get(step)
            model = None if field is None else _model_in(field.annotation)
    keys = list(model.model_fields) if model else []
    near = difflib.get_close_matches(str(place[-1]), keys, n=1, cutoff=0.5)
    return f"write {near[0]}" if near else f"possible here: {', '.join(keys)}"


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if (
        isinstance(annotation, type)
        and not isinstance(annotation, UnionType)
        and issubclass(annotation, BaseModel)
    ):
        return annotation
    found = (_model_in(inner) for inner in get_args(annotation))
    return next((model for model in found if model is not None), None)


def _line(place: Place, lines: dict[Place, int]) -> int:
    while place not in lines:
        place = place[:-1]
    return lines[place]
