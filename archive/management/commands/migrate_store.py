"""`migrate_store`: bring every instance into the bucket, or back to the site's own disk."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.progress import Progress

from archive import object_upload, stores
from archive.errors import StoreUnavailableError
from blobs.objects import ObjectStore
from worklist.models import DicomImage


class Command(BaseCommand):
    help = (
        "Move every stored instance into the bucket (s3), or back to DICOM_ROOT (filesystem), each "
        "one verified. Run it again after an interruption: it goes on where it was. The site may "
        "work meanwhile; RADIOLOGY_STORAGE names the bucket's storage class in both cases."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("to", choices=("s3", "filesystem"))

    def handle(self, *_args: Any, to: str, **_options: Any) -> None:
        store = stores.objects(is_patient=True)
        if store is None:
            raise CommandError(
                "RADIOLOGY_STORAGE is filesystem. Set it to storages.backends.s3.S3Storage, with "
                "the AWS_ variables of the bucket, and run this again."
            )
        try:
            store.bucket.check()
            self._to_bucket(store) if to == "s3" else self._to_disk(store)
        except StoreUnavailableError as error:
            raise CommandError(f"{error} What was moved stays moved; run this again.") from error

    def _to_bucket(self, store: ObjectStore) -> None:
        object_upload.stay()
        done = object_upload.upload_all(store)
        self.stdout.write(
            f"{done.uploaded} objects uploaded ({done.size_bytes / 2**20:.1f} MiB), each confirmed "
            "by the bucket with its size and SHA-256."
        )
        if done.waiting:
            self.stdout.write(
                f"{done.waiting} files stay here: they have no row, or are not what was stored. "
                "See verify_storage --full."
            )
            sys.exit(1)

    def _to_disk(self, store: ObjectStore) -> None:
        console = Console(stderr=True)
        total = DicomImage.with_deleted.count()
        with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
            task = bar.add_task("Bringing back", total=total)
            done = object_upload.bring_all_back(store, progress=lambda: bar.advance(task))
        self.stdout.write(f"{done.brought} objects brought back, {done.here} were here already.")
        if done.lost:
            self.stdout.write(self.style.ERROR(f"{len(done.lost)} cannot be brought back:"))
            for key in done.lost[:50]:
                self.stdout.write(f"  {key}")
            sys.exit(1)
        self.stdout.write(
            "Everything lies on this disk, and what arrives stays on it. Now set "
            "RADIOLOGY_STORAGE=filesystem and start the site again. The bucket keeps its objects; "
            "'migrate_store s3' would use it again."
        )
