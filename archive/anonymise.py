"""A study without whose it is: every picture of it de-identified, in one zip archive."""

from __future__ import annotations

import io
import logging
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from django.utils.crypto import salted_hmac
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import UID, ExplicitVRLittleEndian
from zipstream import ZipStream

from archive import access, audit, discs, stores
from archive.access import Actor
from archive.discs import Archive
from archive.errors import ArchiveError, InvalidInputError, PermanentError
from blobs import BlobMissingError
from imaging import deidentify
from imaging.deidentify import Identity, Options
from imaging.errors import ImagingError
from imaging.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from worklist.models import DicomImage, Study

logger = logging.getLogger(__name__)

# A file is changed in memory.
_MOST_FILE_BYTES = 512 * 2**20
_LONGEST_SUBJECT = 64
_MOST_SHIFT_DAYS = 3650
_NO_PICTURE = "it is no picture, but a report, document or drawing"
_ODD_HEADER = "its header is not built as the standard has it"
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
# So many are in memory at once, whoever asks.
_turns = threading.BoundedSemaphore(2)
# What pydicom raises at data sets that are built wrongly.
_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, IndexError, NotImplementedError)


class LeftOutError(Exception):
    """An instance cannot leave; `str()` says why, in words, without whose it is."""


@dataclass(slots=True)
class _Log:
    """What became of the instances."""

    written: int
    left_out: Counter[str]


def study_anonymised(
    actor: Actor, study_key: UUID | str, options: Options, *, subject: str = ""
) -> Archive:
    """Return a study as a zip archive of de-identified files.

    The same study gives the same new UIDs, name and dates each time, so that what is exported
    later fits what was exported before.

    Parameters
    ----------
    subject : what the person is called instead; empty: a name made of a hash

    Raises
    ------
    NotFoundError, ForbiddenError
    InvalidInputError
        When `subject` is no lawful Patient ID.

    References
    ----------
    DICOM PS3.15 Annex E.
    """
    study = access.study_for(actor.scope, study_key)
    images = discs.images_of(study)
    identity = identity_of(study, subject)
    audit.record(
        actor,
        "study.export",
        study,
        how="anonymised",
        instances=len(images),
        dates=options.dates,
        options=[
            name
            for name in ("patient", "device", "uids", "descriptors", "private", "pixels")
            if getattr(options, name)
        ],
    )
    return Archive(f"{identity.subject}.zip", _pieces(images, options, identity), None)


def identity_of(study: Study, subject: str) -> Identity:
    """Return who a study's person is called instead; the same for all studies of a patient."""
    if len(subject) > _LONGEST_SUBJECT or not all(
        letter.isascii() and (letter.isalnum() or letter in " -_.") for letter in subject
    ):
        raise InvalidInputError(
            "The new name has at most 64 letters, digits, spaces, hyphens, dots and underscores."
        )
    return _identity(study.facility_id, str(study.patient_id), subject)


def _identity(facility_id: UUID, person: str, subject: str = "") -> Identity:
    digest = salted_hmac("archive.anonymise.patient", person, algorithm="sha256")
    number = int.from_bytes(digest.digest()[:8], "big")
    return Identity(
        subject=subject.strip() or f"ANON-{digest.hexdigest()[:8].upper()}",
        shift_days=-(number % _MOST_SHIFT_DAYS + 1),
        new_uid=lambda uid: new_uid(facility_id, uid),
    )


def new_uid(facility_id: UUID, uid: str) -> str:
    """Return a UID of PS3.5 B.2 that nobody turns back without the site's secret.

    Parameters
    ----------
    facility_id : whose object it is: two facilities' new UIDs of one old one differ
    uid : of an object, or of what it refers to
    """
    made = salted_hmac("archive.anonymise.uid", f"{facility_id} {uid}", algorithm="sha256")
    return f"2.25.{int.from_bytes(made.digest()[:16], 'big')}"


def arriving(facility_id: UUID, content: bytes) -> bytes:
    """Return the de-identified file of an object that is not stored yet, by the strictest options.

    The same object gives the same file each time, and its UIDs are those of :func:`new_uid`.

    Parameters
    ----------
    facility_id : whose it becomes
    content : a Part 10 file

    Raises
    ------
    LeftOutError
        When it holds no picture, may show whose it is, or still says so afterwards.

    References
    ----------
    DICOM PS3.15 Annex E.
    """
    try:
        with _turns, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = _decoded(content)
            _require_picture(dataset)
            # Patient IDs are their issuer's, the facility (PS3.3 C.2.1).
            person = f"{facility_id} {dataset.get('PatientID', '')}"
            return _changed(dataset, Options(), _identity(facility_id, person))
    except LeftOutError:
        raise
    except (ImagingError, ArchiveError, RecursionError, *_UNREADABLE):
        # Nothing of it goes to the log: it is not this archive's yet.
        raise LeftOutError(_ODD_HEADER) from None


