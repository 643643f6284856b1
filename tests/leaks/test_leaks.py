"""The search at the end of every run can fail: whatever is planted is found, and what lies where it may is not."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.leaks.places import holds_token, looks_random, sample_originals
from tests.leaks.plugin import leaks_in_files, leaks_in_words
from tests.leaks.search import Needles

PASSWORD = "Qq7" + secrets.token_urlsafe(24)
SECRET_ID = "b1946ac9-2f3d-4e5f-8a9b-0c1d2e3f4a5b"
SEAL_KEY = b"\xff" + secrets.token_bytes(31)


@pytest.fixture(autouse=True)
def remove_what_was_planted(tmp_path: Path) -> Iterator[None]:
    """What a test plants here must not be found at the end of this very run."""
    yield
    shutil.rmtree(tmp_path)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The folder of a site with the files in which secrets lie by design."""
    home = tmp_path / "made" / "site"
    vault = home / "vault"
    for folder in ("people", "roles", "raft"):
        (vault / folder).mkdir(parents=True)
    (home / "tce.toml").write_text("")
    (vault / "server.hcl").write_text("")
    (vault / "seal.key").write_bytes(SEAL_KEY)
    (vault / "people" / "ann.password").write_text(f"{PASSWORD}\n")
    (vault / "roles" / "manager.json").write_text(json.dumps({"role_id": "r" * 36, "secret_id": SECRET_ID}))
    (home / "spool").mkdir()
    (home / "spool" / "instance").write_bytes(next(iter(sample_originals())))
    return home


def test_what_lies_where_it_may_is_no_leak(site: Path) -> None:
    """Logins and keys in the key server's home, originals among what was received."""
    assert leaks_in_files(site.parent) == []


@pytest.mark.parametrize(
    "place", ["vault/audit.log", "vault/raft/vault.db", "x.dcm", "cases/c/case.yaml", "../out"]
)
@pytest.mark.parametrize(
    "leak",
    [
        PASSWORD.encode(),
        SECRET_ID.encode(),
        SEAL_KEY,
        SEAL_KEY.hex().encode(),
        base64.b64encode(SEAL_KEY),
        base64.b64encode(PASSWORD.encode()),
    ],
    ids=["password", "secret id", "seal key", "in hexadecimal", "in base64", "password in base64"],
)
def test_a_secret_is_found_in_any_file(site: Path, place: str, leak: bytes) -> None:
    """Wherever it is, however it is written, at whatever offset; and the report does not repeat it."""
    path = site / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\0" * 5 + b'"' + leak + b'"' + b"\0" * 3)
    [told] = leaks_in_files(site.parent)
    assert path.resolve().relative_to(site.parent.resolve()).as_posix() in told
    assert leak.decode("latin-1") not in told


@pytest.mark.parametrize(
    "place", ["audit/trail.jsonl", "exports.db", "releases/r/release.json", "../loose.db", "../a.log"]
)
def test_an_original_is_found_in_any_record(site: Path, place: str) -> None:
    """Every value of the sample people, each, in the files of which none may speak."""
    path = site / place
    path.parent.mkdir(parents=True, exist_ok=True)
    needles = [needle for needle in sample_originals() if len(needle) >= 8]
    assert len(needles) > 30
    for needle in needles:
        path.write_bytes(b"... " + needle)
        assert len(leaks_in_files(site.parent)) == 1


def test_a_key_that_was_only_in_memory_is_found(tmp_path: Path) -> None:
    """What a process made and never meant to write is looked for in all files."""
    key = b"\xfe" + secrets.token_bytes(31)
    (tmp_path / "core").write_bytes(b"x" * 1001 + key)
    assert leaks_in_files(tmp_path, [key]) == ["core: a key or a share"]


