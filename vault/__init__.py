"""Everything that can lead back to a person: keys, pseudonyms, the mapping, custody and approvals.

Keys never leave the server (HashiCorp Vault or OpenBao): this package derives, seals, signs and opens through
it. It knows neither DICOM files nor policies, and imports none of ``tce``, ``policies`` and ``media``.
"""
