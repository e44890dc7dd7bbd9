"""WADO-URI: one object by query parameters, as DICOM, picture or page (PS3.18 section 9)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from html import escape
from http import HTTPStatus

from starlette.responses import Response

from archive import addressed, audit, retrieve, stores
from archive.access import Actor
from archive.addressed import Address
from archive.errors import InvalidInputError, NotFoundError, UndecodableError
from archive.rendering import CONTENT_TYPES, LARGEST_WIDTH, Form, Rendering, rendering_of
from blobs import BlobMissingError
from fastapi_app import gate
from fastapi_app.services import dicom_processor
from fastapi_app.services.dicomweb import media, objects
from fastapi_app.services.dicomweb.asking import Asked, bad_request, not_acceptable
from fastapi_app.services.dicomweb.media import DICOM, Choice, MediaRange, Offer, choices
from imaging import encapsulated, report
from imaging.encapsulated import Document
from imaging.errors import ImagingError
from imaging.report import Item, Report
from imaging.uid import is_valid_uid
from imaging.viewport import Viewport
from worklist.models import DicomImage

HTML, PLAIN, PDF = "text/html", "text/plain", "application/pdf"
_FORMS = {CONTENT_TYPES[form]: form for form in (Form.JPEG, Form.PNG, Form.GIF, Form.WEBP)}
_REPORTS = "1.2.840.10008.5.1.4.1.1.88."
_ENCAPSULATED_PDF = "1.2.840.10008.5.1.4.1.1.104.1"
# A page of our own words alone: no script, no picture, no foreign address.
_PAGE_POLICY = "default-src 'none'; style-src 'none'; base-uri 'none'; frame-ancestors 'none'"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A WADO-URI request.

    Attributes
    ----------
    parameters : by their names in the standard; unknown ones are of no effect
    """

    asked: Asked
    address: Address
    parameters: Mapping[str, str]


def wanted_of(asked: Asked) -> Wanted:
    """Read the parameters that every request has.

    Raises
    ------
    HTTPException
        400 with the parameter's name.

    References
    ----------
    DICOM PS3.18 section 9.1.2.
    """
    parameters: dict[str, str] = {}
    for name, value in asked.parameters:
        if name in parameters:
            raise bad_request(f"'{name[:40]}' is given twice; give it once.")
        parameters[name] = value
    if parameters.get("requestType") != "WADO":
        raise bad_request("'requestType' is WADO.")
    for name in ("studyUID", "seriesUID", "objectUID"):
        if not is_valid_uid(parameters.get(name, "")):
            raise bad_request(f"'{name}' is needed, and is a lawful UID (PS3.5 9.1).")
    if parameters.get("anonymize", "no").lower() not in {"", "no"}:
        raise bad_request("'anonymize' cannot be served: objects leave here as they are.")
    if parameters.get("charset", "utf-8").lower() not in {"", "utf-8", "utf8"}:
        raise bad_request("'charset' is utf-8, or is left out.")
    syntax = parameters.get("transferSyntax", "")
    if syntax and not is_valid_uid(syntax):
        raise bad_request("'transferSyntax' is a lawful UID (PS3.5 9.1).")
    address = Address(*(parameters[name] for name in ("studyUID", "seriesUID", "objectUID")))
    return Wanted(asked, address, parameters)


def retrieve_object(wanted: Wanted) -> Callable[[Actor], Response]:
    """Return the work of a request: the object in the first form that its caller takes."""

    def work(actor: Actor) -> Response:
        image = addressed.image(actor.scope, wanted.address)
        choice = _choose(wanted, offers_for(image))
        kind = choice.offer.media_type
        if kind == DICOM:
            return _object(wanted, choice)(actor)
        if kind in _FORMS:
            gate.note_view(actor, image.series.study)
            return _picture(actor, image, wanted, _FORMS[kind])
        audit.record(actor, "image.read", image.series.study, image=str(image.pk), how="wado")
        if kind == PDF:
            document = _document(image)
            return _content(document.content, PDF)
        return _page(image, kind)

    return work


