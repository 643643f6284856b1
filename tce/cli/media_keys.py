"""What opens and closes encrypted media at the command line: keys, passwords and signers, from files or a terminal.

A password is never an argument: every process of the machine could read it there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509

from media.errors import ProtectionRefused
from media.secure_keys import CertificateRecipient, Keys, private_key
from media.secure_media import Protection, Unlocking
from media.secure_passwords import Password, PasswordRecipient
from media.secure_signatures import Signer
from tce.cli.session import Session
from tce.errors import ConfigFault
from tce.logins import ask_at_terminal

KeyOption = Annotated[
    Path | None,
    typer.Option(help="Your private key (PEM), for an encrypted medium closed for your certificate."),
]
PasswordFileOption = Annotated[
    Path | None,
    typer.Option(help="File with the password of an encrypted medium; without it, a terminal asks for it."),
]
RecipientsOption = Annotated[
    list[Path] | None,
    typer.Option("--recipient", help="Encrypt, for the holder of this certificate (PEM, RSA); repeatable."),
]
NewPasswordFileOption = Annotated[
    Path | None,
    typer.Option("--password-file", help="Encrypt, with the password in the first line of this file."),
]
AskPasswordOption = Annotated[
    bool, typer.Option("--password", help="Encrypt, with a password that the terminal asks for.")
]
SigningKeyOption = Annotated[
    Path | None, typer.Option("--sign-with", help="Private key (PEM, RSA) that signs an encrypted medium.")
]
SignerOption = Annotated[
    Path | None, typer.Option("--signer", help="Certificate (PEM) of the key that signs.")
]
SignersOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--signer",
        help="Certificate (PEM) of who may have signed it, beside those of the settings; repeatable.",
    ),
]


def unlocking(
    run: Session, key: Path | None, password_file: Path | None, signers: list[Path] | None
) -> Callable[[], Unlocking]:
    """Return what makes an opener of encrypted media. Raises ProtectionRefused, ConfigFault or OSError."""
    private = (private_key(key.read_bytes(), _passphrase),) if key else ()
    passwords = (password_in(password_file),) if password_file else ()
    keys, trusted, ask = Keys(passwords, private), _trusted(run, signers or []), cache(_ask)
    return lambda: Unlocking(keys, trusted, ask)


def protection(
    recipients: list[Path] | None,
    password_file: Path | None,
    sign_with: Path | None,
    signer: Path | None,
    *,
    ask: bool,
) -> Protection | None:
    """Return how a medium is closed, None where nothing asks for it. Raises ProtectionRefused or OSError."""
    if not recipients and not password_file and not ask:
        if sign_with or signer:
            raise typer.BadParameter(
                "a medium is signed when it is encrypted: give --recipient or a password"
            )
        return None
    if not sign_with or not signer:
        raise typer.BadParameter("an encrypted medium is signed: give --sign-with KEY and --signer CERT")
    holders = [CertificateRecipient.read(path.read_bytes()) for path in recipients or []]
    passwords = [password_in(password_file)] if password_file else []
    passwords += [_asked_twice()] if ask else []
    signing = Signer.of(private_key(sign_with.read_bytes(), _passphrase), signer.read_bytes())
    return Protection((*holders, *(PasswordRecipient(one) for one in passwords)), signing)


def _asked_twice() -> Password:
    first = Password(ask_at_terminal("password of the medium: "))
    first.require_strong()
    if ask_at_terminal("the same again: ") != first.text:
        raise ProtectionRefused("the two passwords differ", next_step="give the command again")
    return first


def password_in(path: Path) -> Password:
    """Return the password in the first line of a file. Raises ProtectionRefused or OSError."""
    lines = path.read_bytes().splitlines()
    try:
        return Password(lines[0].decode("ascii") if lines else "")
    except UnicodeDecodeError:
        return Password("")


def _trusted(run: Session, signers: list[Path]) -> list[x509.Certificate]:
    named = run.site.settings.media.trusted_signers if run.has_site else ()
    try:
        known = [_certificate(run.home / name) for name in named]
    except (OSError, ProtectionRefused):
        raise ConfigFault(
            "a certificate of media.trusted_signers cannot be read",
            next_step="name files in PEM, relative to the site's folder, in tce.toml",
        ) from None
    return known + [_certificate(path) for path in signers]


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError:
        raise ProtectionRefused(
            "this is no certificate in PEM",
            next_step="give the certificate of who signs the media (-----BEGIN CERTIFICATE-----)",
        ) from None


def _ask() -> Keys:
    text = ask_at_terminal("password of the medium: ")
    return Keys((Password(text),)) if text else Keys()


def _passphrase() -> str:
    return ask_at_terminal("passphrase of the private key: ")
