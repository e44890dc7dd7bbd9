"""The archive's own signature: what it says can be checked by whoever has its public key.

Ed25519 (RFC 8032). The private key is `NOCTIS_SIGNING_KEY` (or `NOCTIS_SIGNING_KEY_FILE`), else a
file beside the site's other secrets, made on first use. Public keys stay in the database, so that
what an earlier key has signed can still be checked.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.conf import settings

from archive.errors import ArchiveError
from archive.models import SigningKey
from archive.secretfiles import make_secret

_FILE = "signing-key.pem"


class SigningKeyError(ArchiveError):
    """The private key cannot be used."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What was signed with, and the signature.

    Parameters
    ----------
    key_id : of the public key, as `SigningKey` has it
    text : 64 bytes in Base64
    """

    key_id: str
    text: str


def sign(purpose: str, message: bytes) -> Signature:
    """Sign a message for one purpose; the signature is none for any other.

    Parameters
    ----------
    purpose : one word, part of what is signed
    message : of any length

    Raises
    ------
    SigningKeyError
        When the key that is set is none.
    """
    key = _private_key(settings.SIGNING_KEY, settings.DATA_DIR / _FILE)
    public = key.public_key().public_bytes_raw()
    key_id = id_of(public)
    SigningKey.objects.get_or_create(
        id=key_id, defaults={"public_key": base64.b64encode(public).decode()}
    )
    signature = key.sign(_message(purpose, message))
    return Signature(key_id, base64.b64encode(signature).decode())


def is_signed(public_key: str, purpose: str, message: bytes, signature: str) -> bool:
    """Whether a signature is right.

    Parameters
    ----------
    public_key : 32 bytes in Base64
    purpose, message : as they were signed
    signature : 64 bytes in Base64
    """
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True))
        key.verify(base64.b64decode(signature, validate=True), _message(purpose, message))
    except (InvalidSignature, ValueError):
        return False
    return True


def id_of(public_key: bytes) -> str:
    """Return the name of a public key: the first 8 bytes of its SHA-256 in hex."""
    return hashlib.sha256(public_key).hexdigest()[:16]


def _message(purpose: str, message: bytes) -> bytes:
    return f"noctis-pro {purpose}\n".encode() + message


@lru_cache(maxsize=4)
def _private_key(text: str, path: Path) -> Ed25519PrivateKey:
    pem = text or make_secret(path, _new_key)
    try:
        key = serialization.load_pem_private_key(pem.encode("ascii"), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SigningKeyError(_advice(text, path)) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningKeyError(_advice(text, path))
    return key


def _advice(text: str, path: Path) -> str:
    where = "NOCTIS_SIGNING_KEY" if text else str(path)
    return (
        f"{where} holds no Ed25519 key. Write one in PEM without a password: "
        "openssl genpkey -algorithm ed25519"
    )


def _new_key() -> str:
    return (
        Ed25519PrivateKey.generate()
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode("ascii")
    )
