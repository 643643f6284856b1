"""Whatever a library puts into its exceptions, nothing of it is printed, logged or written onto the trail.

Each fault is one that the library can really raise, with a canary in its text or its parts. The commands are run with
``--verbose``, which says most.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import hvac.adapters
import lxml.etree
import pydantic
import pydicom
import pydicom.errors
import pytest
import requests
import sqlalchemy as sa
import yaml
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import policies.engine
import vault.sealing
from tce.cli import main
from tce.config import Site
from tests.builders import a_ct_study, written
from vault.server import EmbeddedServer

pytestmark = pytest.mark.vault

CANARY = "Kanarienvogel^Konrad"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A site with an approved policy of stage 1, a case, and one pseudonymized study."""
    home = tmp_path_factory.mktemp("faults") / "site"
    case = "case new c --title C --purpose P --stage2 bands --receiver TCE_RECEIVER@127.0.0.1:9"
    steps = (
        "init --no-second-factor --coordinator carla --approver ann --custodian kim --custodian lee",
        "--as carla policy submit pseudonymization",
        "--as ann policy approve pseudonymization",
        "policy new bands --like longitudinal-trial",
        case,
    )
    try:
        for step in steps:
            with pytest.raises(SystemExit) as ended:
                main(["--home", str(home), *step.split()])
            assert ended.value.code == 0, step
        yield home
    finally:
        EmbeddedServer(home / "vault").stop()


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A study that can be pseudonymized."""
    written(a_ct_study(slices=1), tmp_path / "in")
    return tmp_path / "in"


def raising(exc: BaseException) -> Callable[..., NoReturn]:
    """Return what raises instead of doing anything."""

    def fail(*_: object, **__: object) -> NoReturn:
        local = CANARY
        assert local
        raise exc

    return fail


class Answer(requests.Response):
    """What a server answers that repeats what it was sent."""

    def __init__(self, status: int, content: bytes) -> None:
        super().__init__()
        self.status_code = status
        self._content = content


def answering(status: int, content: bytes) -> Callable[..., requests.Response]:
    return lambda *_, **__: Answer(status, content)


def a_validation_error() -> pydantic.ValidationError:
    class Strict(pydantic.BaseModel):
        number: int

    with pytest.raises(pydantic.ValidationError) as caught:
        Strict.model_validate({"number": CANARY})
    return caught.value


_ERRORS = json.dumps({"errors": [CANARY], "data": {"value": CANARY}}).encode()
_BROKEN = UnicodeDecodeError("utf-8", CANARY.encode() + b"\xff", 20, 21, CANARY)

Fault = tuple[object, str, object]

FAULTS: dict[str, Fault] = {
    "requests": (hvac.adapters.RawAdapter, "request", raising(requests.exceptions.InvalidHeader(CANARY))),
    "requests, no answer": (hvac.adapters.RawAdapter, "request", raising(requests.ConnectionError(CANARY))),
    "requests, JSON": (
        hvac.adapters.RawAdapter,
        "request",
        raising(requests.exceptions.JSONDecodeError(CANARY, CANARY, 0)),
    ),
    "hvac": (hvac.adapters.RawAdapter, "request", raising(hvac.exceptions.InvalidRequest(CANARY))),
    "a Vault that repeats, 400": (hvac.adapters.RawAdapter, "request", answering(400, _ERRORS)),
    "a Vault that repeats, 403": (hvac.adapters.RawAdapter, "request", answering(403, _ERRORS)),
    "a Vault that repeats, 404": (hvac.adapters.RawAdapter, "request", answering(404, _ERRORS)),
    "a proxy": (hvac.adapters.RawAdapter, "request", answering(200, f"<p>{CANARY}</p>".encode())),
    "another service": (hvac.adapters.RawAdapter, "request", answering(200, _ERRORS)),
    "sqlalchemy": (
        sa.engine.Engine,
        "connect",
        raising(sa.exc.OperationalError(f"INSERT {CANARY}", {"value": CANARY}, Exception(CANARY))),
    ),
    "sqlalchemy, elsewhere": (
        vault.sealing.Sealer,
        "seal",
        raising(sa.exc.StatementError(CANARY, CANARY, {}, None)),
    ),
    "cryptography": (AESGCM, "__init__", raising(ValueError(CANARY))),
    "pydicom": (policies.engine.Engine, "read", raising(pydicom.errors.InvalidDicomError(CANARY))),
    "numpy": (policies.engine.Engine, "write", raising(ValueError(CANARY))),
    "unicode": (policies.engine.Engine, "read", raising(_BROKEN)),
    "os": (policies.engine.Engine, "write", raising(PermissionError(13, "Permission denied", CANARY))),
    "memory": (policies.engine.Engine, "write", raising(MemoryError(CANARY))),
    "key": (policies.engine.Engine, "write", raising(KeyError(CANARY))),
    "group": (policies.engine.Engine, "write", raising(ExceptionGroup(CANARY, [ValueError(CANARY)]))),
    "yaml": (
        yaml,
        "load",
        raising(yaml.composer.ComposerError(None, None, f"found undefined alias '{CANARY}'", None)),
    ),
    "yaml, safely": (yaml, "safe_load", raising(yaml.YAMLError(CANARY))),
    "pydantic": (pydantic.BaseModel, "model_validate", raising(a_validation_error())),
    "json": (json, "loads", raising(json.JSONDecodeError(CANARY, CANARY, 0))),
    "lxml": (lxml.etree, "tostring", raising(lxml.etree.SerialisationError(CANARY))),
}


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_job_says_nothing(
    home: Path,
    sources: Path,
    tmp_path: Path,
    fault: str,
    workers: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In this process and in workers of its own: one line, no value, and nothing on the trail."""
    where, name, does = FAULTS[fault]
    monkeypatch.setattr(where, name, does)  # type: ignore[arg-type]
    monkeypatch.setattr("vault.client.time.sleep", lambda _: None)
    out = tmp_path / "out"
    arguments = ["pseudonymize", str(sources), "--case", "c", "--out", str(out), "--workers", workers]
    with pytest.raises(SystemExit) as ended:
        main(["--home", str(home), "--verbose", *arguments])
    monkeypatch.undo()
    said = capfd.readouterr()
    assert _holds_none(said.out, said.err, caplog.text)
    assert _holds_none(*(path.read_bytes().decode("latin-1") for path in _records(home)))
    if fault not in _HARMLESS:
        assert ended.value.code != 0
        assert "tce: " in said.err or ": " in said.err


