"""What queries may ask of an object beside what lists and viewers need: by level, as text.

Each table holds the attributes of one level of the Query/Retrieve information models that a stored
object can tell. Values are kept as they are written, so that an answer says what the object says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword

from imaging.elements import Node, Value
from imaging.values import Reader

PATIENT, STUDY, SERIES, IMAGE = "PATIENT", "STUDY", "SERIES", "IMAGE"

Attributes = dict[str, Any]

_CODE = ("CodeValue", "CodingSchemeDesignator", "CodingSchemeVersion", "CodeMeaning")
# Sequences, with what is kept of their items.
SEQUENCES: Mapping[str, tuple[str, ...]] = {
    "ProcedureCodeSequence": _CODE,
    "RequestAttributesSequence": (
        "RequestedProcedureID",
        "RequestedProcedureDescription",
        "ScheduledProcedureStepID",
        "ScheduledProcedureStepDescription",
    ),
    "ConceptNameCodeSequence": _CODE,
}

# Not here: what has a column of its own (`archive.dicom_query`).
OF_LEVEL: Mapping[str, tuple[str, ...]] = {
    PATIENT: (
        "PatientBirthTime",
        "OtherPatientIDs",
        "OtherPatientNames",
        "PatientBirthName",
        "PatientMotherBirthName",
        "PatientAddress",
        "PatientTelephoneNumbers",
        "EthnicGroup",
        "PatientComments",
        "PatientSpeciesDescription",
        "PatientBreedDescription",
        "ResponsiblePerson",
        "ResponsibleOrganization",
        "PatientIdentityRemoved",
        "ClinicalTrialSponsorName",
        "ClinicalTrialProtocolID",
        "ClinicalTrialSubjectID",
    ),
    STUDY: (
        "NameOfPhysiciansReadingStudy",
        "PhysiciansOfRecord",
        "ConsultingPhysicianName",
        "RequestingPhysician",
        "RequestingService",
        "AdmissionID",
        "AdmittingDiagnosesDescription",
        "ProcedureCodeSequence",
        "PatientSize",
        "PatientWeight",
        "Occupation",
        "SmokingStatus",
        "PregnancyStatus",
        "MedicalAlerts",
        "Allergies",
        "AdditionalPatientHistory",
        "CurrentPatientLocation",
        "ClinicalTrialTimePointID",
    ),
    SERIES: (
        "PerformingPhysicianName",
        "OperatorsName",
        "InstitutionAddress",
        "InstitutionalDepartmentName",
        "ManufacturerModelName",
        "DeviceSerialNumber",
        "SoftwareVersions",
        "PatientPosition",
        "PresentationIntentType",
        "PositionReferenceIndicator",
        "PerformedProcedureStepStartDate",
        "PerformedProcedureStepStartTime",
        "PerformedProcedureStepID",
        "PerformedProcedureStepDescription",
        "CommentsOnThePerformedProcedureStep",
        "RequestAttributesSequence",
        "ClinicalTrialSeriesID",
    ),
    IMAGE: (
        "ImageType",
        "AcquisitionNumber",
        "AcquisitionDate",
        "AcquisitionTime",
        "AcquisitionDateTime",
        "ContentDate",
        "ContentTime",
        "InstanceCreationDate",
        "InstanceCreationTime",
        "ImageComments",
        "DerivationDescription",
        "LossyImageCompression",
        "LossyImageCompressionRatio",
        "BurnedInAnnotation",
        "ContrastBolusAgent",
        "TemporalPositionIdentifier",
        "ContentLabel",
        "ContentDescription",
        "ContentCreatorName",
        "PresentationCreationDate",
        "PresentationCreationTime",
        "DocumentTitle",
        "CompletionFlag",
        "VerificationFlag",
        "ConceptNameCodeSequence",
        "ContainerIdentifier",
    ),
}


def _tag(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise LookupError(f"PS3.6 knows no {keyword}.")
    return tag


_KEPT = 1024
_SEQUENCE_TAGS = {
    _tag(keyword): tuple((_tag(inner), inner) for inner in inside)
    for keyword, inside in SEQUENCES.items()
}
_PLAN = {
    level: tuple((_tag(keyword), keyword, dictionary_VR(_tag(keyword))) for keyword in keywords)
    for level, keywords in OF_LEVEL.items()
}
WANTED: Mapping[int, int] = {
    **{tag: _KEPT for plan in _PLAN.values() for tag, _, _ in plan},
    **{tag: _KEPT for inside in _SEQUENCE_TAGS.values() for tag, _ in inside},
    **dict.fromkeys(_SEQUENCE_TAGS, 0),
}


class AttributeSource:
    """The attributes of an object, read when a level is asked for.

    Nearly every instance that comes is one more of a known series: its attributes of the levels
    above are never read.

    Parameters
    ----------
    root : the object's wanted elements, those of `WANTED` among them
    """

    __slots__ = ("_reader", "_root")

    def __init__(self, root: Node, reader: Reader) -> None:
        self._root = root
        self._reader = reader

    def of(self, *levels: str) -> Attributes:
        """Return what is said at some levels: text by keyword, items for sequences.

        Values of one attribute are parted by backslashes; what is absent or empty is left out.
        """
        found: Attributes = {}
        root = self._root
        for level in levels:
            for tag, keyword, vr in _PLAN[level]:
                element = root.get(tag)
                if element is not None:
                    value = self._value(root, tag, element, vr)
                    if value:
                        found[keyword] = value
        return found

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AttributeSource):
            return NotImplemented
        return self.of(*_PLAN) == other.of(*_PLAN)

    __hash__ = None  # type: ignore[assignment]

    def _value(self, node: Node, tag: int, element: Value | list[Node], vr: str) -> Any:  # noqa: ANN401 - JSON
        if not isinstance(element, Value):
            return [found for item in element if (found := self._item(item, tag))]
        if vr == "US":
            number = self._reader.integer(node, tag, b"US")
            return None if number is None else str(number)
        return self._reader.text(node, tag, is_name=vr == "PN")

    def _item(self, item: Node, tag: int) -> Attributes:
        return {
            keyword: text
            for inner, keyword in _SEQUENCE_TAGS[tag]
            if (text := self._reader.text(item, inner))
        }
