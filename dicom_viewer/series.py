"""The images of a series as the viewer reads them: facts, reading order, what cannot be shown.

Made once by a job when a series has arrived and kept compressed on its row; made on the fly while
it still arrives.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any
from uuid import UUID

from django.urls import reverse

from archive import drawing, jobs, retrieve
from archive.errors import UndecodableError
from archive.runner import Payloads, subscriber
from imaging import geometry, sopclass
from imaging.voi import LookupTable
from worklist.models import DicomImage, Series

Image = dict[str, Any]

# Raised when the shape of what is kept changes: older rows are then made again.
_VERSION = 5
_DELAY_S = 2.0
# From so many slices on a series is a volume, whose middle shows more than its first slice.
_VOLUME_SLICES = 5

_DISPLAY = (
    "PixelSpacing",
    "ImagerPixelSpacing",
    "EstimatedRadiographicMagnificationFactor",
    "PixelAspectRatio",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SliceThickness",
    "SpacingBetweenSlices",
    "SliceLocation",
    "PatientOrientation",
    "WindowCenter",
    "WindowWidth",
    "WindowCenterWidthExplanation",
    "VOILUTFunction",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "Units",
    "FrameTime",
    "RecommendedDisplayFrameRate",
    "ImageLaterality",
    "ViewPosition",
    "ViewCodeValue",
    "AcquisitionDate",
    "AcquisitionTime",
    "SequenceOfUltrasoundRegions",
    "PixelPaddingValue",
    "PresentationLUTShape",
    "ImageType",
    "frames",
)


@subscriber("instance.stored")
def queue_metadata(payloads: Payloads) -> None:
    """Queue the metadata of every series that got images."""
    for series_id in {payload["series_id"] for payload in payloads}:
        jobs.enqueue("series.metadata", series_id, delay_s=_DELAY_S, series_id=series_id)


@jobs.handler("series.metadata")
def make_metadata(series_id: str) -> None:
    """Keep the images of one series on its row; then the study's first picture may be chosen."""
    series = Series.objects.filter(pk=UUID(series_id)).first()
    if series is not None:
        keep(series)
        study_id = str(series.study_id)
        jobs.enqueue("study.preview", study_id, study_id=study_id)


def keep(series: Series) -> None:
    """Describe the images of a series and keep that, with the number of images it covers."""
    images = describe(series.images.all())
    content = json.dumps({"version": _VERSION, "images": images}, separators=(",", ":"))
    Series.objects.filter(pk=series.pk).update(
        metadata=zlib.compress(content.encode()), metadata_instance_count=len(images)
    )


def kept_images(series: Series) -> list[Image] | None:
    """Return what is kept on the row, or None where it is missing or out of date."""
    if series.metadata is None or series.metadata_instance_count != series.instance_count:
        return None
    kept = json.loads(zlib.decompress(bytes(series.metadata)))
    return kept["images"] if kept["version"] == _VERSION else None


