"""Tables of the DICOM standard as data (PS3.3, PS3.4, PS3.15, PS3.16), and the short code that reads them.

The facts are the CSV and JSON files beside this module, each with its edition in ``README.md``;
:mod:`~policies.standard.tables` reads what the standard prints, :mod:`~policies.standard.iods` the Types of
attributes in IODs, :mod:`~policies.standard.beyond` what the standard leaves to the implementer. No rule is
decided here: that is :mod:`policies.profile`.
"""
