"""What advice on a policy costs for 100,000 patients: ``python -m tests.bench.disclosure``.

The patients are drawn by a fixed seed, with seven quasi-identifiers as finely as DICOM writes them: the search begins
where nearly everybody is alone. CPU seconds of one process, reading left out.
"""

from __future__ import annotations

import time

import numpy as np

from policies.disclosure.advice import advise
from policies.disclosure.cohort import Limits
from policies.model import Policy

PATIENTS = 100_000
ASKED = ((5, 0.0), (5, 0.01), (11, 0.02))


def patients(count: int) -> dict[str, list[str]]:
    """Columns of drawn patients."""
    drawn = np.random.default_rng(7)
    ages = np.clip(drawn.normal(58, 17, count), 0, 99).astype(int)
    weights = np.clip(drawn.normal(76, 15, count), 35, 180).astype(int)
    sizes = np.clip(drawn.normal(1.7, 0.1, count), 1.2, 2.1)
    days = np.datetime64("2019-01-01") + drawn.integers(0, 1826, count)
    return {
        "PatientAge": [f"{age:03d}Y" for age in ages],
        "PatientSex": drawn.choice(["F", "M", "O"], count, p=[0.52, 0.478, 0.002]).tolist(),
        "PatientWeight": [str(weight) for weight in weights],
        "PatientSize": [f"{size:.2f}" for size in sizes],
        "EthnicGroup": [f"G{group}" for group in drawn.zipf(1.8, count) % 40],
        "RegionOfResidence": [f"R{region}" for region in drawn.zipf(1.5, count) % 200],
        "StudyDate": [str(day).replace("-", "") for day in days],
    }


def main() -> None:
    """Print a line for each question."""
    columns = patients(PATIENTS)
    policy = Policy.model_validate(
        {
            "name": "bench",
            "version": "1",
            "stage": "anonymize",
            "title": "Bench",
            "description": "Everything as it is.",
            "options": ["retain-patient-characteristics", "retain-longitudinal-full-dates"],
            "disclosure": {"quasi_identifiers": list(columns)},
        }
    )
    for k, share in ASKED:
        began = time.process_time()
        found = advise(policy, columns, Limits(k), share_left_out=share)
        spent = time.process_time() - began
        assert found is not None
        chosen = ", ".join(f"{one.attribute} {one.after}" for one in found.choices)
        print(
            f"k {k}, {share:.0%} may be left out: {spent:.1f} CPU seconds, {found.measured} points measured, "
            f"loss {found.loss:.3f}, {found.left_out} left out: {chosen}"
        )


if __name__ == "__main__":
    main()
