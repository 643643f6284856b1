"""The modules that all instances of a study share: patient, study, equipment, order and performed step.

Each function sets one module's attributes (PS3.3 annex C) on a data set and knows nothing of pixels or
content trees. Vendor blocks that repeat a person's name are set here too, because real archives and
information systems write them into every instance.
"""

from __future__ import annotations

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from tce.samples.people import Encounter, Patient, Visit

ROOT = "1.2.826.0.1.3680043.8.498."
IMPLEMENTATION = UID("1.2.826.0.1.3680043.8.498.1")


def uid(*parts: str) -> UID:
    """A UID that is the same at every call with the same parts."""
    return generate_uid(prefix=ROOT, entropy_srcs=["tce samples", *parts])


def study_uid(encounter: Encounter) -> UID:
    return uid(encounter.key, "study")


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """One item of a code sequence (macro of PS3.3 section 8.8)."""
    item = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = scheme
    item.CodeMeaning = meaning
    return item


def reference(sop_class: str, instance: str) -> Dataset:
    """One item of a sequence that references a SOP instance."""
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class
    item.ReferencedSOPInstanceUID = instance
    return item


def reference_to(instance: Dataset) -> Dataset:
    """One item that references ``instance``."""
    return reference(instance.SOPClassUID, instance.SOPInstanceUID)


def new_document(encounter: Encounter, sop_class: UID, instance: str) -> Dataset:
    """A document of the study without its own content: patient, study, equipment and identity."""
    ds = Dataset()
    ds.SOPClassUID = sop_class
    ds.SOPInstanceUID = uid(encounter.key, instance)
    set_patient(ds, encounter.patient, encounter.visit)
    set_study(ds, encounter)
    set_equipment(ds, encounter)
    return ds


