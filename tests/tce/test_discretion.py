"""A process of the program keeps to itself what it knows: core files, memory, files, environment, last words."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tce import __version__, discretion, logins

ROOT = Path(__file__).parents[2]
CANARY = "Kanarienvogel"

_BEGINS = "from tce import discretion; discretion.begin()\n"

_TELLS = """
import ctypes, json, os, resource, sys, tempfile
from pathlib import Path
umask = os.umask(0o777)
children = discretion.environment_of_children()
print(json.dumps({
    "umask": umask,
    "core": resource.getrlimit(resource.RLIMIT_CORE),
    "dumpable": ctypes.CDLL(None).prctl(3, 0, 0, 0, 0),
    "tmp": tempfile.gettempdir(),
    "children": children,
}))
"""

_SPEAKS = f"""
import logging, sys, threading, warnings

class Careless:
    def __del__(self):
        raise RuntimeError("{CANARY} in a finalizer")

def thread():
    raise ValueError("{CANARY} in a thread")

held = "{CANARY} in a local variable"
warnings.warn("{CANARY} in a warning")
logging.getLogger("a.library").error("{CANARY} in a log")
logging.getLogger("a.library").error("%d", "{CANARY} in a faulty log")
one = threading.Thread(target=thread)
one.start()
one.join()
del_me = Careless()
del del_me
try:
    raise LookupError("{CANARY} behind it")
except LookupError:
    raise ExceptionGroup("{CANARY} group", [ValueError("{CANARY} last")])
"""


def a_process(code: str, tmp: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A process that begins as the program does and then runs ``code``."""
    settings = {**os.environ, "TMPDIR": str(tmp), **environment}
    return subprocess.run(
        [sys.executable, "-c", _BEGINS + code], env=settings, capture_output=True, text=True, check=False
    )


def test_a_process_keeps_to_itself(tmp_path: Path) -> None:
    """No core file, no look from outside, files for the owner only, and no secret in a child's environment."""
    secrets = dict.fromkeys(discretion.SECRET_VARIABLES, CANARY)
    told = json.loads(a_process(_TELLS, tmp_path, **secrets, HARMLESS="yes").stdout)
    assert (told["umask"], told["core"], told["dumpable"]) == (0o077, [0, 0], 0)
    assert told["children"]["HARMLESS"] == "yes"
    assert CANARY not in told["children"].values()
    assert Path(told["tmp"]).parent == tmp_path / f"tce-{os.getuid()}"
    assert stat.S_IMODE((tmp_path / f"tce-{os.getuid()}").stat().st_mode) == 0o700


_WATCHES = """
import sys
from tce import discretion
discretion.begin = lambda: print(sorted({"tce.cli", "pydantic", "typer", "sqlalchemy"} & sys.modules.keys()))
sys.argv = ["tce", "--version"]
"""
_SCRIPT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["tce"]


@pytest.mark.parametrize(
    "start",
    [
        "import runpy; runpy.run_module('tce', run_name='__main__')",
        f"from {_SCRIPT.replace(':', ' import ')}; main()",
    ],
    ids=["python -m tce", "tce"],
)
def test_a_process_is_discreet_before_it_loads_the_rest(start: str) -> None:
    """Both ways to start the program begin while nothing is loaded that takes long."""
    ended = subprocess.run(
        [sys.executable, "-c", _WATCHES + start], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == ["[]", f"tce {__version__}"]


def test_every_variable_with_a_secret_is_known() -> None:
    """A new variable of the logins is a secret unless this test says that it is none."""
    named = {value for name, value in vars(logins).items() if name.endswith("_VARIABLE")}
    harmless = {logins.ADDRESS_VARIABLE, logins.CA_VARIABLE, logins.NAMESPACE_VARIABLE}
    assert named - harmless <= discretion.SECRET_VARIABLES


def test_last_words_hold_no_value(tmp_path: Path) -> None:
    """What Python prints by itself of errors in threads, finalizers and at the end says where and which kind."""
    ended = a_process(_SPEAKS, tmp_path)
    assert ended.returncode == 1
    assert CANARY not in ended.stdout + ended.stderr
    for kind in ("ValueError", "RuntimeError", "ExceptionGroup"):
        assert f"({kind})" in ended.stderr
    assert "thread" in ended.stderr


_LEAVES = """
import os, signal, tempfile
from pathlib import Path
Path(tempfile.mkdtemp(), "instance").write_text("what was in work")
print(tempfile.gettempdir(), flush=True)
"""


def test_what_a_killed_process_left_goes_at_the_next_start(tmp_path: Path) -> None:
    """A temporary file does not outlive its process by more than the next start; that of a living one stays."""
    living = subprocess.Popen(
        [sys.executable, "-c", _BEGINS + _LEAVES + "import time; time.sleep(600)"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert living.stdout is not None
    mine = Path(living.stdout.readline().strip())
    try:
        killed = a_process(_LEAVES + "os.kill(os.getpid(), signal.SIGKILL)", tmp_path)
        left = Path(killed.stdout.strip())
        assert killed.returncode == -signal.SIGKILL
        assert len(list(left.rglob("instance"))) == 1
        a_process("", tmp_path)
        assert not left.exists()
        assert len(list(mine.rglob("instance"))) == 1
    finally:
        living.kill()
        living.communicate()
    a_process("", tmp_path)
    assert list((tmp_path / f"tce-{os.getuid()}").iterdir()) == []


@pytest.mark.parametrize("how", ["link", "open", "file"])
def test_a_place_that_others_prepared_is_refused(tmp_path: Path, how: str) -> None:
    """Whoever can write to the system's temporary folder cannot choose where our files go, nor read them."""
    place = tmp_path / f"tce-{os.getuid()}"
    if how == "link":
        (tmp_path / "elsewhere").mkdir()
        place.symlink_to(tmp_path / "elsewhere")
    elif how == "open":
        place.mkdir()
        place.chmod(0o777)
    else:
        place.write_text("")
    ended = subprocess.run(
        [sys.executable, "-m", "tce", "--version"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "is not a folder of this user alone" in ended.stderr
