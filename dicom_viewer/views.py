"""The viewer's page and what its script asks: parse, one service call, answer."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from uuid import UUID

from csp.decorators import csp_update
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_GET, require_http_methods

from accounts.guards import actor_of, api_login_required, user_of
from accounts.guests import open_to_links
from archive import problems, viewer_links
from archive.access import Actor
from archive.errors import InvalidInputError
from archive.link_visits import Visitor
from archive.models import LinkPurpose
from archive.sentences import said
from dicom_viewer import (
    facts,
    found,
    guest_manifest,
    hanging,
    manifest,
    presentations,
    results,
    series,
    services,
    sheets,
    still,
)
from dicom_viewer.bodies import (
    MOST_SHEET_BYTES,
    DrawingBody,
    HangingBody,
    HangingSetBody,
    LikeThisBody,
    PresetBody,
    ResultsBody,
    SessionBody,
    SheetBody,
    parse,
)
from dicom_viewer.documents import drawing_document, preset_document
from dicom_viewer.services import VersionConflictError
from dicom_viewer.uptake import uptake_document
from imaging.sheet import MEDIA_TYPES
from worklist.models import Study


@open_to_links(LinkPurpose.VIEW, is_page=True)
@require_GET
@never_cache
@gzip_page
@csp_update({"style-src": [still.STYLE_SOURCE]})  # type: ignore[untyped-decorator]
def viewer(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """Show the viewer; its first answer carries the manifest and a preview."""
    actor = actor_of(request)
    link = request.GET.get(viewer_links.PARAMETER)
    if link is not None:
        viewer_links.check(link, study_id)
    study = services.open_study(actor, study_id, how="viewer")
    document = _manifest(request, actor, study)
    first = still.take(document)
    # A link to an image, a second window: the viewer begins elsewhere.
    is_plain = not set(request.GET) - {viewer_links.PARAMETER}
    shows_still = is_plain and first is not None and first.is_shown
    context = {
        "manifest_json": document,
        "study": study,
        "guest": getattr(request, "visitor", None),
        "still": first,
        "still_style": still.STYLE,
        "shows_still": shows_still,
        "fetches_exact": shows_still and not still.is_on_a_slow_line(request.headers),
    }
    response = render(request, "dicom_viewer/viewer.html", context)
    response["Accept-CH"] = "ECT"
    return response


def _manifest(request: HttpRequest, actor: Actor, study: Study) -> dict[str, Any]:
    visitor: Visitor | None = getattr(request, "visitor", None)
    if visitor is not None:
        return guest_manifest.build(visitor, study)
    return manifest.build(actor, user_of(request), study)


@open_to_links(LinkPurpose.VIEW)
@require_GET
@never_cache
@gzip_page
def study(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """Answer the manifest."""
    actor = actor_of(request)
    row = services.open_study(actor, study_id, how="viewer api")
    return JsonResponse(_manifest(request, actor, row))


@api_login_required
@require_GET
@never_cache
@gzip_page
def ahead(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """Answer the manifest of a study that will be read next: nobody has opened it yet."""
    actor = actor_of(request)
    row = services.look_ahead(actor, study_id)
    return JsonResponse(manifest.build(actor, user_of(request), row))


@api_login_required
@require_GET
@never_cache
@gzip_page
def series_images(request: HttpRequest, series_id: UUID) -> HttpResponse:
    """Answer the images of one series in reading order."""
    series = services.open_series(actor_of(request), series_id)
    return JsonResponse(
        {
            "id": str(series.pk),
            "SeriesInstanceUID": series.series_instance_uid,
            "study_id": str(series.study_id),
            "images": manifest.series_images(series),
        }
    )


@open_to_links(LinkPurpose.VIEW)
@require_GET
@never_cache
def series_uptake(request: HttpRequest, series_id: UUID) -> HttpResponse:
    """Answer what makes standardized uptake values of a PET series."""
    return JsonResponse(uptake_document(services.open_series(actor_of(request), series_id)))


@open_to_links(LinkPurpose.VIEW)
@require_GET
@never_cache
@gzip_page
def image_metadata(request: HttpRequest, image_id: UUID) -> HttpResponse:
    """Answer everything that the file of one image says."""
    image = services.open_image(actor_of(request), image_id)
    return JsonResponse(facts.image_facts(image))


@api_login_required
@require_GET
@never_cache
@gzip_page
def image_voi_luts(request: HttpRequest, image_id: UUID) -> HttpResponse:
    """Answer the VOI LUTs of one image, with their values."""
    image = services.open_image(actor_of(request), image_id)
    return JsonResponse({"VOILUTSequence": series.voi_lut_documents(image)})


@api_login_required
@require_http_methods(["GET", "POST"])
@never_cache
def measurements(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """Answer everything drawn on a study, or keep something new."""
    actor = actor_of(request)
    if request.method == "GET":
        rows = services.list_drawings(actor, study_id)
        return JsonResponse([drawing_document(row) for row in rows], safe=False)
    try:
        row = services.create_drawing(actor, study_id, parse(DrawingBody, request.body))
    except VersionConflictError as error:
        return _conflict(error)
    return JsonResponse(drawing_document(row), status=HTTPStatus.CREATED)


@api_login_required
@require_http_methods(["PUT", "DELETE"])
def measurement(request: HttpRequest, drawing_id: UUID) -> HttpResponse:
    """Replace or hide one drawing."""
    actor = actor_of(request)
    try:
        if request.method == "DELETE":
            services.delete_drawing(actor, drawing_id, _version(request))
            return HttpResponse(status=HTTPStatus.NO_CONTENT)
        row = services.replace_drawing(actor, drawing_id, parse(DrawingBody, request.body))
    except VersionConflictError as error:
        return _conflict(error)
    return JsonResponse(drawing_document(row))


@api_login_required
@require_GET
@never_cache
@gzip_page
def found_measurements(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """Answer what reports and presentation states of the study drew; nobody changes it here."""
    return JsonResponse(found.found_on(actor_of(request), study_id))


@api_login_required
@require_GET
@never_cache
@gzip_page
def presentation_states(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """Answer how presentation states of the study want its images to be looked at."""
    return JsonResponse(presentations.presentations_on(actor_of(request), study_id))


@api_login_required
@require_http_methods(["GET", "POST"])
@never_cache
def stored_results(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """Answer what was written into the study from what is drawn, or write it anew."""
    actor = actor_of(request)
    if request.method == "GET":
        rows = results.results_of(actor, study_id)
        return JsonResponse([results.result_document(row) for row in rows], safe=False)
    rows = results.store_results(actor, study_id, parse(ResultsBody, request.body))
    documents = [results.result_document(row) for row in rows]
    return JsonResponse(documents, safe=False, status=HTTPStatus.CREATED)


@api_login_required
@require_http_methods(["POST"])
@never_cache
def sheet(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """Answer with pictures of the study on paper: PDF, PNG or JPEG."""
    body = parse(SheetBody, request.body, most_bytes=MOST_SHEET_BYTES)
    content = sheets.print_sheet(actor_of(request), study_id, body)
    name = f"study-{study_id}.{body.form}"
    return HttpResponse(
        content,
        content_type=MEDIA_TYPES[body.form],
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@api_login_required
@require_http_methods(["GET", "POST"])
@never_cache
def presets(request: HttpRequest) -> HttpResponse:
    """Answer the site's and the person's window presets, or keep one of their own."""
    actor = actor_of(request)
    if request.method == "GET":
        rows = services.presets_for(actor.user_id)
        return JsonResponse([preset_document(row) for row in rows], safe=False)
    row = services.create_preset(actor, parse(PresetBody, request.body))
    return JsonResponse(preset_document(row), status=HTTPStatus.CREATED)


@api_login_required
@require_http_methods(["DELETE"])
def preset(request: HttpRequest, preset_id: UUID) -> HttpResponse:
    """Delete one of the person's own presets."""
    services.delete_preset(actor_of(request), preset_id)
    return HttpResponse(status=HTTPStatus.NO_CONTENT)