def set_file_meta(ds: Dataset, encounter: Encounter) -> None:
    """File meta information as this modality's export would write it, titles and all."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION
    meta.ImplementationVersionName = "SUEDHANG_EXP_4"
    meta.SourceApplicationEntityTitle = encounter.visit.station
    meta.PrivateInformationCreatorUID = uid("exporter")
    meta.PrivateInformation = (
        f"job {encounter.visit.accession} of {encounter.patient.patient_id}".encode().ljust(48)
    )
    ds.file_meta = meta
    ds.preamble = f"EXPORT {encounter.visit.station} {encounter.visit.accession}".encode().ljust(128, b"\0")


def set_patient(ds: Dataset, patient: Patient, visit: Visit) -> None:
    """Patient, Patient Study and Patient Demographic attributes, with every further identifier."""
    ds.SpecificCharacterSet = patient.character_set
    ds.PatientName = patient.name
    ds.PatientID = patient.patient_id
    ds.IssuerOfPatientID = patient.issuer
    ds.IssuerOfPatientIDQualifiersSequence = [_qualifiers(patient.issuer_oid)]
    ds.TypeOfPatientID = "TEXT"
    ds.PatientBirthDate = patient.birth_date
    ds.PatientBirthTime = patient.birth_time
    ds.PatientSex = patient.sex
    ds.OtherPatientNames = patient.former_name
    ds.OtherPatientIDsSequence = [_other_id(patient.other_id, patient.other_issuer)]
    ds.OtherPatientIDsSequence.append(_other_id(patient.insurance, "INSURANCE"))
    ds.PatientBirthName = patient.birth_name
    ds.PatientMotherBirthName = patient.mothers_birth_name
    ds.PatientAge = patient.age
    ds.PatientSize = patient.size
    ds.PatientWeight = patient.weight
    ds.PatientAddress = patient.address
    ds.CountryOfResidence = patient.country
    ds.RegionOfResidence = patient.region
    ds.PatientTelephoneNumbers = list(patient.phones)
    ds.PatientTelecomInformation = patient.email
    ds.InsurancePlanIdentification = patient.insurance
    ds.EthnicGroup = patient.ethnic_group
    ds.Occupation = patient.occupation
    ds.PatientReligiousPreference = patient.religion
    ds.SmokingStatus = "NO"
    ds.MedicalAlerts = "Iodine 2019"
    ds.Allergies = "Penicillin"
    ds.PatientComments = f"Call {patient.spoken_name} at {patient.phones[1]} before the appointment"
    ds.AdditionalPatientHistory = visit.history
    ds.AdmissionID = visit.admission
    ds.ServiceEpisodeID = f"E-{visit.admission[-5:]}"
    ds.CurrentPatientLocation = "Station 4B, bed 2"


def set_study(ds: Dataset, encounter: Encounter) -> None:
    """General Study: order numbers, people and procedure."""
    visit = encounter.visit
    ds.StudyInstanceUID = study_uid(encounter)
    ds.StudyDate = visit.date
    ds.StudyTime = visit.time
    ds.StudyID = visit.study_id
    ds.AccessionNumber = visit.accession
    ds.IssuerOfAccessionNumberSequence = [_entity(visit.accession_issuer)]
    ds.StudyDescription = visit.study_description
    ds.ProcedureCodeSequence = [code(visit.procedure[0], "LN", visit.procedure[1])]
    ds.ReferringPhysicianName = visit.referring
    ds.ReferringPhysicianIdentificationSequence = [
        _person(visit, visit.referring, visit.referring_address, visit.referring_phone)
    ]
    ds.ConsultingPhysicianName = visit.requesting
    ds.PhysiciansOfRecord = visit.referring
    ds.NameOfPhysiciansReadingStudy = visit.reading
    ds.RequestingPhysician = visit.requesting
    ds.RequestingService = visit.department
    ds.ReferencedStudySequence = [reference("1.2.840.10008.3.1.2.3.1", study_uid(encounter))]
    ds.TimezoneOffsetFromUTC = "+0200"


def set_series(
    ds: Dataset, encounter: Encounter, *, modality: str, series: str, number: int, description: str
) -> None:
    """General Series, or the Series module of a document."""
    visit = encounter.visit
    ds.Modality = modality
    ds.SeriesInstanceUID = uid(encounter.key, "series", series)
    ds.SeriesNumber = str(number)
    ds.SeriesDate = visit.date
    ds.SeriesTime = visit.time
    ds.SeriesDescription = description
    ds.ReferencedPerformedProcedureStepSequence = [
        reference("1.2.840.10008.3.1.2.3.3", uid(encounter.key, "performed step"))
    ]


def set_performed_step(ds: Dataset, encounter: Encounter) -> None:
    """Who performed the step and which order asked for it: what General Series has and documents lack."""
    visit = encounter.visit
    ds.PerformingPhysicianName = visit.performing
    ds.OperatorsName = visit.operator
    ds.PerformedProcedureStepID = f"PPS{visit.study_id}"
    ds.PerformedProcedureStepStartDate = visit.date
    ds.PerformedProcedureStepStartTime = visit.time
    ds.PerformedProcedureStepDescription = visit.study_description
    ds.CommentsOnThePerformedProcedureStep = (
        f"Examined by {visit.operator.split('^')[0]}, patient cooperative"
    )
    ds.RequestAttributesSequence = [_request(encounter)]


def set_equipment(ds: Dataset, encounter: Encounter) -> None:
    """General Equipment and SOP Common: which machine, where, and what else touched the instance."""
    visit = encounter.visit
    ds.InstitutionName = visit.institution
    ds.InstitutionAddress = visit.institution_address
    ds.InstitutionalDepartmentName = visit.department
    ds.StationName = visit.station
    ds.DeviceSerialNumber = visit.device_serial
    ds.DeviceUID = uid("device", visit.device_serial)
    ds.DateOfLastCalibration = visit.date
    ds.TimeOfLastCalibration = "061500"
    router = Dataset()
    router.Manufacturer = "Waldkauz Systeme"
    router.InstitutionName = visit.institution
    router.StationName = "ROUTER01"
    router.DeviceSerialNumber = "WK-55120"
    router.ContributionDateTime = f"{visit.date}{visit.time}+0200"
    router.OperatorsName = visit.operator
    router.PurposeOfReferenceCodeSequence = [code("109103", "DCM", "Modifying Equipment")]
    ds.ContributingEquipmentSequence = [router]
    ds.InstanceCreatorUID = uid("creator", visit.station)
    ds.InstanceCreationDate = visit.date
    ds.InstanceCreationTime = visit.time


def set_vendor_blocks(ds: Dataset, encounter: Encounter) -> None:
    """Private blocks in which information systems and archives repeat who the patient is."""
    patient, visit = encounter.patient, encounter.visit
    ris = ds.private_block(0x0011, "SIEMENS RIS", create=True)
    ris.add_new(0x11, "LO", patient.patient_id)
    ris.add_new(0x30, "PN", patient.name)
    order = ds.private_block(0x0031, "SIEMENS RIS", create=True)
    order.add_new(0x45, "LO", visit.requesting)
    mitra = ds.private_block(0x0033, "MITRA OBJECT UTF8 ATTRIBUTES 1.0", create=True)
    mitra.add_new(0x02, "OB", _even(patient.name.encode()))
    mitra.add_new(0x06, "OB", _even(visit.referring.encode()))
    ident = ds.private_block(0x0009, "HMC - CT - ID", create=True)
    plain = patient.name.split("=")[0].replace("^", " ").encode("latin-1")
    ident.add_new(0x00, "UN", _even(b"NAME:" + plain + b";ID:" + patient.patient_id.encode()))
    archive = ds.private_block(0x0029, "WALDKAUZ ARCHIVE 2.1", create=True)
    entry = Dataset()
    entry.PatientID = patient.patient_id
    entry.AccessionNumber = visit.accession
    entry.ReferencedStudySequence = [reference("1.2.840.10008.3.1.2.3.1", study_uid(encounter))]
    archive.add_new(0x01, "SQ", [entry])
    archive.add_new(0x02, "LT", f"imported from worklist of {visit.institution} for {patient.spoken_name}")
    archive.add_new(0x03, "UN", _even(visit.accession.encode()))


def _even(value: bytes) -> bytes:
    return value + b"\0" * (len(value) % 2)


def _qualifiers(oid: str) -> Dataset:
    item = Dataset()
    item.UniversalEntityID = oid
    item.UniversalEntityIDType = "ISO"
    return item


def _entity(namespace: str) -> Dataset:
    item = Dataset()
    item.LocalNamespaceEntityID = namespace
    return item


def _other_id(value: str, issuer: str) -> Dataset:
    item = Dataset()
    item.PatientID = value
    item.IssuerOfPatientID = issuer
    item.TypeOfPatientID = "TEXT"
    return item


def _person(visit: Visit, name: str, address: str, phone: str) -> Dataset:
    item = Dataset()
    item.InstitutionName = visit.institution
    item.InstitutionAddress = address
    item.PersonIdentificationCodeSequence = [code("PHYS-" + phone[-4:], "99SUEDHANG", name.replace("^", " "))]
    item.PersonAddress = address
    item.PersonTelephoneNumbers = phone
    return item


def _request(encounter: Encounter) -> Dataset:
    visit = encounter.visit
    item = Dataset()
    item.AccessionNumber = visit.accession
    item.IssuerOfAccessionNumberSequence = [_entity(visit.accession_issuer)]
    item.StudyInstanceUID = study_uid(encounter)
    item.ReferencedStudySequence = [reference("1.2.840.10008.3.1.2.3.1", study_uid(encounter))]
    item.RequestedProcedureID = f"RP{visit.study_id}"
    item.RequestedProcedureDescription = visit.study_description
    item.RequestedProcedureCodeSequence = [code("RP1", "99SUEDHANG", visit.study_description)]
    item.ReasonForTheRequestedProcedure = visit.reason
    item.ScheduledProcedureStepID = f"SPS{visit.study_id}"
    item.ScheduledProcedureStepDescription = visit.study_description
    return item
