"""Portable media: File-sets, DICOMDIR, the PDI layout, reading and checking them (PS3.10, PS3.11, IHE PDI).

:func:`media.pdi.write_medium` writes one, :func:`media.reader.read_medium` reads any, and
:func:`media.checker.check_medium` proves one; :mod:`media.requirements` says what an instance must hold to go onto
one. ``media`` changes no value of an instance, only its encoding where the medium's profile asks for another, and
knows nothing of keys or policies; it imports none of ``tce``, ``vault`` and ``policies``.
"""
