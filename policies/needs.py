"""What an analysis needs of instances, as data: attributes by purpose, and the rule by which each purpose is judged.

Attributes count at every depth. Rules that ask for more than that each value is the same are in
:mod:`policies.analysis`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from pydicom.datadict import tag_for_keyword


class Need(StrEnum):
    """What is done with instances, in the order in which it is told."""

    PIXELS = "pixel values"
    GEOMETRY = "geometry"
    REGISTRATION = "registration"
    RADIOTHERAPY = "links of radiotherapy"
    REFERENCES = "links between instances"
    UPTAKE = "uptake (SUV)"
    INTERVALS = "intervals within an instance"
    ORDER = "order of studies"
    DISTANCES = "intervals between studies"
    DESCRIPTORS = "scanner and protocol descriptors"
    ACQUISITION = "acquisition parameters"
    CHARACTERISTICS = "characteristics of the patient"


RULES: Final = {
    Need.PIXELS: "pixel data, their layout, rescaling, windows and lookup tables are the same",
    Need.GEOMETRY: "position, orientation, spacing, size and body part are the same",
    Need.REGISTRATION: "transformations are the same, and two instances share a frame of reference if they did",
    Need.RADIOTHERAPY: "each reference of a plan, dose, structure set or record to a given instance leads to it still",
    Need.REFERENCES: "each reference of any other instance to a given instance leads to it still",
    Need.UPTAKE: "weight, dose and half-life are the same, and so are the seconds from injection to the scan",
    Need.INTERVALS: "all dates moved by one number of days, and times of day and durations are the same",
    Need.ORDER: "the studies of a patient are still one patient's, and follow each other as they did",
    Need.DISTANCES: "the days between two studies of a patient are the same",
    Need.DESCRIPTORS: "maker, model, software, protocol and descriptions are the same",
    Need.ACQUISITION: "what the device was set to is the same",
    Need.CHARACTERISTICS: "age, sex, size and weight are the same",
}
"""When a need is met."""

_KEYWORDS = {
    Need.PIXELS: """
        PixelData FloatPixelData DoubleFloatPixelData SamplesPerPixel PhotometricInterpretation Rows Columns
        BitsAllocated BitsStored HighBit PixelRepresentation NumberOfFrames PixelPaddingValue RescaleIntercept
        RescaleSlope RescaleType WindowCenter WindowWidth Units RealWorldValueIntercept RealWorldValueSlope
        LUTDescriptor LUTData RedPaletteColorLookupTableData GreenPaletteColorLookupTableData
        BluePaletteColorLookupTableData DoseGridScaling DoseUnits WaveformData ChannelSensitivity SegmentNumber
        SegmentationType""",
    Need.GEOMETRY: """
        ImagePositionPatient ImageOrientationPatient PixelSpacing ImagerPixelSpacing SliceThickness SpacingBetweenSlices
        SliceLocation PatientPosition PatientOrientation Laterality ImageLaterality BodyPartExamined ViewPosition
        GantryDetectorTilt TableHeight ReconstructionDiameter DistanceSourceToDetector DistanceSourceToPatient
        PositionerPrimaryAngle PositionerSecondaryAngle PhysicalDeltaX PhysicalDeltaY GridFrameOffsetVector ContourData
        ImagedVolumeWidth ImagedVolumeHeight XOffsetInSlideCoordinateSystem YOffsetInSlideCoordinateSystem
        TotalPixelMatrixColumns TotalPixelMatrixRows""",
    Need.REGISTRATION: """
        FrameOfReferenceTransformationMatrix FrameOfReferenceTransformationMatrixType GridDimensions GridResolution
        VectorGridData FiducialIdentifier""",
    Need.INTERVALS: """
        StudyDate SeriesDate AcquisitionDate ContentDate StudyTime SeriesTime AcquisitionTime ContentTime
        AcquisitionDateTime FrameReferenceDateTime FrameAcquisitionDateTime RadiopharmaceuticalStartTime
        RadiopharmaceuticalStartDateTime ContrastBolusStartTime ContrastBolusStopTime TriggerTime FrameReferenceTime
        FrameTime ActualFrameDuration FrameAcquisitionDuration TemporalPositionTimeOffset""",
    Need.DESCRIPTORS: """
        Manufacturer ManufacturerModelName SoftwareVersions DeviceSerialNumber StationName InstitutionName ProtocolName
        SeriesDescription StudyDescription SequenceName ConvolutionKernel ScanOptions ContrastBolusAgent
        AcquisitionProtocolName ImageComments RTPlanLabel StructureSetLabel ROIName SegmentLabel""",
    Need.ACQUISITION: """
        Modality KVP XRayTubeCurrent ExposureTime Exposure FilterType SpiralPitchFactor CTDIvol RepetitionTime EchoTime
        InversionTime FlipAngle EchoTrainLength MagneticFieldStrength NumberOfAverages PixelBandwidth
        DiffusionBValue DiffusionGradientOrientation MRAcquisitionType ScanningSequence SequenceVariant
        AttenuationCorrectionMethod ScatterCorrectionMethod ReconstructionMethod CorrectedImage DecayCorrection
        CollimatorType BodyPartThickness CompressionForce NominalBeamEnergy GantryAngle""",
    Need.CHARACTERISTICS: """
        PatientAge PatientSex PatientSize PatientWeight PatientBodyMassIndex EthnicGroup PregnancyStatus""",
}

NEEDED: Final = {
    tag: need
    for need, keywords in _KEYWORDS.items()
    for tag in map(tag_for_keyword, keywords.split())
    if tag is not None
}
"""What each attribute is needed for, by tag."""
