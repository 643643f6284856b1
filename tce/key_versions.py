"""Which version of the keys of stage 1 a new case takes: one number in a file of the site.

The server knows the versions; this is what the site decided to use, and a case keeps what it began with.
"""

from __future__ import annotations

from tce.config import Site
from tce.errors import CaseError


def for_new_cases(site: Site) -> int:
    """Return the version for a new case. Raises CaseError where the file was damaged."""
    try:
        version = int(site.key_version_path.read_text("ascii"))
    except FileNotFoundError:
        return 1
    except ValueError:
        version = 0
    if version < 1:
        raise CaseError(
            f"{site.key_version_path} holds no version of keys",
            next_step="write the number that tce audit list --event vault.rotated shows",
        )
    return version


def keep(site: Site, version: int) -> None:
    """Remember the version for new cases, in one step."""
    draft = site.key_version_path.with_suffix(".new")
    draft.write_text(f"{version}\n", "ascii")
    draft.replace(site.key_version_path)
