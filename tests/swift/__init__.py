"""An S3-compatible server for tests: OpenStack Swift of Debian, on a folder that nobody keeps."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tests.product import free_port
from tests.services.servers import MissingProgramError, Server

ACCESS_KEY, SECRET_KEY = "noctis:pacs", "correct-horse"
S3 = "storages.backends.s3.S3Storage"


@dataclass
class ObjectServer(Server):
    """The server, and what a client that knows nothing of the product sees in it."""

    bucket: str = "radiology"
    client: Any = field(init=False)

    def __post_init__(self) -> None:
        self.client = boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name="us-east-1",
            config=Config(
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def new_bucket(self, name: str) -> str:
        """Make a bucket and look into it from now on."""
        self.client.create_bucket(Bucket=name)
        self.bucket = name
        return name

    def objects(self) -> dict[str, int]:
        """Return every key of the bucket with the size of its object."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return {one["Key"]: one["Size"] for page in pages for one in page.get("Contents", ())}

    def content(self, key: str) -> bytes:
        return bytes(self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read())

    def put(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=content)

    def remove(self, key: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=key)

    def environment(self) -> dict[str, str]:
        """Return the variables by which a site uses the bucket."""
        return {
            "RADIOLOGY_STORAGE": S3,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_S3_ENDPOINT_URL": self.url,
            "AWS_STORAGE_BUCKET_NAME": self.bucket,
        }


@contextmanager
def running() -> Iterator[ObjectServer]:
    """Run a server of one's own."""
    if shutil.which("swift-proxy-server") is None:
        raise MissingProgramError(
            "Swift is missing. Run: sudo apt-get install swift-proxy swift-account swift-container "
            "swift-object"
        )
    # Its attributes of files are not known to every file system in memory.
    with tempfile.TemporaryDirectory(prefix="noctis-swift-", ignore_cleanup_errors=True) as name:
        folder, port = Path(name), free_port()
        program = Path(__file__).with_name("process.py")
        server = ObjectServer(
            url=f"http://127.0.0.1:{port}",
            port=port,
            # Debian's own Python has Debian's packages.
            command=["/usr/bin/python3", program, folder / "data", str(port)],
            log=folder / "log",
            timeout_s=90,
            options={"env": {"PATH": "/usr/bin:/bin"}, "cwd": folder},
        )
        server.start()
        try:
            yield server
        finally:
            server.kill()
