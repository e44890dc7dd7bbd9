"""An S3 bucket as the store of a site's objects: what is asked of it, and what its errors mean.

Every upload is checked by the server (Content-MD5 of the object, or of each of its parts), carries
the SHA-256 of the whole as metadata, and is asked for afterwards: size and digest must come back.
An object counts as uploaded only then.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from blobs.errors import BlobError, BlobMissingError, BlobStoreUnavailableError

if TYPE_CHECKING:
    from botocore.client import BaseClient

logger = logging.getLogger(__name__)

# S3 takes 10,000 parts of at least 5 MiB.
PART_BYTES = 16 * 1024 * 1024
_MOST_PARTS = 10_000
_CHUNK_BYTES = 1024 * 1024
# After a failure nobody waits for the network again for so long.
_REST_S = 2.0
_DIGEST = "sha256"
_NOT_FOUND = {"404", "NoSuchKey", "NotFound"}
_CREDENTIALS = {
    "InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "403", "401", "ExpiredToken",
    "InvalidToken", "AuthorizationHeaderMalformed",
}  # fmt: skip
# What servers say to an encryption or a key that they do not have.
_NOT_ENCRYPTED = {
    "InvalidArgument", "InvalidEncryptionAlgorithmError", "NotImplemented",
    "ServerSideEncryptionConfigurationNotFoundError",
}  # fmt: skip
_LATER = "Nothing is lost; try again later."


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """What the bucket says about an object.

    Attributes
    ----------
    sha256 : hex, as its uploader wrote it beside; empty where another program stored it
    modified_at : seconds since 1970
    """

    size_bytes: int
    sha256: str
    modified_at: float


class Bucket:
    """One bucket.

    Parameters
    ----------
    client : of boto3; it may be used by several threads
    name : of the bucket, which exists: nothing is created here
    upload_options : what is said with each upload, such as `ServerSideEncryption`
    away : makes the error that says in a sentence why the store cannot be used now
    part_bytes : larger objects go up in parts of this size
    """

    def __init__(
        self,
        client: BaseClient,
        name: str,
        *,
        upload_options: Mapping[str, str] | None = None,
        away: Callable[[str], BlobStoreUnavailableError] = BlobStoreUnavailableError,
        part_bytes: int = PART_BYTES,
    ) -> None:
        # boto3 makes its methods at run time, from the service's description.
        self._client: Any = client
        self.name = name
        self._upload_options = dict(upload_options or {})
        self.away = away
        self._part_bytes = part_bytes
        self._lock = threading.Lock()
        self._trouble = ""
        self._rests_until = 0.0

    @property
    def trouble(self) -> str:
        """Why the bucket could not be used the last time; empty when it could."""
        return self._trouble

    def check(self) -> None:
        """Ask whether the bucket is there and lets us in; raises what `put` would."""
        with self._asking():
            self._client.head_bucket(Bucket=self.name)

    def refuse_while_away(self) -> None:
        """Raise at once while the bucket is known not to answer."""
        if time.monotonic() < self._rests_until:
            raise self.away(self._trouble)

    # Objects --------------------------------------------------------------------------------

    def facts(self, key: str) -> ObjectFacts | None:
        """Return what is known of an object; None when there is none."""
        try:
            with self._asking(key):
                found = self._client.head_object(Bucket=self.name, Key=key)
        except BlobMissingError:
            # An answer without a body says the same about a bucket that is gone.
            self.check()
            return None
        noted = {name.lower(): value for name, value in found["Metadata"].items()}
        return ObjectFacts(
            size_bytes=found["ContentLength"],
            sha256=noted.get(_DIGEST, ""),
            modified_at=found["LastModified"].timestamp(),
        )

    def put(self, source: Path, key: str, sha256: str) -> None:
        """Upload a file and have it confirmed.

        Of a large object it is asked first whether it is there: an upload that a kill cut off
        behind its last part is not repeated.

        Parameters
        ----------
        sha256 : hex, of the file

        Raises
        ------
        BlobStoreUnavailableError
            When the bucket does not take it now.
        BlobError
            When what it has afterwards is something else.
        """
        size = source.stat().st_size
        if size > self._part_bytes and self._has(key, size, sha256):
            return
        with source.open("rb") as file, self._asking(key):
            if size > self._part_bytes:
                self._put_parts(file, size, key, sha256)
            else:
                content = file.read()
                self._client.put_object(
                    Bucket=self.name, Key=key, Body=content, ContentMD5=_md5(content),
                    Metadata={_DIGEST: sha256}, **self._upload_options,
                )  # fmt: skip
        if not self._has(key, size, sha256):
            raise BlobError(f"The object store confirmed {key}, and has something else under it.")

    def _has(self, key: str, size: int, sha256: str) -> bool:
        found = self.facts(key)
        return found is not None and (found.size_bytes, found.sha256) == (size, sha256)

    def _put_parts(self, file: BinaryIO, size: int, key: str, sha256: str) -> None:
        where = {"Bucket": self.name, "Key": key}
        part_bytes = max(self._part_bytes, -(-size // _MOST_PARTS))
        self._forget_parts(key)
        upload_id = self._client.create_multipart_upload(
            **where, Metadata={_DIGEST: sha256}, **self._upload_options
        )["UploadId"]
        try:
            parts: list[dict[str, Any]] = []
            while content := file.read(part_bytes):
                number = len(parts) + 1
                answer = self._client.upload_part(
                    **where, UploadId=upload_id, PartNumber=number, Body=content,
                    ContentMD5=_md5(content),
                )  # fmt: skip
                parts.append({"PartNumber": number, "ETag": answer["ETag"]})
            self._client.complete_multipart_upload(
                **where, UploadId=upload_id, MultipartUpload={"Parts": parts}
            )
        except BaseException:
            try:
                self._client.abort_multipart_upload(**where, UploadId=upload_id)
            except (BotoCoreError, ClientError):
                logger.warning("The parts of an unfinished upload stay in %s", self.name)
            raise

    def _forget_parts(self, key: str) -> None:
        """Remove the parts that an upload has left which was killed; nothing else lists them."""
        try:
            found = self._client.list_multipart_uploads(Bucket=self.name, Prefix=key)
            for one in found.get("Uploads", ()):
                if one["Key"] == key:
                    self._client.abort_multipart_upload(
                        Bucket=self.name, Key=key, UploadId=one["UploadId"]
                    )
        except ClientError as error:
            # Not every key may list them; the bucket may have a rule of its own for them.
            logger.debug("Parts of %s cannot be listed or removed: %s", key, error)

    def chunks(self, key: str) -> Iterator[bytes]:
        """Yield an object's content in order."""
        with self._asking(key):
            body = self._client.get_object(Bucket=self.name, Key=key)["Body"]
            try:
                yield from body.iter_chunks(_CHUNK_BYTES)
            finally:
                body.close()

    def delete(self, key: str) -> None:
        """Remove an object with whatever began to be one; nothing happens when there is none."""
        with self._asking(key):
            self._client.delete_object(Bucket=self.name, Key=key)
            self._forget_parts(key)

    def listing(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """Yield key and size of every object whose key begins with `prefix`, in order of keys."""
        with self._asking():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.name, Prefix=prefix
            )
            for page in pages:
                for found in page.get("Contents", ()):
                    yield found["Key"], found["Size"]

    # Errors ---------------------------------------------------------------------------------

    @contextmanager
    def _asking(self, key: str = "") -> Iterator[None]:
        """Say in a sentence what is wrong; while it is, ask at most every two seconds."""
        self.refuse_while_away()
        try:
            yield
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in _NOT_FOUND and key:
                self._note("")
                raise BlobMissingError(key) from error
            raise self._failed(self._sentence(code)) from error
        except NoCredentialsError as error:
            raise self._failed(self._sentence("403")) from error
        except BotoCoreError as error:
            logger.debug("The object store fails", exc_info=True)
            raise self._failed(
                f"The object store does not answer ({type(error).__name__}). {_LATER}"
            ) from error
        else:
            self._note("")

    def _sentence(self, code: str) -> str:
        if code in {"NoSuchBucket", *_NOT_FOUND}:
            return (
                f"The object store has no bucket {self.name}. Create it, or correct "
                "AWS_STORAGE_BUCKET_NAME."
            )
        if code in _NOT_ENCRYPTED and self._upload_options:
            return (
                f"The object store does not encrypt as it is asked to ({code}). Correct "
                f"AWS_S3_ENCRYPTION and AWS_S3_ENCRYPTION_KEY_ID, or the server's keys. {_LATER}"
            )
        if code in _CREDENTIALS:
            return (
                f"The object store refuses us ({code}). Correct AWS_ACCESS_KEY_ID and "
                f"AWS_SECRET_ACCESS_KEY, or what they may do in the bucket {self.name}."
            )
        return f"The object store fails ({code}). {_LATER}"

    def _failed(self, sentence: str) -> BlobStoreUnavailableError:
        self._note(sentence)
        return self.away(sentence)

    def _note(self, sentence: str) -> None:
        if sentence == self._trouble == "":
            return
        with self._lock:
            was, self._trouble = self._trouble, sentence
            self._rests_until = time.monotonic() + _REST_S if sentence else 0.0
        if sentence and not was:
            logger.error("%s", sentence)
        elif was and not sentence:
            logger.warning("The object store answers again.")


def _md5(content: bytes) -> str:
    digest = hashlib.md5(content, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode("ascii")
