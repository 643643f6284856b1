"""What a policy is tried on: instances of every Storage SOP Class, with unmistakable values in each attribute.

Used by ``tce policy check --selftest`` (:mod:`tce.selftest`) and by the tests. It reads the tables of the standard and
none of the engine's rules: what must be gone is told by :mod:`policies.selftest.expectations`.
"""
