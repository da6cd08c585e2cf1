"""Attributes of the source that a Secondary Capture result carries over."""

from __future__ import annotations

from typing import Final

# fmt: off

PATIENT_AND_STUDY: Final = (
    "SpecificCharacterSet", "TimezoneOffsetFromUTC", "PatientName", "PatientID",
    "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence", "TypeOfPatientID",
    "PatientBirthDate", "PatientBirthTime", "PatientSex", "OtherPatientIDsSequence",
    "OtherPatientNames", "EthnicGroup", "PatientComments", "PatientSpeciesDescription",
    "PatientSpeciesCodeSequence", "PatientBreedDescription", "PatientBreedCodeSequence",
    "BreedRegistrationSequence", "ResponsiblePerson", "ResponsiblePersonRole",
    "ResponsibleOrganization", "QualityControlSubject", "PatientIdentityRemoved",
    "DeidentificationMethod", "DeidentificationMethodCodeSequence", "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolID", "ClinicalTrialProtocolName", "ClinicalTrialSiteID",
    "ClinicalTrialSiteName", "ClinicalTrialSubjectID", "ClinicalTrialSubjectReadingID",
    "ClinicalTrialTimePointID", "ClinicalTrialTimePointDescription", "StudyInstanceUID",
    "StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber",
    "IssuerOfAccessionNumberSequence", "StudyDescription", "PhysiciansOfRecord",
    "NameOfPhysiciansReadingStudy", "ProcedureCodeSequence",
    "ReasonForPerformedProcedureCodeSequence", "AdmittingDiagnosesDescription", "PatientAge",
    "PatientSize", "PatientWeight", "PatientSexNeutered", "Occupation",
    "AdditionalPatientHistory", "AdmissionID", "MedicalAlerts", "Allergies", "PregnancyStatus",
)
"""Patient, Clinical Trial and General Study, Patient Study (PS3.3 C.7.1, C.7.2)."""

SERIES_AND_EQUIPMENT: Final = (
    "Modality", "Laterality", "BodyPartExamined", "PatientPosition", "ProtocolName",
    "SeriesDate", "SeriesTime", "PerformingPhysicianName", "OperatorsName",
    "RequestAttributesSequence", "PerformedProcedureStepID", "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime", "PerformedProcedureStepDescription",
    "PerformedProtocolCodeSequence", "Manufacturer", "ManufacturerModelName", "InstitutionName",
    "InstitutionAddress", "StationName", "InstitutionalDepartmentName", "DeviceSerialNumber",
    "SoftwareVersions", "GantryID", "FrameOfReferenceUID", "PositionReferenceIndicator",
    "ClinicalTrialSeriesID", "ClinicalTrialCoordinatingCenterName",
)
"""General Series and Equipment, Frame of Reference (C.7.3, C.7.4, C.7.5)."""

IMAGE: Final = (
    "InstanceNumber", "AcquisitionNumber", "PatientOrientation", "ContentDate", "ContentTime",
    "AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime", "ImagesInAcquisition",
    "ImageComments", "ImageLaterality", "ViewPosition", "ViewCodeSequence",
    "AnatomicRegionSequence", "PrimaryAnatomicStructureSequence", "IrradiationEventUID",
    "BurnedInAnnotation", "RecognizableVisualFeatures", "QualityControlImage",
    "TemporalPositionIndex", "NumberOfTemporalPositions",
)
"""General Image and what names view and anatomy (C.7.6.1)."""

GEOMETRY: Final = (
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness",
    "SliceLocation", "SpacingBetweenSlices", "ImagerPixelSpacing",
    "PixelSpacingCalibrationType", "PixelSpacingCalibrationDescription",
    "EstimatedRadiographicMagnificationFactor", "PixelAspectRatio", "FieldOfViewOrigin",
    "FieldOfViewRotation", "FieldOfViewHorizontalFlip",
)
"""Image Plane and pixel spacing: what viewers stack and link by (C.7.6.2, 10.7)."""

ACQUISITION: Final = (
    "KVP", "ExposureTime", "XRayTubeCurrent", "Exposure", "ExposureInuAs", "ConvolutionKernel",
    "FilterType", "GantryDetectorTilt", "TableHeight", "ReconstructionDiameter",
    "DataCollectionDiameter", "ReconstructionTargetCenterPatient",
    "DataCollectionCenterPatient", "RotationDirection", "ScanOptions", "RevolutionTime",
    "SingleCollimationWidth", "TotalCollimationWidth", "TableSpeed", "TableFeedPerRotation",
    "SpiralPitchFactor", "ExposureModulationType", "CTDIvol", "EstimatedDoseSaving",
    "GeneratorPower", "FocalSpots", "DistanceSourceToDetector", "DistanceSourceToPatient",
    "PositionerPrimaryAngle", "PositionerSecondaryAngle", "CompressionForce",
    "BodyPartThickness", "Grid", "ExposureIndex", "TargetExposureIndex", "DeviationIndex",
    "RelativeXRayExposure", "ContrastBolusAgent", "ContrastBolusRoute", "ContrastBolusVolume",
)
"""How the source was acquired, which readers look at."""

SHUTTER: Final = (
    "ShutterShape", "ShutterLeftVerticalEdge", "ShutterRightVerticalEdge",
    "ShutterUpperHorizontalEdge", "ShutterLowerHorizontalEdge", "CenterOfCircularShutter",
    "RadiusOfCircularShutter", "VerticesOfThePolygonalShutter", "ShutterPresentationValue",
)
"""Display Shutter (C.7.6.11)."""

CINE: Final = (
    "FrameTime", "FrameTimeVector", "FrameDelay", "CineRate", "RecommendedDisplayFrameRate",
    "StartTrim", "StopTrim", "PreferredPlaybackSequencing", "EffectiveDuration",
    "FrameIncrementPointer",
)
"""Cine and Multi-frame (C.7.6.5, C.7.6.6)."""

TYPE_2: Final = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
    "ReferringPhysicianName", "StudyID", "AccessionNumber", "InstanceNumber",
    "PatientOrientation", "Manufacturer",
)
"""Type 2 text of the Secondary Capture IOD: there, though it may be empty."""

ANIMAL: Final = ("PatientSpeciesDescription", "PatientSpeciesCodeSequence")
"""What tells that the patient is an animal."""
# fmt: on