@api_login_required
@require_http_methods(["GET", "POST"])
@never_cache
def hanging_protocols(request: HttpRequest) -> HttpResponse:
    """Answer the person's and the site's hanging protocols, or keep a new one."""
    actor = actor_of(request)
    if request.method == "GET":
        rows = hanging.protocols_for(actor.user_id)
        documents = [hanging.protocol_document(row) for row in rows]
        return JsonResponse({"protocols": documents, "built_in": hanging.built_in_documents()})
    row = hanging.create_protocol(actor, parse(HangingBody, request.body))
    return JsonResponse(hanging.protocol_document(row), status=HTTPStatus.CREATED)


@api_login_required
@require_http_methods(["PUT", "DELETE"])
def hanging_protocol(request: HttpRequest, protocol_id: UUID) -> HttpResponse:
    """Replace or delete one hanging protocol."""
    actor = actor_of(request)
    if request.method == "DELETE":
        hanging.delete_protocol(actor, protocol_id)
        return HttpResponse(status=HTTPStatus.NO_CONTENT)
    row = hanging.replace_protocol(actor, protocol_id, parse(HangingBody, request.body))
    return JsonResponse(hanging.protocol_document(row))


@login_required
@require_GET
@never_cache
def layouts(request: HttpRequest) -> HttpResponse:
    """Show the person's, the site's and the built-in layouts."""
    actor = actor_of(request)
    rows = [hanging.protocol_document(row) for row in hanging.protocols_for(actor.user_id)]
    built_in = hanging.built_in_documents()
    groups = [
        (
            "mine",
            gettext("Yours"),
            said("Tried first."),
            [row for row in rows if not row["is_site"]],
        ),
        (
            "site",
            gettext("The site's"),
            said("Tried after your own."),
            [row for row in rows if row["is_site"]],
        ),
        ("built-in", gettext("Built in"), said("Tried last. Copy one to change it."), built_in),
    ]
    context = {
        "groups": groups,
        "protocols": [*rows, *built_in],
        "is_administrator": actor.is_administrator,
    }
    return render(request, "dicom_viewer/layouts.html", context)


