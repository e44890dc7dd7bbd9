"""Scan the data set of an object for the elements that are wanted."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

from imaging.bytesource import ByteSource, FileSource, InflateSource
from imaging.elements import KNOWN_VRS, HeaderLimits, Scan, Scanner
from imaging.errors import NotDicomError
from imaging.part10 import (
    DEFLATED,
    EXPLICIT_BIG_ENDIAN,
    GE_PRIVATE,
    IMPLICIT_LITTLE_ENDIAN,
    Container,
    read_container,
)
from imaging.values import SPECIFIC_CHARACTER_SET, Reader


@dataclass(frozen=True, slots=True)
class DataSet:
    """The wanted elements of an object, and what reads them."""

    container: Container
    source: ByteSource
    scan: Scan
    reader: Reader


def scan_data_set(
    file: BinaryIO,
    wanted: Mapping[int, int],
    *,
    limits: HeaderLimits,
    transfer_syntax: str | None = None,
) -> DataSet:
    """Find the data set of an object and keep its wanted elements.

    Parameters
    ----------
    wanted : tag to bytes of its value that are kept; sequences are kept whole

    Raises
    ------
    NotDicomError, TruncatedError, LimitError
        See `imaging.header.read_index`.
    """
    container = read_container(file, transfer_syntax)
    syntax = container.transfer_syntax_uid
    source: ByteSource
    if syntax in DEFLATED:
        source = InflateSource(file, container.data_set_offset, limits.inflated_bytes)
        start = 0
    else:
        source = FileSource(file, limits.header_bytes)
        start = container.data_set_offset
    is_big_endian = syntax == EXPLICIT_BIG_ENDIAN
    is_implicit = syntax in (IMPLICIT_LITTLE_ENDIAN, GE_PRIVATE)
    kept = wanted
    if SPECIFIC_CHARACTER_SET not in wanted:
        kept = {SPECIFIC_CHARACTER_SET: 4096} | dict(wanted)
    scanner = Scanner(source, wanted=kept, limits=limits)
    head = source.peek(start, 8)
    if len(head) == 8:
        group = struct.unpack_from(">H" if is_big_endian else "<H", head)[0]
        swapped = struct.unpack_from("<H" if is_big_endian else ">H", head)[0]
        if group >= 0x0100 and swapped <= 0x0010:
            raise NotDicomError(
                "The byte order of the object is not the one its transfer syntax names. Export it "
                "again from its source."
            )
        is_explicit = head[4:6] in KNOWN_VRS
        if is_explicit == is_implicit:
            is_implicit = not is_explicit
            scanner.result.warnings.append(
                "The transfer syntax is wrong about explicit and implicit value types."
            )
    scan = scanner.scan(start, is_implicit=is_implicit, is_big_endian=is_big_endian)
    return DataSet(container, source, scan, Reader(scan.root, is_big_endian=is_big_endian))
