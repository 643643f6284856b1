"""Fuzzing of what reads instances: ``make fuzz`` runs it, ``docs/verification.md`` says how."""
