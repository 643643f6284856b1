"""``python -m tests.fuzz [reader|engine] [options of libFuzzer]``: run until a bug is found or the time is over."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

_DEFAULTS = {"-max_total_time": "600", "-timeout": "20", "-rss_limit_mb": "2048", "-max_len": "65536"}

with atheris.instrument_imports(include=["policies"], enable_loader_override=False):
    from tests.fuzz.targets import TARGETS, seeds


def main(arguments: list[str]) -> None:
    """Fuzz one target, beginning with the instances that are known to be troublesome."""
    name, *options = arguments or ["engine"]
    if name not in TARGETS:
        sys.exit(f"choose one of: {', '.join(TARGETS)}")
    corpus = Path(tempfile.mkdtemp(prefix="fuzz-"))
    for number, seed in enumerate(seeds()):
        (corpus / f"seed-{number:03d}").write_bytes(seed)
    given = {option.split("=")[0] for option in options}
    defaults = [f"{key}={value}" for key, value in _DEFAULTS.items() if key not in given]
    atheris.Setup([sys.argv[0], *defaults, *options, str(corpus)], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
