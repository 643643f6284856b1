"""How fast stages 1 and 2 are beside ``cp -r`` and beside others' de-identifiers, in one run: ``make bench``."""
