"""Identifiers: the data sets of queries and of their answers, read and written with care.

They are small, come from anybody, and carry names in any character set of PS3.3 C.12.1.1.2.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pydicom import charset
from pydicom.charset import python_encoding
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from imaging.dataset import scan_data_set
from imaging.elements import HeaderLimits
from imaging.errors import ImagingError, InvalidQueryError
from imaging.part10 import DEFLATED, EXPLICIT_BIG_ENDIAN, IMPLICIT_LITTLE_ENDIAN
from imaging.plainkeys import CODECS, PlainKeys

# pydicom 3.0 believes that the codec of GB 2312 writes and reads the escape sequence of ISO 2022
# IR 58 by itself, as those of the Japanese sets do. It does not: names lost their escapes.
charset.handled_encodings = tuple(  # type: ignore[assignment]
    name for name in charset.handled_encodings if name != "iso_ir_58"
)

UTF_8 = "ISO_IR 192"
_LIMITS = HeaderLimits(header_bytes=8 * 2**20, inflated_bytes=0, depth=8, elements=10_000)
# Of data sets that list instances by the thousand, as storage commitment and MPPS do.
LISTS = HeaderLimits(header_bytes=8 * 2**20, inflated_bytes=0, depth=8, elements=250_000)
_CHARACTER_SET = 0x00080005
PLAIN_VRS = frozenset(
    {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UI", "US"}
)
# Longer values need the long form of an element in explicit VR, or are refused there.
_MOST_PLAIN = 0xFFFE
_PADDING = {"UI": b"\0"}
_TEXT_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})


def read(
    data: bytes,
    transfer_syntax: str,
    *,
    limits: HeaderLimits = _LIMITS,
    dropped: list[int] | None = None,
) -> Dataset:
    """Read an identifier.

    Parameters
    ----------
    data : as sent
    transfer_syntax : of its presentation context
    limits : what reading it may cost
    dropped : takes the tags of elements whose values have another type than their VR: they are
        left out; None: such a value refuses the whole

    Raises
    ------
    InvalidQueryError
        When it is cut off, nests too deep, holds too much, or a value has another type than its VR.
    """
    try:
        # Walked without recursion first: pydicom would follow a peer as deep as it likes.
        scan_data_set(io.BytesIO(data), {}, limits=limits, transfer_syntax=transfer_syntax)
        found = read_dataset(
            io.BytesIO(data),
            is_implicit_VR=transfer_syntax == IMPLICIT_LITTLE_ENDIAN,
            is_little_endian=transfer_syntax != EXPLICIT_BIG_ENDIAN,
        )
        if dropped is not None:
            _drop_unreadable(found, dropped)
        identifier = Dataset()
        identifier.update({element.tag: element for element in _decoded(found)})
    except ImagingError as error:
        raise InvalidQueryError("The identifier cannot be read.") from error
    except Exception as error:  # pydicom raises anything on bad input
        raise InvalidQueryError(f"The identifier cannot be read: {error}") from error
    return identifier


def _drop_unreadable(data_set: Dataset, dropped: list[int]) -> None:
    for tag in list(data_set.keys()):
        try:
            element = data_set[tag]
            is_sequence = element.VR == "SQ"
            is_usable = not dictionary_has_tag(tag) or is_sequence == (dictionary_VR(tag) == "SQ")
            if not is_sequence:
                element.to_json_dict(None, 0)
        except Exception:  # noqa: BLE001 - pydicom raises anything on bad values
            is_usable = is_sequence = False
        if not is_usable:
            del data_set[tag]
            dropped.append(tag)
        elif is_sequence:
            for item in element.value:
                _drop_unreadable(item, dropped)


def _decoded(data_set: Dataset) -> Iterator[DataElement]:
    data_set.decode()
    for element in data_set:
        # Group lengths are retired, and say nothing.
        if element.tag.element != 0:
            yield element


def write(answer: Dataset, transfer_syntax: str, character_sets: Sequence[str] = ()) -> bytes:
    """Encode an answer in the character sets of its question, in UTF-8 where those lack a letter.

    Parameters
    ----------
    answer : gets its Specific Character Set (0008,0005) here
    transfer_syntax : of the presentation context; not a deflated one
    character_sets : values of (0008,0005) of the question

    References
    ----------
    DICOM PS3.4 section C.4.1.1.3.2, PS3.3 section C.12.1.1.2.
    """
    if transfer_syntax in DEFLATED:
        raise ValueError("Identifiers are not deflated.")
    texts = "".join(_texts(answer))
    terms = list(character_sets) if _fit(texts, character_sets) else [UTF_8]
    if not texts.isascii() or any(terms):
        answer.SpecificCharacterSet = terms if len(terms) > 1 else (terms[0] if terms else "")
    out = DicomBytesIO()
    out.is_implicit_VR = transfer_syntax == IMPLICIT_LITTLE_ENDIAN
    out.is_little_endian = transfer_syntax != EXPLICIT_BIG_ENDIAN
    write_dataset(out, answer)
    return out.getvalue()


class PlainWriter:
    """Encodes answers that hold the same elements, as text, a hundred times faster than `write`.

    Parameters
    ----------
    elements : tag and VR of each, without sequences
    transfer_syntax, character_sets : see `write`
    """

    def __init__(
        self,
        elements: Iterable[tuple[int, str]],
        transfer_syntax: str,
        character_sets: Sequence[str] = (),
    ) -> None:
        self._order = ">" if transfer_syntax == EXPLICIT_BIG_ENDIAN else "<"
        self._is_implicit = transfer_syntax == IMPLICIT_LITTLE_ENDIAN
        self._length = struct.Struct(f"{self._order}{'I' if self._is_implicit else 'H'}").pack
        plan = sorted(dict(elements).items())
        self._tags = [tag for tag, _ in plan if tag != _CHARACTER_SET]
        self._plan = [
            (self._head(tag, vr), _PADDING.get(vr, b" "), vr in _TEXT_VRS, vr == "US")
            for tag, vr in plan
            if tag != _CHARACTER_SET
        ]
        self._are_names = [vr == "PN" for tag, vr in plan if tag != _CHARACTER_SET]
        # How many elements come before the character set.
        self._first = sum(tag < _CHARACTER_SET for tag in self._tags)
        terms = "\\".join(character_sets)
        self._terms = self._character_set(terms) if terms else b""
        self._utf_8 = self._character_set(UTF_8)
        # None: several sets, which `write` chooses from letter by letter.
        self._codec = CODECS.get(terms)

    def _head(self, tag: int, vr: str) -> bytes:
        if vr not in PLAIN_VRS:
            raise ValueError(f"{vr} is not written as plain text.")
        head = struct.pack(f"{self._order}HH", tag >> 16, tag & 0xFFFF)
        return head if self._is_implicit else head + vr.encode()

    def _character_set(self, terms: str) -> bytes:
        value = terms.encode("ascii")
        value += b" " * (len(value) % 2)
        return self._head(_CHARACTER_SET, "CS") + self._length(len(value)) + value

    def write(self, values: Mapping[int, str]) -> bytes | None:
        """Encode one answer given by tag; what has no value is empty. See `write_row`."""
        return self.write_row([values.get(tag, "") for tag in self._tags])

    def write_row(self, values: Sequence[str]) -> bytes | None:
        """Encode one answer.

        Parameters
        ----------
        values : text of each element in the order of their tags, several values parted by
            backslashes; numbers in digits

        Returns
        -------
        None where `write` must find the character sets of its letters, or a value is too long.
        """
        whole = "".join(values)
        if "=" in whole:
            # Empty component groups at the end of a name are left out (PS3.5 6.2.1.1).
            values = [
                text.rstrip("=") if is_name and "\\" not in text else text
                for is_name, text in zip(self._are_names, values, strict=True)
            ]
        if whole.isascii():
            return self._encode(values, "ascii", self._terms)
        if self._codec is None:
            return None
        try:
            return self._encode(values, self._codec, self._terms)
        except UnicodeEncodeError:
            pass
        try:
            return self._encode(values, "utf-8", self._utf_8)
        except UnicodeEncodeError:
            # Text where no character set has a say.
            return None

    def _encode(self, values: Sequence[str], codec: str, character_set: bytes) -> bytes | None:
        parts: list[bytes] = []
        length = self._length
        for (head, padding, is_text, is_number), text in zip(self._plan, values, strict=True):
            if is_number:
                value = self._numbers(text)
            else:
                value = text.encode(codec if is_text else "ascii")
                if len(value) % 2:
                    value += padding
            if len(value) > _MOST_PLAIN:
                return None
            parts.append(head + length(len(value)) + value)
        parts.insert(self._first, character_set)
        return b"".join(parts)

    def _numbers(self, text: str) -> bytes:
        return b"".join(
            struct.pack(f"{self._order}H", int(one) & 0xFFFF)
            for one in text.split("\\")
            if one.isdigit()
        )


def character_sets(identifier: Dataset | PlainKeys) -> list[str]:
    """Return the values of Specific Character Set (0008,0005); empty: the default repertoire."""
    if isinstance(identifier, PlainKeys):
        return [identifier.character_set] if identifier.character_set else []
    found = identifier.get("SpecificCharacterSet")
    if not found:
        return []
    return [found] if isinstance(found, str) else [str(term) for term in found]


def _texts(data_set: Dataset) -> Iterator[str]:
    for element in data_set:
        if element.VR == "SQ":
            for item in element.value:
                yield from _texts(item)
        elif element.VR in _TEXT_VRS and element.value:
            value = element.value
            many = [value] if isinstance(value, str) or not hasattr(value, "__iter__") else value
            yield from (str(value),) if element.VR == "PN" and element.VM == 1 else map(str, many)


def _fit(text: str, terms: Sequence[str]) -> bool:
    """Whether character sets have every letter of a text."""
    return all(
        letter.isascii() or any(_has(term, letter) for term in terms) for letter in set(text)
    )


def _has(term: str, letter: str) -> bool:
    """Whether a defined term of PS3.3 C.12.1.1.2 stands for a repertoire with this letter.

    Python's codecs of the Japanese and the default terms take more than the terms allow.
    """
    number = term.replace("ISO 2022 IR ", "ISO_IR ")
    if number in {"", "ISO_IR 6"} or term not in python_encoding:
        return False
    try:
        encoded = letter.encode(python_encoding[term])
    except (UnicodeEncodeError, LookupError):
        return False
    if number == "ISO_IR 13":
        return len(encoded) == 1
    if number == "ISO_IR 87":
        return encoded.startswith(b"\x1b$B")
    if number == "ISO_IR 159":
        return encoded.startswith(b"\x1b$(D")
    return True