@pytest.mark.parametrize(
    "token", ["s." + "Ab3" * 8, "hvs." + "Ab3" * 20, "hvb." + "x-Y_" * 30, "b." + "Ab3" * 30]
)
def test_a_token_is_known_by_its_form(tmp_path: Path, token: str) -> None:
    """Also one of a process that could tell nobody about it."""
    (tmp_path / "server.log").write_text(f"token={token} accepted")
    assert leaks_in_files(tmp_path) == ["server.log: a token"]
    assert leaks_in_words([("a test", f"<{token}>")], []) == ["what a test printed or logged: a token"]
    assert not holds_token(b"urls.patterns_of_some_long_module_name tests.vault_of_something_long_enough")


def test_what_a_test_printed_is_searched() -> None:
    """Standard output, standard error and log of every test."""
    said = [("one", "nothing"), ("two", f"password {PASSWORD}!")]
    assert leaks_in_words(said, [PASSWORD]) == ["what two printed or logged: a token or password"]


def test_all_needles_are_found_wherever_they_stand() -> None:
    """At every offset, at the end, and beside others with the same beginning."""
    needles = Needles({b"12345678": "a", b"12345678-and-more": "b", b"short": "c", b"abcdefghi": "d"})
    assert len(needles) == 3
    for offset in range(17):
        assert set(needles.found_in(b"." * offset + b"12345678-and-more")) == {"a", "b"}
        assert set(needles.found_in(b"." * offset + b"abcdefghi")) == {"d"}
        assert list(needles.found_in(b"." * offset + b"abcdefgh short")) == []


@pytest.mark.parametrize(
    ("value", "random"),
    [
        (PASSWORD, True),
        (SECRET_ID, True),
        (SEAL_KEY, True),
        ("Testov^Persona", False),
        ("1.2.840.10008.5.1.4.1.1.2.12345678901234567890", False),
        (b"issuer\0the value of an identifier, as text", False),
    ],
    # Processes that share the tests must call them by the same names.
    ids=["password", "secret id", "seal key", "name", "UID", "identifier"],
)
def test_secrets_are_told_from_originals(value: str | bytes, random: bool) -> None:
    """Both travel in the same type, and an original may stand in its source."""
    assert looks_random(value) is random


_LEAKY = """
from vault.secrecy import Secret

def test_a_careless_one(tmp_path, request):
    secret = Secret("Zz9" + "aB4" * 9)
    {leak}
"""


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize(
    ("leak", "status"),
    [
        ("pass", 0),
        ("print(secret)", 0),
        ("(tmp_path / 'note.txt').write_text(secret.reveal())", 1),
        ("print(secret.reveal())", 1),
    ],
    ids=["nothing", "a placeholder", "a file", "a print"],
)
def test_a_run_that_leaks_fails(tmp_path: Path, workers: str, leak: str, status: int) -> None:
    """With and without workers: all tests pass, and the run fails all the same, saying where."""
    (tmp_path / "test_inner.py").write_text(_LEAKY.format(leak=leak))
    root = Path(__file__).parent.parent.parent
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "tests.leaks.plugin",
        "-n",
        workers,
        "test_inner.py",
    ]
    ended = subprocess.run(
        [*command, "--basetemp", str(tmp_path / "base"), "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 passed" in ended.stdout, ended.stdout + ended.stderr
    assert ended.returncode == status
    assert ("where they may not be" in ended.stdout) is (status == 1)
    assert "aB4aB4" not in ended.stdout.partition("where they may not be")[2]


def test_a_file_of_holes_is_searched_where_it_holds_something(tmp_path: Path) -> None:
    """A file that is larger than any memory is searched; what stands behind a hole, or across two pieces, is found."""
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.truncate(1 << 38)
        for at in (1 << 37, (1 << 20) + (1 << 26) - 5):
            file.seek(at)
            file.write(b"a needle %d" % at)
        file.seek(1 << 20)
        file.write(bytes(1 << 26))
        file.seek((1 << 20) + (1 << 26) - 5)
        file.write(b"a needle across")
    needles = Needles(
        {b"a needle across": "across", b"a needle %d" % (1 << 37): "far", b"a needle no": "none"}
    )
    assert needles.found_in_file(sparse) == {"across", "far"}