def _pieces(images: Sequence[DicomImage], options: Options, identity: Identity) -> Iterator[bytes]:
    archive = ZipStream()
    log = _Log(0, Counter())
    folders: dict[UUID, str] = {}
    for image in images:
        try:
            content = anonymised(image, options, identity)
        except LeftOutError as error:
            log.left_out[str(error)] += 1
            continue
        log.written += 1
        folder = folders.setdefault(image.series_id, f"SERIES{len(folders) + 1:02}")
        archive.add(content, f"{folder}/I{log.written:07}.DCM")
        yield from archive.file() or ()
    archive.add(_readme(log), "README.TXT")
    yield from archive.finalize()


def anonymised(image: DicomImage, options: Options, identity: Identity) -> bytes:
    """Return the de-identified file of an instance.

    Raises
    ------
    LeftOutError
        When it holds no picture, may show whose it is, or still says so afterwards.
    """
    if not image.has_pixels:
        raise LeftOutError(_NO_PICTURE)
    if image.size_bytes > _MOST_FILE_BYTES:
        raise LeftOutError("it is larger than 512 MiB")
    try:
        with _turns, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = _read(image)
            return _changed(dataset, options, identity, lambda: _clean_pixels(image, dataset))
    except LeftOutError:
        raise
    except (ImagingError, ArchiveError, *_UNREADABLE):
        logger.info("Cannot de-identify %s", image.pk, exc_info=True)
        raise LeftOutError(_ODD_HEADER) from None


def _require_picture(dataset: Dataset) -> None:
    if not any(keyword in dataset for keyword in _PIXELS):
        raise LeftOutError(_NO_PICTURE)


def _changed(
    dataset: FileDataset,
    options: Options,
    identity: Identity,
    clean_pixels: Callable[[], None] | None = None,
) -> bytes:
    secrets = deidentify.secrets_of(dataset)
    risk = deidentify.burned_in_risk(dataset)
    if risk:
        if not options.pixels or clean_pixels is None:
            raise LeftOutError(risk)
        clean_pixels()
    deidentify.deidentify(dataset, options, identity, secrets)
    if risk:
        dataset.BurnedInAnnotation = "NO"
    meta = dataset.file_meta
    meta.MediaStorageSOPInstanceUID = UID(dataset.SOPInstanceUID)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    dataset.preamble = bytes(128)
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    content = out.getvalue()
    found = deidentify.left_of(content, secrets, options)
    if found:
        raise LeftOutError(f"{found} of the original was still found in it")
    return content


def _read(image: DicomImage) -> FileDataset:
    try:
        with stores.instances().open(image.storage_key) as file:
            return _decoded(file.read())
    except BlobMissingError as error:
        raise PermanentError(str(error)) from error


def _decoded(content: bytes) -> FileDataset:
    dataset = dcmread(io.BytesIO(content), force=True)
    # Decoded now: afterwards all is written in UTF-8.
    dataset.decode()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    return dataset


def _clean_pixels(image: DicomImage, dataset: Dataset) -> None:
    """Blank all of an ultrasound picture that is outside of its regions.

    References
    ----------
    DICOM PS3.15 E.3.1; PS3.3 C.8.5.5 (Sequence of Ultrasound Regions).
    """
    from archive import retrieve  # noqa: PLC0415 - the receiver never loads a decoder

    regions = dataset.get("SequenceOfUltrasoundRegions")
    if not regions:
        raise LeftOutError("its picture may have words in it, and it names no region without them")
    frames = []
    for frame_number in range(1, max(image.number_of_frames, 1) + 1):
        pixels = retrieve.exact(image, frame_number)
        is_shown = np.zeros(pixels.shape[:2], bool)
        for region in regions:
            top, bottom = int(region.RegionLocationMinY0), int(region.RegionLocationMaxY1)
            left, right = int(region.RegionLocationMinX0), int(region.RegionLocationMaxX1)
            is_shown[max(top, 0) : bottom + 1, max(left, 0) : right + 1] = True
        frames.append(np.where(is_shown[..., None] if pixels.ndim == 3 else is_shown, pixels, 0))
    cleaned = np.stack(frames).astype(frames[0].dtype)
    samples = 3 if frames[0].ndim == 3 else 1
    bits = cleaned.dtype.itemsize * 8
    for keyword in list(dataset.dir("Palette")):
        delattr(dataset, keyword)
    for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths", "IconImageSequence"):
        dataset.pop(keyword, None)
    dataset.SamplesPerPixel = samples
    if samples == 3:
        dataset.PhotometricInterpretation = "RGB"
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = bits
    if samples == 3:
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = bits, bits - 1, 0
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    content = cleaned.tobytes()
    dataset.PixelData = content + b"\0" * (len(content) % 2)
    dataset["PixelData"].VR = "OW" if bits > 8 else "OB"
    dataset["PixelData"].is_undefined_length = False


def _readme(log: _Log) -> bytes:
    lines = [
        "Medical images in DICOM format, de-identified (DICOM PS3.15 Annex E).",
        "",
        f"{log.written} files. Each says in De-identification Method Code Sequence (0012,0064)",
        "by which options. Faces and words inside of pictures are not looked for.",
    ]
    if log.left_out:
        lines += ["", "Left out:"]
        lines += [f"- {count}: {reason}." for reason, count in log.left_out.most_common()]
    lines += ["", "Written by NoctisPro PACS.", ""]
    return "\r\n".join(lines).encode("ascii", "replace")
