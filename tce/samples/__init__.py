"""Two identified studies of two patients who do not exist, with the header richness of real ones.

They are what ``tce demo`` and the journeys work on. Pixels and vendor blocks come from the files inside
pydicom's wheel; every name, number and date is invented here. Nothing is random and nothing is fetched: the
same call writes the same bytes. Not a generator of test cases: one asset for each way of being wrong belongs
beside its test.
"""

from __future__ import annotations

from tce.samples.studies import Sample, ct_study, mr_study, write_samples, write_two_studies

__all__ = ["Sample", "ct_study", "mr_study", "write_samples", "write_two_studies"]
