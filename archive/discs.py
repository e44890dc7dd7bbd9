"""A study on a disc: its files and their directory in one zip archive, and a page to see them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from pydicom.dataset import Dataset
from zipstream import ZipStream

from archive import access, audit, stores
from archive.access import Actor
from archive.errors import NotFoundError, PermanentError, TooLargeError, UndecodableError
from blobs import BlobMissingError
from imaging import dicomjson
from imaging.disc import Directory, make_directory
from imaging.errors import ImagingError, UnsupportedError
from worklist.models import DicomImage, Study

_MOST_INSTANCES = 20_000
_MOST_PICTURES = 10_000
_PIECE_BYTES = 1024 * 1024
_PAGE = Path(__file__).parent / "disc_viewer"
_CHANGED = (
    "A stored file has changed since it came and is not given out. Tell your administrator to run "
    "verify_storage."
)


@dataclass(frozen=True, slots=True)
class Archive:
    """A zip archive that is made while it is read.

    Attributes
    ----------
    size_bytes : None where it is not known before all is made
    """

    name: str
    pieces: Iterator[bytes]
    size_bytes: int | None


def study_on_disc(actor: Actor, study_key: UUID | str, *, with_viewer: bool = False) -> Archive:
    """Return a study as a zip archive that holds what a disc would: files, DICOMDIR, a read-me.

    Parameters
    ----------
    with_viewer : add a page that shows the pictures from the disc, without a network

    Raises
    ------
    NotFoundError, ForbiddenError
    TooLargeError
        When the study has more instances than one archive takes.

    References
    ----------
    DICOM PS3.10 section 8; PS3.12 annex V (zip files); IHE PDI for the page's place.
    """
    study = access.study_for(actor.scope, study_key)
    images = images_of(study)
    audit.record(actor, "study.export", study, how="disc", instances=len(images))
    directory = _directory(images)
    sized = not with_viewer
    archive = ZipStream(sized=sized)
    archive.add(directory.content, "DICOMDIR")
    archive.add(_readme(len(images), with_viewer=with_viewer, directory=directory), "README.TXT")
    for number, image in enumerate(images):
        path = directory.names.get(image.sop_instance_uid, f"OTHER/F{number:07}")
        archive.add(_file(image), path, size=image.size_bytes if sized else None)
    if with_viewer:
        _add_viewer(archive, study, images)
    return Archive(
        name=f"study-{study.pk}.zip",
        pieces=iter(archive),
        size_bytes=len(archive) if sized else None,
    )


def images_of(study: Study) -> list[DicomImage]:
    """Return the instances of a study as one archive takes them, in the order of series and number.

    Raises
    ------
    NotFoundError, TooLargeError
    """
    rows = DicomImage.objects.filter(series__study=study).select_related("series__study")
    images = list(
        rows.order_by("series__series_number", "series_id", "instance_number", "pk")[
            : _MOST_INSTANCES + 1
        ]
    )
    if not images:
        raise NotFoundError("This study has no files.")
    if len(images) > _MOST_INSTANCES:
        raise TooLargeError(
            f"The study has more than {_MOST_INSTANCES} instances, the most that one archive "
            "takes. Fetch its series one by one."
        )
    return images


def _directory(images: Sequence[DicomImage]) -> Directory:
    try:
        return make_directory(
            ((_header(image), image.transfer_syntax_uid) for image in images), "NOCTISPRO"
        )
    except UnsupportedError as error:
        raise UndecodableError(str(error)) from error


def _header(image: DicomImage) -> Dataset:
    try:
        with stores.instances().open(image.storage_key) as file:
            header = dicomjson.read(file)
    except (BlobMissingError, ImagingError) as error:
        raise PermanentError(_CHANGED) from error
    for keyword, value in (
        ("SOPInstanceUID", image.sop_instance_uid),
        ("SOPClassUID", image.sop_class_uid),
    ):
        if keyword not in header:
            setattr(header, keyword, value)
    return header


def _file(image: DicomImage) -> Iterator[bytes]:
    """Yield a stored file; where it is not what was stored, the archive breaks off."""
    digest = hashlib.sha256()
    try:
        with stores.instances().open(image.storage_key) as file:
            while piece := file.read(_PIECE_BYTES):
                digest.update(piece)
                # The last piece waits for the verdict.
                if file.tell() >= image.size_bytes and digest.hexdigest() != image.sha256:
                    raise PermanentError(_CHANGED)
                yield piece
    except BlobMissingError as error:
        raise PermanentError(_CHANGED) from error


def _readme(count: int, *, with_viewer: bool, directory: Directory) -> bytes:
    lines = [
        "Medical images in DICOM format.",
        "",
        f"{count} files. DICOMDIR lists them for programs that read discs.",
    ]
    if with_viewer:
        lines.append("Open INDEX.HTM in a browser to look at the pictures. It needs no network.")
    if directory.left_out:
        lines.append("Files in the folder OTHER are of a kind that DICOMDIR cannot list.")
    lines += ["", "Written by NoctisPro PACS.", ""]
    return "\r\n".join(lines).encode("ascii")


def _add_viewer(archive: ZipStream, study: Study, images: Sequence[DicomImage]) -> None:
    # The receiver loads this module's siblings and never a decoder.
    from archive import retrieve  # noqa: PLC0415
    from archive.rendering import Form, Rendering  # noqa: PLC0415

    rendering = Rendering(Form.JPEG, quality=90)

    def drawn(image: DicomImage, frame_number: int) -> Iterator[bytes]:
        try:
            yield retrieve.frame(image, frame_number, rendering).content
        except UndecodableError as error:
            yield retrieve.reason_picture(str(error), rendering)

    series: dict[UUID, dict[str, object]] = {}
    count = 0
    for image in images:
        if not image.has_pixels:
            continue
        row = image.series
        words = f"{row.modality} {row.series_number or ''} {row.series_description}".split()
        entry = series.setdefault(row.pk, {"name": " ".join(words), "pictures": []})
        pictures = entry["pictures"]
        for frame_number in range(1, max(image.number_of_frames, 1) + 1):
            if count >= _MOST_PICTURES:
                break
            count += 1
            path = f"VIEWER/P{count:07}.JPG"
            archive.add(drawn(image, frame_number), path)
            pictures.append(path)  # type: ignore[attr-defined]
    born = f", born {study.patient_birth_date}" if study.patient_birth_date else ""
    about = {
        "patient": f"{study.patient_name.replace('^', ' ').strip() or 'No name'}{born}",
        "study": " · ".join(
            filter(
                None, (str(study.study_date or ""), study.study_description, study.facility.name)
            )
        ),
        "series": list(series.values()),
    }
    # Names come from equipment: none of them may end the script or begin markup.
    text = json.dumps(about).replace("<", "\\u003c")
    archive.add(f"window.STUDY = {text};\n".encode(), "VIEWER/DATA.JS")
    archive.add((_PAGE / "INDEX.HTM").read_bytes(), "INDEX.HTM")
    for name in ("VIEWER.JS", "VIEWER.CSS"):
        archive.add((_PAGE / name).read_bytes(), f"VIEWER/{name}")
