"""What can go wrong in the application, and what a person is told about it.

The tree::

    TceError
    ├── SiteError          the site's folder or its tce.toml
    │   ├── SiteMissing    there is no site there
    │   └── ConfigFault    tce.toml says something impossible; every fault is named with line and key
    ├── CaseError          a case is unknown, faulty, or not in the state that was asked for
    │   ├── UnknownCase
    │   ├── CaseFault
    │   ├── EventsFault    a list of events says something impossible; every fault is named with its line
    │   └── ListFault      a list of subjects cannot be read; every fault is named with its line
    ├── NotApproved        a policy or case without a valid approval of two people
    ├── UnknownPolicy      no policy of that name and version
    ├── ReleaseError       a release record that does not prove what it says
    ├── AuditError         the trail was edited, cut, or cannot be written
    ├── RepositoryAway     the audit repository did not confirm what was sent to it; it is sent again
    ├── NotAllowed         the person or role that asks may not do this
    ├── PortInUse          another program listens there
    ├── ExportError        an export is unknown, or in a state that forbids what was asked
    ├── IndexAway          the index of exports cannot be read or written now: database away, disk full
    ├── Refused            any other request that must not be carried out
    └── Held               done in part: something waits for review

The other packages raise exceptions of the same shape (``what``, ``next_step``) from trees of their own.
:data:`RULES` is the one table from an exception to exit status and audit outcome. No text here may contain an
identifier or a secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import media.errors
import policies.errors
import vault.errors


class TceError(Exception):
    """Base of the application's errors: one sentence of what happened, and what to do next."""

    def __init__(self, what: str, *, next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.next_step = next_step


class SiteError(TceError):
    """The site's folder or settings are not usable."""


class SiteMissing(SiteError):
    """There is no site in the folder that was named."""


class ConfigFault(SiteError):
    """``tce.toml`` has faults; ``what`` names every one with its line and key."""


class CaseError(TceError):
    """A case cannot be used as asked."""


class UnknownCase(CaseError):
    """No case has this id."""


class CaseFault(CaseError):
    """A case file has faults; ``what`` names every one."""


class EventsFault(CaseError):
    """A list of events has faults; ``what`` names every one with its line and no patient."""


class ListFault(CaseError):
    """A list of subjects or pseudonyms cannot be read; ``what`` names every fault with its line and no value."""


class NotApproved(TceError):
    """A policy or case lacks a valid approval: none, altered since, expired, or withdrawn."""


class UnknownPolicy(TceError):
    """No policy of this name and version is known to the site."""


class ReleaseError(TceError):
    """A release record does not prove what it says."""


class AuditError(TceError):
    """The audit trail is broken or cannot be written."""


class RepositoryAway(TceError):
    """The audit repository cannot be reached, or did not confirm; what it lacks waits in the trail."""


class NotAllowed(TceError):
    """The person or role that asks may not do this."""


class PortInUse(TceError):
    """Another program listens on the port that an actor needs."""


class IndexAway(TceError):
    """The index of exports cannot be read or written now. Nothing was changed; it is tried again."""


class ExportError(TceError):
    """An export is unknown, or its state forbids what was asked."""


class Refused(TceError):
    """A request that must not be carried out."""


class Held(TceError):
    """Done in part: some instances were set aside or wait for review."""


class Exit(IntEnum):
    """Exit statuses of the command line (design, section 7)."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    HELD = 3


class Outcome(IntEnum):
    """EventOutcomeIndicator of PS3.15 A.5.2."""

    SUCCESS = 0
    MINOR_FAILURE = 4
    SERIOUS_FAILURE = 8
    MAJOR_FAILURE = 12


@dataclass(frozen=True, slots=True)
class Rule:
    """What one kind of exception means outside: exit status and audit outcome."""

    exit: Exit
    outcome: Outcome


# The first row whose type matches decides; leaves stand before their bases. A key server that is away is worse
# than a typing error; a mapping, a signature or an answer that cannot be trusted is the worst.
RULES: tuple[tuple[type[BaseException], Rule], ...] = (
    (Held, Rule(Exit.HELD, Outcome.MINOR_FAILURE)),
    (policies.errors.Held, Rule(Exit.HELD, Outcome.MINOR_FAILURE)),
    (NotApproved, Rule(Exit.REFUSED, Outcome.SERIOUS_FAILURE)),
    (NotAllowed, Rule(Exit.REFUSED, Outcome.SERIOUS_FAILURE)),
    (AuditError, Rule(Exit.REFUSED, Outcome.MAJOR_FAILURE)),
    (ReleaseError, Rule(Exit.REFUSED, Outcome.SERIOUS_FAILURE)),
    (TceError, Rule(Exit.REFUSED, Outcome.MINOR_FAILURE)),
    (vault.errors.InitializationLost, Rule(Exit.REFUSED, Outcome.MAJOR_FAILURE)),
    (vault.errors.ServerFault, Rule(Exit.REFUSED, Outcome.SERIOUS_FAILURE)),
    (vault.errors.Refused, Rule(Exit.REFUSED, Outcome.SERIOUS_FAILURE)),
    (vault.errors.BadAnswer, Rule(Exit.REFUSED, Outcome.MAJOR_FAILURE)),
    (vault.errors.BadRequest, Rule(Exit.REFUSED, Outcome.MINOR_FAILURE)),
    (vault.errors.StoreUnavailable, Rule(Exit.REFUSED, Outcome.SERIOUS_FAILURE)),
    (vault.errors.MappingFault, Rule(Exit.REFUSED, Outcome.MAJOR_FAILURE)),
    (vault.errors.UnknownPseudonym, Rule(Exit.REFUSED, Outcome.MINOR_FAILURE)),
    (vault.errors.UnknownRequest, Rule(Exit.REFUSED, Outcome.MINOR_FAILURE)),
    (vault.errors.CustodyRefusal, Rule(Exit.REFUSED, Outcome.SERIOUS_FAILURE)),
    (vault.errors.BadSignature, Rule(Exit.REFUSED, Outcome.MAJOR_FAILURE)),
    (vault.errors.ApprovalRefusal, Rule(Exit.REFUSED, Outcome.SERIOUS_FAILURE)),
    (vault.errors.VaultRoomError, Rule(Exit.REFUSED, Outcome.SERIOUS_FAILURE)),
    (policies.errors.PolicyRoomError, Rule(Exit.REFUSED, Outcome.MINOR_FAILURE)),
    (media.errors.MediaError, Rule(Exit.REFUSED, Outcome.MINOR_FAILURE)),
    (KeyboardInterrupt, Rule(Exit.REFUSED, Outcome.MINOR_FAILURE)),
    (OSError, Rule(Exit.REFUSED, Outcome.SERIOUS_FAILURE)),
    (Exception, Rule(Exit.REFUSED, Outcome.MAJOR_FAILURE)),
)


def rule_of(exc: BaseException) -> Rule:
    """Return the exit status and audit outcome of an exception."""
    for kind, rule in RULES:
        if isinstance(exc, kind):
            return rule
    return Rule(Exit.REFUSED, Outcome.MAJOR_FAILURE)


@dataclass(frozen=True, slots=True)
class Told:
    """What a person is told: one sentence and a next step, free of values."""

    what: str
    next_step: str = ""


def to_person(exc: BaseException) -> Told:
    """Put an exception into words that hold no value of any instance.

    Exceptions of the project's shape speak for themselves. Of any other exception only the type is told: its
    text was written by a library and may quote the data.
    """
    what = getattr(exc, "what", None)
    if isinstance(what, str) and what:
        next_step = getattr(exc, "next_step", "")
        return Told(what, next_step if isinstance(next_step, str) else "")
    if isinstance(exc, KeyboardInterrupt):
        return Told("stopped by the keyboard", "run the same command again; finished work is kept")
    if isinstance(exc, OSError) and exc.strerror:
        return Told(f"the system refused: {exc.strerror}", "check the path, its permissions and free space")
    return Told(
        f"an unexpected error stopped the work ({type(exc).__name__})",
        "run again with --verbose to see where; nothing unfinished was passed on",
    )