def offers_for(image: DicomImage) -> list[Offer]:
    """Return what an object comes as, what it comes as unasked first.

    References
    ----------
    DICOM PS3.18 section 8.7.3: single frames are pictures, texts are pages, all else is DICOM.
    """
    pictures = [Offer(kind) for kind in _FORMS]
    if image.has_pixels:
        is_single = image.number_of_frames <= 1
        return [*pictures, Offer(DICOM)] if is_single else [Offer(DICOM), *pictures]
    if image.sop_class_uid.startswith(_REPORTS):
        return [Offer(HTML), Offer(PLAIN), Offer(DICOM)]
    if image.sop_class_uid == _ENCAPSULATED_PDF:
        return [Offer(DICOM), Offer(PDF)]
    return [Offer(DICOM)]


def _choose(wanted: Wanted, offers: list[Offer]) -> Choice:
    given = wanted.parameters.get("contentType", "")
    ranges = media_ranges(given) if given else wanted.asked.ranges
    found = choices(ranges, offers)
    if not found:
        raise not_acceptable(offers)
    return found[0]


def media_ranges(text: str) -> list[MediaRange]:
    """Read `contentType`: media types, the one that is liked best first."""
    try:
        return media.parse_parameter(text)
    except media.MediaError as error:
        raise bad_request(f"'contentType' cannot be read. {error}") from error


def _object(wanted: Wanted, choice: Choice) -> Callable[[Actor], Response]:
    syntax = wanted.parameters.get("transferSyntax") or choice.transfer_syntax
    one = MediaRange(DICOM, {"transfer-syntax": syntax} if syntax else {})
    return objects.retrieve(replace(wanted.asked, ranges=[one]), wanted.address)


# Pictures -----------------------------------------------------------------------------------------


def _picture(actor: Actor, image: DicomImage, wanted: Wanted, form: Form) -> Response:
    parameters = wanted.parameters
    try:
        number = _whole(parameters, "frameNumber")
        rendering = picture_of(form, parameters, image)
    except InvalidInputError as error:
        raise bad_request(str(error)) from error
    if number == 0:
        raise bad_request("'frameNumber' counts from 1.")
    number = number or 1
    retrieve.check_frame_number(image, number)
    state = _state(actor, wanted)
    tag = dicom_processor.tag_of(image, number, rendering, state)
    headers = {
        "etag": tag,
        "cache-control": "private, no-cache",
        "vary": "Accept, Authorization, Cookie",
    }
    if dicom_processor.is_unchanged(tag, wanted.asked.headers.get("if-none-match")):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    rendered = retrieve.frame(image, number, rendering, state=state)
    return Response(rendered.content, media_type=rendered.content_type, headers=headers)


def picture_of(form: Form, parameters: Mapping[str, str], image: DicomImage) -> Rendering:
    """Turn the parameters of PS3.18 section 9.1.2.2 into ours.

    Raises
    ------
    InvalidInputError
        For a value that cannot be used; the message names the parameter.
    """
    given = {"annotation": parameters.get("annotation", "")}
    if (center := parameters.get("windowCenter")) or parameters.get("windowWidth"):
        width = parameters.get("windowWidth")
        if not (center and width):
            raise InvalidInputError("Give 'windowCenter' and 'windowWidth' together, or neither.")
        given |= {"wc": center, "ww": width}
    if quality := parameters.get("imageQuality"):
        given["quality"] = quality
    rendering = rendering_of(form, given)
    return replace(rendering, viewport=_viewport(parameters, image))


def _viewport(parameters: Mapping[str, str], image: DicomImage) -> Viewport | None:
    """Return the region and size that are asked for; None: all of the picture, one for one."""
    rows, columns = _whole(parameters, "rows"), _whole(parameters, "columns")
    region = _region(parameters.get("region", ""))
    if rows is None and columns is None and region is None:
        return None
    left, top, right, bottom = region or (0.0, 0.0, 1.0, 1.0)
    height, width = (image.rows or 1), (image.columns or 1)
    part_width, part_height = (right - left) * width, (bottom - top) * height
    if rows is None and columns is None:
        columns, rows = max(1, round(part_width)), max(1, round(part_height))
    # Of one side the other follows; the picture keeps its proportions.
    columns = columns or max(1, round(part_width * (rows or 1) / part_height))
    rows = rows or max(1, round(part_height * columns / part_width))
    for name, side in (("columns", columns), ("rows", rows)):
        if not 1 <= side <= LARGEST_WIDTH:
            raise InvalidInputError(f"'{name}' makes a picture of more than {LARGEST_WIDTH}.")
    if region is None:
        return Viewport(columns, rows)
    return Viewport(columns, rows, left * width, top * height, part_width, part_height)


