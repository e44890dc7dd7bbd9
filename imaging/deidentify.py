"""De-identify data sets by the Basic Application Level Confidentiality Profile and its options.

The table of attributes is that of PS3.15 as dicom-anonymizer keeps it; what it does not name is
judged by its kind: names, free text, UIDs, dates and private elements do not pass because nobody
thought of them. What leaves is searched for what the original said of the person.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c as table
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

Dates = Literal["removed", "kept", "shifted"]

_OURS = "1.2.840.10008."
_PIXELS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_REMOVED, _EMPTY, _DUMMY, _NEW_UID = range(4)


def _actions() -> dict[int, int]:
    found: dict[int, int] = {}
    for tags, action in (
        (table.X_TAGS, _REMOVED),
        (table.Z_TAGS, _EMPTY),
        (table.X_Z_TAGS, _EMPTY),
        (table.D_TAGS, _DUMMY),
        (table.Z_D_TAGS, _DUMMY),
        (table.X_D_TAGS, _DUMMY),
        (table.X_Z_D_TAGS, _DUMMY),
        (table.U_TAGS, _NEW_UID),
        (table.X_Z_U_STAR_TAGS, _NEW_UID),
    ):
        found |= {tag[0] << 16 | tag[1]: action for tag in tags if len(tag) == 2}
    return found


_ACTIONS = _actions()
# Sequences that stay as empty ones; where the table leaves a choice they go.
_EMPTY_SEQUENCES = frozenset(tag[0] << 16 | tag[1] for tag in table.Z_TAGS)
# Columns of table E.1-1, those attributes that their option keeps as they are.
_PATIENT = frozenset(
    {
        0x00100040, 0x00101010, 0x00101020, 0x00101030, 0x00102160, 0x001021A0, 0x001021C0,
        0x00102203, 0x00102201, 0x00102202,
    }
)  # fmt: skip
_DEVICE = frozenset(
    {
        0x00081010, 0x00181000, 0x00181002, 0x00181005, 0x00181007, 0x00181008, 0x0018100A,
        0x00181200, 0x00181201, 0x00189074, 0x00181012, 0x0018700A, 0x00181004, 0x00181011,
    }
)  # fmt: skip
_DESCRIPTORS = frozenset({0x00081030, 0x0008103E, 0x00181030, 0x00321060, 0x00400254, 0x00181400})
# PS3.15 table E.3.10-1, those that hold numbers or one of a few codes: by creator and group.
_SAFE_PRIVATE: dict[tuple[str, int], frozenset[int]] = {
    ("SIEMENS MR HEADER", 0x0019): frozenset({0x0C, 0x0D, 0x0E, 0x27}),
    ("GEMS_ACQU_01", 0x0019): frozenset({0x23, 0x24, 0x27}),
    ("GEMS_PARM_01", 0x0043): frozenset({0x27, 0x6F}),
    ("GEMS_HELIOS_01", 0x0045): frozenset({0x01, 0x02}),
    ("Philips Imaging DD 001", 0x2001): frozenset({0x03, 0x04}),
    ("Philips MR Imaging DD 001", 0x2005): frozenset({0x0D, 0x0E}),
    ("Philips PET Private Group", 0x7053): frozenset({0x00, 0x09}),
}
_FREE_TEXT = frozenset({"LT", "ST", "UT", "UN", "UR"})
_TEXT = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "PN", "SH", "TM", "UC", "UI"})
_DUMMIES: dict[str, object] = {
    "DA": "19000101", "DT": "19000101000000", "TM": "000000", "PN": "REMOVED", "AS": "000Y",
    "DS": "0", "IS": "0", "US": 0, "UL": 0, "SS": 0, "SL": 0, "FL": 0.0, "FD": 0.0,
}  # fmt: skip
# How pixels are to be read is nobody's name, whatever somebody is called.
_NEVER_SCRUBBED = frozenset(
    {0x00080008, 0x00080060, 0x00080016, 0x00080005, 0x00280004, 0x00280301, 0x00281056}
)
_SHORTEST_WORD, _SHORTEST_UID = 3, 8
_OLDEST_YEARS = 89

# Retired and current classes whose pictures often have words in them.
_SECONDARY = "1.2.840.10008.5.1.4.1.1.7"
_MODALITIES_AT_RISK = frozenset(
    {"US", "ES", "XC", "OT", "SC", "GM", "SM", "DOC", "OP", "DG", "HC", "BDUS", "IVUS"}
)


@dataclass(frozen=True, slots=True)
class Options:
    """Options of the profile.

    Attributes
    ----------
    dates : Retain Longitudinal Temporal Information: not at all, in full, or moved by one offset
    patient : Retain Patient Characteristics
    device : Retain Device Identity
    uids : Retain UIDs
    descriptors : Clean Descriptors: kept, without words that name the person
    private : Retain Safe Private
    pixels : Clean Pixel Data

    References
    ----------
    DICOM PS3.15 section E.3.
    """

    dates: Dates = "removed"
    patient: bool = False
    device: bool = False
    uids: bool = False
    descriptors: bool = False
    private: bool = False
    pixels: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the person is called instead.

    Attributes
    ----------
    subject : for Patient's Name and Patient ID
    shift_days : by which dates are moved, where they are
    new_uid : gives the same new UID for the same old one
    """

    subject: str
    shift_days: int
    new_uid: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Secrets:
    """What must not be found in the result.

    Attributes
    ----------
    words : names, identifiers, accession numbers, in lower case
    uids : of the study and all that it refers to
    days : dates as ``YYYYMMDD``
    """

    words: frozenset[str]
    uids: frozenset[str]
    days: frozenset[str]


