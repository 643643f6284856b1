"""The signature test: unique values planted in every channel of an instance, carried down the road, looked for in
every byte.

    families ──▶ instances of every SOP Class ──channels: plant──▶ stage 1 ──▶ stage 2 ──▶ search ──▶ table

``make canaries`` runs all of it, ``test_canaries`` a bounded part. What must be gone, and after which stage, is
decided in :mod:`policies.selftest.expectations` from the tables of PS3.15, not from the engine's rules.
"""
