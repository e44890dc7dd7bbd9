"""Names of X.509 certificates, as people read and compare them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from imaging.errors import ImagingError

FINGERPRINT_LENGTH = 95

_FINGERPRINT = re.compile(r"(?:[0-9A-F]{2}:){31}[0-9A-F]{2}")
_OPENSSL_WORDS = re.compile(r"^(?:sha256 fingerprint|subject)\s*=\s*", re.IGNORECASE)
_SUBJECT = re.compile(r"[A-Za-z]+=[^\x00-\x1f]+")
# The short names of RFC 4514 for what Python spells out.
_SHORT = {
    "commonName": "CN",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "countryName": "C",
}


class InvalidCertificateNameError(ImagingError):
    """Neither a fingerprint nor a subject."""


def fingerprint(der: bytes) -> str:
    """Return the SHA-256 of a certificate as `openssl x509 -fingerprint -sha256` prints it.

    Examples
    --------
    >>> fingerprint(b"certificate")[:11]
    '03:F7:79:85'
    """
    return hashlib.sha256(der).digest().hex(":").upper()


def subject(names: Iterable[Iterable[tuple[str, str]]]) -> str:
    r"""Return a certificate's subject in one line.

    Parameters
    ----------
    names : as `ssl.SSLSocket.getpeercert` has them

    Examples
    --------
    >>> subject(((("commonName", "scanner"),), (("organizationName", "Clinic, North"),)))
    'CN=scanner, O=Clinic\\, North'
    """
    return ", ".join(
        f"{_SHORT.get(kind, kind)}={_escaped(value)}" for part in names for kind, value in part
    )


def _escaped(value: str) -> str:
    # Otherwise one long name could pass for several short ones.
    plain = "".join(c if c.isprintable() else "?" for c in value)
    return plain.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")


def normalise(text: str) -> str:
    """Return a fingerprint or a subject in the form in which they are compared.

    Parameters
    ----------
    text : a SHA-256 fingerprint with or without colons, with or without openssl's words before it;
        or a subject such as `CN=scanner, O=Clinic`

    Raises
    ------
    InvalidCertificateNameError
        For anything else.

    Examples
    --------
    >>> normalise("sha256 Fingerprint=" + "ab" * 32)[:8]
    'AB:AB:AB'
    >>> normalise("subject=CN = scanner,O=Clinic")
    'CN=scanner, O=Clinic'
    """
    text = _OPENSSL_WORDS.sub("", text.strip())
    digits = re.sub(r"[\s:]", "", text).upper()
    if re.fullmatch(r"[0-9A-F]{64}", digits):
        return ":".join(digits[start : start + 2] for start in range(0, 64, 2))
    text = re.sub(r"\s*(?<!\\)=\s*", "=", text)
    text = re.sub(r"\s*(?<!\\),\s*", ", ", text)
    if len(text) > 255 or not _SUBJECT.fullmatch(text):
        raise InvalidCertificateNameError(
            "Write the certificate's SHA-256 fingerprint (64 hexadecimal digits) or its subject, "
            "such as CN=scanner, O=Clinic."
        )
    return text


def is_fingerprint(name: str) -> bool:
    """Whether a normalised name is a fingerprint, else it is a subject."""
    return _FINGERPRINT.fullmatch(name) is not None
