"""What a SOP class is called, and what a reader can do with its instances."""

from typing import Literal

from pydicom._uid_dict import UID_dictionary

Kind = Literal["image", "document", "waveform", "other"]
# How the contents of an instance without pictures are read.
Reading = Literal["report", "pdf", "waveform"]

# Modalities of objects that describe images; a study's own modality is another one where there is
# one, and reading starts with another one.
COMPANION_MODALITIES = frozenset(
    {"SR", "PR", "KO", "SEG", "REG", "DOC", "RTSTRUCT", "RTPLAN", "RTDOSE", "AU"}
)

_STORAGE = "1.2.840.10008.5.1.4.1.1."
# The longest prefix decides. PS3.4 Annex B.5 numbers related classes alike.
_GROUPS: dict[str, tuple[Kind, str]] = {
    "88.": ("document", "structured report"),
    "88.59": ("other", "key object selection"),
    "104.1": ("document", "PDF document"),
    "104.2": ("document", "CDA document"),
    "104.3": ("document", "3D model (STL)"),
    "104.4": ("document", "3D model (OBJ)"),
    "104.5": ("document", "3D model material (MTL)"),
    "9.1.": ("waveform", "electrocardiogram"),
    "9.2.": ("waveform", "haemodynamic waveform"),
    "9.3.": ("waveform", "electrophysiology waveform"),
    "9.4.": ("waveform", "audio recording"),
    "9.": ("waveform", "waveform"),
    "11.": ("other", "presentation state"),
    "66": ("other", "raw data set"),
    "66.1": ("other", "registration"),
    "66.2": ("other", "set of fiducials"),
    "66.3": ("other", "registration"),
    "66.4": ("other", "segmentation"),
    "66.5": ("other", "surface segmentation"),
    "66.6": ("other", "tractography result"),
    "67": ("other", "value mapping"),
    "91.": ("other", "set of microscopy annotations"),
    "481.3": ("other", "radiotherapy structure set"),
    "481.": ("other", "radiotherapy plan or record"),
    "4.2": ("other", "MR spectroscopy"),
    "200.": ("other", "procedure protocol"),
}


def class_name(sop_class_uid: str) -> str:
    """Return the name of a SOP class as PS3.6 has it, or the UID itself if it is not known.

    References
    ----------
    DICOM PS3.6 Annex A.
    """
    entry = UID_dictionary.get(sop_class_uid)
    return entry[0] if entry else sop_class_uid


def kind_of(sop_class_uid: str, *, has_pixels: bool) -> Kind:
    """Return what a viewer does with an instance: whatever has pixels is an image."""
    if has_pixels:
        return "image"
    group = _group(sop_class_uid)
    return group[0] if group else "other"


def reads_as(sop_class_uid: str) -> Reading | None:
    """Return how an instance without pictures is shown; None: only its file can be had.

    References
    ----------
    DICOM PS3.4 Annex B.5; key object selections are content trees as reports are (PS3.3 C.17.6).
    """
    rest = sop_class_uid.removeprefix(_STORAGE)
    if rest == sop_class_uid:
        return None
    if rest.startswith("88."):
        return "report"
    if rest == "104.1":
        return "pdf"
    # Sound is heard, not drawn.
    if rest.startswith("9.") and not rest.startswith("9.4."):
        return "waveform"
    return None


def plain_name(sop_class_uid: str) -> str:
    """Return what an instance is in plain words, for a sentence: ``structured report``."""
    group = _group(sop_class_uid)
    if group:
        return group[1]
    entry = UID_dictionary.get(sop_class_uid)
    if entry is None:
        return "private object"
    return entry[0].removesuffix(" Storage")


def is_image_class(sop_class_uid: str) -> bool:
    """Say whether instances of a class should hold pixels, by the name that PS3.6 gives it."""
    return _group(sop_class_uid) is None and "Image Storage" in class_name(sop_class_uid)


def _group(sop_class_uid: str) -> tuple[Kind, str] | None:
    if not sop_class_uid.startswith(_STORAGE):
        return None
    rest = sop_class_uid.removeprefix(_STORAGE)
    fitting = [
        prefix
        for prefix in _GROUPS
        if rest == prefix or (prefix.endswith(".") and rest.startswith(prefix))
    ]
    return _GROUPS[max(fitting, key=len)] if fitting else None
