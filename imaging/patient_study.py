"""Whose an object is: patient and study, taken over letter for letter from another of the study."""

import warnings
from copy import deepcopy

from pydicom.dataset import Dataset

# Patient, patient's study and study modules: what every object of a study repeats (PS3.3 C.7.1.1,
# C.7.2.1, C.7.2.2), and what says which reference frame and clock it means.
_COPIED = (
    "PatientName", "PatientID", "IssuerOfPatientID", "TypeOfPatientID",
    "IssuerOfPatientIDQualifiersSequence", "OtherPatientIDsSequence", "PatientBirthDate",
    "PatientBirthTime", "PatientSex", "PatientAge", "PatientSize", "PatientWeight",
    "PatientSpeciesDescription", "ResponsiblePerson", "ResponsibleOrganization",
    "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "StudyDescription",
    "AccessionNumber", "IssuerOfAccessionNumberSequence", "ReferringPhysicianName",
    "TimezoneOffsetFromUTC",
)  # fmt: skip
EMPTY_IF_ABSENT = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
    "StudyID", "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip


def copy_patient_study(made: Dataset, header: Dataset) -> None:
    """Give an object the patient and study of `header`; its texts become UTF-8.

    References
    ----------
    DICOM PS3.3 C.7.1.1, C.7.2.1, C.7.2.2; C.12.1.1.2 for the character set.
    """
    # What other objects of the study say is decoded by its own character set.
    source = Dataset()
    for keyword in (*_COPIED, "SpecificCharacterSet"):
        if keyword in header:
            source[keyword] = deepcopy(header[keyword])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source.decode()
        for keyword in _COPIED:
            if keyword not in source:
                made.pop(keyword, None)
                if keyword in EMPTY_IF_ABSENT:
                    setattr(made, keyword, "")
                continue
            element = source[keyword]
            if element.VR == "PN":
                setattr(made, keyword, str(element.value or ""))
            else:
                made[keyword] = element
        made.SpecificCharacterSet = "ISO_IR 192"
