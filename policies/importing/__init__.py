"""Reads what other de-identifiers are told, and drafts a policy from it that is never looser than it.

    text ──dialects──▶ Original (rules in one form) ──drafting──▶ draft policy and report ──writing──▶ YAML

Each dialect has a module. What cannot be expressed here is removed, and the report says so.
"""
