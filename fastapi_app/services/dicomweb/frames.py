"""WADO-RS: frames and pixel data, as stored or in another encoding (PS3.18 section 10.4.1.1.6)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from starlette.responses import Response

from archive import addressed, framebytes
from archive.access import Actor
from archive.addressed import Address
from archive.drawing import is_video, video_of
from archive.errors import NotFoundError
from archive.retrieve import check_frame_number
from fastapi_app.services import films
from fastapi_app.services.dicomweb import conditions, streams, viewing
from fastapi_app.services.dicomweb.asking import Asked, bad_request, not_acceptable
from fastapi_app.services.dicomweb.media import OCTETS, Choice, Offer
from fastapi_app.services.dicomweb.streams import Part
from imaging.encoding import LOSSLESS
from imaging.part10 import EXPLICIT_LITTLE_ENDIAN
from worklist.models import DicomImage

_MOST_FRAMES = 1000
_LIST = re.compile(r"[0-9]{1,9}(?:,[0-9]{1,9})*")
_AS_STORED = "*"

# Media types of compressed frames (PS3.18 tables 8.7.3-4 and 8.7.3-5), and what each means where no
# transfer syntax is named.
_JPEG, _RLE, _JLS = "image/jpeg", "image/dicom-rle", "image/jls"
_JP2, _JPX, _JPHC, _JXL = "image/jp2", "image/jpx", "image/jphc", "image/jxl"
_PREFIX = "1.2.840.10008.1.2."
TYPE_OF_SYNTAX = {
    f"{_PREFIX}5": _RLE,
    **{f"{_PREFIX}4.{n}": _JPEG for n in (50, 51, 53, 55, 57, 70)},
    **{f"{_PREFIX}4.{n}": _JLS for n in (80, 81)},
    **{f"{_PREFIX}4.{n}": _JP2 for n in (90, 91)},
    **{f"{_PREFIX}4.{n}": _JPX for n in (92, 93)},
    **{f"{_PREFIX}4.{n}": _JPHC for n in (201, 202, 203)},
    **{f"{_PREFIX}4.{n}": _JXL for n in (110, 111, 112)},
}
_DEFAULTS = {
    _JPEG: f"{_PREFIX}4.70",
    _RLE: f"{_PREFIX}5",
    _JLS: f"{_PREFIX}4.80",
    _JP2: f"{_PREFIX}4.90",
    _JPX: f"{_PREFIX}4.92",
    _JPHC: f"{_PREFIX}4.201",
    _JXL: f"{_PREFIX}4.110",
}
_MP4 = "video/mp4"
_PLAIN = ("", EXPLICIT_LITTLE_ENDIAN)


@dataclass(frozen=True, slots=True)
class _Form:
    """How frames leave.

    Attributes
    ----------
    media_type, transfer_syntax : of a frame
    make : of a frame number, its bytes
    """

    media_type: str
    transfer_syntax: str
    make: Callable[[DicomImage, int], bytes]

    @property
    def content_type(self) -> str:
        """With the transfer syntax."""
        return f"{self.media_type}; transfer-syntax={self.transfer_syntax}"


def retrieve(asked: Asked, address: Address, frame_list: str) -> Callable[[Actor], Response]:
    """Return the work of a retrieval of frames by their numbers."""

    def work(actor: Actor) -> Response:
        image = addressed.image(actor.scope, address)
        numbers = read_numbers(frame_list)
        return _answer(asked, actor, [(image, numbers)], is_one_image=True)

    return work


def pixel_data(asked: Asked, address: Address) -> Callable[[Actor], Response]:
    """Return the work of a retrieval of all frames of an instance, a series or a study."""

    def work(actor: Actor) -> Response:
        if address.instance:
            images = [addressed.image(actor.scope, address)]
        else:
            images = [one for one in addressed.images(actor.scope, address) if one.has_pixels]
        wanted = [(one, list(range(1, max(1, one.number_of_frames) + 1))) for one in images]
        if not wanted:
            raise NotFoundError(f"The {address.level} has no pictures.")
        if address.instance and is_video(images[0]):
            return _video(asked, actor, images[0])
        return _answer(asked, actor, wanted, is_one_image=bool(address.instance))

    return work


def _video(asked: Asked, actor: Actor, image: DicomImage) -> Response:
    """Return the bit stream of a video: as stored, or as an MP4 for whoever takes only that.

    References
    ----------
    DICOM PS3.18 table 8.7.3-5.
    """
    stored = video_of(image).media_type
    offers = [Offer(one) for one in dict.fromkeys((stored, OCTETS, _MP4))]
    choice = asked.choose(offers)
    viewing.note(actor, [image.series.study_id])
    known, part = asked.headers.get("if-none-match"), asked.headers.get("range")
    if choice.offer.media_type == _MP4 and not choice.transfer_syntax:
        return films.playable_video(image, "", known, part)
    return films.original_video(image, "", known, part)


def read_numbers(text: str) -> list[int]:
    """Read a list of frame numbers.

    Raises
    ------
    HTTPException
        400.
    """
    if _LIST.fullmatch(text) is None:
        raise bad_request("Name frames by their numbers from 1, parted by commas.")
    numbers = [int(part) for part in text.split(",")]
    if len(numbers) > _MOST_FRAMES:
        raise bad_request(f"Ask for at most {_MOST_FRAMES} frames at once.")
    return numbers


def _answer(
    asked: Asked,
    actor: Actor,
    wanted: Sequence[tuple[DicomImage, list[int]]],
    *,
    is_one_image: bool,
) -> Response:
    for image, numbers in wanted:
        for number in numbers if is_one_image else ():
            check_frame_number(image, number)
    offers = _offers([image for image, _ in wanted], is_one=sum(len(n) for _, n in wanted) == 1)
    choice, forms = _choose(asked, offers, [image for image, _ in wanted])
    viewing.note(actor, (image.series.study_id for image, _ in wanted))
    tag = conditions.tag_of(
        choice.offer,
        *((image.sha256, numbers) for image, numbers in wanted),
        *(form.content_type for form in forms),
    )
    unchanged = conditions.unchanged(asked, tag)
    if unchanged is not None:
        return unchanged
    headers = conditions.headers_of(tag)
    if not choice.offer.is_multipart:
        ((image, (number,)),) = wanted
        content = forms[0].make(image, number)
        return Response(content, media_type=forms[0].content_type, headers=headers)
    parts = _parts(asked, wanted, forms)
    return streams.multipart(parts, forms[0].media_type, headers=headers)


def _parts(
    asked: Asked, wanted: Sequence[tuple[DicomImage, list[int]]], forms: Sequence[_Form]
) -> Iterator[Part]:
    for (image, numbers), form in zip(wanted, forms, strict=True):
        series = image.series
        place = (
            f"{asked.base_url}/studies/{series.study.study_instance_uid}"
            f"/series/{series.series_instance_uid}/instances/{image.sop_instance_uid}/frames"
        )
        for number in numbers:
            content = form.make(image, number)
            yield Part(form.content_type, (content,), len(content), f"{place}/{number}")


def _offers(images: Sequence[DicomImage], *, is_one: bool) -> list[Offer]:
    """Return what there is, for messages too: plain samples first."""
    types = [OCTETS]
    stored = {TYPE_OF_SYNTAX.get(image.transfer_syntax_uid, "") for image in images}
    types += sorted(stored - {""})
    can = [
        TYPE_OF_SYNTAX[syntax]
        for syntax in LOSSLESS
        if all(framebytes.can_encode(image, syntax) for image in images)
    ]
    types += [one for one in can if one not in types]
    found = [Offer(one, is_multipart=True) for one in types]
    return found + ([Offer(one) for one in types] if is_one else [])


def _choose(
    asked: Asked, offers: Sequence[Offer], images: Sequence[DicomImage]
) -> tuple[Choice, list[_Form]]:
    for choice in asked.choices(offers):
        forms = [_form(choice, image) for image in images]
        if all(forms):
            return choice, [form for form in forms if form is not None]
    raise not_acceptable(offers)


def _form(choice: Choice, image: DicomImage) -> _Form | None:
    """Return how a frame of an image becomes what was chosen; None where it does not."""
    media_type, syntax = choice.offer.media_type, choice.transfer_syntax
    stored = image.transfer_syntax_uid
    stored_type = TYPE_OF_SYNTAX.get(stored, "") if framebytes.is_encapsulated(image) else ""
    if media_type == OCTETS:
        if stored_type and syntax in (_AS_STORED, stored):
            return _Form(stored_type, stored, framebytes.stored)
        if syntax in (*_PLAIN, _AS_STORED):
            return _Form(OCTETS, EXPLICIT_LITTLE_ENDIAN, framebytes.native)
        return None
    if stored_type == media_type and syntax in ("", _AS_STORED, stored):
        return _Form(stored_type, stored, framebytes.stored)
    target = _DEFAULTS[media_type] if syntax in ("", _AS_STORED) else syntax
    if TYPE_OF_SYNTAX.get(target) != media_type or not framebytes.can_encode(image, target):
        return None
    return _Form(media_type, target, lambda one, number: framebytes.encoded(one, number, target))
