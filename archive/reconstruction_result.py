"""One reconstruction on this machine's disk: its voxels, its pictures, how far they are."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from django.utils import timezone
from numpy.typing import NDArray

from archive import ingest, reconstructions, retrieve, spool
from archive.errors import ConflictError, PermanentError, StoreUnavailableError, TooLargeError
from archive.headers import header_of
from archive.ingest import Outcome, Provenance
from archive.models import ReconstructionJob, ReconstructionOutput
from archive.reconstruction_request import of_parameters
from archive.reconstruction_source import Source, source_of
from archive.series_numbers import free_series_number
from imaging import derived_write, voi
from imaging.derived_write import Derived, Plane, Scale
from imaging.encode import encode_jpeg, encode_png
from imaging.errors import ImagingError
from imaging.raycast import PRESETS, CellGrid, turned
from imaging.reformat import PlaneGrid, planes_through
from imaging.voi import Window
from imaging.volume import Volume

# Of one volume on the disk.
MOST_BYTES = 4 * 1024**3
_JPEG_QUALITY = 90
_CELLS = 160
_STATE = "state.json"
_VOXELS = "voxels.raw"


@dataclass(slots=True)
class _State:
    """How far it is; `digest` is the source's, to which all of it belongs."""

    digest: str
    loaded: int = 0
    made: int = 0
    stored: int = 0
    least: float | None = None
    greatest: float | None = None
    is_whole: bool = True
    window: list[Any] | None = None


