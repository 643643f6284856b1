"""Where a process of the program begins, as ``tce`` and as ``python -m tce``: it is discreet before it loads the rest.

To load the command line takes a second and, on a machine that is busy, several. Until a process is discreet, every
other of the same user can read the secrets in its environment, so nothing that is not needed for it is imported above.
"""

from __future__ import annotations

import sys

from tce import discretion
from tce.errors import rule_of, to_person


def main() -> None:
    """Run the command line on this process's arguments and exit with its status."""
    try:
        discretion.begin()
    except Exception as exc:
        told = to_person(exc)
        print(f"tce: {told.what}", file=sys.stderr)
        if told.next_step:
            print(f"     {told.next_step}", file=sys.stderr)
        sys.exit(rule_of(exc).exit)
    from tce.cli import main as command_line  # not before

    command_line(sys.argv[1:])
