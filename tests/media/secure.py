"""Secure media for tests: ``a_secure_medium(folder, an_instance())`` is closed for one person and one password."""

from __future__ import annotations

from pathlib import Path

from pydicom.dataset import Dataset

from media.profiles import Profile
from media.secure_keys import CertificateRecipient, Keys, private_key
from media.secure_media import Protection, protect_medium
from media.secure_passwords import Password, PasswordRecipient
from media.secure_signatures import Signer
from tests.certificates import Holder, a_holder
from tests.media.builders import LABEL, a_medium

PASSWORD = "Correct horse 7 battery"
READER, STRANGER, BURNER = "Reader", "Stranger", "Burner"


def a_signer(name: str = BURNER) -> Signer:
    """Somebody who signs media."""
    holder = a_holder(name)
    return Signer.of(private_key(holder.key), holder.certificate)


def keys_of(name: str = READER) -> Keys:
    """The private key of a person."""
    return Keys(private=(private_key(a_holder(name).key),))


def the_password(text: str = PASSWORD) -> Keys:
    """A password as a person brings it."""
    return Keys(passwords=(Password(text),))


def a_protection(
    *, certificates: tuple[Holder, ...] | None = None, password: str = "", signer: str = BURNER
) -> Protection:
    """Closed for :data:`READER`, or for these, and for a password with few rounds."""
    holders = (a_holder(READER),) if certificates is None else certificates
    recipients = [CertificateRecipient.read(holder.certificate) for holder in holders]
    passwords = [PasswordRecipient(Password(password), iterations=1000)] if password else []
    return Protection((*recipients, *passwords), a_signer(signer))


def a_secure_medium(folder: Path, *instances: Dataset, name: str = "secure", **options: object) -> Path:
    """A secure medium with these instances, or with one image if there are none."""
    plain = a_medium(folder / f"{name}-plain", *instances).path
    out = folder / name
    protection = a_protection(**options)  # type: ignore[arg-type]
    protect_medium(plain, out, label=LABEL, profile=Profile.STD_GEN_CD, protection=protection)
    return out
