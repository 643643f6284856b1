"""DICOM associations: the one importer of pynetdicom. Bytes in, bytes out; nothing here decodes a data set.

``storage_scp`` listens, ``storage_scu`` sends, ``contexts`` says which SOP Classes and transfer syntaxes, and
``quiet`` switches off pynetdicom's logging, which would write identifiers.
"""