@api_login_required
@require_http_methods(["POST"])
def hanging_import(request: HttpRequest) -> HttpResponse:
    """Keep hanging protocols of another site, as the list of them answers."""
    rows = hanging.import_protocols(actor_of(request), parse(HangingSetBody, request.body))
    documents = [hanging.protocol_document(row) for row in rows]
    return JsonResponse({"protocols": documents}, status=HTTPStatus.CREATED)


@api_login_required
@require_http_methods(["POST"])
def hanging_like_this(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """Keep a layout for studies like this one."""
    body = parse(LikeThisBody, request.body)
    row = hanging.like_this(actor_of(request), study_id, body)
    return JsonResponse(hanging.protocol_document(row), status=HTTPStatus.CREATED)


@api_login_required
@require_http_methods(["PUT"])
def session(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """Keep where this person stopped."""
    body = parse(SessionBody, request.body)
    return JsonResponse(services.save_session(actor_of(request), study_id, body))


def _version(request: HttpRequest) -> int:
    text = request.GET.get("version", "")
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text)):
        raise InvalidInputError("Say which 'version' you delete.")
    return int(text)


def _conflict(error: VersionConflictError) -> JsonResponse:
    """Answer 409 with what stands there now."""
    document = {**problems.problem_of(error), "current": drawing_document(error.current)}
    return JsonResponse(document, status=HTTPStatus.CONFLICT, content_type=problems.CONTENT_TYPE)
