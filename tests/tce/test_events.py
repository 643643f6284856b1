"""The list of events: read as it is written, every fault told with its line, no patient ever named."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from tce import events
from tce.errors import EventsFault


def a_list(folder: Path, text: str | bytes) -> Path:
    path = folder / "given.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        "patient_id,date\nP-1,2024-03-01\nP-2,20240229\n",
        "\ufeffPatient_ID;Date\r\nP-1;2024-03-01\r\n\r\nP-2;2024-02-29\r\n",
        'patient_id,date\n"P-1", 2024-03-01\nP-2 ,2024-02-29',
    ],
)
def test_a_list_is_read_as_spreadsheets_write_it(tmp_path: Path, text: str) -> None:
    """Commas or semicolons, a byte order mark, blank lines, spaces: the events are the same."""
    found = events.read(a_list(tmp_path, text))
    assert found.dates == {"P-1": date(2024, 3, 1), "P-2": date(2024, 2, 29)}
    assert found.digest.startswith("sha256:")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ["line 1"]),
        ("SECRET,date\nP-1,2024-03-01\n", ["line 1"]),
        ("patient_id,date\n", ["line 2"]),
        (
            "patient_id,date\nSECRET,01.03.2024\nSECRET2,2024-02-30\nSECRET3,1812-01-01\n",
            ["line 2", "line 3", "line 4"],
        ),
        ("patient_id,date\nSECRET\nP-2,\n,2024-03-01\n", ["line 2", "line 3", "line 4"]),
        ("patient_id,date\nSECRET,2024-03-01\nP-2,2024-03-01\nSECRET,2024-03-02\n", ["line 4", "line 2"]),
        ('patient_id,date\n"SECRET,2024-03-01\n', ["not CSV"]),
        (b"patient_id,date\n\xff\xfe,2024-03-01\n", ["UTF-8"]),
    ],
)
def test_every_fault_is_told_without_a_patient(tmp_path: Path, text: str | bytes, told: list[str]) -> None:
    """A coordinator finds each line that is wrong; the message can be shown to anybody."""
    with pytest.raises(EventsFault) as fault:
        events.read(a_list(tmp_path, text))
    assert all(line in fault.value.what for line in told)
    assert "SECRET" not in f"{fault.value.what} {fault.value.next_step}"


def test_a_list_does_not_print_its_patients(tmp_path: Path) -> None:
    """Nobody reads patients and dates in a log."""
    found = events.read(a_list(tmp_path, "patient_id,date\nP-1,2024-03-01\n"))
    assert repr(found) == "EventList(1 patients)"


def test_a_case_keeps_its_list(tmp_path: Path) -> None:
    """The list is kept with the case, for its owner only; a faulty one does not replace a good one."""
    (tmp_path / "lung-1").mkdir()
    assert events.of_case(tmp_path, "lung-1") == {}
    events.save(tmp_path, "lung-1", a_list(tmp_path, "patient_id,date\nP-1,2024-03-01\n"))
    with pytest.raises(EventsFault):
        events.save(tmp_path, "lung-1", a_list(tmp_path, "patient_id,date\nP-1,soon\n"))
    assert events.of_case(tmp_path, "lung-1") == {"P-1": date(2024, 3, 1)}
    assert (tmp_path / "lung-1" / events.EVENTS_FILE).stat().st_mode & 0o077 == 0
