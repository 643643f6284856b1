"""Portable media: File-sets, DICOMDIR, the PDI layout, reading and checking them (PS3.10, PS3.11, IHE PDI).

``media`` changes nothing in an instance and knows nothing of keys or policies; it imports none of ``tce``,
``vault`` and ``policies``.
"""
