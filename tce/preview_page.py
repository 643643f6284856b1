"""A preview as one page: to be read on a screen, printed, and laid beside a policy that waits for approval.

XHTML without scripts and without anything that is fetched from elsewhere. What came from an instance is escaped and
has no control characters. The page says at its head and on each printed sheet whether it holds original values.
"""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from policies.analysis import Verdict
from tce import __version__
from tce.preview_account import Account, verdict_words


def page(account: Account) -> str:
    """Return the whole page."""
    templates = Environment(
        loader=PackageLoader("tce"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return templates.get_template("preview.htm").render(
        account=account,
        policy=account.policy,
        verdict_words=verdict_words,
        Verdict=Verdict,
        version=__version__,
    )
