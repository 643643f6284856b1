"""What is done to an attribute: the standard's tables, policies of both stages, the engine, verification.

``policies`` runs where no key exists: it says which identifiers it meets and takes pseudonyms for them
(:mod:`policies.pseudonyms`), and imports none of ``tce``, ``vault`` and ``media``.
"""
