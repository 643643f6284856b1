"""The three work sets of the measurements, made from the sample studies: many CT, very many small MR, few large.

They are identified instances with rich headers. Every instance has UIDs of its own, so that no de-identifier gets
away with remembering one.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from tce.samples.images import ct_series, mr_series
from tce.samples.people import HEAD_MR, THORAX_CT, Encounter
from tests.builders import an_encounter

_HEADER_ELEMENTS = 256
_FRAMES = 72
_EDGE = 512
_PER_SERIES = 100
_ADDED_LATER = {
    "ContributingEquipmentSequence",
    "ReferringPhysicianIdentificationSequence",
    "OtherPatientIDsSequence",
    "AdditionalPatientHistory",
    "PatientComments",
    "RequestAttributesSequence",
}


@dataclass(frozen=True, slots=True)
class WorkSet:
    """A folder of instances to work on."""

    name: str
    folder: Path
    instances: int
    octets: int


def make_work_sets(root: Path, *, ct: int, mr: int, large: int) -> list[WorkSet]:
    """Write the sets that have any instance below ``root``."""
    wanted = (
        ("CT", ct, ct_instances),
        ("small MR", mr, mr_instances),
        ("large multi-frame", large, large_instances),
    )
    return [
        _write(name, root / f"set-{place}", make(count))
        for place, (name, count, make) in enumerate(wanted)
        if count
    ]


def ct_instances(count: int) -> Iterator[Dataset]:
    """CT images of 512 x 512 cells of 16 bits with 256 elements in the header."""
    for patient, numbers in _series(count):
        template = _ct_template(an_encounter(THORAX_CT, patient=patient + 3))
        for number in numbers:
            yield _next(template, number)


def mr_instances(count: int) -> Iterator[Dataset]:
    """MR images of 64 x 64 cells."""
    for patient, numbers in _series(count):
        template = mr_series(an_encounter(HEAD_MR, patient=patient + 3), 1)[0]
        # A modality's own header: what information systems and archives add later would be a third of the file.
        for element in [*template]:
            if element.tag.is_private or element.keyword in _ADDED_LATER:
                del template[element.tag]
        for number in numbers:
            yield _next(template, number)


def large_instances(count: int) -> Iterator[Dataset]:
    """Enhanced CT images of 72 frames of 512 x 512 cells, with functional groups for each frame."""
    template = _ct_template(an_encounter(THORAX_CT, patient=3))
    template.SOPClassUID = template.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    template.NumberOfFrames = str(_FRAMES)
    template.PixelData = template.PixelData * _FRAMES
    template.SharedFunctionalGroupsSequence = [_shared_groups(template)]
    template.PerFrameFunctionalGroupsSequence = [_frame_groups(template, frame) for frame in range(_FRAMES)]
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceLocation"):
        delattr(template, keyword)
    for number in range(count):
        yield _next(template, number)


def _write(name: str, folder: Path, instances: Iterator[Dataset]) -> WorkSet:
    folder.mkdir(parents=True)
    count = octets = 0
    for count, ds in enumerate(instances, start=1):
        path = folder / f"{ds.PatientName.family_name}-{count:05d}.dcm"
        ds.save_as(path, enforce_file_format=True)
        octets += path.stat().st_size
    return WorkSet(name, folder, count, octets)


def _series(count: int) -> Iterator[tuple[int, range]]:
    for patient, first in enumerate(range(0, count, _PER_SERIES)):
        yield patient, range(first, min(first + _PER_SERIES, count))


def _ct_template(encounter: Encounter) -> Dataset:
    ds = ct_series(encounter, 1)[0]
    cells = np.frombuffer(ds.PixelData, dtype="<i2").reshape(ds.Rows, ds.Columns)
    times = _EDGE // ds.Rows
    ds.PixelData = np.kron(cells, np.ones((times, times), dtype="<i2")).astype("<i2").tobytes()
    ds.Rows = ds.Columns = _EDGE
    ds.PixelSpacing = [f"{float(value) / times:.6f}" for value in ds.PixelSpacing]
    # The scanner's own private elements are the ones to spare; blocks that name the patient stay.
    for group in (0x0043, 0x0027, 0x0021, 0x0019):
        for element in reversed([*ds.group_dataset(group)]):
            if len(ds) - 1 > _HEADER_ELEMENTS:
                del ds[element.tag]
    return ds


def _next(template: Dataset, number: int) -> Dataset:
    ds = copy.copy(template)
    ds.file_meta = copy.deepcopy(template.file_meta)
    ds.SOPInstanceUID = generate_uid(entropy_srcs=["bench", template.StudyInstanceUID, str(number)])
    ds.InstanceNumber = str(number + 1)
    return ds


def _group(**attributes: object) -> Dataset:
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def _shared_groups(ds: Dataset) -> Dataset:
    return _group(
        PixelMeasuresSequence=[_group(PixelSpacing=ds.PixelSpacing, SliceThickness=ds.SliceThickness)],
        PlaneOrientationSequence=[_group(ImageOrientationPatient=ds.ImageOrientationPatient)],
        ReferencedImageSequence=[],
    )


def _frame_groups(ds: Dataset, frame: int) -> Dataset:
    x, y, z = ds.ImagePositionPatient
    content = _group(
        FrameAcquisitionNumber=1,
        FrameReferenceDateTime=f"{ds.StudyDate}{ds.StudyTime}",
        FrameAcquisitionDateTime=f"{ds.StudyDate}{ds.StudyTime}",
        FrameComments=f"frame {frame + 1} of {ds.PatientName.family_name}",
        StackID="1",
        InStackPositionNumber=frame + 1,
    )
    position = _group(ImagePositionPatient=[x, y, f"{float(z) + 1.25 * frame:.4f}"])
    return _group(FrameContentSequence=[content], PlanePositionSequence=[position])
