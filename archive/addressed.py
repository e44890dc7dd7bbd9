"""What an address of the web names: a study, a series or an instance, by their UIDs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from archive.access import Scope
from archive.errors import ForbiddenError, NotFoundError
from archive.retrieval import COLUMNS, StoredInstance
from imaging.uid import is_valid_uid
from worklist.models import DicomImage, Series

_COLUMNS = (
    *COLUMNS,
    "series_id",
    "series__series_instance_uid",
    "sha256",
    "has_pixels",
    "is_lossy",
)
_ORDER = ("series__study_id", "series__series_number", "series_id", "instance_number", "pk")


@dataclass(frozen=True, slots=True)
class Address:
    """UIDs as an address has them; empty below the level that it names."""

    study: str
    series: str = ""
    instance: str = ""

    @property
    def level(self) -> str:
        """Of what is named: study, series or instance."""
        return "instance" if self.instance else "series" if self.series else "study"

    def __str__(self) -> str:
        path = f"/studies/{self.study}"
        if self.series:
            path += f"/series/{self.series}"
        return f"{path}/instances/{self.instance}" if self.instance else path


@dataclass(frozen=True, slots=True)
class Held(StoredInstance):
    """An instance with what its answer to the web needs.

    Attributes
    ----------
    sha256 : of the stored file, in hex
    """

    series_id: UUID
    series_instance_uid: str
    sha256: str
    has_pixels: bool
    is_lossy: bool


def held(scope: Scope, address: Address) -> Sequence[Held]:
    """Return the instances that an address names, in the order of series and instance numbers.

    Raises
    ------
    NotFoundError
        When there is no such thing.
    ForbiddenError
        When it is another facility's.
    """
    _check(address)
    rows = DicomImage.objects.filter(series__study__study_instance_uid=address.study)
    if address.series:
        rows = rows.filter(series__series_instance_uid=address.series)
    if address.instance:
        rows = rows.filter(sop_instance_uid=address.instance)
    found = [Held(*row) for row in scope.filter(rows).order_by(*_ORDER).values_list(*_COLUMNS)]
    if not found:
        raise _nothing(address, is_others=rows.exists())
    return found


def series(scope: Scope, address: Address) -> Sequence[Series]:
    """Return the series that an address names, or those of the study that it names.

    Raises
    ------
    NotFoundError, ForbiddenError
        See `held`.
    """
    _check(address)
    rows = Series.objects.filter(study__study_instance_uid=address.study, instance_count__gt=0)
    if address.series:
        rows = rows.filter(series_instance_uid=address.series)
    mine = scope.filter(rows.select_related("study"), "study__facility")
    found = list(mine.order_by("study_id", "series_number", "pk"))
    if not found:
        raise _nothing(address, is_others=rows.exists())
    return found


def image(scope: Scope, address: Address) -> DicomImage:
    """Return the instance that an address names, with its series and study; the newest of several.

    Raises
    ------
    NotFoundError, ForbiddenError
        See `held`.
    """
    _check(address)
    rows = DicomImage.objects.filter(
        sop_instance_uid=address.instance,
        series__series_instance_uid=address.series,
        series__study__study_instance_uid=address.study,
    )
    mine = scope.filter(rows.select_related("series__study"))
    found = mine.order_by("-received_at", "pk").first()
    if found is None:
        raise _nothing(address, is_others=rows.exists())
    return found


def images(scope: Scope, address: Address) -> Sequence[DicomImage]:
    """Return the rows of the instances that an address names, with series and study; see `held`."""
    found = held(scope, address)
    rows = DicomImage.objects.select_related("series__study")
    by_key: dict[UUID, DicomImage] = {}
    for start in range(0, len(found), 500):
        by_key |= rows.in_bulk([one.image_id for one in found[start : start + 500]])
    return [by_key[one.image_id] for one in found if one.image_id in by_key]


def row(instance: Held) -> DicomImage | None:
    """Return the row of an instance, with its series and study; None where it has gone since."""
    rows = DicomImage.objects.select_related("series__study")
    return rows.filter(pk=instance.image_id).first()


def _check(address: Address) -> None:
    for what in ("study", "series", "instance"):
        uid = getattr(address, what)
        if uid and not is_valid_uid(uid):
            raise NotFoundError(f"There is no such {what}.")


def _nothing(address: Address, *, is_others: bool) -> NotFoundError | ForbiddenError:
    if is_others:
        return ForbiddenError(f"This {address.level} belongs to a facility that is not yours.")
    return NotFoundError(f"There is no such {address.level}.")
