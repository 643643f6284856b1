"""What has to be known of a case before anything else: warnings of its policies, for approvers and in the record."""

from __future__ import annotations

import contextlib

from policies.describe import warnings
from policies.model import Policy
from tce.cases import Case
from tce.config import Site
from tce.errors import UnknownPolicy
from tce.shelf import Shelf


def of_policy(policy: Policy) -> tuple[str, ...]:
    """Return the warnings of a policy, as lines that are told."""
    return tuple(
        f"WARNING: policy {policy.name} {policy.version} ({policy.stage}): {what}"
        for what in warnings(policy)
    )


def of_case(site: Site, case: Case) -> tuple[str, ...]:
    """Return the warnings of both policies of a case, of those that lie on this site's shelf."""
    shelf = Shelf(site.policies_dir)
    found: list[str] = []
    for ref in (case.stage1, case.stage2):
        with contextlib.suppress(UnknownPolicy):
            found += of_policy(shelf.exactly(ref).policy)
    return tuple(found)