def burned_in_risk(header: Dataset) -> str:
    """Return why a picture may show whose it is, in words; empty: nothing says so.

    References
    ----------
    DICOM PS3.3 C.7.6.1.1.7 (Burned In Annotation); PS3.15 E.3.1.
    """
    for group in range(0x6000, 0x6020, 2):
        if (group, 0x0102) in header and header[group, 0x0102].value:
            # PS3.3 C.9.2.1.1.1 (retired): the plane lies in bits that nobody else uses.
            return "drawings lie in unused bits of its pixels"
    told = str(header.get("BurnedInAnnotation") or "").upper()
    if told == "YES":
        return "it says that words are burned into its picture"
    if told == "NO":
        return ""
    sop_class = str(header.get("SOPClassUID") or "")
    if sop_class == _SECONDARY or sop_class.startswith(f"{_SECONDARY}."):
        return "it is a secondary capture that does not say its picture is free of words"
    if str(header.get("Modality") or "").upper() in _MODALITIES_AT_RISK:
        return "its kind of picture often has words in it, and it does not say that it has none"
    if header.get("ConversionType"):
        return "it was digitised, and does not say that its picture is free of words"
    return ""


def secrets_of(dataset: Dataset) -> Secrets:
    """Collect what a data set says of its person and of when: read before it is changed."""
    words: set[str] = set()
    uids: set[str] = set()
    days: set[str] = set()
    identifiers = {
        "PatientID", "OtherPatientIDs", "AccessionNumber", "PatientTelephoneNumbers",
        "PatientAddress", "MedicalRecordLocator", "FillerOrderNumberImagingServiceRequest",
        "PlacerOrderNumberImagingServiceRequest", "AdmissionID", "InstitutionAddress",
    }  # fmt: skip
    for element in dataset.iterall():
        if element.tag.is_private and element.VR != "PN":
            continue
        values = [str(value) for value in _values(element)]
        if element.VR == "PN":
            parts = re.split(r"[\^= ,]+", " ".join(values).casefold())
            words.update(part for part in parts if len(part) >= _SHORTEST_WORD)
        elif element.keyword in identifiers:
            words.update(value.casefold() for value in values if len(value) >= _SHORTEST_WORD)
        elif element.VR == "UI":
            uids.update(uid for uid in values if _is_secret_uid(uid))
        elif element.VR in {"DA", "DT"}:
            days.update(value[:8] for value in values if value[:8].isdigit())
    return Secrets(frozenset(words), frozenset(uids), frozenset(d for d in days if len(d) == 8))


def deidentify(dataset: Dataset, options: Options, identity: Identity, secrets: Secrets) -> None:
    """Change a data set in place; its pixel data stay as they are.

    References
    ----------
    DICOM PS3.15 sections E.1.1, E.2, E.3 and table E.1-1.
    """
    _Cleaner(options, identity, secrets).clean(dataset, is_root=True)
    dataset.PatientName = identity.subject
    dataset.PatientID = identity.subject
    dataset.PatientIdentityRemoved = "YES"
    if options.dates == "removed":
        dataset.LongitudinalTemporalInformationModified = "REMOVED"
    else:
        is_moved = options.dates == "shifted"
        dataset.LongitudinalTemporalInformationModified = "MODIFIED" if is_moved else "UNMODIFIED"
    dataset.DeidentificationMethodCodeSequence = [_code(*one) for one in _methods(options)]
    dataset.DeidentificationMethod = "PS3.15 Annex E by NoctisPro"
    if "file_meta" in dataset.__dict__:
        for keyword in ("SourceApplicationEntityTitle", "SendingApplicationEntityTitle",
                        "ReceivingApplicationEntityTitle", "PrivateInformationCreatorUID",
                        "PrivateInformation"):  # fmt: skip
            dataset.file_meta.pop(keyword, None)


