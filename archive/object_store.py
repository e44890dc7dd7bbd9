"""The bucket as django-storages and boto3 reach it, with what the rows say of its objects."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from botocore.config import Config
from django.db.models import Exists, OuterRef
from django.utils.module_loading import import_string

from archive import database
from archive.errors import StoreUnavailableError
from archive.models import Damage
from blobs.bucket import Bucket
from blobs.errors import BlobStoreUnavailableError
from blobs.objects import Expected, ObjectStore
from worklist.models import DicomImage

# Whoever waits for a picture, or for an answer, hears within ten seconds; a part of a large object
# may take a server longer.
_HASTY = {"connect_timeout": 2, "read_timeout": 4}
_PATIENT = {"connect_timeout": 5, "read_timeout": 60}
_CONNECTIONS = 16


class ObjectStoreUnavailableError(BlobStoreUnavailableError, StoreUnavailableError):
    """The bucket cannot be used now: every door says so as it says it of the archive itself."""


class Access(Protocol):
    """How the bucket is reached: `noctis_pro.config.ObjectStore`."""

    access_key: str
    secret_key: str
    bucket: str
    region: str
    endpoint_url: str
    use_ssl: bool
    addressing_style: str
    encryption: str
    encryption_key_id: str
    cache_bytes: int


@lru_cache(maxsize=8)
def store(root: Path, backend: str, access: Access, *, is_patient: bool) -> ObjectStore:
    """Return the store; nothing is asked of the bucket yet.

    Parameters
    ----------
    root : the folder on this machine
    backend : a storage class of django-storages on S3
    """
    storage = import_string(backend)(
        access_key=access.access_key or None,
        secret_key=access.secret_key or None,
        bucket_name=access.bucket,
        region_name=access.region,
        endpoint_url=access.endpoint_url or None,
        use_ssl=access.use_ssl,
        client_config=Config(
            signature_version="s3v4",
            s3={"addressing_style": access.addressing_style},
            max_pool_connections=_CONNECTIONS,
            retries={"total_max_attempts": 2, "mode": "standard"},
            # Not every server knows the newer checksums; each upload carries an MD5 instead.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            **(_PATIENT if is_patient else _HASTY),
        ),
    )
    options: dict[str, str] = {}
    if access.encryption:
        options["ServerSideEncryption"] = access.encryption
    if access.encryption_key_id:
        options["SSEKMSKeyId"] = access.encryption_key_id
    client: Any = storage.connection.meta.client
    bucket = Bucket(client, access.bucket, upload_options=options, away=ObjectStoreUnavailableError)
    return ObjectStore(root, bucket, expected)


def expected(key: str) -> Expected | None:
    """Return what the row says whose object has this key; None when no row names it."""
    return expected_of([key]).get(key)


def expected_of(keys: list[str]) -> dict[str, Expected]:
    """Return what the rows say that name these keys."""
    with database.shared():
        damaged = Damage.objects.filter(image=OuterRef("pk"), mended_at=None)
        rows = DicomImage.with_deleted.filter(storage_key__in=keys).values_list(
            "storage_key", "size_bytes", "sha256", Exists(damaged)
        )
        return {
            key: Expected(size_bytes, sha256, is_lost=is_lost)
            for key, size_bytes, sha256, is_lost in rows
        }
