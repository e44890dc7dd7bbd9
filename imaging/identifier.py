"""Identifiers: the data sets of queries and of their answers, read and written with care.

They are small, come from anybody, and carry names in any character set of PS3.3 C.12.1.1.2.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

from pydicom import charset
from pydicom.charset import python_encoding
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from imaging.dataset import scan_data_set
from imaging.elements import HeaderLimits
from imaging.errors import ImagingError, InvalidQueryError
from imaging.part10 import DEFLATED, EXPLICIT_BIG_ENDIAN, IMPLICIT_LITTLE_ENDIAN

# pydicom 3.0 believes that the codec of GB 2312 writes and reads the escape sequence of ISO 2022
# IR 58 by itself, as those of the Japanese sets do. It does not: names lost their escapes.
charset.handled_encodings = tuple(  # type: ignore[assignment]
    name for name in charset.handled_encodings if name != "iso_ir_58"
)

UTF_8 = "ISO_IR 192"
_LIMITS = HeaderLimits(header_bytes=8 * 2**20, inflated_bytes=0, depth=8, elements=10_000)
# Of data sets that list instances by the thousand, as storage commitment and MPPS do.
LISTS = HeaderLimits(header_bytes=8 * 2**20, inflated_bytes=0, depth=8, elements=250_000)
_TEXT_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})


def read(data: bytes, transfer_syntax: str, *, limits: HeaderLimits = _LIMITS) -> Dataset:
    """Read an identifier.

    Parameters
    ----------
    data : as sent
    transfer_syntax : of its presentation context
    limits : what reading it may cost

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
        identifier = Dataset()
        identifier.update({element.tag: element for element in _decoded(found)})
    except ImagingError as error:
        raise InvalidQueryError("The identifier cannot be read.") from error
    except Exception as error:  # pydicom raises anything on bad input
        raise InvalidQueryError(f"The identifier cannot be read: {error}") from error
    return identifier


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


def character_sets(identifier: Dataset) -> list[str]:
    """Return the values of Specific Character Set (0008,0005); empty: the default repertoire."""
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
