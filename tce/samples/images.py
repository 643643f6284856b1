"""The CT and the MR series: pixels, geometry and vendor elements of pydicom's CT_small and MR_small.

One file of the wheel becomes a whole series: slices are stacked along the normal at the file's own spacing,
share one frame of reference, and differ in their pixels. Attributes of the image modules stay as the scanner
wrote them; everything that names a person or a place is set by :mod:`tce.samples.headers`.
"""

from __future__ import annotations

import copy

import numpy as np
import pydicom
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import UID

from tce.samples.headers import (
    code,
    reference,
    set_equipment,
    set_file_meta,
    set_patient,
    set_performed_step,
    set_series,
    set_study,
    set_vendor_blocks,
    uid,
)
from tce.samples.people import Encounter

CT_IMAGE = UID("1.2.840.10008.5.1.4.1.1.2")
MR_IMAGE = UID("1.2.840.10008.5.1.4.1.1.4")


def ct_series(encounter: Encounter, slices: int) -> list[Dataset]:
    """A helical series of ``slices`` axial CT images, 5 mm apart."""
    template = _template("CT_small.dcm")
    return [_ct_slice(encounter, template, index, slices) for index in range(slices)]


def mr_series(encounter: Encounter, slices: int) -> list[Dataset]:
    """A spin-echo series of ``slices`` axial MR images, 5 mm apart."""
    template = _template("MR_small.dcm")
    return [_mr_slice(encounter, template, index) for index in range(slices)]


def _template(name: str) -> Dataset:
    path = get_testdata_file(name, download=False)
    if not isinstance(path, str):
        raise FileNotFoundError(f"pydicom's wheel no longer carries {name}")
    template = pydicom.dcmread(path)
    # Empty Laterality is legal only when unknown, and both body parts are unpaired.
    del template.Laterality
    return template


def _ct_slice(encounter: Encounter, template: Dataset, index: int, slices: int) -> Dataset:
    ds = _identified(encounter, template, CT_IMAGE, f"ct {index}")
    set_series(ds, encounter, modality="CT", series="ct", number=2, description="Thorax 5.0 standard")
    set_performed_step(ds, encounter)
    _place(ds, encounter, index, spacing=-5.0, minutes=index // 6)
    if index:
        previous = reference(CT_IMAGE, uid(encounter.key, f"ct {index - 1}"))
        previous.PurposeOfReferenceCodeSequence = [code("121311", "DCM", "Localizer")]
        ds.ReferencedImageSequence = [previous]
    ds.BodyPartExamined = "CHEST"
    ds.ProtocolName = "Thorax routine adult"
    ds.AnatomicRegionSequence = [code("51185008", "SCT", "Chest")]
    ds.ImageComments = f"{encounter.patient.spoken_name}, breath hold {index + 1} of {slices}"
    ds.ImagesInAcquisition = str(slices)
    ds.ContrastBolusStartTime = encounter.visit.time
    ds.ContrastBolusVolume = "80"
    ds.ExposureModulationType = "NONE"
    ds.IrradiationEventUID = uid(encounter.key, "irradiation")
    ds.CTDIvol = 7.25
    ds.CTDIPhantomTypeCodeSequence = [code("113691", "DCM", "IEC Body Dosimetry Phantom")]
    ds.WindowCenter, ds.WindowWidth = ["40", "-600"], ["400", "1500"]
    ds.WindowCenterWidthExplanation = ["MEDIASTINUM", "LUNG"]
    ds.AcquisitionDateTime = f"{encounter.visit.date}{ds.AcquisitionTime}.250000+0200"
    _blend(ds, index)
    return ds


def _mr_slice(encounter: Encounter, template: Dataset, index: int) -> Dataset:
    ds = _identified(encounter, template, MR_IMAGE, f"mr {index}")
    set_series(ds, encounter, modality="MR", series="mr", number=3, description="t2 se axial")
    set_performed_step(ds, encounter)
    _place(ds, encounter, index, spacing=5.0, minutes=0)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    ds.SliceThickness, ds.SpacingBetweenSlices = "4.0", "5.0"
    ds.MRAcquisitionType, ds.EchoTrainLength = "2D", "1"
    ds.MagneticFieldStrength = "1.5"
    ds.ReceiveCoilName, ds.TransmitCoilName = "HEAD 8CH", "BODY"
    ds.BodyPartExamined = "HEAD"
    ds.ProtocolName = "Head dementia"
    ds.AnatomicRegionSequence = [code("69536005", "SCT", "Head")]
    ds.ImageComments = f"{encounter.patient.spoken_name} moved during the scan" if index == 4 else ""
    ds.AcquisitionDateTime = f"{encounter.visit.date}{ds.AcquisitionTime}.000000+0200"
    _blend(ds, index)
    return ds


def _identified(encounter: Encounter, template: Dataset, sop_class: UID, instance: str) -> Dataset:
    ds = copy.deepcopy(template)
    ds.SOPClassUID = sop_class
    ds.SOPInstanceUID = uid(encounter.key, instance)
    set_patient(ds, encounter.patient, encounter.visit)
    set_study(ds, encounter)
    set_equipment(ds, encounter)
    set_vendor_blocks(ds, encounter)
    set_file_meta(ds, encounter)
    return ds


def _place(ds: Dataset, encounter: Encounter, index: int, *, spacing: float, minutes: int) -> None:
    """Put the slice ``index`` steps along the normal of the template's plane, and in time."""
    x, y, z = (float(value) for value in ds.ImagePositionPatient)
    ds.ImagePositionPatient = [f"{x:.4f}", f"{y:.4f}", f"{z + spacing * index:.4f}"]
    ds.SliceLocation = f"{z + spacing * index:.4f}"
    ds.FrameOfReferenceUID = uid(encounter.key, "frame of reference")
    ds.PositionReferenceIndicator = "SN" if ds.Modality == "CT" else ""
    ds.InstanceNumber = str(index + 1)
    ds.AcquisitionNumber = "1"
    start = (
        int(encounter.visit.time[:2]) * 3600
        + int(encounter.visit.time[2:4]) * 60
        + int(encounter.visit.time[4:])
    )
    seconds = start + 120 + 60 * minutes + 2 * index
    time = f"{seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}"
    ds.AcquisitionDate = ds.ContentDate = encounter.visit.date
    ds.AcquisitionTime = ds.ContentTime = time


def _blend(ds: Dataset, index: int) -> None:
    """Make the slices differ: the image moves by some columns and its contrast by some steps."""
    pixels = np.frombuffer(ds.PixelData, dtype="<i2").reshape(ds.Rows, ds.Columns)
    moved = np.roll(pixels, shift=(index, 2 * index), axis=(0, 1)) + np.int16(index)
    ds.PixelData = moved.astype("<i2").tobytes()
    if "SmallestImagePixelValue" in ds:
        ds.SmallestImagePixelValue, ds.LargestImagePixelValue = int(moved.min()), int(moved.max())
