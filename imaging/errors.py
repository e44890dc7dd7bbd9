"""What can go wrong with a DICOM object, one class a cause.

`str()` of each error is a sentence that a radiologist or an administrator can act on: what
happened and what to do.
"""


class ImagingError(Exception):
    """Base of every error this package raises for its input."""


class NotDicomError(ImagingError):
    """The bytes are not a DICOM object, or its structure cannot be followed."""


class TruncatedError(NotDicomError):
    """The object ends before what it announces."""


class IdentityError(ImagingError):
    """The object does not say, or says in two ways, what it is."""


class InvalidUIDError(IdentityError):
    """A UID is missing or breaks the rules of PS3.5 section 9.1."""


class UnsupportedError(ImagingError):
    """The object is lawful, but nothing here can show it."""


class DecodeError(ImagingError):
    """The pixel data of a frame is damaged or contradicts the header."""


class LimitError(ImagingError):
    """The object asks for more depth, elements, bytes or pixels than the limits allow."""


class InvalidViewError(ImagingError):
    """What a picture is asked to be shown like makes no sense."""


class InvalidQueryError(ImagingError):
    """A key of a query cannot be read.

    Attributes
    ----------
    tag : of the key; 0 where none is to blame
    """

    def __init__(self, message: str, tag: int = 0) -> None:
        super().__init__(message)
        self.tag = int(tag)