def starting_image(images: Sequence[Image]) -> Image | None:
    """Return where a series is begun: a volume in its middle, where there is something to see.

    Everything else is begun at its start.
    """
    if not images:
        return None
    is_volume = len(images) >= _VOLUME_SLICES and all(
        image["ImagePositionPatient"] and image["NumberOfFrames"] == 1 for image in images
    )
    return images[(len(images) - 1) // 2 if is_volume else 0]


def describe(rows: Iterable[DicomImage]) -> list[Image]:
    """Return the documents of images in reading order."""
    return in_reading_order([image_document(row) for row in rows])


def in_reading_order(images: Sequence[Image]) -> list[Image]:
    """Sort by position along the normal where every slice has its own, else by Instance Number.

    Positions run the way the scanner numbered them: head first or feet first is the protocol's
    choice. Series with several slices at one place (phases, echoes, directions of diffusion) keep
    the scanner's order, which holds what belongs together.
    """
    numbered = sorted(images, key=_number)
    stack = geometry.sort_slices(
        [image["ImagePositionPatient"] for image in numbered],
        [image["ImageOrientationPatient"] for image in numbered],
    )
    if stack is None or stack.duplicates or any(image["frames"] for image in numbered):
        return numbered
    order = list(stack.order)
    # `order` holds places in the scanner's numbering: mostly falling means it runs the other way.
    rising = sum(after > before for before, after in pairwise(order))
    if rising * 2 < len(order) - 1:
        order.reverse()
    return [numbered[place] for place in order]


def _number(image: Image) -> tuple[bool, int, str]:
    number = image["InstanceNumber"]
    return number is None, number or 0, image["SOPInstanceUID"]


def image_document(row: DicomImage) -> Image:
    """Return the facts of one image under their keywords; no file is opened."""
    identity = str(row.pk)
    problem = _problem(row)
    version, values, hidden = row.digest, dict[str, Any](), list[str]()
    luts: list[Image] = []
    if problem is None:
        try:
            version = retrieve.version_of(row)
            values, hidden = retrieve.values(row), retrieve.hidden(row)
            luts = [lut_document(table) for table in retrieve.voi_luts(row)]
        except UndecodableError as error:
            problem = str(error)
    return {
        "id": identity,
        "SOPInstanceUID": row.sop_instance_uid,
        "SOPClassUID": row.sop_class_uid,
        "InstanceNumber": row.instance_number,
        "TransferSyntaxUID": row.transfer_syntax_uid,
        "Rows": row.rows,
        "Columns": row.columns,
        "NumberOfFrames": row.number_of_frames,
        "SamplesPerPixel": row.samples_per_pixel,
        "PhotometricInterpretation": row.photometric_interpretation or None,
        "BitsAllocated": row.bits_allocated,
        "BitsStored": row.bits_stored,
        "PixelRepresentation": row.pixel_representation,
        **{keyword: row.value(keyword) for keyword in _DISPLAY},
        **values,
        "VOILUTSequence": luts,
        "LossyImageCompression": row.is_lossy,
        "transport": retrieve.transport(row) if problem is None else None,
        "frame_url": f"/api/v1/dicom/image/{identity}/frames/{{n}}",
        "digest": version,
        "hidden": hidden,
        "file_url": f"/api/v1/dicom/image/{identity}/file",
        "video": _video(identity, version) if drawing.is_video(row) else None,
        "document_url": None if row.has_pixels else _document_url(row),
        "problem": problem,
    }


def lut_document(table: LookupTable) -> Image:
    """Return what a VOI LUT is, without its values; the descriptor's last is the bits in use."""
    return {
        "LUTExplanation": table.explanation or None,
        "LUTDescriptor": [len(table.values), table.first, table.bits],
    }


def voi_lut_documents(image: DicomImage) -> list[Image]:
    """Return the VOI LUTs of an image with their values: unsigned, 16 bits each, low byte first."""
    return [
        lut_document(table)
        | {"LUTData": base64.b64encode(table.values.astype("<u2").tobytes()).decode()}
        for table in retrieve.voi_luts(image)
    ]


def _video(identity: str, version: str) -> dict[str, str]:
    """Return where a video is played, where its frames are told, and where it is as it came."""
    url = f"/api/v1/dicom/image/{identity}/video"
    return {
        "url": f"{url}?v={version}",
        "facts_url": f"{url}/facts",
        "original_url": f"{url}?original=1",
    }


def _document_url(row: DicomImage) -> str | None:
    """Return the page that shows what an instance without pictures holds."""
    way = sopclass.reads_as(row.sop_class_uid)
    if way is None:
        return None
    name = "document-pdf" if way == "pdf" else "document"
    return reverse(f"dicom_viewer:{name}", args=[row.pk])


def _problem(row: DicomImage) -> str | None:
    if not row.has_pixels:
        what = sopclass.plain_name(row.sop_class_uid)
        if sopclass.is_image_class(row.sop_class_uid):
            return (
                f"This file ({what}) has no pixel data, so there is nothing to show. Have it sent "
                "again, or download it to look at what it holds."
            )
        return f"This is not a picture ({what}). Download the file to open it elsewhere."
    return row.problem or retrieve.problem(row) or None
