"""Write measurements as DICOM objects: structured report, presentation state, key objects.

highdicom knows the templates and modules. It also refuses lawful files for their patient's sex or
an absent date; so it is given the identity that it needs, and patient and study are copied from
the measured images as they stand there, letter for letter.
"""

import io
import warnings
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from highdicom.color import CIELabColor
from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from highdicom.pr import (
    ColorSoftcopyPresentationState,
    GraphicAnnotation,
    GraphicLayer,
    GraphicObject,
    GrayscaleSoftcopyPresentationState,
    TextObject,
)
from highdicom.sr import (
    CodedConcept,
    ComprehensiveSR,
    CoordinatesForMeasurement,
    ImageRegion,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    PersonObserverIdentifyingAttributes,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    SourceImageForRegion,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID

from imaging.errors import UnsupportedError
from imaging.icc import profile_of
from imaging.measured import BOXES, CORNER, Drawn, Value, outline, words
from imaging.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from imaging.patient_study import EMPTY_IF_ABSENT, copy_patient_study

MANUFACTURER = "NoctisPro"
MODEL = "NoctisPro PACS"
_SCHEME = "99NOCTIS"

# What highdicom reads of an image that it refers to.
_OF_IMAGES = (
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "Rows", "Columns", "NumberOfFrames",
    "SamplesPerPixel", "PhotometricInterpretation", "RescaleSlope", "RescaleIntercept",
    "RescaleType", "ModalityLUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction",
    "VOILUTSequence", "PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio", "Modality",
)  # fmt: skip

# highdicom refuses to refer to classes it does not know, retired and private ones among them: it is
# told of these (secondary capture, of one frame and of many), and `finished` writes the real ones.
_STAND_INS = ("1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.7.4")

_REFERENCES = frozenset(
    {
        "ReferencedSOPSequence", "ReferencedImageSequence", "ReferencedInstanceSequence",
        "SourceImageSequence",
    }
)  # fmt: skip

_UNITS = {
    "mm": ("mm", "millimeter"),
    "mm2": ("mm2", "square millimeter"),
    "px": ("{pixels}", "pixels"),
    "px2": ("{pixels2}", "square pixels"),
    "deg": ("deg", "degree"),
    "HU": ("[hnsf'U]", "Hounsfield unit"),
    "GML": ("g/ml{SUVbw}", "Standardized Uptake Value body weight"),
    "SUV": ("g/ml{SUVbw}", "Standardized Uptake Value body weight"),
    "SUVbw": ("g/ml{SUVbw}", "Standardized Uptake Value body weight"),
    "SUVlbm(Janma)": ("g/ml{SUVlbm(Janma)}", "Standardized Uptake Value lean body mass (Janma)"),
    "SUVlbm(James128)": (
        "g/ml{SUVlbm(James128)}",
        "Standardized Uptake Value lean body mass (James 128 multiplier)",
    ),
    "SUVbsa": ("cm2/ml{SUVbsa}", "Standardized Uptake Value body surface area"),
    "SUVibw": ("g/ml{SUVibw}", "Standardized Uptake Value ideal body weight"),
    "": ("1", "no units"),
}
_NAMES = {
    "Length": codes.SCT.Length,
    "Angle": CodedConcept("1483009", "SCT", "Angle"),
    "Area": codes.SCT.Area,
    "Long axis": codes.SCT.LongAxis,
    "Short axis": codes.SCT.ShortAxis,
}
_DERIVATIONS = {
    "Mean": codes.SCT.Mean,
    "SD": codes.SCT.StandardDeviation,
    "Min": codes.SCT.Minimum,
    "Max": codes.SCT.Maximum,
    "Peak": CodedConcept("126031", "DCM", "Peak Value Within ROI"),
}


@dataclass(frozen=True, slots=True)
class Frame:
    """Identity of an object that is written, and who made it.

    Attributes
    ----------
    author : for people, as `Rita Reader`; becomes a person name
    at : when, in the site's zone
    """

    sop_instance_uid: str
    series_instance_uid: str
    series_number: int
    instance_number: int
    series_description: str
    author: str
    at: datetime
    institution: str = ""


def write_report(
    drawings: Sequence[Drawn],
    images: Mapping[str, Dataset],
    frame: Frame,
    *,
    previous: Sequence[Dataset] = (),
) -> bytes:
    """Write an imaging measurement report.

    Parameters
    ----------
    drawings : at least one
    images : headers of the measured images by SOP Instance UID
    previous : headers of the reports that this one takes the place of

    Returns
    -------
    A Part 10 file of the Comprehensive SR class.

    References
    ----------
    DICOM PS3.16 TID 1500, 1410, 1501, 300; PS3.3 A.35.3.
    """
    evidence = _evidence(drawings, images)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = MeasurementReport(
            observation_context=ObservationContext(observer_person_context=_observer(frame)),
            procedure_reported=CodedConcept("363679005", "SCT", "Imaging procedure"),
            imaging_measurements=[_group(drawn, evidence) for drawn in drawings],
            title=codes.DCM.ImagingMeasurementReport,
        )
        report = ComprehensiveSR(
            evidence=list(evidence.values()),
            content=content[0],
            manufacturer=MANUFACTURER,
            is_complete=True,
            previous_versions=[stand_in(one) for one in previous] or None,
            **identity(frame),
        )
    return finished(report, _first(drawings, images), frame, [*images.values(), *previous])


def write_states(
    drawings: Sequence[Drawn],
    images: Mapping[str, Dataset],
    frame: Frame,
) -> bytes:
    """Write what is drawn on the images of one series as a softcopy presentation state.

    Parameters
    ----------
    drawings : on images of one series alone
    images : their headers by SOP Instance UID

    References
    ----------
    DICOM PS3.3 A.33.1, A.33.2, C.10.5.
    """
    evidence = _evidence(drawings, images)
    first = next(iter(evidence.values()))
    is_colour = int(first.get("SamplesPerPixel") or 1) == 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layer = GraphicLayer(
            layer_name="MEASUREMENTS",
            order=1,
            description="Measurements",
            display_color=CIELabColor(87.0, -2.0, 67.0),
        )
        maker = ColorSoftcopyPresentationState if is_colour else GrayscaleSoftcopyPresentationState
        more: dict[str, Any] = {"icc_profile": _srgb()} if is_colour else {}
        state = maker(
            referenced_images=list(evidence.values()),
            manufacturer=MANUFACTURER,
            manufacturer_model_name=MODEL,
            software_versions=IMPLEMENTATION_VERSION_NAME,
            device_serial_number="1",
            content_label="MEASUREMENTS",
            content_description="Measurements drawn in the viewer",
            content_creator_name=person(frame.author),
            graphic_layers=[layer],
            graphic_annotations=[_annotation(drawn, evidence, layer) for drawn in drawings],
            **identity(frame),
            **more,
        )
        state.PresentationCreationDate = frame.at.strftime("%Y%m%d")
        state.PresentationCreationTime = frame.at.strftime("%H%M%S")
        # Type 2C, for paired body parts; what is drawn on says its side itself.
        state.Laterality = ""
    return finished(state, _first(drawings, images), frame, images.values())


def write_key_objects(
    keys: Sequence[tuple[str, int | None]],
    images: Mapping[str, Dataset],
    frame: Frame,
    description: str = "",
) -> bytes:
    """Write a key object selection.

    Parameters
    ----------
    keys : SOP Instance UID and frame number (None: all of the image), at least one
    images : headers of the images by SOP Instance UID

    References
    ----------
    DICOM PS3.3 A.35.4; PS3.16 TID 2010.
    """
    order = list(dict.fromkeys(uid for uid, _ in keys))
    evidence = {uid: stand_in(images[uid]) for uid in order}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = KeyObjectSelection(
            document_title=codes.DCM.OfInterest,
            referenced_objects=[evidence[uid] for uid in order],
            observer_person_context=_observer(frame),
            description=description or None,
        )
        document = KeyObjectSelectionDocument(
            evidence=list(evidence.values()),
            content=content,
            manufacturer=MANUFACTURER,
            **identity(frame),
        )
        for item in document.ContentSequence:
            if item.ValueType != "IMAGE":
                continue
            reference = item.ReferencedSOPSequence[0]
            numbers = [n for uid, n in keys if uid == reference.ReferencedSOPInstanceUID and n]
            if numbers:
                reference.ReferencedFrameNumber = numbers if len(numbers) > 1 else numbers[0]
    return finished(document, images[order[0]], frame, images.values())


def _srgb() -> bytes:
    """Return sRGB as the profile of an input device, which presentation states take alone.

    References
    ----------
    DICOM PS3.3 C.11.15.1.1; ICC.1:2010 7.2 (device class at 12, profile ID at 84).
    """
    profile = profile_of("srgb")
    return profile[:12] + b"scnr" + profile[16:84] + bytes(16) + profile[100:]


def identity(frame: Frame) -> dict[str, Any]:
    """Return what highdicom is told of an object's identity."""
    return {
        "series_instance_uid": frame.series_instance_uid,
        "series_number": frame.series_number,
        "sop_instance_uid": frame.sop_instance_uid,
        "instance_number": frame.instance_number,
        "series_description": frame.series_description[:64],
        "institution_name": frame.institution[:64] or None,
        "specific_character_set": "ISO_IR 192",
    }


def _evidence(drawings: Sequence[Drawn], images: Mapping[str, Dataset]) -> dict[str, Dataset]:
    if not drawings:
        raise UnsupportedError("There is nothing drawn on this study yet. Measure something first.")
    order = dict.fromkeys(drawn.sop_instance_uid for drawn in drawings)
    return {uid: stand_in(images[uid]) for uid in order}


def _first(drawings: Sequence[Drawn], images: Mapping[str, Dataset]) -> Dataset:
    return images[drawings[0].sop_instance_uid]


def stand_in(header: Dataset) -> Dataset:
    """Return what highdicom wants to know of an image, with an identity that it takes."""
    image = Dataset()
    for keyword in _OF_IMAGES:
        if keyword in header:
            image[keyword] = copy(header[keyword])
    image.SOPClassUID = _STAND_INS[int(header.get("NumberOfFrames") or 1) > 1]
    image.StudyInstanceUID = header.StudyInstanceUID
    for keyword in EMPTY_IF_ABSENT:
        setattr(image, keyword, None)
    return image


def _name_classes(made: Dataset, classes: Mapping[str, str]) -> None:
    """Write the real SOP class at every reference."""
    for element in made.iterall():
        if element.keyword in _REFERENCES:
            for item in element.value:
                uid = item.get("ReferencedSOPInstanceUID")
                if uid in classes:
                    item.ReferencedSOPClassUID = classes[uid]


def person(author: str) -> str:
    """Return a person name of at most 64 letters; `=`, `^` and backslashes would part it."""
    return author.translate({ord(letter): " " for letter in "=^\\"})[:64].strip() or "Unknown"


def _observer(frame: Frame) -> ObserverContext:
    return ObserverContext(
        observer_type=codes.DCM.Person,
        observer_identifying_attributes=PersonObserverIdentifyingAttributes(
            name=person(frame.author)
        ),
    )


def _graphic(drawn: Drawn) -> tuple[str, np.ndarray]:
    kind, points = outline(drawn)
    return kind, np.array(points, np.float32) + CORNER


def _group(drawn: Drawn, evidence: Mapping[str, Dataset]) -> Any:  # noqa: ANN401 - one of two templates
    """Return one measurement: a region with its values, or values with their line."""
    image = evidence[drawn.sop_instance_uid]
    frames = [drawn.frame_number] if drawn.frame_number else None
    tracking = TrackingIdentifier(
        uid=drawn.tracking_uid, identifier=drawn.label or drawn.kind.capitalize()
    )
    kind, data = _graphic(drawn)
    source = (image.SOPClassUID, image.SOPInstanceUID, frames)
    is_region = drawn.kind in BOXES or not drawn.values
    if is_region:
        group: Any = PlanarROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=tracking,
            referenced_region=ImageRegion(kind, data, SourceImageForRegion(*source)),
            measurements=[_measurement(value) for value in drawn.values] or None,
        )
    else:
        place = CoordinatesForMeasurement(kind, data, SourceImageForRegion(*source))
        group = MeasurementsAndQualitativeEvaluations(
            tracking_identifier=tracking,
            measurements=[_measurement(value, [place]) for value in drawn.values],
            source_images=[SourceImageForMeasurementGroup(*source)],
        )
    for name, text in (
        (codes.DCM.Comment, drawn.label),
        (CodedConcept("unit-source", _SCHEME, "Source of the unit"), drawn.unit_source),
    ):
        if text:
            group[0].ContentSequence.append(
                TextContentItem(name, text, RelationshipTypeValues.CONTAINS)
            )
    return group