def left_of(content: bytes | memoryview, secrets: Secrets, options: Options) -> str:
    """Return what of the original is still found in the bytes of a file; empty: nothing.

    Parameters
    ----------
    content : a Part 10 file, after `deidentify`

    Returns
    -------
    ``a name or number``, ``a UID`` or ``a date``: the kind alone, for people and logs
    """
    data = bytes(content)
    folded = data.lower()
    for word in secrets.words:
        # Three letters stand in any picture by chance; `deidentify` compared them word by word.
        if len(word) > _SHORTEST_WORD and any(_holds(folded, one) for one in _encodings(word)):
            return "a name or number"
    if not options.uids:
        for uid in secrets.uids:
            if _holds(data, uid.encode("ascii", "replace")):
                return "a UID"
    if options.dates == "removed" and any(_holds(data, day.encode()) for day in secrets.days):
        return "a date"
    return ""


def _encodings(word: str) -> Iterable[bytes]:
    for encoding in ("utf-8", "latin-1", "utf-16-le", "shift_jis", "gb18030", "iso8859_5"):
        try:
            yield word.encode(encoding).lower()
        except UnicodeEncodeError:
            continue


def _holds(data: bytes, part: bytes) -> bool:
    """Whether a part stands by itself: no letter, digit or dot goes on at either end."""
    if part not in data:
        return False
    pattern = rb"(?<![0-9A-Za-z.])" + re.escape(part) + rb"(?![0-9A-Za-z])(?!\.[0-9])"
    return re.search(pattern, data) is not None


class _Cleaner:
    def __init__(self, options: Options, identity: Identity, secrets: Secrets) -> None:
        self._options = options
        self._identity = identity
        self._pattern = None
        days = (f"19{year:02}0101" for year in range(100))
        self._no_day = next((day for day in days if day not in secrets.days), "")
        if secrets.words:
            longest_first = sorted(secrets.words, key=len, reverse=True)
            joined = "|".join(re.escape(word) for word in longest_first)
            self._pattern = re.compile(rf"(?<![^\W_])(?:{joined})(?![^\W_])", re.IGNORECASE)

    def clean(self, dataset: Dataset, *, is_root: bool) -> None:
        for tag in list(dataset.keys()):
            if is_root and int(tag) in _PIXELS:
                continue
            element = dataset[tag]
            if not self._is_kept(dataset, element):
                del dataset[tag]

    def _is_kept(self, dataset: Dataset, element: DataElement) -> bool:  # noqa: PLR0911 - a table
        """Change an element, or say that it goes."""
        tag, options = element.tag, self._options
        if tag.is_private:
            return options.private and _is_safe(dataset, tag)
        group = tag.group
        if group & 0xFF00 in {0x5000, 0x6000} or group in {0xFFFC, 0xFFFA} or tag.element == 0:
            return False
        if options.patient and tag in _PATIENT:
            _cap_age(element)
            return not self._names_somebody(element)
        if options.device and tag in _DEVICE:
            return not self._names_somebody(element)
        if options.descriptors and tag in _DESCRIPTORS:
            self._strip(element)
            return True
        if element.VR in {"DA", "DT", "TM"} and options.dates != "removed" and group != 0x0010:
            self._move(element)
            return True
        if element.VR == "UI":
            self._rename(element)
            return True
        action = _ACTIONS.get(int(tag))
        if action is None:
            return self._by_kind(element)
        return self._by_table(element, action)

    def _by_table(self, element: DataElement, action: int) -> bool:
        if action == _REMOVED:
            return False
        if action == _NEW_UID:
            if element.VR == "SQ":
                self._each(element)
            return True
        if element.VR == "SQ":
            element.value = Sequence()
            return int(element.tag) in _EMPTY_SEQUENCES
        if action == _DUMMY and element.VR[0] != "O":
            element.value = _DUMMIES.get(element.VR, "REMOVED")
            if element.VR in {"DA", "DT"}:
                element.value = self._no_day + str(element.value)[8:]
        else:
            element.value = None if element.VR in {"US", "SS", "FL", "FD", "UL", "SL"} else ""
        return True

    def _by_kind(self, element: DataElement) -> bool:
        """Judge what the table does not name."""
        if element.VR == "SQ":
            self._each(element)
            return True
        if element.VR in _FREE_TEXT:
            return False
        if element.VR in {"PN", "DA", "DT", "TM"}:
            element.value = ""
            return True
        if int(element.tag) not in _NEVER_SCRUBBED and self._names_somebody(element):
            element.value = ""
        return True

    def _each(self, element: DataElement) -> None:
        for item in element.value or ():
            self.clean(item, is_root=False)

    def _names_somebody(self, element: DataElement) -> bool:
        if self._pattern is None or element.VR not in _TEXT:
            return False
        return any(self._pattern.search(str(value)) for value in _values(element))

    def _strip(self, element: DataElement) -> None:
        """Take names and long numbers out of a description."""
        if element.VR == "SQ":
            self._each(element)
            return
        text = str(element.value or "")
        if self._pattern is not None:
            text = self._pattern.sub("", text)
        element.value = " ".join(re.sub(r"\d[\d./-]{3,}", "", text).split())

    def _rename(self, element: DataElement) -> None:
        if self._options.uids:
            return
        new = [
            self._identity.new_uid(str(uid)) if uid and not str(uid).startswith(_OURS) else str(uid)
            for uid in _values(element)
        ]
        element.value = new if len(new) > 1 else (new[0] if new else "")

    def _move(self, element: DataElement) -> None:
        if self._options.dates != "shifted" or element.VR == "TM":
            return
        new = [_moved(str(value), self._identity.shift_days) for value in _values(element)]
        element.value = new if len(new) > 1 else (new[0] if new else "")


