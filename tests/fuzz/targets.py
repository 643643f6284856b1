"""What is fuzzed: functions of bytes that return, or raise because of a bug.

Allowed are results and :class:`policies.errors.PolicyRoomError`. Anything else is a bug, and so is an instance that
was mended or written and is not conforming.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import policies.errors
from policies.engine import Engine
from policies.instances import Instance, mended, open_instance
from policies.loader import load_library
from policies.pieces import Facts
from policies.scan import scan
from policies.source import FileSource, MemorySource
from tests.policies.damage import DAMAGES
from tests.policies.keep_all import KeepAll, kept
from tests.policies.pseudonyms_for_tests import CountedPseudonyms

_POLICIES = ("pseudonymization", "basic", "longitudinal-trial")
_TRIAL = {"ClinicalTrialSponsorName": "Sponsor", "ClinicalTrialProtocolID": "P-1"}


def reader(content: bytes) -> None:
    """Open an instance, scan it without any rule, mend it; what was mended is conforming and comes back as it is."""
    try:
        instance = open_instance(MemorySource(content))
        if not instance.mended:
            _look_through(instance)
            instance = mended(instance)
    except policies.errors.PolicyRoomError:
        return
    assert kept(instance.data, 0, explicit=True) == instance.data.read(0, instance.data.size)


def _look_through(instance: Instance) -> None:
    """Scan what lies there; what conforms comes back as it is."""
    style = instance.style
    try:
        same = kept(instance.data, instance.offset, explicit=style.explicit)
    except policies.errors.Unconforming:
        return
    assert same == instance.data.read(instance.offset, instance.data.size)


def engine(content: bytes) -> None:
    """Read and write an instance under each shipped policy; what was written is conforming."""
    folder = _folder()
    path, out = folder / "in.dcm", folder / "out.dcm"
    path.write_bytes(content)
    for one in _engines():
        try:
            with one.read(path) as draft:
                one.write(draft, CountedPseudonyms().resolve([draft.subject]), out)
        except policies.errors.PolicyRoomError:
            continue
        descriptor = os.open(out, os.O_RDONLY)
        try:
            written = open_instance(FileSource(descriptor))
            assert not written.mended
            facts = Facts(explicit=written.style.explicit)
            scan(written.data, written.offset, KeepAll(explicit=facts.explicit), facts, [])
        finally:
            os.close(descriptor)
            out.unlink()


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))


@cache
def _engines() -> tuple[Engine, ...]:
    return tuple(Engine(load_library(name), trial=_TRIAL) for name in _POLICIES)


def seeds() -> list[bytes]:
    """Instances to begin with: one conforming one of each encoding, and each damage that is known."""
    return [damage.build() for damage in DAMAGES]


TARGETS: dict[str, Callable[[bytes], None]] = {"reader": reader, "engine": engine}
