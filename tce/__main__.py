"""``python -m tce``: the same command line as ``tce``."""

from __future__ import annotations

from tce.entry import main

if __name__ == "__main__":
    main()
