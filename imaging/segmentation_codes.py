"""What can be drawn as a segment: a short list of the standard's codes.

References
----------
DICOM PS3.16 CID 7150, 7159, 7196.
"""

from typing import NamedTuple


class Coded(NamedTuple):
    """A code and what it means."""

    value: str
    scheme: str
    meaning: str


class Property(NamedTuple):
    """What a segment is of."""

    category: Coded
    type: Coded


_TISSUE = Coded("85756007", "SCT", "Tissue")
_ANATOMY = Coded("91723000", "SCT", "Anatomical Structure")
_ABNORMAL = Coded("49755003", "SCT", "Morphologically Abnormal Structure")

_TYPES = (
    (_ABNORMAL, "52988006", "Lesion"),
    (_ABNORMAL, "4147007", "Mass"),
    (_ABNORMAL, "27925004", "Nodule"),
    (_ABNORMAL, "108369006", "Neoplasm"),
    (_ABNORMAL, "367643001", "Cyst"),
    (_ABNORMAL, "79654002", "Edema"),
    (_ABNORMAL, "50960005", "Hemorrhage"),
    (_ABNORMAL, "6574001", "Necrosis"),
    (_ABNORMAL, "396339007", "Thrombus"),
    (_TISSUE, "85756007", "Tissue"),
    (_TISSUE, "256674009", "Fat"),
    (_TISSUE, "71616004", "Muscle"),
    (_ANATOMY, "15825003", "Aorta"),
    (_ANATOMY, "89837001", "Bladder"),
    (_ANATOMY, "59820001", "Blood Vessel"),
    (_ANATOMY, "272673000", "Bone"),
    (_ANATOMY, "12738006", "Brain"),
    (_ANATOMY, "76752008", "Breast"),
    (_ANATOMY, "80891009", "Heart"),
    (_ANATOMY, "64033007", "Kidney"),
    (_ANATOMY, "10200004", "Liver"),
    (_ANATOMY, "39607008", "Lung"),
    (_ANATOMY, "59441001", "Lymph Node"),
    (_ANATOMY, "15776009", "Pancreas"),
    (_ANATOMY, "41216001", "Prostate"),
    (_ANATOMY, "78961009", "Spleen"),
    (_ANATOMY, "35039007", "Uterus"),
    (_ANATOMY, "51282000", "Vertebra"),
)

PROPERTIES: dict[str, Property] = {
    value: Property(category, Coded(value, "SCT", meaning)) for category, value, meaning in _TYPES
}
