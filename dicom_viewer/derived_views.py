"""Segments, structures, doses and maps of a study, and segments that are drawn: thin doors."""

from __future__ import annotations

from http import HTTPStatus
from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_GET, require_http_methods

from accounts.guards import actor_of, api_login_required
from accounts.guests import open_to_links
from archive.errors import TooLargeError
from archive.models import LinkPurpose
from dicom_viewer import derived as objects
from dicom_viewer import drafts, results, segment_copies
from dicom_viewer.bodies import parse

_BINARY = "application/octet-stream"


@open_to_links(LinkPurpose.VIEW)
@require_GET
@never_cache
@gzip_page
def derived_list(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """Answer which objects of the study are drawn over its pictures."""
    return JsonResponse(objects.derived_on(actor_of(request), study_id))


@open_to_links(LinkPurpose.VIEW)
@require_GET
@never_cache
@gzip_page
def derived(request: HttpRequest, image_id: UUID) -> HttpResponse:
    """Answer what one object draws."""
    return HttpResponse(objects.drawn_by(actor_of(request), image_id), content_type=_BINARY)


@api_login_required
@require_GET
@never_cache
@gzip_page
def segments_copy(request: HttpRequest, image_id: UUID) -> HttpResponse:
    """Answer a stored segmentation as a draft to go on with."""
    words = request.GET.get("numbers", "").split(",")
    numbers = [int(word) for word in words if word.isascii() and word.isdecimal()]
    content = segment_copies.copy_of(actor_of(request), image_id, numbers)
    return HttpResponse(content, content_type=_BINARY)


@api_login_required
@require_http_methods(["GET", "PUT", "DELETE"])
@never_cache
def segments(request: HttpRequest, series_id: UUID) -> HttpResponse:
    """Answer, keep or give up what this person draws on a series."""
    actor = actor_of(request)
    if request.method == "GET":
        return HttpResponse(drafts.draft_of(actor, series_id), content_type=_BINARY)
    if request.method == "DELETE":
        drafts.drop_draft(actor, series_id)
        return HttpResponse(status=HTTPStatus.NO_CONTENT)
    length = request.META.get("CONTENT_LENGTH") or "0"
    if length.isdigit() and int(length) > drafts.MOST_BYTES:
        raise TooLargeError(
            f"The segments need more than {drafts.MOST_BYTES >> 20} MiB. Store these, and draw "
            "the rest in another segmentation."
        )
    version = drafts.save_draft(actor, series_id, request.body)
    return JsonResponse({"version": version})


@api_login_required
@require_http_methods(["POST"])
@never_cache
def segments_store(request: HttpRequest, series_id: UUID) -> HttpResponse:
    """Write the draft into the study as a DICOM Segmentation."""
    body = parse(drafts.StoreBody, request.body)
    row = drafts.store_draft(actor_of(request), series_id, body)
    return JsonResponse(results.result_document(row), status=HTTPStatus.CREATED)
