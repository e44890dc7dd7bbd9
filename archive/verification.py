"""Whether rows and files agree: every row has its file, every file its row, every digest holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol
from uuid import UUID

from django.db.models import Count, F, Model, Q

from archive import reconcile, stores
from archive.models import InstanceConflict
from blobs import BlobMissingError, FileSystemStore
from worklist.models import DicomImage, Series, Study

_BATCH = 1000
MOST_LISTED = 1000
_IN_FLIGHT_S = reconcile.IN_FLIGHT_S

Progress = Callable[[int], None]


class StoredRow(Protocol):
    """A row that names a stored file."""

    pk: UUID
    storage_key: str
    size_bytes: int
    sha256: str


@dataclass(slots=True)
class Listing:
    """Everything of one kind that is wrong: all counted, the first thousand kept."""

    count: int = 0
    items: list[str] = field(default_factory=list)

    def add(self, item: str) -> None:
        """Count one more."""
        self.count += 1
        if len(self.items) < MOST_LISTED:
            self.items.append(item)


@dataclass(slots=True)
class Report:
    """What a verification found.

    Attributes
    ----------
    rows, files : of stored instances and of those kept aside
    size_bytes : of the files that rows name
    missing : rows whose file is not there
    damaged : files whose size or, in a full run, digest is not that of the row
    orphans : files that no row names
    in_flight : files younger than two minutes without a row: they are being stored
    counters : studies and series whose counters are not what their rows add up to
    """

    is_full: bool
    rows: int = 0
    files: int = 0
    size_bytes: int = 0
    in_flight: int = 0
    missing: Listing = field(default_factory=Listing)
    damaged: Listing = field(default_factory=Listing)
    orphans: Listing = field(default_factory=Listing)
    counters: Listing = field(default_factory=Listing)

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return not any(
            listing.count for listing in (self.missing, self.damaged, self.orphans, self.counters)
        )


def verify(*, is_full: bool = False, progress: Progress | None = None) -> Report:
    """Compare every row with its file and every file with its row; nothing is changed.

    Parameters
    ----------
    is_full : also read every file and compare its SHA-256
    progress : called with the number of rows checked so far

    Returns
    -------
    Report
        Of the instances and of those kept aside because of a conflict.
    """
    report = Report(is_full=is_full)
    parts: tuple[tuple[type[Model], FileSystemStore, str], ...] = (
        (DicomImage, stores.instances(), ""),
        (InstanceConflict, stores.conflicts(), "conflicts/"),
    )
    for model, store, prefix in parts:
        for row in _rows(model):
            _check_row(report, store, row, prefix)
            if progress is not None:
                progress(report.rows)
        for keys in _batched(store.keys()):
            _check_keys(report, model, store, keys, prefix)
    _check_counters(report)
    return report


def _rows(model: type[Model]) -> Iterator[StoredRow]:
    """Yield every row by key ranges: no cursor stays open, so writers and checkpoints go on."""
    # The base manager: deleted rows keep their files until their retention period ends.
    rows = model._base_manager.order_by("pk").only("pk", "storage_key", "size_bytes", "sha256")
    batch: list[StoredRow] = list(rows[:_BATCH])  # type: ignore[arg-type]
    while batch:
        yield from batch
        batch = list(rows.filter(pk__gt=batch[-1].pk)[:_BATCH])  # type: ignore[arg-type]


def _check_row(report: Report, store: FileSystemStore, row: StoredRow, prefix: str) -> None:
    report.rows += 1
    name = prefix + row.storage_key
    try:
        size = store.size(row.storage_key)
        report.size_bytes += size
        if size != row.size_bytes:
            report.damaged.add(f"{name} has {size} bytes; {row.size_bytes} were stored.")
        elif report.is_full and store.digest(row.storage_key)[0] != row.sha256:
            report.damaged.add(f"{name} has other content than was stored.")
    except BlobMissingError:
        report.missing.add(f"{name} (row {row.pk})")


def _check_keys(
    report: Report, model: type[Model], store: FileSystemStore, keys: list[str], prefix: str
) -> None:
    known = set(
        model._base_manager.filter(storage_key__in=keys).values_list("storage_key", flat=True)
    )
    for key in keys:
        report.files += 1
        if key in known:
            continue
        try:
            age_s = store.age_s(key, of_content=True)
        except BlobMissingError:
            continue  # its owner took it back while we looked
        if age_s < _IN_FLIGHT_S:
            report.in_flight += 1
        else:
            report.orphans.add(prefix + key)


def _check_counters(report: Report) -> None:
    for name, wrong in (
        (
            "study",
            Study.objects.annotate(real=_present("series__images")).exclude(
                instance_count=F("real")
            ),
        ),
        (
            "series",
            Series.objects.annotate(real=_present("images")).exclude(instance_count=F("real")),
        ),
    ):
        for pk, counted, real in wrong.values_list("pk", "instance_count", "real"):
            report.counters.add(f"{name} {pk} counts {counted} instances; {real} are stored.")


def _present(images: str) -> Count:
    return Count(images, filter=Q(**{f"{images}__deletion_id": None}))


def newest(count: int = 10) -> Iterable[DicomImage]:
    """Return the instances that came last, with series, study and facility."""
    return DicomImage.objects.select_related("series__study__facility").order_by("-pk")[:count]


def masked(patient_id: str) -> str:
    """Return an ID that can be told from others, not read: its ends, when it has more than four.

    Examples
    --------
    >>> masked("P1234567"), masked("P1"), masked("")
    ('P***7', '***', '-')
    """
    if not patient_id:
        return "-"
    return f"{patient_id[0]}***{patient_id[-1]}" if len(patient_id) > 4 else "***"


def _batched(keys: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(islice(keys, _BATCH)):
        yield batch
