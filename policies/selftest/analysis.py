"""The attributes that an analysis needs, by what they are needed for: data.

Dates and times of day, descriptions, devices and characteristics of the patient are not here: Table E.1-1 takes
them under the Basic Profile, whoever needs them chooses an option. What is here has no row, so nothing allows a
de-identifier to change it.
"""

from __future__ import annotations

from typing import Final

from pydicom.datadict import tag_for_keyword

from policies.standard.tables import row_of

_GROUPS: dict[str, str] = {
    "pixel": """
        SamplesPerPixel PhotometricInterpretation PlanarConfiguration Rows Columns BitsAllocated BitsStored HighBit
        PixelRepresentation NumberOfFrames PixelData FloatPixelData DoubleFloatPixelData SmallestImagePixelValue
        LargestImagePixelValue PixelPaddingValue PixelPaddingRangeLimit RedPaletteColorLookupTableDescriptor
        GreenPaletteColorLookupTableDescriptor BluePaletteColorLookupTableDescriptor RedPaletteColorLookupTableData
        GreenPaletteColorLookupTableData BluePaletteColorLookupTableData ICCProfile ColorSpace LossyImageCompression
        LossyImageCompressionRatio LossyImageCompressionMethod ExtendedOffsetTable PixelAspectRatio ImageType
        PixelPresentation VolumetricProperties VolumeBasedCalculationTechnique WaveformData ChannelSourceSequence""",
    "geometry": """
        ImagePositionPatient ImageOrientationPatient PixelSpacing ImagerPixelSpacing NominalScannedPixelSpacing
        SliceThickness SpacingBetweenSlices SliceLocation PatientPosition PatientOrientation Laterality ImageLaterality
        BodyPartExamined ViewPosition PositionReferenceIndicator GantryDetectorTilt TableHeight TablePosition
        ReconstructionDiameter DistanceSourceToDetector DistanceSourceToPatient EstimatedRadiographicMagnificationFactor
        PositionerPrimaryAngle PositionerSecondaryAngle PixelSpacingCalibrationType DataCollectionDiameter
        ReconstructionTargetCenterPatient DataCollectionCenterPatient StackID InStackPositionNumber PlanePositionSlide
        TotalPixelMatrixColumns TotalPixelMatrixRows ColumnPositionInTotalImagePixelMatrix
        RowPositionInTotalImagePixelMatrix XOffsetInSlideCoordinateSystem YOffsetInSlideCoordinateSystem
        ZOffsetInSlideCoordinateSystem ImagedVolumeWidth ImagedVolumeHeight FrameAcquisitionNumber
        FrameOfReferenceTransformationMatrix FrameOfReferenceTransformationMatrixType GridDimensions GridResolution
        VectorGridData NumberOfSlices NumberOfSlicesProper DetectorElementSpacing FieldOfViewDimensions
        FieldOfViewOrigin FieldOfViewRotation""",
    "timing": """
        FrameTime FrameTimeVector FrameReferenceTime ActualFrameDuration FrameIncrementPointer CineRate
        RecommendedDisplayFrameRate TriggerTime NominalCardiacTriggerDelayTime TemporalPositionIdentifier
        NumberOfTemporalPositions TemporalResolution TemporalPositionIndex NominalPercentageOfCardiacPhase HeartRate
        LowRRValue HighRRValue IntervalsAcquired IntervalsRejected RadionuclideHalfLife RadionuclideTotalDose
        RadionuclidePositronFraction RadiopharmaceuticalVolume DecayFactor DecayCorrection PhaseDelay
        NumberOfTimeSlots NumberOfPhases NumberOfRRIntervals PhaseVector TimeSlotVector SliceVector
        FrameDelay SamplingFrequency MultiplexGroupTimeOffset NumberOfWaveformSamples NumberOfWaveformChannels
        ChannelSensitivity ChannelSensitivityCorrectionFactor ChannelBaseline ChannelTimeSkew WaveformBitsAllocated
        WaveformSampleInterpretation FilterLowFrequency FilterHighFrequency""",
    "acquisition": """
        Modality KVP XRayTubeCurrent ExposureTime Exposure ExposureInuAs ExposureTimeInuS FilterType ConvolutionKernel
        CTDIvol SpiralPitchFactor SingleCollimationWidth TotalCollimationWidth TableSpeed TableFeedPerRotation
        RevolutionTime ScanOptions DataCollectionDiameter FocalSpots GeneratorPower RotationDirection
        RepetitionTime EchoTime InversionTime FlipAngle EchoNumbers EchoTrainLength MagneticFieldStrength
        ImagingFrequency ImagedNucleus NumberOfAverages PixelBandwidth PercentSampling PercentPhaseFieldOfView
        NumberOfPhaseEncodingSteps InPlanePhaseEncodingDirection ScanningSequence SequenceVariant MRAcquisitionType
        SequenceName SAR dBdt VariableFlipAngleFlag AcquisitionMatrix EffectiveEchoTime DiffusionBValue
        DiffusionDirectionality DiffusionGradientOrientation AcquisitionNumber InstanceNumber SeriesNumber
        BodyPartThickness CompressionForce RelativeXRayExposure Grid AnodeTargetMaterial FilterMaterial
        EnergyWindowLowerLimit EnergyWindowUpperLimit NumberOfEnergyWindows NumberOfDetectors ScatterCorrectionMethod
        AttenuationCorrectionMethod ReconstructionMethod CollimatorType RandomsCorrectionMethod SeriesType
        CountsSource Units CorrectedImage AxialAcceptance AxialMash ReprojectionMethod ImageIndex
        ContrastBolusVolume ContrastFlowRate ContrastBolusTotalDose ContrastBolusIngredientConcentration
        ReceiveCoilType TransmitCoilType ParallelReductionFactorInPlane PartialFourier PulseSequenceName
        MTFProductOfFixedAndVariable ContentQualification ResonantNucleus KSpaceFiltering EchoPulseSequence""",
    "rescale": """
        RescaleIntercept RescaleSlope RescaleType WindowCenter WindowWidth VOILUTFunction PixelIntensityRelationship
        PixelIntensityRelationshipSign PresentationLUTShape LUTDescriptor LUTData ModalityLUTType DoseRateUnits
        RealWorldValueIntercept RealWorldValueSlope RealWorldValueFirstValueMapped RealWorldValueLastValueMapped
        DoubleFloatRealWorldValueFirstValueMapped DoubleFloatRealWorldValueLastValueMapped RealWorldValueLUTData
        SUVType FrameType""",
    "functional groups": """
        DimensionIndexValues DimensionIndexPointer FunctionalGroupPointer TemporalPositionTimeOffset FrameLaterality
        ComplexImageComponent AcquisitionContrast RespiratoryTriggerDelayTime""",
    "RT": """
        ROINumber ReferencedROINumber ContourData ContourGeometricType NumberOfContourPoints ROIDisplayColor
        ROIGenerationAlgorithm RTROIInterpretedType DoseUnits DoseType DoseSummationType DoseGridScaling
        GridFrameOffsetVector DVHType DVHData DVHDoseScaling DVHVolumeUnits DVHMinimumDose DVHMaximumDose DVHMeanDose
        BeamNumber BeamType RadiationType NumberOfBeams NumberOfFractionsPlanned BeamDose BeamMeterset
        ControlPointIndex CumulativeMetersetWeight NominalBeamEnergy GantryAngle GantryRotationDirection
        BeamLimitingDeviceAngle PatientSupportAngle IsocenterPosition LeafJawPositions RTBeamLimitingDeviceType
        NumberOfControlPoints FinalCumulativeMetersetWeight SourceAxisDistance TargetPrescriptionDose
        FractionGroupNumber RTImagePlane RTImagePosition ImagePlanePixelSpacing RTImageSID RadiationMachineSAD""",
    "segments": """
        SegmentNumber SegmentationType SegmentAlgorithmType MaximumFractionalValue SegmentationFractionalType
        ReferencedSegmentNumber RecommendedDisplayCIELabValue SurfaceCount PointCoordinatesData
        LongPrimitivePointIndexList
        SegmentsOverlap""",
    "measurements": """
        NumericValue FloatingPointValue GraphicData GraphicType ValueType RelationshipType ContinuityOfContent
        ReferencedFrameNumber MappingResource TemporalRangeType ReferencedSamplePositions CompletionFlag""",
    "coded meaning": """
        CodeValue CodingSchemeDesignator""",
}

