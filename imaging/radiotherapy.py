"""Read structures and doses of radiotherapy: where outlines lie, and which dose is where."""

import math

import numpy as np
from pydicom.dataset import Dataset

from imaging import derived
from imaging.derived import Contour, Derived, Part, Plane, first, items, number, numbers, text
from imaging.errors import DecodeError, LimitError
from imaging.geometry import normal

MOST_POINTS = 4_000_000
_MOST_CONTOURS = 100_000
_UPRIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def read_structures(dataset: Dataset) -> Derived:
    """Read the structures of an RT Structure Set.

    Raises
    ------
    DecodeError, LimitError

    References
    ----------
    DICOM PS3.3 A.19, C.8.8.5, C.8.8.6, C.8.8.8.
    """
    return derived.read(dataset, _structures)


def read_dose(dataset: Dataset) -> Derived:
    """Read the grid of an RT Dose.

    Returns
    -------
    With a plane a frame, in the order of the file; its slope is Dose Grid Scaling.

    Raises
    ------
    DecodeError, LimitError

    References
    ----------
    DICOM PS3.3 A.18, C.8.8.3 (Grid Frame Offset Vector: C.8.8.3.2).
    """
    return derived.read(dataset, _dose)


def _structures(dataset: Dataset) -> Derived:
    observations = {
        int(number(item, "ReferencedROINumber") or 0): item
        for item in items(dataset, "RTROIObservationsSequence", derived.MOST_PARTS)
    }
    drawn: dict[int, Dataset] = {
        int(number(item, "ReferencedROINumber") or 0): item
        for item in items(dataset, "ROIContourSequence", derived.MOST_PARTS)
    }
    parts, contours, left = [], {}, MOST_POINTS
    frame_of_reference = ""
    for item in items(dataset, "StructureSetROISequence", derived.MOST_PARTS):
        roi = int(number(item, "ROINumber") or 0)
        frame_of_reference = frame_of_reference or text(item, "ReferencedFrameOfReferenceUID", 64)
        outlines = drawn.get(roi)
        rgb = numbers(outlines, "ROIDisplayColor", 3)
        observation = observations.get(roi)
        parts.append(
            Part(
                number=roi,
                name=text(item, "ROIName", 64) or f"Structure {roi}",
                category=text(observation, "RTROIInterpretedType", 16).replace("_", " ").lower(),
                type=derived.meaning(observation, "RTROIIdentificationCodeSequence"),
                algorithm=text(item, "ROIGenerationAlgorithm", 16).upper(),
                algorithm_name=text(item, "ROIGenerationDescription", 64),
                colour=derived.hex_colour(rgb) if rgb else "",
            )
        )
        found = _contours(outlines, left)
        left -= sum(len(contour.points_mm) for contour in found)
        contours[roi] = found
    return Derived(
        kind="structures",
        parts=tuple(parts),
        form="CONTOURS",
        label=text(dataset, "StructureSetLabel", 32) or text(dataset, "StructureSetName", 64),
        manufacturer=derived.maker(dataset),
        author=text(dataset, "ReviewerName", 128) or text(dataset, "OperatorsName", 128),
        at=derived.moment(dataset, "StructureSetDate", "StructureSetTime"),
        frame_of_reference_uid=frame_of_reference,
        contours=contours,
    )


def _contours(item: Dataset | None, left: int) -> tuple[Contour, ...]:
    found = []
    for outline in items(item, "ContourSequence", _MOST_CONTOURS):
        data = np.array(derived.as_floats(outline.get("ContourData")), np.float64)
        if len(data) % 3 or not np.isfinite(data).all() or (np.abs(data) > 1e6).any():
            raise DecodeError(
                "The points of a structure are damaged: they are not three numbers each. Have the "
                "structure set exported again."
            )
        left -= len(data) // 3
        if left < 0:
            raise LimitError(
                f"The structure set has more than {MOST_POINTS} points, too many to be shown. "
                "Download it."
            )
        if not len(data):
            continue
        source = first(outline, "ContourImageSequence")
        frame = number(source, "ReferencedFrameNumber")
        points = tuple((float(x), float(y), float(z)) for x, y, z in data.reshape(-1, 3))
        kind = text(outline, "ContourGeometricType", 16).upper()
        found.append(
            Contour(
                points,
                is_closed=kind.startswith("CLOSED") and len(points) >= 3,
                sop_instance_uid=text(source, "ReferencedSOPInstanceUID", 64),
                source_frame=int(frame) if frame is not None else None,
            )
        )
    return tuple(found)


def _dose(dataset: Dataset) -> Derived:
    count = int(number(dataset, "NumberOfFrames") or 1)
    position = derived.vector(numbers(dataset, "ImagePositionPatient", 3))
    orientation = derived.orientation_of(numbers(dataset, "ImageOrientationPatient", 6))
    spacing = derived.spacing_of(numbers(dataset, "PixelSpacing", 2))
    scaling = number(dataset, "DoseGridScaling")
    if position is None or spacing is None:
        raise DecodeError(
            "The dose does not say where its grid lies in the patient. Have it exported again."
        )
    if scaling is None or scaling <= 0:
        raise DecodeError(
            "The dose has no Dose Grid Scaling, so its values mean nothing. Have it exported again."
        )
    if count > derived.MOST_PLANES:
        raise LimitError(f"The dose has {count} planes, too many to be shown. Download it.")
    orientation = orientation or _UPRIGHT
    offsets = _offsets(dataset, count, position)
    along = normal(orientation)
    planes = tuple(
        Plane(
            frame_index=index,
            position=(
                position[0] + along[0] * offset,
                position[1] + along[1] * offset,
                position[2] + along[2] * offset,
            ),
            orientation=orientation,
            spacing=spacing,
            slope=scaling,
        )
        for index, offset in enumerate(offsets)
    )
    units = text(dataset, "DoseUnits", 16).upper()
    summation = text(dataset, "DoseSummationType", 16).replace("_", " ").lower()
    kind = text(dataset, "DoseType", 16).lower()
    notes = [] if units == "GY" else ["The dose is relative: it is not in Gy."]
    return Derived(
        kind="dose",
        parts=(Part(0, "Dose", category=kind, type=summation),),
        label=text(dataset, "DoseComment", 64),
        manufacturer=derived.maker(dataset),
        author=text(dataset, "OperatorsName", 128),
        at=derived.moment(dataset, "InstanceCreationDate", "InstanceCreationTime"),
        frame_of_reference_uid=text(dataset, "FrameOfReferenceUID", 64),
        unit="Gy" if units == "GY" else "relative",
        quantity="Dose",
        planes=planes,
        notes=tuple(notes),
    )


def _offsets(dataset: Dataset, count: int, position: derived.Vector) -> list[float]:
    """Return how far each plane lies from the first, along the normal."""
    if count == 1:
        return [0.0]
    offsets = derived.as_floats(dataset.get("GridFrameOffsetVector"))
    if len(offsets) != count or not all(math.isfinite(one) for one in offsets):
        raise DecodeError(
            "The dose does not say where each of its planes lies (Grid Frame Offset Vector). Have "
            "it exported again."
        )
    # Some planning systems give places in the patient; the first is then the position's own.
    if offsets[0] != 0 and abs(offsets[0] - position[2]) < 1e-2:
        return [offset - offsets[0] for offset in offsets]
    return offsets
