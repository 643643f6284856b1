"""A Secure DICOM File opens for whom it was closed, to exactly what was signed, and for nobody else."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from cryptography.x509 import load_pem_x509_certificate

from media.errors import ClosedFile, ProtectionRefused
from media.secure_files import close_file, is_closed, open_file
from media.secure_keys import CertificateRecipient, Keys, Offer, private_key
from media.secure_passwords import Password, PasswordRecipient, _is_strong
from media.secure_signatures import Signer, is_trusted
from tests.certificates import a_holder
from tests.media.builders import an_instance, written
from tests.media.secure import BURNER, PASSWORD, READER, a_protection, a_signer, keys_of, the_password

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


def a_file(folder: Path) -> Path:
    return written(an_instance(PixelData=random.Random(1).randbytes(5000)), folder / "in")


def closed(folder: Path, source: Path, *, name: str = "closed", **options: object) -> Path:
    out = folder / name
    protection = a_protection(**options)  # type: ignore[arg-type]
    close_file(source, out, protection.recipients, protection.signer)
    return out


def reason_for(path: Path, keys: Keys) -> str:
    """Why a file does not open; nothing is left then."""
    out = path.parent / "none"
    with pytest.raises(ClosedFile) as refusal:
        open_file(path, out, keys)
    assert not out.exists()
    assert refusal.value.what
    assert refusal.value.next_step
    return refusal.value.reason


def test_a_file_opens_to_what_went_in(tmp_path: Path) -> None:
    """Recipient and password each open the file, byte for byte, and learn who signed it."""
    source = a_file(tmp_path)
    out = closed(tmp_path, source, password=PASSWORD)
    for number, keys in enumerate((keys_of(READER), the_password())):
        opened = open_file(out, tmp_path / f"opened{number}", keys)
        assert (tmp_path / f"opened{number}").read_bytes() == source.read_bytes()
        assert [one.certificate for one in opened.signed] == [a_signer(BURNER).certificate]


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 100, 127, 128, 65_535, 65_536, (1 << 20) - 1, 1 << 20])
def test_files_of_every_size_are_closed(tmp_path: Path, size: int) -> None:
    """Lengths that need one octet more, whole blocks and whole chunks are written right."""
    source = tmp_path / "in"
    source.write_bytes(bytes(size))
    open_file(closed(tmp_path, source), tmp_path / "out", keys_of())
    assert (tmp_path / "out").read_bytes() == bytes(size)


def test_the_same_file_never_gives_the_same_bytes(tmp_path: Path) -> None:
    """Two media with the same instance cannot be told to hold the same."""
    source = a_file(tmp_path)
    first, second = closed(tmp_path, source, name="a"), closed(tmp_path, source, name="b")
    assert first.stat().st_size == second.stat().st_size
    alike = sum(x == y for x, y in zip(first.read_bytes()[-5000:], second.read_bytes()[-5000:], strict=True))
    assert alike < 200


def test_each_reason_has_its_own_sentence(tmp_path: Path) -> None:
    """No key, another key, another password, an altered byte and a missing end are five different things."""
    source = a_file(tmp_path)
    both, by_key = (
        closed(tmp_path, source, name="both", password=PASSWORD),
        closed(tmp_path, source, name="key"),
    )
    cut, changed = tmp_path / "cut", tmp_path / "changed"
    cut.write_bytes(both.read_bytes()[:-16])
    octets = bytearray(both.read_bytes())
    octets[-2000] ^= 1
    changed.write_bytes(octets)
    reasons = [
        reason_for(both, Keys()),
        reason_for(both, keys_of("Stranger")),
        reason_for(by_key, the_password()),
        reason_for(both, the_password("Another horse 8 battery")),
        reason_for(changed, keys_of()),
        reason_for(cut, keys_of()),
    ]
    assert reasons == ["no-key", "wrong-key", "wrong-key", "wrong-password", "altered", "truncated"]


def test_no_altered_byte_goes_unnoticed(tmp_path: Path) -> None:
    """Whatever byte of a closed file is changed: it does not open to anything else than went in."""
    source = a_file(tmp_path)
    good = closed(tmp_path, source).read_bytes()
    changed, out = tmp_path / "changed", tmp_path / "out"
    places = [*range(0, 700, 3), *range(len(good) - 2500, len(good), 37)]
    opened = 0
    for place in places:
        octets = bytearray(good)
        octets[place] ^= 0x41
        changed.write_bytes(octets)
        try:
            open_file(changed, out, keys_of())
        except ClosedFile:
            assert not out.exists()
        else:
            # The name of the recipient's certificate is not needed to open, and proves nothing.
            opened += 1
            assert out.read_bytes() == source.read_bytes()
            out.unlink()
    assert opened < 50


@pytest.mark.parametrize("seed", range(4))
def test_garbage_is_refused_by_name(tmp_path: Path, seed: int) -> None:
    """Bytes put in, taken out or turned round end in a refusal, never in another exception."""
    source = a_file(tmp_path)
    good = closed(tmp_path, source, password=PASSWORD).read_bytes()
    chance, out = random.Random(seed), tmp_path / "out"
    for _ in range(60):
        octets = bytearray(good)
        at = chance.randrange(min(1500, len(octets)))
        octets[at : at + chance.randrange(1, 40)] = chance.randbytes(chance.randrange(40))
        (tmp_path / "garbage").write_bytes(octets)
        try:
            open_file(tmp_path / "garbage", out, Keys(the_password().passwords, keys_of().private))
        except ClosedFile:
            continue
        assert out.read_bytes() == source.read_bytes()
        out.unlink()


def test_a_dicom_file_is_not_taken_for_a_closed_one(tmp_path: Path) -> None:
    """What is closed is told from its first bytes; anything else is not opened."""
    source = a_file(tmp_path)
    assert is_closed(closed(tmp_path, source))
    assert not is_closed(source)
    assert not is_closed(tmp_path / "nothing")


def test_a_signer_is_trusted_by_its_certificate_and_within_its_time(tmp_path: Path) -> None:
    """The certificate that came with the file is not proof enough: the site has to know it."""
    [signed] = open_file(closed(tmp_path, a_file(tmp_path)), tmp_path / "out", keys_of()).signed
    own, other = (load_pem_x509_certificate(a_holder(name).certificate) for name in (BURNER, "Stranger"))
    assert is_trusted(signed, [other, own])
    assert not is_trusted(signed, [other])
    assert not is_trusted(signed, [])


@pytest.mark.parametrize(
    ("holder", "what"),
    [
        ({"bits": 1024}, "no RSA key of 2048"),
        ({"bits": 0}, "no RSA key of 2048"),
        ({"begins": -9, "ends": -1}, "not valid at this time"),
        ({"signs_only": True}, "not for this use"),
    ],
)
def test_a_certificate_that_protects_nothing_is_no_recipient(holder: dict[str, int], what: str) -> None:
    """Expired certificates, short keys and certificates for signing only are refused before anything is written."""
    with pytest.raises(ProtectionRefused, match=what):
        CertificateRecipient.read(a_holder("Weak", **holder).certificate)  # type: ignore[arg-type]


def test_a_signer_has_the_key_of_its_certificate() -> None:
    """A signature that nobody could verify is never made."""
    with pytest.raises(ProtectionRefused, match="not the one of the signer"):
        Signer.of(private_key(a_holder(READER).key), a_holder(BURNER).certificate)


@pytest.mark.parametrize(
    "text",
    [
        "short",
        "123456789012",
        "aaaaaaaaaaaaaaaaaaaa",
        "abcdefghijklmnop",
        "Trial1!Trial1!",
        "onlysmallabc",
        "x" * 200,
    ],
)
def test_weak_passwords_are_refused(text: str) -> None:
    """A lost disc is open to whoever guesses for long enough; so a password has to be worth guessing."""
    assert not _is_strong(text)
    with pytest.raises(ProtectionRefused, match="too weak"):
        PasswordRecipient(Password(text))


@pytest.mark.parametrize("text", ["Correct horse 7 battery", "velvet lamp orchid seven", "kT9#mQ2vLx7!"])
def test_good_passwords_are_taken(text: str) -> None:
    """Words in a row will do, and so will what a password manager makes."""
    assert _is_strong(text)


@pytest.mark.parametrize("text", ["Größe 7 Pferd Batterie", "line\nbreak 7 Pferd", ""])
def test_a_password_is_ascii(text: str) -> None:
    """PS3.15 D.1.1 allows ISO-IR 6 alone: what another keyboard cannot type opens nothing."""
    with pytest.raises(ProtectionRefused, match="US-ASCII"):
        Password(text)


def test_nothing_prints_a_secret() -> None:
    """Neither passwords nor keys are in what objects print as."""
    recipient = PasswordRecipient(Password(PASSWORD), iterations=1000)
    info = recipient.info(b"k" * 32)
    for thing in (
        Password(PASSWORD),
        the_password(),
        keys_of(),
        recipient,
        a_signer(),
        Offer(b"\x31" + bytes([0])),
    ):
        assert PASSWORD not in repr(thing)
    assert b"k" * 8 not in info


def test_a_file_larger_than_memory_is_closed_and_opened(tmp_path: Path) -> None:
    """400 MB are closed and opened with less than 200 MB of memory of one's own."""
    source = tmp_path / "large"
    with source.open("wb") as file:
        file.truncate(400 << 20)
    script = """
        import resource, sys
        from pathlib import Path
        from media.secure_files import close_file, open_file
        from tests.media.secure import a_protection, keys_of
        folder = Path(sys.argv[1])
        protection = a_protection()
        resource.setrlimit(resource.RLIMIT_DATA, (200 << 20, 200 << 20))
        close_file(folder / "large", folder / "closed", protection.recipients, protection.signer)
        open_file(folder / "closed", folder / "opened", keys_of())
        assert (folder / "opened").stat().st_size == 400 << 20
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-500:]


def openssl(*words: str | Path, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["openssl", "cms", *map(str, words)], input=given, capture_output=True)


@pytest.mark.peer
@needs_openssl
@pytest.mark.parametrize("way", ["key", "password"])
def test_openssl_opens_and_verifies_what_is_closed(tmp_path: Path, way: str) -> None:
    """`openssl cms -decrypt`, then `-verify`, gives the DICOM file back."""
    source = a_file(tmp_path)
    out = closed(tmp_path, source, password=PASSWORD)
    certificate, key = a_holder(READER).save(tmp_path)
    signer, _ = a_holder(BURNER).save(tmp_path, "burner")
    by = ["-recip", certificate, "-inkey", key] if way == "key" else ["-pwri_password", PASSWORD]
    inner = openssl("-decrypt", "-inform", "DER", "-in", out, *by)
    assert inner.returncode == 0, inner.stderr
    # What is inside is SignedData by PS3.15 D.1.1; openssl wants the ContentInfo that is around it elsewhere.
    wrapped = bytes.fromhex("308006092a864886f70d010702a080") + inner.stdout + bytes(4)
    told = openssl("-verify", "-inform", "DER", "-CAfile", signer, "-purpose", "any", given=wrapped)
    assert told.returncode == 0, told.stderr
    assert told.stdout == source.read_bytes()


@pytest.mark.peer
@needs_openssl
@pytest.mark.parametrize("stream", [(), ("-stream",)])
@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("cipher", ["aes-128-cbc", "aes-192-cbc", "aes-256-cbc", "des-ede3-cbc"])
def test_what_openssl_closes_is_opened(
    tmp_path: Path, cipher: str, digest: str, stream: tuple[str, ...]
) -> None:
    """AES with every key, Triple DES, every digest, defined and indefinite lengths: as PS3.15 D.1.1 asks of readers."""
    source = tmp_path / "in"
    source.write_bytes(random.Random(2).randbytes(40_000))
    signer, key = a_holder(BURNER).save(tmp_path, "burner")
    reader, _ = a_holder(READER).save(tmp_path)
    signed, out = tmp_path / "signed", tmp_path / "closed"
    sign = ["-sign", "-binary", "-nodetach", "-signer", signer, "-inkey", key, "-md", digest]
    assert openssl(*sign, "-in", source, "-outform", "DER", "-out", signed, *stream).returncode == 0
    encrypt = ["-encrypt", "-binary", f"-{cipher}", "-in", signed, "-outform", "DER", "-out", out, *stream]
    assert openssl(*encrypt, "-pwri_password", PASSWORD, "-recip", reader).returncode == 0
    for number, keys in enumerate((keys_of(), the_password())):
        opened = open_file(out, tmp_path / f"opened{number}", keys)
        assert (tmp_path / f"opened{number}").read_bytes() == source.read_bytes()
        assert len(opened.signed) == 1
        said = " ".join(opened.weak)
        assert ("SHA-1" in said, "Triple DES" in said) == (digest == "sha1", cipher == "des-ede3-cbc")
    assert "rounds of PBKDF2" in said


@pytest.mark.peer
@needs_openssl
def test_digested_data_is_opened_and_proves_nobody(tmp_path: Path) -> None:
    """A file that is digested and not signed opens; what was altered in it is found; nobody has signed it."""
    source = a_file(tmp_path)
    reader, _ = a_holder(READER).save(tmp_path)
    digested, out = tmp_path / "digested", tmp_path / "closed"
    make = ["-digest_create", "-binary", "-nodetach", "-md", "sha256", "-in", source]
    assert openssl(*make, "-outform", "DER", "-out", digested).returncode == 0
    for name, content in (
        ("good", digested.read_bytes()),
        ("bad", digested.read_bytes().replace(b"CT", b"MR")),
    ):
        digested.write_bytes(content)
        encrypt = ["-encrypt", "-binary", "-aes-256-cbc", "-in", digested, "-outform", "DER", "-out", out]
        assert openssl(*encrypt, reader).returncode == 0
        if name == "good":
            assert open_file(out, tmp_path / "opened", keys_of()).signed == ()
            assert (tmp_path / "opened").read_bytes() == source.read_bytes()
        else:
            assert reason_for(out, keys_of()) == "altered"
