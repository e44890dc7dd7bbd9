"""Mammograms and pairs of studies whose shapes and places are known in millimetres.

A breast is a bright half disc of `RADIUS_MM` whose straight side is the chest wall, at the edge of
the picture where Patient Orientation says that posterior is. Detectors have different pixels and
sizes, and some pictures are stored mirrored or upside down, as they come from different vendors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation

from tests.browser.phantoms import stack
from tests.dicom import make_instance

BREASTS = "1.2.826.0.1.3680043.10.1338.4730"
EARLIER_BREASTS = "1.2.826.0.1.3680043.10.1338.4731"
CHEST = "1.2.826.0.1.3680043.10.1338.4732"
EARLIER_CHEST = "1.2.826.0.1.3680043.10.1338.4733"
LINKED_CHEST = "1.2.826.0.1.3680043.10.1338.4734"
PATIENT, LINKED_PATIENT = "CHEST1", "CHEST9"
RADIUS_MM = 50.0
# The mark is a small bright square on the lateral side (CC) or towards the head (MLO).
_MARK_MM = 8.0

# side, view, millimetres a pixel, rows, columns, mirrored, upside down
_PICTURES = (
    ("L", "MLO", 0.5, 400, 260, True, False),
    ("R", "CC", 0.5, 400, 260, False, False),
    ("L", "CC", 1.0, 160, 110, False, True),
    ("R", "MLO", 0.25, 800, 600, False, False),
)


def breast(side: str, pixel_mm: float, rows: int, columns: int) -> NDArray[np.uint16]:
    """A half disc on the chest wall, which is right for the right breast, and the mark above it."""
    row, column = np.mgrid[:rows, :columns] * pixel_mm
    height, width = rows * pixel_mm, columns * pixel_mm
    from_wall = width - column if side == "R" else column
    values = np.where(np.hypot(row - height / 2, from_wall) < RADIUS_MM, 3000, 100)
    values[(row < _MARK_MM) & (from_wall < _MARK_MM)] = 4000
    return values.astype(np.uint16)


def _mammogram(study: str, number: int, day: str, picture: tuple[Any, ...]) -> Dataset:
    side, view, pixel_mm, rows, columns, is_mirrored, is_upside_down = picture
    pixels = breast(side, pixel_mm, rows, columns)
    across = "P" if side == "R" else "A"
    # Lateral, or the head, is above as the picture was made.
    down = ("L" if side == "R" else "R") if view == "CC" else "F"
    if is_mirrored:
        pixels, across = pixels[:, ::-1], {"P": "A", "A": "P"}[across]
    if is_upside_down:
        pixels, down = pixels[::-1], {"L": "R", "R": "L", "F": "H"}[down]
    return make_instance(
        np.ascontiguousarray(pixels),
        SOPClassUID=DigitalMammographyXRayImageStorageForPresentation,
        StudyInstanceUID=study,
        SeriesInstanceUID=f"{study}.1",
        SOPInstanceUID=f"{study}.1.{number}",
        StudyDate=day,
        Modality="MG",
        StudyDescription="Mammography both sides",
        BodyPartExamined="BREAST",
        SeriesDescription="Screening",
        InstanceNumber=number,
        ImageLaterality=side,
        ViewPosition=view,
        PatientOrientation=[across, down],
        ImagerPixelSpacing=[pixel_mm, pixel_mm],
        BitsStored=12,
        HighBit=11,
        WindowCenter=2048,
        WindowWidth=4096,
        PatientName="Brust^Berta",
        PatientID="BREAST1",
        PatientBirthDate="19600315",
    )


def _chest(study: str, day: str, table_mm: float, patient_id: str) -> list[Dataset]:
    """Slices of 5 mm from the table's place on; the value says how high in the chest a slice is."""
    return stack(
        study, 1, [(-64.0, -48.0, table_mm + 5.0 * n) for n in range(21)],
        values=lambda place: (place[..., 2] - table_mm) * 10,
        SeriesDescription="Lung 5 mm", StudyDate=day, StudyDescription="CT Thorax",
        BodyPartExamined="CHEST", PatientName="Brust^Karl", PatientID=patient_id,
        PatientBirthDate="19700203",
    )  # fmt: skip


def studies() -> list[Dataset]:
    """The instances of all of them."""
    made = [
        _mammogram(study, number, day, picture)
        for study, day in ((BREASTS, "20260105"), (EARLIER_BREASTS, "20231220"))
        for number, picture in enumerate(_PICTURES, start=1)
    ]
    # Another table position, and another frame of reference.
    earlier = _chest(EARLIER_CHEST, "20240101", 1000.0, PATIENT)
    for instance in earlier:
        instance.FrameOfReferenceUID = f"{EARLIER_CHEST}.9"
    # Somebody has linked this Patient ID with the other one.
    linked = _chest(LINKED_CHEST, "20200101", 300.0, LINKED_PATIENT)
    for instance in linked:
        instance.FrameOfReferenceUID = f"{LINKED_CHEST}.9"
    return [*made, *_chest(CHEST, "20260601", -50.0, PATIENT), *earlier, *linked]


# Run by the administrator: two Patient IDs are one person.
LINK = f"""
from accounts.models import User
from archive import access, patients
from worklist.models import Patient

boss = access.actor_of(User.objects.get(username="boss"))
one, other = (Patient.objects.get(patient_id=name) for name in ("{PATIENT}", "{LINKED_PATIENT}"))
patients.link(boss, other.pk, one.pk, "The same person")
"""
