"""The figures of a policy's trial beside its submission: ``x.selftest.json``, signed by its author for its digest.

An approver reads them before signing. Figures of another text, or that nobody known signed, are told as such and count
for nothing; whoever doubts them runs the trial again.
"""

from __future__ import annotations

import json
from dataclasses import asdict

from tce import trial_figures
from tce.shelf import Shelved
from tce.trial_figures import Figures
from vault.approvals import sign_attachment, verify_attachment
from vault.client import Client
from vault.errors import ApprovalRefusal
from vault.trust import Trust

SUFFIX = ".selftest.json"


def attach(shelved: Shelved, figures: Figures, author: Client) -> None:
    """Sign figures and write them beside a policy. Raises Forbidden for who is no coordinator."""
    content = {
        "figures": asdict(figures),
        "author": author.whoami(),
        "signature": sign_attachment(author, figures.payload()),
    }
    path = shelved.path.with_suffix(SUFFIX)
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")
    draft.replace(path)


def in_words(shelved: Shelved, trust: Trust) -> list[str]:
    """Return in lines what the figures beside a policy say, or why they do not count; nothing where there are none."""
    try:
        content = json.loads(shelved.path.with_suffix(SUFFIX).read_text("utf-8"))
        figures = trial_figures.read(json.dumps(content["figures"]))
        author = str(content["author"])
        verify_attachment(author, figures.payload(), str(content["signature"]), trust)
    except FileNotFoundError:
        return []
    except ApprovalRefusal as exc:
        return [f"trial:      its figures do not count: {exc.what}"]
    except (ValueError, KeyError, TypeError):
        return ["trial:      its figures do not count: they cannot be read"]
    if figures.policy.get("digest") != shelved.policy.digest:
        return ["trial:      its figures do not count: they are of another text"]
    verdict = "holds" if figures.holds else "DOES NOT HOLD"
    return [f"trial:      {verdict} ({figures.software}, signed by {author})", *figures.words()]
