"""What happened, for the auditor: DICOM audit messages, kept in a trail that shows edits, removals and cuts.

``messages`` builds the XML of PS3.15 A.5, ``trail`` keeps it, ``journal`` says which message an event of the
application becomes. Nothing here holds an original identifier.
"""