class Task:
    """A reconstruction that is worked on.

    Parameters
    ----------
    folder : of this machine, for the voxels and what is not delivered yet
    """

    def __init__(self, row: ReconstructionJob, folder: Path, source: Source) -> None:
        self.row = row
        self.request = of_parameters(row.parameters)
        self.folder = folder
        self.source = source
        self.result_series_id: UUID | None = None
        geometry = source.plan.geometry
        self._shape = (len(source.frames), geometry.rows, geometry.columns)
        self._dtype = retrieve.exact(source.frames[0].image, source.frames[0].number).dtype
        self._planes: PlaneGrid | None = None
        if not self.request.is_volume:
            self._planes = planes_through(
                source.plan, self.request.orientation, step_mm=self.request.step_mm
            )
        self._state = self._read_state()
        self._voxels: NDArray[Any] = self._map()

    @property
    def is_series(self) -> bool:
        """Whether a series of the study is wanted."""
        return self.row.output == ReconstructionOutput.SERIES

    @property
    def is_storing(self) -> bool:
        """Whether all images are made, and what is left is to store them in the study."""
        return self.is_series and self._state.made >= self.count

    @property
    def count(self) -> int:
        """How many pictures it makes."""
        return self.request.views if self._planes is None else self._planes.count

    @property
    def total_steps(self) -> int:
        """Frames to read, pictures to make, and images to store."""
        return len(self.source.frames) + self.count * (2 if self.is_series else 1)

    @property
    def done_steps(self) -> int:
        """Those that are behind it."""
        return self._state.loaded + self._state.made + self._state.stored

    def steps(self) -> Iterator[None]:
        """Do the work, and pause after each step.

        Raises
        ------
        PermanentError
            When a frame cannot be decoded, or what was made cannot be stored.
        TransientError
            When decoders, disk or database are busy.
        """
        yield from self._load()
        yield from self._make()
        if self.is_series:
            yield from self._store()

    def save(self) -> None:
        """Keep how far it is, after what it is about."""
        if isinstance(self._voxels, np.memmap):
            self._voxels.flush()
        _write(self.folder / _STATE, json.dumps(asdict(self._state)).encode())

    def close(self) -> None:
        """Let the voxels' file go."""
        self._voxels = np.empty((0, 0, 0), self._dtype)

    def deliver(self) -> None:
        """Put finished pictures where people fetch them."""
        if self.is_series:
            return
        target = reconstructions.result_folder(self.row.pk)
        target.mkdir(parents=True, exist_ok=True)
        for path in self._pictures():
            _write(target / path.name, path.read_bytes())

    def _read_state(self) -> _State:
        """Return how far this machine is with this very series, else the beginning."""
        try:
            kept = _State(**json.loads((self.folder / _STATE).read_text()))
            is_whole = (self.folder / _VOXELS).stat().st_size == self._size
        except (OSError, ValueError, TypeError):
            kept, is_whole = None, False
        if kept is not None and is_whole and kept.digest == self.source.digest:
            return kept
        shutil.rmtree(self.folder, ignore_errors=True)
        return _State(self.source.digest)

    @property
    def _size(self) -> int:
        slices, rows, columns = self._shape
        return slices * rows * columns * self._dtype.itemsize

    def _map(self) -> NDArray[Any]:
        if self._size > MOST_BYTES:
            raise TooLargeError(
                f"This series is too large to be reformatted here ({self._size // 2**20} MiB; at "
                f"most {MOST_BYTES // 2**20})."
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / _VOXELS
        is_new = not path.exists()
        if is_new and shutil.disk_usage(self.folder).free < 2 * self._size:
            raise StoreUnavailableError(
                "The disk has too little space for this volume. It is tried again later."
            )
        return np.memmap(path, self._dtype, "w+" if is_new else "r+", shape=self._shape)

    def _load(self) -> Iterator[None]:
        geometry = self.source.plan.geometry
        state = self._state
        while state.loaded < len(self.source.frames):
            at = state.loaded
            frame = self.source.frames[at]
            pixels = retrieve.exact(frame.image, frame.number)
            if pixels.shape != self._shape[1:] or pixels.dtype != self._dtype:
                raise PermanentError("The pictures of this series are not of one kind.")
            self._voxels[at] = pixels
            slope, intercept = float(geometry.slopes[at]), float(geometry.intercepts[at])
            ends = [float(end) * slope + intercept for end in (pixels.min(), pixels.max())]
            state.least = min(*ends, ends[0] if state.least is None else state.least)
            state.greatest = max(*ends, ends[1] if state.greatest is None else state.greatest)
            state.is_whole &= (
                pixels.dtype.kind != "f" and slope.is_integer() and intercept.is_integer()
            )
            state.loaded += 1
            yield

    def _make(self) -> Iterator[None]:
        state = self._state
        if state.made >= self.count:
            return
        volume = Volume(self.source.plan.geometry, self._voxels)
        cells = None
        if self.request.is_volume:
            cells = CellGrid(volume, most_cells=_CELLS)
            # That takes its time: whoever cancels is heard before the first picture.
            yield
        while state.made < self.count:
            if cells is not None:
                content = self._view(cells, state.made)
            else:
                content = self._plane(volume, state.made)
            _write(self.folder / f"{state.made + 1:04}{self._suffix}", content)
            state.made += 1
            yield

    @property
    def _suffix(self) -> str:
        endings = {ReconstructionOutput.PNG: ".png", ReconstructionOutput.JPEG: ".jpg"}
        return endings.get(ReconstructionOutput(self.row.output), ".dcm")

    def _encoded(self, picture: NDArray[np.uint8]) -> bytes:
        if self.row.output == ReconstructionOutput.JPEG:
            return encode_jpeg(picture, quality=_JPEG_QUALITY)
        return encode_png(picture)

    def _view(self, cells: CellGrid, index: int) -> bytes:
        request = self.request
        picture = cells.render(turned(index, request.views), PRESETS[request.preset], request.side)
        if not self.is_series:
            return self._encoded(picture)
        return _written(
            lambda: derived_write.write_picture(
                picture, self._header(), self._references(), self._derived(index)
            )
        )

    def _plane(self, volume: Volume, index: int) -> bytes:
        if self._planes is None:
            raise PermanentError("This reconstruction has no planes.")
        grid = self._planes.plane(index)
        slab = self.request.slab
        values = volume.sample(grid, slab)
        state = self._state
        if not self.is_series:
            is_inverted = self._middle.photometric_interpretation == "MONOCHROME1"
            return self._encoded(
                voi.windowed(values, self._window(volume), is_inverted=is_inverted)
            )
        least, greatest = state.least or 0.0, state.greatest or 0.0
        scale = Scale.for_range(least, greatest, is_whole=state.is_whole)
        window = self._window(volume)
        return _written(
            lambda: derived_write.write_plane(
                values,
                Plane(grid, self._planes.step_mm if self._planes else 1.0, slab),
                self._header(),
                self._references(),
                scale,
                self._derived(index),
                window=(window.center, window.width),
            )
        )

    @property
    def _middle(self) -> Any:  # noqa: ANN401 - a stored image
        return self.source.frames[len(self.source.frames) // 2].image

    def _window(self, volume: Volume) -> Window:
        """Return the window of all pictures: who asked said it, or the series, or its values."""
        request = self.request
        if request.window_center is not None and request.window_width is not None:
            return Window(request.window_center, request.window_width)
        if self._state.window is None:
            frame = self.source.frames[len(self.source.frames) // 2]
            offered = voi.file_windows(frame.facts)
            if offered:
                chosen = offered[0]
            elif self._planes is not None:
                middle = self._planes.plane(self._planes.count // 2)
                chosen = voi.default_window(volume.sample(middle, request.slab))
            else:
                chosen = Window(0.5, 1.0)
            self._state.window = [chosen.center, chosen.width, chosen.function]
        center, width, function = self._state.window
        return Window(center, width, function)

    def _header(self) -> Any:  # noqa: ANN401 - a data set
        return header_of(self._middle)

    def _references(self) -> list[tuple[str, str]]:
        named = {frame.image.sop_instance_uid: frame.image for frame in self.source.frames}
        return [(image.sop_class_uid, uid) for uid, image in named.items()]

    def _derived(self, index: int) -> Derived:
        row = self.row
        if row.series_number is None:
            row.series_number = free_series_number(row.study)
            # Kept at once: whoever begins again must write the same bytes.
            row.save(update_fields=["series_number"])
        notes = " ".join(row.notes)
        return Derived(
            sop_instance_uid=_uid(row.pk, f"instance {index}"),
            series_instance_uid=_uid(row.pk, "series"),
            series_number=row.series_number,
            instance_number=index + 1,
            series_description=" of ".join(
                filter(None, (row.description, row.series.series_description))
            ),
            at=timezone.localtime(row.created_at),
            description=f"{row.description}, computed from the series. {notes}".strip(),
        )

    def _pictures(self) -> list[Path]:
        return [self.folder / f"{at + 1:04}{self._suffix}" for at in range(self.count)]

    def _store(self) -> Iterator[None]:
        """Store the images; those of an earlier try are there already and count as done."""
        row = self.row
        provenance = Provenance(
            facility=row.study.facility,
            source=f"reconstruction, by {row.requested_by_name}",
            expected_study_instance_uid=row.study.study_instance_uid,
            is_demo=row.study.is_demo,
        )
        for path in self._pictures()[self._state.stored :]:
            with path.open("rb") as file, spool.spool_file(file) as spooled:
                result = ingest.ingest_instance(spooled, provenance)
            if result.outcome is Outcome.CONFLICT:
                raise ConflictError("The study holds other images under these identities.")
            self._state.stored += 1
            yield
        series = row.study.series.filter(series_instance_uid=_uid(row.pk, "series")).first()
        self.result_series_id = series.pk if series else None


def open_task(row: ReconstructionJob, folder: Path) -> Task:
    """Return a reconstruction with what this machine has of it already.

    Raises
    ------
    InvalidInputError
        When the series makes no volume any more.
    TooLargeError
        When it is too large.
    StoreUnavailableError
        When the disk has too little space.
    """
    return Task(row, folder, source_of(row.series))


def _uid(key: UUID, name: str) -> str:
    """Return a UID that the same work gets again (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid5(key, name).int}"


def _written(write: Any) -> bytes:  # noqa: ANN401 - a writer without parameters
    try:
        content: bytes = write()
    except ImagingError as error:
        raise PermanentError(str(error)) from error
    return content


def _write(path: Path, content: bytes) -> None:
    """Write a file that is whole or absent."""
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_bytes(content)
        os.replace(part, path)  # noqa: PTH105 - over a file of an earlier try
    except OSError as error:
        raise StoreUnavailableError(
            "The disk takes no more now. It is tried again later."
        ) from error
