"""WADO-RS: rendered pictures and thumbnails of every level (PS3.18 sections 10.4.1.1.3 and .4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from starlette.responses import Response

from archive import addressed, descriptions, retrieve, thumbnails
from archive.access import Actor
from archive.addressed import Address
from archive.drawing import is_video
from archive.errors import InvalidInputError, NotFoundError, UndecodableError
from archive.rendering import CONTENT_TYPES, Form, Rendering, rendering_of
from fastapi_app.services import dicom_processor, films
from fastapi_app.services.dicomweb import conditions, streams, viewing
from fastapi_app.services.dicomweb.asking import Asked, bad_request, too_large
from fastapi_app.services.dicomweb.frames import read_numbers
from fastapi_app.services.dicomweb.media import Choice, Offer
from fastapi_app.services.dicomweb.streams import Part
from worklist.models import DicomImage

# The default of the standard first (table 8.7.4-1).
_FORMS = {
    "image/jpeg": Form.JPEG,
    "image/png": Form.PNG,
    "image/webp": Form.WEBP,
    "image/gif": Form.GIF,
}
_SINGLES = [Offer(one) for one in _FORMS]
_SEVERAL = [Offer(one, is_multipart=True) for one in _FORMS]
_PDF = Offer("application/pdf")
# For whoever takes nothing of the above: the default of many frames is a picture of the first.
_FILM = Offer("video/mp4")
_MOST_PICTURES = 5000
_THUMBNAIL_SIDE = 256

# An instance, and the numbers of its frames.
_Wanted = Sequence[tuple[DicomImage, Sequence[int]]]


def rendered(asked: Asked, address: Address, frame_list: str = "") -> Callable[[Actor], Response]:
    """Return the work of a rendered resource.

    An instance of many frames is shown by its first one, unless the caller takes a message of many
    parts; a series and a study by the picture that stands for it.
    """

    def work(actor: Actor) -> Response:
        if address.instance:
            image = addressed.image(actor.scope, address)
            document = None if frame_list else _document(asked, actor, image)
            if document is not None:
                return document
            count = max(1, image.number_of_frames)
            numbers = read_numbers(frame_list) if frame_list else range(1, count + 1)
            for number in numbers if frame_list else (1,):
                retrieve.check_frame_number(image, number)
            wanted: _Wanted = [(image, numbers)]
        else:
            shown = [one for one in addressed.images(actor.scope, address) if one.has_pixels]
            wanted = [(one, range(1, max(1, one.number_of_frames) + 1)) for one in shown]
            if not wanted:
                raise NotFoundError(f"The {address.level} has no pictures.")
        # One picture is asked for by its number: there is nothing to choose from.
        is_one = len(wanted) == 1 and len(wanted[0][1]) == 1
        offers = _SINGLES + _SEVERAL if is_one or not frame_list else _SEVERAL
        if address.instance and not frame_list and wanted[0][0].number_of_frames > 1:
            offers = [*offers, _FILM]
        choice = asked.choose(offers)
        if choice.offer == _FILM:
            viewing.note(actor, [wanted[0][0].series.study_id])
            return _film(asked, wanted[0][0])
        rendering = _rendering(asked, _FORMS[choice.offer.media_type])
        viewing.note(actor, (one.series.study_id for one, _ in wanted))
        if not choice.offer.is_multipart:
            image, number = _standing_for(wanted, address)
            return _single(asked, image, number, rendering)
        return _several(asked, wanted, choice, rendering)

    return work


def thumbnail(asked: Asked, address: Address, frame_list: str = "") -> Callable[[Actor], Response]:
    """Return the work of a thumbnail: one small picture, whatever the level."""

    def work(actor: Actor) -> Response:
        if address.instance:
            image = addressed.image(actor.scope, address)
            number = retrieve.middle_frame(image)
            if frame_list:
                (number, *others) = read_numbers(frame_list)
                if others:
                    raise bad_request("A thumbnail is of one frame.")
                retrieve.check_frame_number(image, number)
        else:
            image = _of_several(actor, address)
            number = retrieve.middle_frame(image)
        viewing.note(actor, [image.series.study_id])
        is_plain = not frame_list and not any(name == "viewport" for name, _ in asked.parameters)
        if not image.has_pixels or image.problem:
            offers = [Offer("image/png")]
        else:
            # The small PNG is there already; other forms are made.
            offers = [
                Offer("image/png"),
                *(one for one in _SINGLES if one.media_type != "image/png"),
            ]
        choice = asked.choose(offers)
        form = _FORMS[choice.offer.media_type]
        if form is Form.PNG and (is_plain or len(offers) == 1):
            return _kept_thumbnail(asked, image)
        return _single(asked, image, number, _small(asked, form, image))

    return work


def _document(asked: Asked, actor: Actor, image: DicomImage) -> Response | None:
    """Return an encapsulated PDF as such; None for every other object."""
    if image.has_pixels:
        return None
    value = descriptions.document(image)
    if value is None or value.media_type != _PDF.media_type:
        return None
    asked.choose([_PDF])
    viewing.note(actor, [image.series.study_id])
    tag = conditions.tag_of(image.sha256, "document")
    headers = conditions.headers_of(
        tag, content_disposition=f'inline; filename="{image.sop_instance_uid}.pdf"'
    )
    return conditions.unchanged(asked, tag) or Response(
        value.content, media_type=_PDF.media_type, headers=headers
    )


def _film(asked: Asked, image: DicomImage) -> Response:
    """Return a video as browsers play it, or the frames of an image as a film."""
    known, part = asked.headers.get("if-none-match"), asked.headers.get("range")
    if is_video(image):
        return films.playable_video(image, "", known, part)
    try:
        return films.film_mp4(image, _rendering(asked, Form.GIF), "", known)
    except InvalidInputError as error:
        raise bad_request(str(error)) from error


def _standing_for(wanted: _Wanted, address: Address) -> tuple[DicomImage, int]:
    if address.instance:
        image, numbers = wanted[0]
        return image, numbers[0]
    image, numbers = wanted[len(wanted) // 2]
    return image, numbers[len(numbers) // 2]


def _of_several(actor: Actor, address: Address) -> DicomImage:
    """Return the image that stands for a series or a study."""
    every = addressed.series(actor.scope, address)
    if address.series:
        found = thumbnails.image_of_series(every[0])
    else:
        found = thumbnails.image_of_study(every[0].study)
    if found is None:
        raise NotFoundError(f"The {address.level} has no images yet.")
    return found


def _rendering(asked: Asked, form: Form, **others: str) -> Rendering:
    parameters: Mapping[str, str] = {**dict(asked.parameters), **others}
    try:
        return rendering_of(form, parameters)
    except InvalidInputError as error:
        raise bad_request(str(error)) from error


def _small(asked: Asked, form: Form, image: DicomImage) -> Rendering:
    """Return how a thumbnail is drawn: within 256 pixels, or the viewport that is asked for."""
    if any(name == "viewport" for name, _ in asked.parameters):
        return _rendering(asked, form)
    rows, columns = image.rows or 1, image.columns or 1
    longest = max(rows, columns, _THUMBNAIL_SIDE)
    width = max(1, round(columns * _THUMBNAIL_SIDE / longest))
    return _rendering(asked, form, width=str(width))


def _single(asked: Asked, image: DicomImage, number: int, rendering: Rendering) -> Response:
    retrieve.check_frame_number(image, number)
    tag = dicom_processor.tag_of(image, number, rendering)
    unchanged = conditions.unchanged(asked, tag)
    if unchanged is not None:
        return unchanged
    try:
        made = retrieve.frame(image, number, rendering)
    except InvalidInputError as error:
        raise bad_request(str(error)) from error
    return Response(made.content, media_type=made.content_type, headers=conditions.headers_of(tag))


def _kept_thumbnail(asked: Asked, image: DicomImage) -> Response:
    tag = conditions.tag_of(
        "thumbnail", retrieve.thumbnail_version(image), image.sha256, image.problem
    )
    unchanged = conditions.unchanged(asked, tag)
    if unchanged is not None:
        return unchanged
    made = retrieve.thumbnail(image)
    return Response(made.content, media_type=made.content_type, headers=conditions.headers_of(tag))


def _several(asked: Asked, wanted: _Wanted, choice: Choice, rendering: Rendering) -> Response:
    count = sum(len(numbers) for _, numbers in wanted)
    if count > _MOST_PICTURES:
        raise too_large(f"These are {count} pictures. Ask for at most {_MOST_PICTURES} at once.")
    tag = conditions.tag_of(
        choice.offer,
        *(
            (retrieve.key_of(image, numbers[0], rendering), list(numbers))
            for image, numbers in wanted
        ),
    )
    unchanged = conditions.unchanged(asked, tag)
    if unchanged is not None:
        return unchanged
    return streams.multipart(
        _parts(asked, wanted, rendering),
        choice.offer.media_type,
        headers=conditions.headers_of(tag),
    )


def _parts(asked: Asked, wanted: _Wanted, rendering: Rendering) -> Iterator[Part]:
    for image, numbers in wanted:
        series = image.series
        place = Address(
            series.study.study_instance_uid, series.series_instance_uid, image.sop_instance_uid
        )
        for number in numbers:
            try:
                content = retrieve.frame(image, number, rendering).content
            except UndecodableError as error:
                # In its place among the others stands why there is no picture.
                content = retrieve.reason_picture(str(error), rendering)
            yield Part(
                CONTENT_TYPES[rendering.form],
                (content,),
                len(content),
                f"{asked.base_url}{place}/frames/{number}/rendered",
            )
