"""Disclosure control: how well patients hide among others by what a release tells of them.

Pure computing over tables of patients; no file, no key and no database. What a policy says of it is
:mod:`policies.disclosure.clause`.
"""
