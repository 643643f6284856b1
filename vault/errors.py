"""What can go wrong in this room, as one small tree.

Every error says in ``what`` what happened and where, and in ``next_step`` what to do. None of them ever
carries an original identifier or a secret, so any of them may be printed and logged::

    VaultRoomError
    ├── ServerFault        NotStarted, Unreachable, Sealed, InitializationLost
    ├── Refused            LoginFailed (CodeRefused), Forbidden, NotFound (NoWayBack)
    ├── BadAnswer
    ├── BadRequest         BadName, BadPlan, BadIdentifier, BadList, BadCertificate, BadEnvelope
    ├── MappingFault       StoreUnavailable, StoreMissing, Collision, Tampered, NotSealed
    ├── CustodyRefusal     UnknownPseudonym, SharedPseudonym, UnknownRequest, SamePerson, NotYours, NotApproved,
    │                      Expired
    └── ApprovalRefusal    SelfApproval, Untrusted, BadSignature, WrongDigest, ApprovalExpired, Withdrawn,
                           Malformed
"""

from __future__ import annotations


class VaultRoomError(Exception):
    """Base of everything this package raises on purpose."""

    def __init__(self, what: str, *, next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.next_step = next_step


class ServerFault(VaultRoomError):
    """The key server cannot serve."""


class NotStarted(ServerFault):
    """The embedded server could not be started or stopped."""


class Unreachable(ServerFault):
    """Nothing answered at the server's address, or it did not answer in time."""


class Sealed(ServerFault):
    """The server answers but is sealed, not initialized or not active."""


class InitializationLost(ServerFault):
    """The embedded server holds data that cannot be opened with what is in its home."""


class Refused(VaultRoomError):
    """The server understood and said no."""


class LoginFailed(Refused):
    """The name, password, role or token was not accepted."""


class CodeRefused(LoginFailed):
    """The code of the second factor was not accepted; another one may be."""


class Forbidden(Refused):
    """The token's Vault policies do not allow this."""


class NotFound(Refused):
    """There is no such key, mount, role or person."""


class NoWayBack(NotFound):
    """The case has no key for its way back: stage 1 never ran for it, or it was forgotten."""


class BadAnswer(VaultRoomError):
    """The server answered something that must not be used as a result."""


class BadRequest(VaultRoomError):
    """What was asked for cannot be right, whoever asks."""


class BadName(BadRequest):
    """A case or person name that cannot be the name of a key."""


class BadPlan(BadRequest):
    """People and roles that would not keep custody and approval apart."""


class BadIdentifier(BadRequest):
    """An identifier without a value or of an unknown kind, or an unusable prefix."""


class BadList(BadRequest):
    """A list of pseudonyms that contradicts itself, the rules of the VRs, or the case; every line is named."""


class BadCertificate(BadRequest):
    """A certificate or key for or with which nothing may be closed or opened."""


class BadEnvelope(BadRequest):
    """Something encrypted that is no envelope, is closed for others, or does not open."""


class MappingFault(VaultRoomError):
    """The mapping cannot be written or trusted; nothing may leave."""


class StoreUnavailable(MappingFault):
    """The mapping database is locked, full, unreachable or of another version."""


class StoreMissing(MappingFault):
    """The store of the pseudonyms that no key gives is not there, so that the same patients would get new ones."""


class Collision(MappingFault):
    """Two different originals claim one pseudonym."""


class Tampered(MappingFault):
    """A row is not as it was written: its tag does not fit, its key is lost, or it does not open."""


class NotSealed(MappingFault):
    """A row that was written cannot be read back."""


class CustodyRefusal(VaultRoomError):
    """Re-identification is refused."""


class UnknownPseudonym(CustodyRefusal):
    """A pseudonym asked for is not in the mapping of the case."""


class SharedPseudonym(CustodyRefusal):
    """A pseudonym asked for is of several patients, such as that of a device, and names none of them."""


class UnknownRequest(CustodyRefusal):
    """There is no such request."""


class SamePerson(CustodyRefusal):
    """One person tried to be both custodians."""


class NotYours(CustodyRefusal):
    """Somebody other than the requester tried to use the grant."""


class NotApproved(CustodyRefusal):
    """The request is not approved, was denied, or its grant is used up."""


class Expired(CustodyRefusal):
    """The window of the request is over."""


class ApprovalRefusal(VaultRoomError):
    """An approval is not good for what it is shown for."""


class SelfApproval(ApprovalRefusal):
    """Author and approver are one person."""


class Untrusted(ApprovalRefusal):
    """The signer is not among the trusted keys."""


class BadSignature(ApprovalRefusal):
    """A signature does not verify over the record it stands on."""


class WrongDigest(ApprovalRefusal):
    """The approval is for another text than the one presented."""


class ApprovalExpired(ApprovalRefusal):
    """The approval is past its expiry, or not yet begun."""


class Withdrawn(ApprovalRefusal):
    """The approval was withdrawn."""


class Malformed(ApprovalRefusal):
    """The file is not an approval record of this scheme."""
