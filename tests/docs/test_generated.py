"""What the documents say of policies, commands, settings, events, states and reasons is what the program says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from policies.standard.beyond import Risk
from tests.docs.generated import BLOCKS, DOCS, PAGES, ROOT, with_blocks

_ANEW = "out of date; write it anew: make docs"


@pytest.mark.parametrize("page", PAGES)
def test_generated_pages_are_current(page: str) -> None:
    """A page that the program writes about itself stands in docs/ as the program writes it now."""
    assert (DOCS / page).read_text(encoding="utf-8") == PAGES[page](), _ANEW


@pytest.mark.parametrize("page", BLOCKS)
def test_generated_blocks_are_current(page: str) -> None:
    """A block within a handwritten page is what the program says now."""
    text = (DOCS / page).read_text(encoding="utf-8")
    assert text == with_blocks(page, text), _ANEW


def test_no_generated_page_is_left_over() -> None:
    """The folders of generated pages hold nothing that no generator writes any more."""
    found = {
        path.relative_to(DOCS).as_posix()
        for folder in ("policies", "reference")
        for path in (DOCS / folder).iterdir()
    }
    assert found == set(PAGES)


def reasons() -> Iterator[str]:
    """Every code with which an instance is refused, or an export held or failed, as the modules write it."""
    raising = {"Reason", "Refusal", "Held", "Finding", "Complaint", "SetAside", "NotSelected", "Verdict"}
    for package in ("policies", "tce"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") in raising:
                    yield from (code for argument in node.args[:2] for code in _codes(argument))


def _codes(argument: Any) -> Iterator[str]:
    if isinstance(argument, ast.IfExp):
        yield from (*_codes(argument.body), *_codes(argument.orelse))
    elif isinstance(argument, ast.Constant) and re.fullmatch(
        r"[a-z][a-z0-9]*(-[a-z0-9]+)*", str(argument.value)
    ):
        yield str(argument.value)


# A Delay Reason and what becomes of it speak for themselves in the listing.
_SPEAKS = {"delay", "superseded", "cancelled"}


def test_every_reason_is_explained() -> None:
    """Who looks up why something was held, set aside or failed finds the code that the program prints."""
    found = set(reasons())
    assert len(found) > 30, "the search finds the codes"
    pages = ("coordinator.md", "operator.md", "export-selector.md", "custodian.md")
    text = "".join((DOCS / page).read_text(encoding="utf-8") for page in pages)
    assert sorted(code for code in found - _SPEAKS if f"`{code}`" not in text) == []


def test_every_risk_is_named() -> None:
    """Each kind of instances at risk can be looked up under the name by which a policy accepts it."""
    text = (DOCS / "coordinator.md").read_text(encoding="utf-8")
    assert [risk for risk in Risk if f"`{risk}`" not in text] == []


def links() -> Iterator[tuple[Path, str]]:
    """Every relative link of every document."""
    for document in (*ROOT.glob("*.md"), *DOCS.rglob("*.md")):
        for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
            if "://" not in target:
                yield document, target


def test_links_lead_somewhere() -> None:
    """Every relative link names a file that is there, and a heading that it has."""
    astray = []
    for document, target in links():
        name, _, heading = target.partition("#")
        path = document.parent / name if name else document
        if not path.exists() or (heading and heading not in _headings(path)):
            astray.append(f"{document.relative_to(ROOT)}: {target}")
    assert astray == []


def _headings(path: Path) -> set[str]:
    found = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}
