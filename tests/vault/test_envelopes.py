"""Envelopes: whoever holds a recipient's key opens them, nobody else does, and OpenSSL agrees both ways."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509

from tests.certificates import a_holder
from vault.envelopes import Envelope, Opener, Recipient
from vault.errors import BadCertificate, BadEnvelope
from vault.secrecy import Secret

CONTENT = "Canary^Content Müller".encode() * 7
SEED = Secret(b"\7" * 32)

needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl")


def recipient(name: str = "Re-identifier") -> Recipient:
    return Recipient.read(a_holder(name).certificate)


def opener(name: str = "Re-identifier") -> Opener:
    return Opener(a_holder(name).certificate, a_holder(name).key)


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 1 << 17])
def test_what_is_closed_opens_again(size: int) -> None:
    """Contents of every length come back as they were, from DER and from PEM."""
    envelope = Envelope([recipient()])
    for closed in (envelope.close(b"\xa5" * size), envelope.close_as_text(b"\xa5" * size)):
        assert opener().open(closed).reveal() == b"\xa5" * size


def test_each_recipient_opens_it_alone() -> None:
    """Of two recipients each opens with the own key, whatever their order; a third one does not."""
    both = [recipient("first"), recipient("second")]
    closed = Envelope(both).close(CONTENT)
    assert opener("first").open(closed) == opener("second").open(closed) == Secret(CONTENT)
    with pytest.raises(BadEnvelope):
        opener("third").open(closed)


def test_with_one_seed_the_bytes_are_the_same() -> None:
    """Same seed, recipients and content, same bytes, in any order of recipients; without a seed never the same."""
    one, two = recipient("first"), recipient("second")
    assert Envelope([one, two], SEED).close(CONTENT) == Envelope([two, one, one], SEED).close(CONTENT)
    assert Envelope([one]).close(CONTENT) != Envelope([one]).close(CONTENT)


def test_nothing_is_shared_by_two_envelopes() -> None:
    """Another content, seed or recipient changes key and initialization vector: no block of octets is the same."""

    def blocks(closed: bytes) -> set[bytes]:
        return {closed[at : at + 16] for at in range(len(closed) - 600, len(closed) - 15)}

    plain = b"\0" * 600
    closed = [
        Envelope([recipient()], SEED).close(plain),
        Envelope([recipient()], SEED).close(plain + b"\0"),
        Envelope([recipient()], Secret(b"\x08" * 32)).close(plain),
        Envelope([recipient("second")], SEED).close(plain),
    ]
    for at, one in enumerate(closed):
        for other in closed[at + 1 :]:
            assert not blocks(one) & blocks(other)


def test_a_changed_envelope_is_refused_by_name_or_opens() -> None:
    """Whatever octet is changed, there is no other failure than a refusal, and no other content under the padding."""
    closed = Envelope([recipient()], SEED).close(CONTENT)
    own, refused = opener(), 0
    for at in range(0, len(closed), 3):
        changed = closed[:at] + bytes([closed[at] ^ 0x41]) + closed[at + 1 :]
        try:
            own.open(changed)
        except BadEnvelope:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("cut", [0, 1, 5, 40, 200, -1, -17])
def test_what_is_not_whole_is_refused(cut: int) -> None:
    """A part of an envelope, and what is none, is refused by name."""
    closed = Envelope([recipient()]).close(CONTENT)
    with pytest.raises(BadEnvelope):
        opener().open(closed[:cut])


@pytest.mark.parametrize(
    ("holder", "why"),
    [
        (lambda: a_holder("expired", begins=-9, ends=-1), "expired"),
        (lambda: a_holder("early", begins=2), "not valid yet"),
        (lambda: a_holder("weak", bits=1024), "too weak"),
        (lambda: a_holder("curve", bits=0), "no RSA key"),
        (lambda: a_holder("signs", signs_only=True), "not for encryption"),
    ],
)
def test_bad_certificates_are_refused(holder: Callable[[], object], why: str) -> None:
    """Nothing is closed for a certificate that is expired, not valid yet, weak, not RSA, or not for encryption."""
    with pytest.raises(BadCertificate, match=why):
        Recipient.read(holder().certificate)  # type: ignore[attr-defined]


def test_no_recipient_is_refused() -> None:
    """An envelope that nobody could open is not made, nor one for a text that is no certificate."""
    with pytest.raises(BadCertificate):
        Envelope([])
    with pytest.raises(BadCertificate):
        Recipient.read(b"no certificate")


def test_old_certificates_still_open() -> None:
    """What was closed while a certificate was valid can be read when it has expired."""
    holder = a_holder("expired", begins=-9, ends=-1)
    closed = Envelope([Recipient(x509.load_pem_x509_certificate(holder.certificate))]).close(CONTENT)
    assert Opener(holder.certificate, holder.key).open(closed).reveal() == CONTENT


def test_a_protected_key_asks_for_its_passphrase() -> None:
    """The passphrase is asked for once; a wrong one, and another's key, are refused."""
    holder, asked = a_holder("protected", passphrase="open sesame"), []

    def ask() -> str:
        asked.append(1)
        return "open sesame"

    closed = Envelope([Recipient.read(holder.certificate)]).close(CONTENT)
    assert Opener(holder.certificate, holder.key, ask).open(closed).reveal() == CONTENT
    assert asked == [1]
    for answer in ("", "wrong"):
        with pytest.raises(BadCertificate):
            Opener(holder.certificate, holder.key, lambda answer=answer: answer)  # type: ignore[misc]
    with pytest.raises(BadCertificate, match="not the one"):
        Opener(holder.certificate, a_holder("first").key)


def test_secrets_do_not_print() -> None:
    """Neither an opener nor what it opened shows anything when it is printed."""
    closed = Envelope([recipient()]).close(CONTENT)
    assert repr(opener()) == "Opener(…)"
    assert "Canary" not in repr(opener().open(closed))


@needs_openssl
@pytest.mark.peer
def test_openssl_opens_ours(tmp_path: Path) -> None:
    """``openssl cms -decrypt`` gives back the content of an envelope for two recipients."""
    certificate, key = a_holder("second").save(tmp_path)
    (tmp_path / "closed.pem").write_bytes(
        Envelope([recipient("first"), recipient("second")]).close_as_text(CONTENT)
    )
    done = subprocess.run(
        [
            *("openssl", "cms", "-decrypt", "-inform", "PEM", "-in", str(tmp_path / "closed.pem")),
            *("-recip", str(certificate), "-inkey", str(key)),
        ],
        capture_output=True,
        check=True,
    )
    assert done.stdout == CONTENT


@needs_openssl
@pytest.mark.peer
@pytest.mark.parametrize("cipher", ["-aes256", "-aes192", "-aes128", "-des3"])
@pytest.mark.parametrize(
    "form", [["-outform", "DER"], ["-outform", "PEM", "-keyid"], ["-outform", "DER", "-stream"]]
)
def test_openssl_is_opened(cipher: str, form: list[str], tmp_path: Path) -> None:
    """What OpenSSL closed opens: every cipher that a re-identifier must know, indefinite lengths, names by key."""
    certificate, _ = a_holder().save(tmp_path)
    (tmp_path / "content").write_bytes(CONTENT)
    done = subprocess.run(
        [
            *("openssl", "cms", "-encrypt", "-binary", cipher, *form),
            *("-in", str(tmp_path / "content"), str(certificate)),
        ],
        capture_output=True,
        check=True,
    )
    assert opener().open(done.stdout).reveal() == CONTENT