def _measurement(
    value: Value, places: Sequence[CoordinatesForMeasurement] | None = None
) -> Measurement:
    code, meaning = _UNITS.get(value.unit, (f"{{{value.unit}}}", value.unit))
    name = _NAMES.get(value.name)
    derivation = None
    if name is None:
        derivation = _DERIVATIONS.get(value.name)
        name = (
            codes.DCM.AttenuationCoefficient
            if value.unit == "HU"
            else CodedConcept("pixel-value", _SCHEME, "Pixel value")
        )
    return Measurement(
        name=name,
        value=value.number,
        unit=CodedConcept(code, "UCUM", meaning),
        derivation=derivation,
        referenced_coordinates=places,
    )


def _annotation(
    drawn: Drawn, evidence: Mapping[str, Dataset], layer: GraphicLayer
) -> GraphicAnnotation:
    kind, data = _graphic(drawn)
    text = " ".join(filter(None, (drawn.label, *map(words, drawn.values[:1]))))
    image = evidence[drawn.sop_instance_uid]
    # Words stand below the drawing's last point, and inside the picture.
    column = min(max(float(data[-1][0]), 1.0), float(image.Columns))
    row = min(max(float(data[-1][1]), 1.0), float(image.Rows))
    texts = []
    if text:
        texts = [TextObject(text, "PIXEL", anchor_point=(column, row), anchor_point_visible=False)]
    return GraphicAnnotation(
        referenced_images=[image],
        graphic_layer=layer,
        referenced_frame_number=drawn.frame_number,
        graphic_objects=[GraphicObject(kind, data, "PIXEL", tracking_id=None, tracking_uid=None)],
        text_objects=texts or None,
    )


def finished(made: Dataset, header: Dataset, frame: Frame, known: Iterable[Dataset]) -> bytes:
    """Give an object the patient and study of `header`, and write it."""
    _name_classes(made, {one.SOPInstanceUID: one.SOPClassUID for one in known})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        copy_patient_study(made, header)
        made.ManufacturerModelName = MODEL
        made.SoftwareVersions = IMPLEMENTATION_VERSION_NAME
        made.SeriesDescription = frame.series_description[:64]
        made.SeriesDate = made.InstanceCreationDate = frame.at.strftime("%Y%m%d")
        made.SeriesTime = made.InstanceCreationTime = frame.at.strftime("%H%M%S")
        for keyword in ("ContentDate", "ContentTime"):
            if keyword in made:
                setattr(made, keyword, made[keyword.replace("Content", "Series")].value)
        if "ObservationDateTime" in made:
            made.ObservationDateTime = frame.at.strftime("%Y%m%d%H%M%S")
        made.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
        made.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
        out = io.BytesIO()
        made.save_as(out, enforce_file_format=True)
    return out.getvalue()