_HARMLESS = {"yaml, safely", "json", "lxml", "yaml", "pydantic", "cryptography"}
"""Faults that this job may not meet, for instance because the library is used otherwise; then nothing is said."""


@pytest.mark.parametrize(
    "command",
    [
        "--as kim reidentify list",
        "--as kim reidentify request X --case c --purpose legal-duty --ticket T",
        "--as carla policy submit bands",
        "case show c",
        "exports list",
        "vault status",
        "audit verify",
    ],
)
@pytest.mark.parametrize(
    "fault", [name for name, row in FAULTS.items() if row[0] is not policies.engine.Engine]
)
def test_a_fault_in_a_command_says_nothing(
    home: Path,
    fault: str,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Every sort of command with every sort of fault, whether it meets it or not."""
    where, name, does = FAULTS[fault]
    monkeypatch.setattr(where, name, does)  # type: ignore[arg-type]
    monkeypatch.setattr("vault.client.time.sleep", lambda _: None)
    with pytest.raises(SystemExit):
        main(["--home", str(home), "--verbose", *command.split()])
    monkeypatch.undo()
    said = capfd.readouterr()
    assert _holds_none(said.out, said.err, caplog.text)
    assert _holds_none(*(path.read_bytes().decode("latin-1") for path in _records(home)))


_LATIN = f"{CANARY}é".encode("latin-1")

BROKEN_FILES: dict[str, tuple[str, bytes, str]] = {
    "settings": ("tce.toml", f'[vault]\ntoken = "{CANARY}"\n'.encode(), "exports list"),
    "settings, no TOML": ("tce.toml", f'"{CANARY}\n'.encode(), "exports list"),
    "settings, no UTF-8": ("tce.toml", _LATIN, "exports list"),
    "settings, a URL": (
        "tce.toml",
        f'[database]\nmapping = "postgresql+psycopg://u:{CANARY}@127.0.0.1:9/x"\n'.encode(),
        "mapping backup b.db",
    ),
    "settings, no URL": ("tce.toml", f'[database]\nexports = "{CANARY}"\n'.encode(), "exports list"),
    "case": ("cases/c/case.yaml", f"id: c\n{CANARY}: [".encode(), "case show c"),
    "case, an alias": ("cases/c/case.yaml", f"id: *{CANARY.partition('^')[0]}".encode(), "case show c"),
    "case, a tag": ("cases/c/case.yaml", f"id: !{CANARY.partition('^')[0]} x".encode(), "case show c"),
    "policy, an escape": ("policies/bands-1.yaml", f'name: "\\{CANARY}"'.encode(), "policy show bands"),
    "policy, a directive": ("policies/bands-1.yaml", f"%{CANARY}\n- - :".encode(), "policy show bands"),
    "case, no UTF-8": ("cases/c/case.yaml", _LATIN, "case show c"),
    "login of a service": ("vault/roles/pseudonymizer.json", f'{{"secret_id": "{CANARY}'.encode(), "JOB"),
    "password": ("vault/people/kim.password", CANARY.encode(), "--as kim reidentify list"),
    "password, no UTF-8": ("vault/people/kim.password", _LATIN, "--as kim reidentify list"),
    "trail": ("audit/trail.jsonl", f'{{"{CANARY}": '.encode(), "audit verify"),
    "head of the trail": ("audit/trail.head", f'{{"{CANARY}": '.encode(), "audit verify"),
    "trust": ("trust.json", f'{{"{CANARY}": '.encode(), "case show c"),
}


@pytest.mark.parametrize("broken", BROKEN_FILES)
def test_a_broken_file_is_named_and_not_quoted(
    home: Path, sources: Path, tmp_path: Path, broken: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A fault in a file is told by the file and the place in it."""
    name, content, command = BROKEN_FILES[broken]
    path = home / name
    whole = path.read_bytes()
    job = ["pseudonymize", str(sources), "--case", "c", "--out", str(tmp_path / "out"), "--workers", "2"]
    words = job if command == "JOB" else command.split()
    try:
        path.write_bytes(content)
        with pytest.raises(SystemExit):
            main(["--home", str(home), "--verbose", *words])
    finally:
        path.write_bytes(whole)
    said = capfd.readouterr()
    assert _holds_none(said.out, said.err)
    assert _holds_none(*(path.read_bytes().decode("latin-1") for path in _records(home)))


def test_a_list_of_patients_is_told_by_line(
    home: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Faults in a coordinator's list name the line, not the patient."""
    given = tmp_path / "events.csv"
    for content in (f"patient_id,date\n{CANARY},31.12.2030\n", f'patient_id,date\n"{CANARY}', CANARY):
        given.write_text(content)
        with pytest.raises(SystemExit) as ended:
            main(["--home", str(home), "--verbose", "case", "events", "c", str(given)])
        assert ended.value.code != 0
        assert _holds_none(*capfd.readouterr())


def test_the_search_would_find_it(home: Path) -> None:
    """A canary on the trail or in a line is found by what the tests above ask."""
    assert not _holds_none(f"tce: {CANARY}")
    assert not _holds_none("x", "konrad")
    before = len(list(_records(home)))
    assert before > 2
    assert Site(home).audit_trail in _records(home)


def _records(home: Path) -> list[Path]:
    """The files in which a site keeps account of itself."""
    return [path for path in home.rglob("*") if path.suffix in (".jsonl", ".log", ".head") and path.is_file()]


def _holds_none(*texts: str) -> bool:
    parts = [part.casefold() for part in CANARY.split("^")]
    return not [part for text in texts for part in parts if part in text.casefold()]