NEEDED: Final = {
    tag: group
    for group, keywords in _GROUPS.items()
    for tag in map(tag_for_keyword, keywords.split())
    if tag is not None and row_of(tag) is None
}
"""Group by tag."""

ORDERED: Final = {
    tag: group
    for group, keywords in _GROUPS.items()
    for tag in map(tag_for_keyword, keywords.split())
    if tag is not None and row_of(tag) is not None
}
"""What would be needed as well, and has a row in Table E.1-1: its loss is the standard's, and is told apart."""

STANDARD_SCHEMES: Final = frozenset(
    [
        "ACR",
        "AIM",
        "DC",
        "DCM",
        "DCMUID",
        "FMA",
        "I10",
        "I10P",
        "I9",
        "I9C",
        "ICDO3",
        "IHERADTF",
        "ISO3166_1",
        "ISO639_1",
        "ISO_OID",
        "LN",
        "MA",
        "MDC",
        "MDNS",
        "MSH",
        "NCIt",
        "NCDR",
        "NDC",
        "NEU",
        "NICIP",
        "RADELEMENT",
        "RADLEX",
        "RCD",
        "RO",
        "RXNORM",
        "SCPECG",
        "SCT",
        "SNM",
        "SNM3",
        "SRT",
        "UCUM",
        "UMLS",
        "UNS",
        "UPC",
    ]
)
"""Coding schemes of PS3.16 chapter 8: their codes mean the same everywhere. What a site made up is its own."""
