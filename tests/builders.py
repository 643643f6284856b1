"""Studies for tests: ``a_ct_study(patient=2)`` says what is special, everything else is as in a real export.

Patients 1 and 2 are those of :mod:`tce.samples`; higher numbers are invented from the first one, and no two
share an identifier.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from tce.samples import Sample, ct_study, mr_study, write_samples
from tce.samples.people import HEAD_MR, THORAX_CT, Encounter


def an_encounter(base: Encounter, *, patient: int) -> Encounter:
    """``base`` as it would be for the numbered patient, no identifier shared with any other number."""
    if patient == 1:
        return replace(THORAX_CT, visit=base.visit) if base is HEAD_MR else base
    if patient == 2:
        return replace(HEAD_MR, visit=base.visit) if base is THORAX_CT else base
    letters = "".join(chr(ord("a") + int(digit)) for digit in str(patient))
    person = replace(
        base.patient,
        name=f"Testov{letters}^Persona",
        spoken_name=f"Persona Testov{letters}",
        former_name=f"Vorher{letters}^Persona",
        birth_name=f"Vorher{letters}^Persona",
        patient_id=f"TEST-{patient:06d}",
        other_id=f"OTHER-{patient:06d}",
        insurance=f"INS-{patient:06d}",
    )
    visit = replace(
        base.visit,
        accession=f"ACC-{patient:06d}",
        study_id=f"ST{patient:06d}",
        admission=f"ADM-{patient:06d}",
        reason=f"Referred for {person.spoken_name}",
        history=f"{person.spoken_name}, patient number {patient}",
    )
    return Encounter(key=f"{base.key}-{patient}", patient=person, visit=visit)


def a_ct_study(*, patient: int = 1, slices: int = 3) -> list[Sample]:
    """A CT study of the numbered patient: ``slices`` images, a report and a presentation state."""
    return ct_study(_keyed(an_encounter(THORAX_CT, patient=patient), "ct", patient), slices=slices)


def an_mr_study(*, patient: int = 2, slices: int = 3) -> list[Sample]:
    """An MR study of the numbered patient: ``slices`` images and a presentation state."""
    return mr_study(_keyed(an_encounter(HEAD_MR, patient=patient), "mr", patient), slices=slices)


def a_ct_image(*, patient: int = 1) -> Dataset:
    """One identified CT image."""
    return a_ct_study(patient=patient, slices=1)[0].instance


def an_enhanced_ct(*, frames: int, patient: int = 1) -> Dataset:
    """An enhanced CT image with a large header: 75 nested elements for each of its ``frames`` of 2 x 2 cells."""
    ds = a_ct_image(patient=patient)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    ds.NumberOfFrames = str(frames)
    ds.Rows = ds.Columns = 2
    ds.PixelData = b"\0\1" * 4 * frames
    ds.SharedFunctionalGroupsSequence = [
        an_item(ReferencedImageSequence=[], PatientOrientationInFrameSequence=[])
    ]
    ds.PerFrameFunctionalGroupsSequence = [_frame_groups(ds, frame) for frame in range(frames)]
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceLocation"):
        delattr(ds, keyword)
    return ds


def an_item(**attributes: object) -> Dataset:
    """A sequence item of these attributes."""
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def a_code(value: str, scheme: str, meaning: str) -> Dataset:
    """An item of a code sequence."""
    return an_item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def _frame_groups(ds: Dataset, frame: int) -> Dataset:
    uid = generate_uid(entropy_srcs=[ds.SOPInstanceUID, str(frame)])
    source = an_item(
        ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.2",
        ReferencedSOPInstanceUID=uid,
        PurposeOfReferenceCodeSequence=[
            a_code("121322", "DCM", "Source image for image processing operation")
        ],
    )
    units = a_code("[hnsf'U]", "UCUM", "Hounsfield unit")
    taken = f"{ds.StudyDate}{ds.StudyTime}"
    return an_item(
        DerivationImageSequence=[
            an_item(
                SourceImageSequence=[source],
                DerivationCodeSequence=[a_code("113072", "DCM", "Multiplanar reformatting")],
            )
        ],
        FrameContentSequence=[
            an_item(
                FrameAcquisitionNumber=1 + frame // 100,
                FrameReferenceDateTime=taken,
                FrameAcquisitionDateTime=f"{taken}.{frame:06d}",
                FrameAcquisitionDuration=12.5,
                FrameComments=f"frame {frame + 1} of {ds.PatientName.family_name}",
                StackID="1",
                InStackPositionNumber=frame + 1,
                DimensionIndexValues=[1, frame + 1],
            )
        ],
        PlanePositionSequence=[an_item(ImagePositionPatient=["-170.5", "-170.5", f"{1.25 * frame:.4f}"])],
        PlaneOrientationSequence=[an_item(ImageOrientationPatient=["1", "0", "0", "0", "1", "0"])],
        PixelMeasuresSequence=[an_item(PixelSpacing=["0.664062", "0.664062"], SliceThickness="1.25")],
        CTImageFrameTypeSequence=[
            an_item(
                FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"],
                PixelPresentation="MONOCHROME",
                VolumetricProperties="VOLUME",
                VolumeBasedCalculationTechnique="NONE",
            )
        ],
        CTExposureSequence=[
            an_item(
                ExposureTimeInms=500.0,
                XRayTubeCurrentInmA=210.0 + frame % 7,
                ExposureInmAs=105.0,
                ExposureModulationType="NONE",
                EstimatedDoseSaving=0.0,
                CTDIvol=8.25,
            )
        ],
        IrradiationEventIdentificationSequence=[an_item(IrradiationEventUID=ds.SeriesInstanceUID)],
        FrameVOILUTSequence=[
            an_item(
                WindowCenter=["40", "300"],
                WindowWidth=["400", "1500"],
                WindowCenterWidthExplanation=["ABDOMEN", "BONE"],
            )
        ],
        PixelValueTransformationSequence=[
            an_item(RescaleIntercept="-1024", RescaleSlope="1", RescaleType="HU")
        ],
        RealWorldValueMappingSequence=[
            an_item(
                RealWorldValueIntercept=-1024.0,
                RealWorldValueSlope=1.0,
                LUTExplanation="Hounsfield units",
                LUTLabel="HU",
                MeasurementUnitsCodeSequence=[units],
            )
        ],
    )


def written(samples: list[Sample], out: Path) -> list[Path]:
    """The files of ``samples``, written below ``out``."""
    return write_samples(samples, out)


def _keyed(encounter: Encounter, modality: str, patient: int) -> Encounter:
    return replace(encounter, key=f"{modality} of patient {patient}")