def _moved(text: str, days: int) -> str:
    """Move a DA or DT value by whole days; what is none becomes empty (PS3.5 6.2)."""
    try:
        day = date(int(text[:4]), int(text[4:6]), int(text[6:8])) + timedelta(days=days)
    except (ValueError, OverflowError):
        return ""
    return f"{day:%Y%m%d}{text[8:]}"


def _values(element: DataElement) -> list[object]:
    value = element.value
    if value is None or element.VR == "SQ":
        return []
    return list(value) if element.VM > 1 and not isinstance(value, (str, bytes)) else [value]


def _is_secret_uid(uid: str) -> bool:
    return len(uid) >= _SHORTEST_UID and not uid.startswith(_OURS)


def _is_safe(dataset: Dataset, tag: BaseTag) -> bool:
    """Whether a private element is on the list, or the creator of one that is."""
    if tag.is_private_creator:
        creator = str(dataset[tag].value)
        return any(creator == name and tag.group == group for name, group in _SAFE_PRIVATE)
    creator = str(dataset.get((tag.group, tag.element >> 8), DataElement(tag, "LO", "")).value)
    return (tag.element & 0xFF) in _SAFE_PRIVATE.get((creator, tag.group), frozenset())


def _cap_age(element: DataElement) -> None:
    """Write ages above 89 years as 90: so few people are that old that the age names them."""
    text = str(element.value or "")
    if element.VR == "AS" and text[:3].isdigit() and text[3:] == "Y":
        element.value = f"{min(int(text[:3]), _OLDEST_YEARS + 1):03}Y"


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item


def _methods(options: Options) -> list[tuple[str, str]]:
    """Return the codes of the profile and the options that were used (PS3.16 CID 7050)."""
    found = [("113100", "Basic Application Confidentiality Profile")]
    for is_used, code, meaning in (
        (options.pixels, "113101", "Clean Pixel Data Option"),
        (options.descriptors, "113105", "Clean Descriptors Option"),
        (
            options.dates == "kept",
            "113106",
            "Retain Longitudinal Temporal Information Full Dates Option",
        ),
        (
            options.dates == "shifted",
            "113107",
            "Retain Longitudinal Temporal Information Modified Dates Option",
        ),
        (options.patient, "113108", "Retain Patient Characteristics Option"),
        (options.device, "113109", "Retain Device Identity Option"),
        (options.uids, "113110", "Retain UIDs Option"),
        (options.private, "113111", "Retain Safe Private Option"),
    ):
        if is_used:
            found.append((code, meaning))
    return found