def _region(text: str) -> tuple[float, float, float, float] | None:
    """Read ``left,top,right,bottom`` as parts of the whole, 0 to 1."""
    if not text:
        return None
    try:
        left, top, right, bottom = (float(part[:24]) for part in text.split(","))
    except ValueError:
        left = top = right = bottom = math.nan
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise InvalidInputError(
            "'region' is left,top,right,bottom from 0 to 1, left before right, top before bottom."
        )
    return left, top, right, bottom


def _whole(parameters: Mapping[str, str], name: str) -> int | None:
    text = parameters.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise InvalidInputError(f"'{name}' is a whole number.")
    return int(text)


def _state(actor: Actor, wanted: Wanted) -> DicomImage | None:
    """Return the presentation state that is asked for (PS3.18 9.1.2.2)."""
    uid = wanted.parameters.get("presentationUID", "")
    if not uid:
        return None
    for name in ("region", "windowCenter", "windowWidth"):
        if wanted.parameters.get(name):
            raise bad_request(f"'{name}' does not go with 'presentationUID', which decides itself.")
    series = wanted.parameters.get("presentationSeriesUID", "")
    if not series:
        raise bad_request("'presentationSeriesUID' is needed beside 'presentationUID'.")
    return addressed.image(actor.scope, Address(wanted.address.study, series, uid))


# Texts --------------------------------------------------------------------------------------------


def _content(content: bytes, media_type: str, **headers: str) -> Response:
    return Response(
        content,
        media_type=media_type,
        headers={
            "cache-control": "private, no-cache",
            "vary": "Accept, Authorization, Cookie",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        },
    )


def _document(image: DicomImage) -> Document:
    try:
        with stores.instances().open(image.storage_key) as file:
            return encapsulated.read_pdf(file)
    except BlobMissingError as error:
        raise NotFoundError("The stored file is missing.") from error
    except ImagingError as error:
        raise UndecodableError(str(error)) from error


def _page(image: DicomImage, kind: str) -> Response:
    try:
        with stores.instances().open(image.storage_key) as file:
            found = report.read_report(file)
    except BlobMissingError as error:
        raise NotFoundError("The stored file is missing.") from error
    except ImagingError as error:
        raise UndecodableError(str(error)) from error
    if kind == PLAIN:
        return _content(plain_of(found).encode(), f"{PLAIN}; charset=utf-8")
    page = html_of(found).encode()
    return _content(page, f"{HTML}; charset=utf-8", content_security_policy=_PAGE_POLICY)


def html_of(found: Report) -> str:
    """Return a report as a page without style or script."""
    title = escape(_title(found))
    lines = "".join(_html_line(item) for item in found.items if item.depth or not item.is_heading)
    notes = "".join(f"<p><em>{escape(note)}</em></p>" for note in _notes(found))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{title}</title></head><body><h1>{title}</h1>{notes}{lines}</body></html>"
    )


def _html_line(item: Item) -> str:
    name = escape(item.name.words) if item.name else ""
    if item.is_heading:
        level = min(item.depth + 1, 6)
        return f"<h{level}>{name}</h{level}>"
    text = escape(_value(item)).replace("\n", "<br>")
    return f"<p><b>{name}</b> {text}</p>" if name else f"<p>{text}</p>"


def plain_of(found: Report) -> str:
    """Return a report as lines of text."""
    lines = [_title(found), *_notes(found), ""]
    for item in found.items:
        if item.depth or not item.is_heading:
            name = item.name.words if item.name else ""
            lines.append("  " * max(0, item.depth - 1) + f"{name}: {_value(item)}".rstrip(" :"))
    return "\n".join(lines) + "\n"


def _title(found: Report) -> str:
    return found.title.words if found.title else "Report"


def _notes(found: Report) -> list[str]:
    notes = [found.day] if found.day else []
    if found.is_partial:
        notes.append("Not complete.")
    if found.is_verified is False:
        notes.append("Not verified.")
    notes += [
        f"Verified by {', '.join(filter(None, (one.name, one.organization, one.at)))}"
        for one in found.verifiers
    ]
    if found.is_cut:
        notes.append(f"Only the first {len(found.items)} entries are shown.")
    return [*notes, *found.warnings]


def _value(item: Item) -> str:
    text = f"{item.text} {item.unit}".strip()
    references = [f"{one.name} {one.sop_instance_uid}" for one in item.references]
    return "; ".join(filter(None, (text, *references)))
